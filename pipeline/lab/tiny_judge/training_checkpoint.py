"""The state of a training run, which ``--resume`` continues from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

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
    """Write weights, optimizer state (in bfloat16 to halve its size), tokenizer and progress."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "model.pt")
    torch.save(_halved(optimizer.state_dict()), folder / "optimizer.pt")
    tokenizer.save(str(folder / TOKENIZER))
    (folder / _PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")


def restore(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Load weights and optimizer state in place; return the totals so far."""
    for holder, name in ((model, "model.pt"), (optimizer, "optimizer.pt")):
        # The optimizer converts its state to the precision of the parameters.
        holder.load_state_dict(torch.load(folder / name, map_location="cpu", weights_only=True))
    return Progress(**json.loads((folder / _PROGRESS).read_text(encoding="utf-8")))


def _halved(state: dict[str, Any]) -> dict[str, Any]:
    moments = {
        number: {
            name: value.to(torch.bfloat16) if isinstance(value, Tensor) and value.ndim else value
            for name, value in moment.items()
        }
        for number, moment in state["state"].items()
    }
    return state | {"state": moments}
