"""What simulated processes do beside labeling and publishing: canaries, exports, clean, forget."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable

from pipeline.aggregation.policy import PolicyConfig
from pipeline.export.begun_files import begin
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.labeling.unit_runner import UnitRunner
from pipeline.pairs.input_config import InputConfig
from pipeline.parts.units import Unit
from pipeline.retention.clean import plan_clean
from pipeline.retention.clean_config import CleanConfig, Limits
from pipeline.retention.forget import Forgetting, NewStates
from pipeline.retention.forget_file import NamedPairs
from pipeline.retention.stored import Stored
from pipeline.runtime.reporter import Reporter
from pipeline.snapshots.manifests import live, read_manifest, read_whole_manifest
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from tests.judging import pairs_of
from tests.shards import pair
from tests.simulator.labeling_run import InlineThreads, RandomJudge

_FORMAT = "jsonl"
_CANARIES = 2
Opened = Callable[[str], tuple[Store, str]]


def clean(output: Store, lease: Lease, chance: random.Random, opened: Opened) -> None:
    """Removes what is beyond random limits."""

    def limits() -> Limits:
        return Limits(keep=chance.choice((None, 1, 2)), days=chance.choice((None, 0)))

    days = chance.choice((None, 0.0))
    config = CleanConfig(
        snapshots=limits(), exports=limits(), canaries=limits(), runs=limits(),
        attempts_days=days, parts_days=days,
    )  # fmt: skip
    plan_clean(Stored(output, lease.run_id, "in", opened), config).apply(lease)


def forget(output: Store, lease: Lease, quiet: Reporter, pair_id: str) -> None:
    """Takes a pair down."""

    def again(output: Store, uri: str, snapshot: str, *rest: object, **more: object) -> None:
        export_live(output)

    how = NewStates(PolicyConfig(), PublishConfig(), InputConfig(), again)
    named = NamedPairs(frozenset({pair_id}), frozenset(), frozenset())
    Forgetting(output, named).apply(how, quiet, lease)


def export_live(output: Store) -> None:
    """Writes the labels of the live snapshot in the order in which exports do.

    A file is named before it is written; the record comes last, if the snapshot is still there.
    """
    manifest = read_manifest(output, live(output).snapshot_id)
    folder = f"exports/{manifest.snapshot_id}/{_FORMAT}"
    if output.size(f"{folder}/{NAME}") is not None:
        return
    files = []
    for number, file in enumerate(manifest.files_of("labels")):
        data = output.read(file.path)
        path = f"data/{number:05d}.parquet"
        begin(output, folder, f"{number:05d}", [path])
        output.put(f"{folder}/{path}", data)
        record = {"path": path, "tier": "", "split": "train", "rows": file.rows}
        files.append({**record, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    config = ExportConfig(format=_FORMAT).model_dump(mode="json")
    made = ExportRecord(
        export_id=manifest.snapshot_id, judge_id=str(manifest.judge["judge_id"]),
        snapshot_id=manifest.snapshot_id, folder=folder, input=manifest.input,
        config=config, shape={}, rows=manifest.rows, kept={}, dropped={}, details={},
        epsilon=None, longer=0, shorter=0, sources={}, files=files, beside=(),
        snapshot_created_at=manifest.created_at,
    )  # fmt: skip
    read_whole_manifest(output, manifest.snapshot_id)
    output.put(f"{folder}/{NAME}", made.to_json())


def judge_canaries(root: Store, judge: RandomJudge, judge_id: str, lease: Lease) -> None:
    """Judges the canaries of a run, whose parts are under a root of their own."""
    runner = UnitRunner(judge, root, judge_id, lease.run_id, 2, epoch=lease.epoch)
    rows = [pair(0, pair_id=f"canary {number}", images=None) for number in range(_CANARIES)]
    with asyncio.Runner() as loop:
        loop.get_loop().set_default_executor(InlineThreads())
        unit = Unit("canaries.parquet", "ca" * 32, 0, _CANARIES)
        loop.run(runner.run(unit, pairs_of(rows)))
