"""Quarantined rows that are tried again: of their unit's part, they alone are judged anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.judging.label_parts import read_part
from pipeline.labeling.earlier_labels import EarlierLabels, labels_of
from pipeline.labeling.units import Unit
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.labels import Reason


@dataclass(frozen=True)
class Retries:
    """Which quarantined rows of committed parts a run tries again.

    Attributes:
        reasons: those quarantined for one of these; none means that nothing is tried again.
        run_id: of the run; what it has tried itself is not tried once more.
    """

    reasons: frozenset[Reason]
    run_id: str

    def pending(self, store: Store, key: str) -> int:
        """How many rows of a committed part are to be tried again.

        Args:
            store: the output store.
            key: of the part.
        """
        if not self.reasons:
            return 0
        return int(pc.sum(self._tried_again(read_part(store, key, ["reason", "run_id"]))).as_py())

    def kept(self, store: Store, judge_id: str, unit: Unit) -> EarlierLabels | None:
        """The labels of a committed unit that stay; None if none of its rows is tried again.

        Raises:
            InputError: rows are to be tried again, but the unit is cut otherwise than its part.
        """
        if not self.reasons:
            return None
        key = unit.part_key(judge_id)
        if store.size(key) is None:
            raise InputError(
                f"{key}: there is no such part to try rows of again: units are cut otherwise than "
                "they were; set input.unit_rows and input.unit_bytes as they were then"
            )
        rows = read_part(store, key)
        again = self._tried_again(rows)
        return labels_of(rows.filter(pc.invert(again))) if pc.any(again).as_py() else None

    def _tried_again(self, rows: pa.Table) -> pa.ChunkedArray:
        chosen = pc.is_in(rows["reason"], pa.array(sorted(self.reasons), pa.string()))
        return pc.and_(chosen, pc.not_equal(rows["run_id"], self.run_id))


def parse_reasons(names: Collection[str] | None) -> frozenset[Reason]:
    """The reasons named on a command line: all of them where none is named, none for None.

    Raises:
        InputError: a name is no reason; lists them all.
    """
    if names is None:
        return frozenset()
    try:
        return frozenset(Reason(name) for name in names) or frozenset(Reason)
    except ValueError as error:
        listed = ", ".join(Reason)
        raise InputError(f"--retry-quarantined: {error}; expected some of {listed}") from error
