"""Reads what a run has stored: its records, its snapshot, and the metrics of earlier runs."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.judging.judge_cards import read_card
from pipeline.pairs.shards import open_input
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import (
    LATEST,
    Latest,
    SnapshotListing,
    find_snapshot,
    live,
    read_latest,
    read_manifest,
)
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.quality import Quality

METRICS_VERSION = "metrics/v1"
_RUNS = "runs"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Records:
    """Everything that a report says about a run, except for its sample of pairs.

    Attributes:
        input_uri: the root of the pairs; None if no record has it.
        run: what labeling did (``run.json``); None if it did not label.
        nightly: which steps ran (``nightly.json``); None of a job that ran by itself.
        manifest: the snapshot; None of a run that has published nothing.
        quality: the snapshot's ``quality.json``, if there is one.
        card: the judge's.
        latest: which snapshot is live.
        earlier: ``metrics.json`` of the runs before this one on the same input, oldest first.
        problems: records that could not be read, and why.
    """

    output: Store
    run_id: str
    input_uri: str | None
    run: Record | None
    nightly: Record | None
    manifest: Manifest | None
    quality: Quality | None
    card: Record | None
    latest: Latest | None
    earlier: Sequence[Record]
    problems: Sequence[str] = ()

    @property
    def judge_id(self) -> str | None:
        """Whose labels these are."""
        return None if self.card is None else str(self.card["judge_id"])

    @property
    def started_at(self) -> str | None:
        """When the run began, UTC in ISO 8601."""
        if self.nightly is not None:
            return str(self.nightly["started_at"])
        return time_of(self.run_id)

    @property
    def is_live(self) -> bool:
        """Whether readers get the snapshot."""
        snapshot = self.manifest.snapshot_id if self.manifest else None
        return self.latest is not None and self.latest.snapshot_id == snapshot

    @property
    def judged(self) -> int:
        """Rows that the run has committed."""
        return 0 if self.run is None else int(self.run["pairs"])


def read_records(
    output: Store, input_uri: str | None, run_id: str, snapshot_id: str | None, most_runs: int
) -> Records:
    """Reads the records of a run.

    Args:
        output: the output root.
        input_uri: the pairs that it was about; None for those that its records name.
        run_id: the run.
        snapshot_id: the snapshot that it made or found, or ``LATEST``; None to find it.
        most_runs: how many runs a trend shows.

    Raises:
        InputError: the run has no record, or one cannot be read.
        StorageError: the store fails.
    """
    run, nightly = (_read(output, f"{_RUNS}/{run_id}/{n}.json") for n in ("run", "nightly"))
    manifest = _manifest(output, run_id, snapshot_id, run, nightly)
    if run is None and nightly is None and (manifest is None or manifest.created_by != run_id):
        raise InputError(
            f"{output.path(_RUNS)}: there is no record of run {run_id!r}; there are "
            f"{', '.join(run_ids(output)[-10:]) or 'none'}"
        )
    if input_uri is None:
        named = [record["input"] for record in (run, nightly) if record is not None]
        input_uri = next(iter([*named, *([manifest.input] if manifest else [])]), None)
    else:
        input_uri = open_input(input_uri)[0].uri
    quality, problems = None, []
    if manifest is not None:
        try:
            quality = read_quality(output, manifest.snapshot_id)
        except InputError as error:
            problems.append(str(error))
    return Records(
        output=output,
        run_id=run_id,
        input_uri=input_uri,
        run=run,
        nightly=nightly,
        manifest=manifest,
        quality=quality,
        card=_card(output, run, nightly, manifest),
        latest=read_latest(output),
        earlier=_earlier(output, input_uri, run_id, most_runs - 1),
        problems=problems,
    )


def run_ids(output: Store) -> list[str]:
    """The runs that have left a record, oldest first."""
    records = ("run.json", "nightly.json")
    names = (entry.key.split("/") for entry in output.list(_RUNS))
    return sorted({name[1] for name in names if len(name) == 3 and name[2] in records})


def newest_run(output: Store) -> str:
    """The newest run that has left a record.

    Raises:
        InputError: no run has.
    """
    if found := run_ids(output):
        return found[-1]
    raise InputError(
        f"{output.path(_RUNS)}: no run has left a record there; expected an output of "
        "pairmill label or pairmill nightly"
    )


def time_of(run_id: str) -> str | None:
    """The time that a run's name begins with, in ISO 8601; None of other names."""
    try:
        begun = datetime.datetime.strptime(run_id[:15], "%Y%m%dT%H%M%S")
    except ValueError:
        return None
    return begun.replace(tzinfo=datetime.UTC).isoformat()


def _manifest(
    output: Store, run_id: str, snapshot_id: str | None, run: Record | None, nightly: Record | None
) -> Manifest | None:
    """The given snapshot; else the one that the run made, or (nothing to judge) the live one."""
    if snapshot_id is None and nightly is not None:
        snapshot_id = nightly["snapshot_id"]
        if snapshot_id is None:
            return None
    if snapshot_id is not None:
        known = live(output).snapshot_id if snapshot_id == LATEST else snapshot_id
        return read_manifest(output, find_snapshot(output, known))
    found = None
    for manifest in SnapshotListing.of(output).manifests(output):
        if run_id == manifest.created_by or run_id in manifest.run_ids:
            found = manifest
    if found is None and run is not None and run["pairs"] == 0:
        latest = read_latest(output)
        return None if latest is None else read_manifest(output, latest.snapshot_id)
    return found


def _card(
    output: Store, run: Record | None, nightly: Record | None, manifest: Manifest | None
) -> Record | None:
    """The judge card: of the snapshot, or of the run's judge."""
    if manifest is not None:
        return manifest.judge
    ids = [record["judge_id"] for record in (run, nightly) if record is not None]
    known = next(filter(None, ids), None)
    return None if known is None else read_card(output, known)


def _earlier(output: Store, input_uri: str | None, run_id: str, most: int) -> list[Record]:
    found: list[Record] = []
    keys = [entry.key for entry in output.list(_RUNS) if entry.key.endswith("/metrics.json")]
    for key in reversed(keys):  # run ids begin with their time
        if key.split("/")[1] >= run_id:
            continue
        metrics = _read(output, key) or {}
        if metrics.get("version") == METRICS_VERSION and metrics.get("input") == input_uri:
            found.append(metrics)
        if len(found) == most:
            break
    return found[::-1]


def _read(output: Store, key: str) -> Record | None:
    if output.size(key) is None:
        return None
    try:
        found = json.loads(output.read(key))
    except ValueError as error:
        raise InputError(f"{output.path(key)}: not JSON ({error}); restore it") from error
    if not isinstance(found, dict):
        raise InputError(f"{output.path(key)}: a JSON {type(found).__name__}, expected an object")
    return found
