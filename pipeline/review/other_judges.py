"""How labels stand to what others say of the same pairs: people, and the output's other judges."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pipeline.review.label_columns import NO_OUTCOME, OUTCOMES, Block, LabelColumns
from pipeline.runtime.errors import InputError, StorageError
from pipeline.runtime.printable import one_line
from pipeline.stats.arrays import Ints

# What the other says is the same or something else, or our pair is undecided; or it says nothing.
RELATIONS = ("", "agrees", "differs", "undecided")
# By what the label prefers and what the other says, both as places in ``OUTCOMES``.
_RELATION = np.array(
    [
        [RELATIONS.index("agrees" if said == label else "differs" if label else "undecided")
         for said in OUTCOMES[:-1]] + [RELATIONS.index("")]
        for label in OUTCOMES
    ],
    np.uint8,
)  # fmt: skip
Codes = NDArray[np.unsignedinteger]
_Said = tuple[Ints, NDArray[np.uint8]]


def relation(outcome: Codes, said: Codes) -> NDArray[np.uint8]:
    """How labels stand to what another says: places in ``RELATIONS``, by places in ``OUTCOMES``."""
    return _RELATION[outcome, said]


class OtherJudges:
    """What the other judges say about each pair, read judge by judge in the background.

    A label that any of them differs from counts as such. Of each judge some nine bytes a row are
    kept.

    Attributes:
        unread: why the labels of a judge could not be read, by its id.
    """

    def __init__(self, columns: Mapping[str, Callable[[], LabelColumns]]) -> None:
        """Binds to the judges' labels; reads nothing yet.

        Args:
            columns: by judge id, what finds its labels.
        """
        self._columns = columns
        self._said: list[_Said] = []
        self.unread: dict[str, str] = {}
        self._of: WeakKeyDictionary[Block, tuple[int, NDArray[np.uint8]]] = WeakKeyDictionary()
        self._stopped = threading.Event()

    @property
    def progress(self) -> tuple[int, int]:
        """How many judges are read, of how many."""
        return len(self._said) + len(self.unread), len(self._columns)

    def read_all(self) -> None:
        """Reads all judges; to be run in a thread of its own."""
        for judge_id, columns in self._columns.items():
            if self._stopped.is_set():
                return
            try:
                self._said.append(_said(columns()))
            except (InputError, StorageError) as error:
                self.unread[judge_id] = one_line(str(error).partition("\n")[0])[:300]

    def stop(self) -> None:
        """Ends :meth:`read_all` after the judge that it reads."""
        self._stopped.set()

    def of(self, block: Block) -> NDArray[np.uint8]:
        """How each row of a block stands to them: places in ``RELATIONS``."""
        read = len(self._said)
        found = self._of.get(block)
        if found is None or found[0] < read:
            found = self._of[block] = read, self._gathered(block, read)
        return found[1]

    def _gathered(self, block: Block, read: int) -> NDArray[np.uint8]:
        together = np.zeros(len(block), np.uint8)
        for keys, said in self._said[:read]:
            if not len(keys):
                continue
            place = np.minimum(np.searchsorted(keys, block.key), len(keys) - 1)
            known = (keys[place] == block.key) & (block.key != 0)
            each = relation(block.outcome, np.where(known, said[place], NO_OUTCOME))
            differs = (together == RELATIONS.index("differs")) | (each == 0)
            together = np.where(differs, together, each)
        return together


def _said(columns: LabelColumns) -> _Said:
    """The pairs that labels decide, by ascending key, each once."""
    keys, outcomes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
    for block in columns.blocks():
        decided = block.outcome != NO_OUTCOME
        keys.append(block.key[decided])
        outcomes.append(block.outcome[decided])
    unique, first = np.unique(np.concatenate(keys), return_index=True)
    return unique, np.concatenate(outcomes)[first]
