"""Publishes the labels of one judge: compact, manifest, gate, then the swap of ``LATEST.json``.

A snapshot's id is derived from its inputs (judge, shards, versions of their parts, layout), so that
publishing the same twice writes nothing, and a publisher that runs after one that was killed writes
to the same folder. Files and then the manifest are written before anything refers to them; the swap
makes them visible, all at once. A publisher that loses the compare-and-swap has no visible effect.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.judging.judge_cards import find_card
from pipeline.pairs.shards import open_input
from pipeline.runtime.errors import PublishConflictError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step, unrecorded
from pipeline.runtime.stop import Stop
from pipeline.snapshots.compact_parts import compact
from pipeline.snapshots.manifests import (
    LATEST_KEY,
    Latest,
    folder_of,
    has_manifest,
    manifest_key,
    read_latest,
    read_manifest,
)
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.snapshot_inventory import (
    Inventory,
    OpenSource,
    check_inventory,
    take_inventory,
)
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store, Version
from schemas.manifest import OUTCOMES, Manifest
from schemas.snapshots import TABLES, contract_of

_LAYOUT = 1  # raise with any change to which bytes a snapshot's files hold
_ID_DIGITS = 16
_PROGRESS_S = 10

# Decides on a complete snapshot that is not live: `passed` is whether it may go live. The whole
# mapping is stored in the manifest.
Gate = Callable[[Store, Manifest], Mapping[str, Any]]


@dataclass(frozen=True)
class Publication:
    """What publishing did.

    Attributes:
        manifest: of the snapshot; ``manifest.blocked`` if the gate refused it.
        live: whether it is live now.
        changed: whether another one was live before.
    """

    manifest: Manifest
    live: bool
    changed: bool


def publish(
    input_uri: str,
    output: Store,
    judge: str,
    config: PublishConfig,
    reporter: Reporter,
    lease: Lease,
    *,
    max_bad_shards: int = 0,
    gate: Gate | None = None,
    keep_withdrawn: bool = False,
    shards: Collection[str] | None = None,
    step: Step = unrecorded,
    stop: Stop | None = None,
    open_source: OpenSource = open_input,
) -> Publication:
    """Publishes the labels that a judge gave the input as it is now.

    Args:
        input_uri: the pairs, as they were labelled.
        output: the output root of the labeling jobs.
        judge: the judge's id, or how it begins.
        config: how the snapshot is written.
        reporter: receives progress.
        lease: of the output, held by this run.
        max_bad_shards: how many shards of the input may be unreadable.
        gate: decides whether the snapshot goes live; otherwise it stays as a candidate.
        keep_withdrawn: whether a snapshot that somebody has just rolled back from stays
            withdrawn; what a person publishes by name goes live.
        shards: those to publish; all by default. Others were added after these were labelled.
        step: records the steps ``reconcile`` and ``compact``, and ``gate`` and ``publish`` if
            they are reached.
        stop: checked before every part; ends the publishing.
        open_source: opens the input.

    Raises:
        ReconcileError: rows of the input are in no part, or in two.
        LeaseLostError: the lease was lost.
        PublishConflictError: another publisher swapped ``LATEST.json`` first.
        PairmillError: see ``pipeline.runtime.errors``.
    """
    card, run_id = find_card(output, judge), lease.run_id
    before, version = read_latest(output)
    with step("reconcile") as detail:
        inventory = take_inventory(input_uri, output, card["judge_id"], shards, open_source)
        check_inventory(
            inventory, output, allow_missing=config.allow_missing, max_defects=max_bad_shards
        )
        detail |= inventory.summary()
    snapshot_id = _snapshot_id(inventory, config)
    with step("compact") as detail:
        if known := has_manifest(output, snapshot_id):
            manifest = read_manifest(output, snapshot_id)
            reporter.note(f"snapshot {snapshot_id} exists: these labels were compacted before")
        else:
            candidate = _candidate(snapshot_id, inventory, card, before, run_id, _now(output))
            each = _each_part(lease, stop or Stop(), reporter, inventory.rows)
            manifest = _write(candidate, inventory, output, config, lease, each)
        detail |= {"snapshot_id": snapshot_id, "there_already": known}
    if before is not None and before.snapshot_id == snapshot_id:
        return Publication(manifest, live=True, changed=False)
    if keep_withdrawn and before is not None and before.withdrew(snapshot_id):
        return Publication(manifest, live=False, changed=False)
    if gate is not None:
        with step("gate") as detail:
            manifest = _gated(manifest, output, gate, lease)
            detail |= manifest.gate or {}
    if manifest.blocked:
        return Publication(manifest, live=False, changed=False)
    with step("publish") as detail:
        lease.check()
        swap_latest(output, snapshot_id, before, version, run_id)
        detail |= {"snapshot_id": snapshot_id, "before": before and before.snapshot_id}
    return Publication(manifest, live=True, changed=True)


def swap_latest(
    output: Store,
    snapshot_id: str,
    before: Latest | None,
    version: Version | None,
    run_id: str,
    *,
    rollback: bool = False,
) -> Latest:
    """Makes a snapshot live, unless ``LATEST.json`` was swapped since ``version`` was read.

    Raises:
        PublishConflictError: it was.
        StorageError: the store fails.
    """
    withdrawn = (
        (before.previous, *before.withdrawn) if rollback and before and before.rollback else ()
    )
    latest = Latest(
        snapshot_id=snapshot_id,
        manifest=manifest_key(snapshot_id),
        published_at=_now(output),
        published_by=run_id,
        previous=before.snapshot_id if before else None,
        rollback=rollback,
        withdrawn=tuple(sorted({name for name in withdrawn if name and name != snapshot_id})),
    )
    if output.swap(LATEST_KEY, latest.to_json(), version) is None:
        now, _ = read_latest(output)
        other = f"{now.snapshot_id}, published by run {now.published_by}" if now else "gone"
        raise PublishConflictError(
            f"{output.path(LATEST_KEY)}: expected {before.snapshot_id if before else 'none'}, got "
            f"{other} while this run was publishing {snapshot_id}; readers see nothing of this "
            "run; run again if its labels are still wanted"
        )
    return latest


def _snapshot_id(inventory: Inventory, config: PublishConfig) -> str:
    contracts = {name: contract_of(name) for name in TABLES}
    layout = [_LAYOUT, contracts, config.file_mb, config.row_group_mb]
    return inventory.content_id(layout)[:_ID_DIGITS]


def _candidate(
    snapshot_id: str,
    inventory: Inventory,
    card: Mapping[str, Any],
    before: Latest | None,
    run_id: str,
    now: str,
) -> Manifest:
    """The manifest before any file is written; its counts and files are still empty."""
    return Manifest(
        snapshot_id=snapshot_id,
        created_at=now,
        created_by=run_id,
        parent=before.snapshot_id if before else None,
        judge=card,
        policy_ids=(),
        run_ids=(),
        schemas={name: contract_of(name) for name in TABLES},
        input=inventory.input_uri,
        rows=inventory.rows,
        counts={},
        shards=(),
        files=(),
    )


def _write(
    candidate: Manifest,
    inventory: Inventory,
    output: Store,
    config: PublishConfig,
    lease: Lease,
    each: Callable[[int], None],
) -> Manifest:
    written = compact(inventory, output, folder_of(candidate.snapshot_id), config, each)
    manifest = replace(
        candidate,
        policy_ids=tuple(sorted(written.policy_ids)),
        run_ids=tuple(sorted(written.run_ids)),
        counts={outcome: written.counts[outcome] for outcome in OUTCOMES},
        shards=written.shards,
        files=written.files,
    )
    lease.check()
    output.put(manifest_key(manifest.snapshot_id), manifest.to_json())
    return manifest


def _each_part(lease: Lease, stop: Stop, reporter: Reporter, total: int) -> Callable[[int], None]:
    reported = time.monotonic()

    def step(rows: int) -> None:
        nonlocal reported
        lease.check()
        stop.check("a snapshot was being written, and nobody sees it yet")
        if time.monotonic() - reported > _PROGRESS_S:
            reported = time.monotonic()
            reporter.event("compacting", {"rows": rows, "rows_total": total})

    return step


def _gated(manifest: Manifest, output: Store, gate: Gate, lease: Lease) -> Manifest:
    """The manifest with the gate's decision; a snapshot that is not live may be gated again."""
    # Through JSON, so that it equals what a stored manifest holds.
    decision = json.loads(json.dumps(dict(gate(output, manifest))))
    if decision != manifest.gate:
        manifest = replace(manifest, gate=decision)
        lease.check()
        output.put(manifest_key(manifest.snapshot_id), manifest.to_json())
    return manifest


def _now(output: Store) -> str:
    # Snapshots are ordered by it.
    return output.host.now().isoformat(timespec="microseconds")
