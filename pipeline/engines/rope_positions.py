"""Positions of a Qwen2.5-VL prompt's tokens, as Qwen published the model and as vLLM runs it.

Transformers (5.19 among others) starts the text after a clip at the end of the clip's longer side
even where its positions in time reach further.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """The merged patches of a picture or a clip; a token of text is a grid of one.

    Attributes:
        steps, rows, columns: temporal patches (1 of a picture), and merged patches down and across.
        interval: positions in time from one temporal patch to the next.
    """

    steps: int = 1
    rows: int = 1
    columns: int = 1
    interval: float = 1.0

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return self.steps * self.rows * self.columns


def positions(grids: Iterable[Grid]) -> NDArray[np.int64]:
    """Positions (3, tokens) of a prompt: in time, height and width."""
    found: list[NDArray[np.int64]] = []
    start = 0
    for grid in grids:
        within = np.indices((grid.steps, grid.rows, grid.columns))
        within[0] = (within[0] * grid.interval).astype(np.int64)
        found.append(within.reshape(3, -1) + start)
        start = int(found[-1].max()) + 1
    return np.concatenate(found, axis=1)
