"""Retries of quarantined rows: the other rows of their unit's part keep their labels."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.judging.label_parts import read_part
from pipeline.labeling.earlier_labels import EarlierLabels, reusable
from pipeline.labeling.units import Unit
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.labels import Reason


@dataclass(frozen=True)
class Retries:
    """Which quarantined rows of committed parts a run retries.

    Attributes:
        reasons: rows quarantined for one of these; empty retries nothing.
        run_id: the run; rows that it has already retried are not retried again.
    """

    reasons: frozenset[Reason]
    run_id: str

    def pending(self, store: Store, key: str) -> int:
        """How many rows of a committed part are to be retried.

        Args:
            store: the output store.
            key: of the part.
        """
        if not self.reasons:
            return 0
        return int(pc.sum(self._retried(read_part(store, key, ["reason", "run_id"]))).as_py())

    def kept(self, store: Store, judge_id: str, unit: Unit) -> EarlierLabels | None:
        """The labels of a committed unit that are kept; None if none of its rows is retried.

        Raises:
            InputError: rows are to be retried, but the unit is not the row range of a part.
        """
        if not self.reasons:
            return None
        key = unit.part_key(judge_id)
        if store.size(key) is None:
            raise InputError(
                f"{key}: no such part, so that its rows cannot be retried: units have other sizes "
                "than when it was written; set input.unit_rows and input.unit_bytes as then"
            )
        rows = read_part(store, key)
        retried = self._retried(rows)
        return reusable(rows.filter(pc.invert(retried))) if pc.any(retried).as_py() else None

    def _retried(self, rows: pa.Table) -> pa.ChunkedArray:
        chosen = pc.is_in(rows["reason"], pa.array(sorted(self.reasons), pa.string()))
        return pc.and_(chosen, pc.not_equal(rows["run_id"], self.run_id))


def add_retry_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--retry-quarantined``, whose value :func:`parse_reasons` takes."""
    text = "judge quarantined rows again: those of these reasons, or all of them"
    parser.add_argument("--retry-quarantined", metavar="REASON", nargs="*", help=text)


def parse_reasons(names: Collection[str] | None) -> frozenset[Reason]:
    """The reasons named on a command line: all of them for no name, none for None.

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
