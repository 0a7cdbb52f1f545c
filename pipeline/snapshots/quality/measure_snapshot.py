"""Measures a snapshot once, and stores ``quality.json`` beside its manifest.

Beside it lie the tallies of its groups, so that the next snapshot is measured by what changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.gold.people import GoldConfig, read_people
from pipeline.gold.set_agreement import sentence_of
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.errors import InputError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.snapshots.manifests import find_snapshot, folder_of, read_latest, read_manifest
from pipeline.snapshots.quality.audited_accuracy import Audit
from pipeline.snapshots.quality.canary_agreement import (
    CANARY,
    Canary,
    canary_judge,
    count_canaries,
)
from pipeline.snapshots.quality.criteria_counts import criteria_of
from pipeline.snapshots.quality.gold_agreement import agreement_of
from pipeline.snapshots.quality.group_tally import Tallies
from pipeline.snapshots.quality.input_columns import SnapshotInput
from pipeline.snapshots.quality.panel_quality import panel_quality
from pipeline.snapshots.quality.quality_rates import drift, drift_effect, histograms, rates
from pipeline.snapshots.quality.snapshot_counts import (
    GOLD,
    QualityConfig,
    SnapshotCounter,
    format_of,
)
from pipeline.stats.intervals import NOTHING
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from pipeline.store.stored_records import read_record
from schemas.manifest import Manifest
from schemas.quality import TOKENS, Drift, Histogram, Probed, Quality, Rate

_PROGRESS_S = 10
_NO_SET = GoldConfig()
_NO_PROBES: Mapping[str, Probed] = {}


def quality_key(snapshot_id: str) -> str:
    """Where a snapshot's ``quality.json`` is, under the output root."""
    return f"{folder_of(snapshot_id)}/quality.json"


def read_quality(output: Store, snapshot_id: str) -> Quality | None:
    """The stored quality of a snapshot; None where it was never measured.

    Raises:
        InputError: the object is not valid.
        StorageError: the store fails.
    """
    return read_record(output, quality_key(snapshot_id), Quality)


def measure(
    output: Store,
    manifest: Manifest,
    config: QualityConfig,
    columns: InputConfig,
    *,
    against: str | None,
    canary: Canary | None = None,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    gold: GoldConfig = _NO_SET,
    probes: Mapping[str, Probed] = _NO_PROBES,
) -> Quality:
    """Measures a snapshot, and writes its ``quality.json``.

    Groups of shards that are as they were in this snapshot, the live one, the one before it or the
    parent are not read: their tallies are there.

    Args:
        output: the output root.
        manifest: of the snapshot, which need not be live.
        config: how much is read.
        columns: how the corpus is read.
        against: the snapshot that drift is measured against; of it, ``quality.json`` alone is read.
        canary: the canaries of a run.
        reporter: receives progress every few seconds.
        stop: checked after every row group; ends the measuring.
        gold: the set of people's answers, beside those in the input.
        probes: what the judge did with altered pairs, by probe.

    Raises:
        StoppedError: by ``stop``; nothing is written.
        InputError: a file of the snapshot is corrupt, or holds other rows than the manifest says.
        StorageError: the store fails.
    """
    how = (config, columns, gold)
    earlier = _earlier_tallies(output, manifest, reporter)
    quality = _measured(output, manifest, how, against, canary, earlier, reporter, stop)
    quality = replace(quality, probes=probes)
    output.put(quality_key(manifest.snapshot_id), quality.to_json())
    return quality


def measure_again(
    output: Store,
    snapshot: str,
    config: QualityConfig,
    columns: InputConfig,
    reporter: Reporter | None = None,
    gold: GoldConfig = _NO_SET,
) -> Quality:
    """Measures an existing snapshot again, against the one that was live before it.

    All of it is read, whatever earlier tallies say. The metrics of canaries and probes are kept:
    they belong to a run and to a judge, not to the snapshot.

    Args:
        output: the output root.
        snapshot: its id, or the beginning of its id.
        config, columns, reporter, gold: as :func:`measure` takes them.

    Raises:
        ConfigError: there is no such snapshot.
        InputError, StorageError: as :func:`measure` raises them.
    """
    manifest = read_manifest(output, find_snapshot(output, snapshot))
    try:
        earlier = read_quality(output, manifest.snapshot_id)
    except InputError:  # of another version, or damaged: it is replaced here
        earlier = None
    how = (config, columns, gold)
    quality = _measured(output, manifest, how, manifest.parent, None, (), reporter)
    if earlier is not None and earlier.canary is not None:
        canary = {name: rate for name, rate in earlier.rates.items() if name.startswith(CANARY)}
        quality = replace(quality, canary=earlier.canary, rates={**quality.rates, **canary})
    quality = replace(quality, probes=earlier.probes if earlier else {})
    output.put(quality_key(manifest.snapshot_id), quality.to_json())
    return quality


def quality_fields(quality: Quality) -> dict[str, Any]:
    """The log fields of a measured snapshot, for operators."""
    found = {
        name: None if r.value is None else round(r.value, 4) for name, r in quality.rates.items()
    }
    index, change = quality.drift.p_a_psi, quality.drift.preference_a_change
    drift = {"p_a_psi": index.value, "preference_a_change": change.value}
    return {
        "snapshot": quality.snapshot_id,
        **found,
        "against": quality.drift.against,
        **{name: None if value is None else round(value, 4) for name, value in drift.items()},
        **({"audited_accuracy": quality.audit.value} if quality.audit else {}),
        "notes": "; ".join(filter(None, (*quality.notes, quality.drift.detail))),
    }


def _measured(
    output: Store,
    manifest: Manifest,
    how: tuple[QualityConfig, InputConfig, GoldConfig],
    against: str | None,
    canary: Canary | None,
    earlier: Iterable[Tallies],
    reporter: Reporter | None,
    stop: Stop | None = None,
) -> Quality:
    config, columns, gold = how
    people = read_people(output, gold)
    source = SnapshotInput(manifest, columns, output)
    audit = Audit.of(output, manifest, people)
    step = _progress(reporter, stop or Stop(), manifest.rows)
    what = (output, manifest, config, columns, source, people, audit)
    counts = SnapshotCounter(*what, step).count(earlier)
    tally = counts.tally
    notes = source.notes()
    if people.set is not None:
        notes.append(sentence_of(people.set, people.given))
    if canary is not None:
        try:
            ranked = format_of(manifest).about == "ranking"
            judge_id = canary_judge(output, manifest)
            tally.add(count_canaries(output, canary, judge_id, ranked=ranked, people=people))
        except InputError as error:
            notes.append(str(error))
    found = _quality(manifest, tally, canary, _Before.find(output, against), notes)
    counts.tallies.write(output, manifest.snapshot_id)
    if reporter is not None:
        groups = {"groups_reused": counts.reused, "groups_counted": counts.counted}
        reporter.event("measured groups", {"snapshot": manifest.snapshot_id, **groups})
    accuracy = audit.accuracy(tally, counts.drawn, manifest, people) if people.set else None
    return replace(found, audit=accuracy)


def _earlier_tallies(
    output: Store, manifest: Manifest, reporter: Reporter | None
) -> Iterator[Tallies]:
    """Those of the snapshots that are likely to have groups of this one."""
    latest = read_latest(output)
    live = (latest.snapshot_id, latest.previous) if latest else ()
    ids = (manifest.snapshot_id, *live, manifest.parent)
    for snapshot_id in dict.fromkeys(filter(None, ids)):
        try:
            found = Tallies.read(output, snapshot_id)
        except InputError as error:
            if reporter is not None:
                reporter.note(str(error))
            continue
        if found is not None:
            yield found


def _progress(reporter: Reporter | None, stop: Stop, total: int) -> Callable[[int], None]:
    rows, reported = 0, time.monotonic()

    def step(more: int) -> None:
        nonlocal rows, reported
        rows += more
        stop.check("the snapshot was being measured")
        if reporter is not None and time.monotonic() - reported > _PROGRESS_S:
            reported = time.monotonic()
            reporter.event("measuring", {"rows": rows, "rows_total": total})

    return step


def _quality(
    manifest: Manifest, tally: Tally, canary: Canary | None, before: _Before, notes: list[str]
) -> Quality:
    measured, bins = rates(tally), histograms(tally)
    judge_id = manifest.judge["judge_id"]
    known, calibrated = (tally.numbers[n] for n in ("probability_known", "calibrated"))
    if 0 < calibrated < known:
        notes = [*notes, f"{calibrated} of {known} probabilities are calibrated, the rest are not"]
    whole = 0 < calibrated == known
    by_outcome = tally.named("outcome")
    return Quality(
        snapshot_id=manifest.snapshot_id,
        judge_id=judge_id,
        format=format_of(manifest).name,
        rows=manifest.rows,
        counts=manifest.counts,
        quarantined_by_reason=tally.named("reason"),
        votes=sum(by_outcome.values()),
        votes_by_outcome=by_outcome,
        tokens={name: tally.numbers[f"tokens/{name}"] for name in TOKENS},
        calibrated=whole,
        rates=measured,
        histograms=bins,
        gold=agreement_of(GOLD, tally, manifest.input),
        canary=agreement_of(CANARY, tally, canary.input_uri) if canary else None,
        drift=before.drift(measured, bins, judge_id, whole, drift_effect(tally)),
        notes=tuple(notes),
        bound=manifest.policy.bound if manifest.policy else None,
        criteria=criteria_of(tally),
        panel=panel_quality(manifest),
        decided_by=tally.named("decided_by"),
    )


@dataclass(frozen=True)
class _Before:
    """The snapshot that drift is measured against, with its quality if that is stored."""

    snapshot_id: str | None
    quality: Quality | None
    problem: str

    @classmethod
    def find(cls, output: Store, snapshot_id: str | None) -> _Before:
        if snapshot_id is None:
            return cls(None, None, "this is the first snapshot: there is none to compare it with")
        try:
            quality = read_quality(output, snapshot_id)
        except InputError as error:
            return cls(snapshot_id, None, str(error))
        problem = (
            f"{output.path(quality_key(snapshot_id))} does not exist: snapshot {snapshot_id} was "
            f"never measured; pairmill publish --measure {snapshot_id} does it"
        )
        return cls(snapshot_id, quality, problem)

    def drift(
        self,
        measured: dict[str, Rate],
        bins: dict[str, Histogram],
        judge_id: str,
        calibrated: bool,
        effect: float,
    ) -> Drift:
        if self.quality is None:
            return Drift(self.snapshot_id, self.problem, False, NOTHING, NOTHING)
        return drift(measured, bins, judge_id, calibrated, self.quality, effect)
