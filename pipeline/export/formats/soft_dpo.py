"""DPO on soft labels with TRL: every row counts as far as people are likely to prefer its answer.

``pairmill export --format trl-dpo --export.soft_labels true`` writes this file beside the rows; it
needs torch and TRL (tested with 1.16), and nothing of pairmill.

    data = load_dataset("FOLDER")
    SoftDPOTrainer(model, args=DPOConfig(…), train_dataset=data["train"], processing_class=…)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer  # type: ignore[import-not-found, unused-ignore]

_LEAST = 1e-4  # how far from one half a probability counts as being


def soft_loss(z: torch.Tensor, p_chosen: torch.Tensor) -> torch.Tensor:
    """The cross-entropy between what people and the policy prefer.

    With p = 1 - ε for all rows it is cDPO; with (1 - ε) / (1 - 2ε) it is robust DPO.

    Args:
        z: β times the log-ratio of the chosen response less that of the rejected one, (rows,).
        p_chosen: the probability that people prefer the chosen one, (rows,).
    """
    return -p_chosen * logsigmoid(z) - (1 - p_chosen) * logsigmoid(-z)


def smoothing_of(p_chosen: torch.Tensor) -> torch.Tensor:
    """The label smoothing with which TRL's ``robust`` loss of a row is :func:`soft_loss`."""
    sure = 2 * p_chosen.float() - 1
    sure = torch.where(sure.abs() < _LEAST, torch.full_like(sure, _LEAST), sure)
    return (sure - 1) / (2 * sure)


class SoftDPOTrainer(DPOTrainer):  # type: ignore[misc, unused-ignore]
    """TRL's trainer with :func:`soft_loss`, by the column ``p_chosen`` of each row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``DPOTrainer``; ``loss_type`` and ``label_smoothing`` are this trainer's own."""
        super().__init__(*args, **kwargs)
        self.loss_types, self.loss_weights = ["robust"], [1.0]
        collate: Any = self.data_collator  # type: ignore[has-type, unused-ignore]
        self.data_collator = _with_p(collate)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "p_chosen" not in self._signature_columns:
            self._signature_columns.append("p_chosen")

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        rest = dict(inputs)
        self.label_smoothing = smoothing_of(rest.pop("p_chosen"))
        return super()._compute_loss(model, rest, return_outputs)


def _with_p(collate: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    def collated(examples: list[dict[str, Any]]) -> dict[str, Any]:
        p = torch.tensor([example["p_chosen"] for example in examples])
        return {**collate(examples), "p_chosen": p}

    return collated
