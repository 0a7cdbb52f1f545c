"""Derives labels again from stored votes, part by part: no engine, no GPU, no Ray.

The original parts are only read. Derived parts are written to ``derived/judge=…/policy=…/``, under
the names of the original ones (of every version of a shard that has some); ``policy=…-pairs/``
holds the pairs of a ranking judge's groups. A derived part is skipped unless rows of the original
were judged again since, so a run that was ended resumes where it stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.calibration_cards import calibration_of
from pipeline.aggregation.label_tables import number_of_pairs, pairs_of_groups
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig, rule_record
from pipeline.aggregation.reachable import check_reachable
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.judge_cards import find_card, judge_of
from pipeline.parts.part_files import part_bytes, read_part
from pipeline.parts.part_keys import Part, judge_folder
from pipeline.runtime.clock import utc_now
from pipeline.runtime.errors import ConfigError, InputError, ReconcileError
from pipeline.runtime.reporter import Reporter
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store

_THREADS = 4  # most time is spent in Python; threads hide the store's latency
_WAVE = 256  # parts between two notes of progress
_FOLDER, _RECORD = "derived", "derivation.json"
_READ = ["row", "run_id", "status", "scores"]


@dataclass
class Counts:
    """Rows by their status before and after."""

    parts: int = 0
    rows_in: int = 0
    rows_out: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Adds another part's counts to these."""
        self.parts += other.parts
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.before += other.before
        self.after += other.after
        self.moved += other.moved


@dataclass(frozen=True)
class Derivation:
    """One derivation: of which judge's votes, by which labeler, from where to where.

    Attributes:
        pairs: whether ranked groups become their pairs.
        done: the keys of derived parts that exist.
    """

    judge_id: str
    labeler: Labeler
    relabeler: Relabeler
    pairs: bool
    source: Store
    target: Store
    done: frozenset[str] = frozenset()

    @property
    def parts_folder(self) -> str:
        """The folder of the judge's parts."""
        return f"parts/{judge_folder(self.judge_id)}"

    @property
    def folder(self) -> str:
        """The folder of the derived parts."""
        policy = f"policy={self.labeler.policy_id[:16]}{'-pairs' * self.pairs}"
        return f"{_FOLDER}/{judge_folder(self.judge_id)}/{policy}"

    def key(self, part: str) -> str:
        """The key of the part derived from another."""
        return self.folder + part.removeprefix(self.parts_folder)

    def run(self, part: str) -> Counts:
        """Derives one part unless it exists, and counts what is stored.

        Raises:
            InputError: the part cannot be read.
            ReconcileError: the stored part lacks rows of the original, or has others.
        """
        key = self.key(part)
        there = key in self.done
        labels = read_part(self.source, part, _READ if there else None)
        rows_in = labels.select(_READ).to_pylist()
        expected = Counter[tuple[int, str]]()
        for row in rows_in:
            expected[_place(row)] += number_of_pairs(row) if self.pairs else 1
        rows_out = self._stored(key) if there else []
        if Counter(map(_place, rows_out)) != expected:  # or rows were judged again since
            labels = read_part(self.source, part) if there else labels
            self.target.put(key, part_bytes(self._made(labels)))
            rows_out = self._stored(key)
        if Counter(map(_place, rows_out)) != expected:
            raise ReconcileError(
                f"{self.target.path(key)}: got {len(rows_out)} rows, expected {expected.total()} "
                f"of the {len(rows_in)} in {self.source.path(part)}; was another run writing "
                "there? run again"
            )
        counts = Counts(1, len(rows_in), len(rows_out), _statuses(rows_in), _statuses(rows_out))
        if not self.pairs:
            both = zip(rows_in, rows_out, strict=True)
            counts.moved = Counter((old["status"], new["status"]) for old, new in both)
        return counts

    def _made(self, labels: pa.Table) -> Iterator[pa.Table]:
        if self.pairs:
            return pairs_of_groups(labels, self.labeler)
        return iter([self.relabeler.table(labels)])

    def _stored(self, key: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_part(self.target, key, _READ).to_pylist()
        return rows


def derive(
    output_uri: str,
    judge: str,
    policy: PolicyConfig,
    reporter: Reporter,
    lease: Lease,
    *,
    calibration: str = "card",
    to_uri: str | None = None,
    pairs: bool = False,
) -> dict[str, Any]:
    """Derives every label of a judge again.

    Args:
        output_uri: the output of labeling jobs.
        judge: the judge's id, or how it begins.
        policy: how votes become labels.
        reporter: receives the plan, the progress and the result.
        lease: of the root that the derived parts go to.
        calibration: see ``calibration_of``.
        to_uri: another root for the derived parts.
        pairs: make ranked groups into their pairs.

    Returns:
        The record that is stored as ``derivation.json``.

    Raises:
        PairmillError: with the exit code of the job (see ``pipeline.runtime.errors``).
    """
    source, target = Store(output_uri), Store(to_uri or output_uri)
    card = find_card(source, judge)
    judge_id, config = card["judge_id"], judge_of(card)
    if pairs and config.declared_format.about != "ranking":
        raise ConfigError(
            f"--pairs: judge {judge_id[:16]} has the format {config.format}; expected "
            "one that ranks groups, which it makes into pairs"
        )
    if policy.max_error is not None:
        raise ConfigError(
            f"policy.max_error {policy.max_error:g}: pairmill publish finds what keeps to it; give "
            "policy.min_confidence here"
        )
    fitted = calibration_of(source, judge_id, calibration)
    check_reachable(config, policy, calibrated=fitted is not None)
    labeler = Labeler.of(config, policy, fitted)
    plan = Derivation(judge_id, labeler, Relabeler(labeler), pairs, source, target)
    parts = [e.key for e in source.list(plan.parts_folder) if Part.of(e.key)]
    if not parts:
        raise InputError(
            f"{source.path(plan.parts_folder)}: no parts there; expected labels of this judge, "
            "made by pairmill label"
        )
    plan = replace(plan, done=frozenset(entry.key for entry in target.list(plan.folder)))
    there = sum(plan.key(part) in plan.done for part in parts)
    where = target.path(plan.folder)
    reporter.event("plan", {"judge_id": judge_id, "parts": len(parts), "parts_done": there})
    counts = _run(plan, parts, reporter, lease)
    record = _record(plan, counts, policy, fitted)
    lease.check()
    target.put(f"{plan.folder}/{_RECORD}", json.dumps(record, indent=2).encode())
    shown = {name: record[name] for name in ("policy_id", "rows_in", "rows_out", "moved")}
    reporter.event("done", {**shown, **record["after"], "derived": where})
    return record


def _run(plan: Derivation, parts: Sequence[str], reporter: Reporter, lease: Lease) -> Counts:
    counts = Counts()
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(parts), _WAVE):
            lease.check()
            for part in pool.map(plan.run, parts[start : start + _WAVE]):
                counts.add(part)
            if counts.parts < len(parts):
                reporter.note(f"{counts.parts} of {len(parts)} parts")
    return counts


def _record(
    plan: Derivation, counts: Counts, policy: PolicyConfig, calibration: Calibration | None
) -> dict[str, Any]:
    return {
        "judge_id": plan.judge_id,
        "policy_id": plan.labeler.policy_id,
        "policy": policy.model_dump(mode="json"),
        "rule": rule_record(plan.labeler.rule),
        "calibration": calibration.model_dump(mode="json") if calibration else None,
        "pairs_of_groups": plan.pairs,
        "parts_of": plan.source.path(plan.parts_folder),
        "parts": counts.parts,
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "before": dict(sorted(counts.before.items())),
        "after": dict(sorted(counts.after.items())),
        "moved": {
            f"{old} to {new}": number
            for (old, new), number in sorted(counts.moved.items())
            if old != new
        },
        "derived_at": utc_now().isoformat(timespec="seconds"),
    }


def _place(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["row"], row["run_id"]


def _statuses(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(str(row["status"]) for row in rows)
