"""The state that a training run goes on from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer

TOKENIZER: Final = "tokenizer.json"
_PROGRESS: Final = "progress.json"


@dataclass
class Progress:
    """Totals over a run and those it resumed."""

    steps: int = 0
    samples: int = 0
    seconds: float = 0.0


def save(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    tokenizer: Tokenizer,
    progress: Progress,
) -> None:
    """Write weights, optimizer state, tokenizer and progress, each as one file."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "model.pt")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    tokenizer.save(str(folder / TOKENIZER))
    (folder / _PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")


def restore(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Load weights and optimizer state in place; return the totals so far."""
    for holder, name in ((model, "model.pt"), (optimizer, "optimizer.pt")):
        holder.load_state_dict(torch.load(folder / name, map_location="cpu", weights_only=True))
    return Progress(**json.loads((folder / _PROGRESS).read_text(encoding="utf-8")))
