"""Publishes labels of one judge or several: compact, manifest, gate, then the swap of LATEST.json.

A snapshot's id is derived from its inputs (judge, policy and calibration, shards, versions of their
parts, layout), so that publishing the same twice writes nothing. Files and then the manifest are
written before anything refers to them; the swap makes them visible, all at once. A publisher that
loses the compare-and-swap has no visible effect.

Nothing that is stored changes, so that a publisher which has stalled and lost its lease, or a
request that arrives late, harms nobody:

* A file's name is the digest of its content: written twice, it is the same.
* A manifest is created, never replaced. One that was created late, when retention had removed its
  files, is not believed. The publisher that finds it writes the files: where their digests are the
  same, the manifest holds again. Where another version of the Parquet writer gives other bytes, the
  id stays with that manifest, and the snapshot gets the next one (``make_snapshot``).
* Each decision of the gate is an object of its own, behind those before.
* ``LATEST.json`` is swapped from the version that was claimed under the lease (``swap_latest``).

A DELETE has no condition: what removes files and manifests (``retention``) must hold the lease.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.aggregation.calibration_cards import calibration_of
from pipeline.aggregation.composition import Composition
from pipeline.aggregation.error_bound import bound_of
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.reachable import check_reachable
from pipeline.gold.people import GoldConfig
from pipeline.judging.judge_cards import find_card, judge_of
from pipeline.judging.judge_config import VotesConfig
from pipeline.pairs.input_config import READ_SECONDS
from pipeline.pairs.shards import open_input
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step, unrecorded
from pipeline.runtime.stop import Stop
from pipeline.snapshots.make_snapshot import SnapshotMaker
from pipeline.snapshots.manifests import add_gate_decision
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.snapshot_inventory import (
    OpenSource,
    check_inventory,
    same_inventory,
    take_inventory,
)
from pipeline.snapshots.swap_latest import claim_latest, swap_latest
from pipeline.snapshots.whose_labels import OfOne, OfSeveral, WhoseLabels
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from schemas.manifest import GateDecision, Manifest

# Decides on a complete snapshot that is not live: `passed` is whether it may go live. The whole
# mapping is stored beside the manifest.
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
    policy: PolicyConfig | None = None,
    votes: VotesConfig | None = None,
    calibration: str = "card",
    max_bad_shards: int = 0,
    gate: Gate | None = None,
    keep_withdrawn: bool = False,
    shards: Mapping[str, str] | None = None,
    step: Step = unrecorded,
    stop: Stop | None = None,
    open_source: OpenSource = open_input,
    again: Manifest | None = None,
    gold: GoldConfig | None = None,
    composition: Composition | None = None,
    read_seconds: float = READ_SECONDS,
) -> Publication:
    """Publishes the input as it is now with what follows from a judge's votes, or from several's.

    Args:
        input_uri: the pairs, as they were labelled.
        output: the output root of the labeling jobs.
        judge: the judge's id, or how it begins.
        config: how the snapshot is written.
        reporter: receives progress.
        lease: of the output, held by this run.
        policy: how all votes become labels; the default policy if not given.
        votes: the settings that the policy leaves to the judge; by default those of its card.
        calibration: what makes ``p_a`` of the votes, see ``calibration_of``.
        max_bad_shards: how many shards of the input may be unreadable.
        gate: decides whether the snapshot goes live; otherwise it stays as a candidate.
        keep_withdrawn: whether a snapshot that somebody has just rolled back from stays
            withdrawn; what a person publishes by name goes live.
        shards: keys of those to publish, by path; all by default. Others were added after these
            were labelled.
        step: records the steps ``reconcile`` and ``compact``, and ``gate`` and ``publish`` if
            they are reached.
        stop: checked before every part; ends the publishing.
        open_source: opens the input.
        again: a snapshot whose shards are published again, in place of those of the input.
        gold: people's answers, by which ``policy.max_error`` is kept to.
        composition: several judges, whose votes are published in place of ``judge``'s; ``votes``
            and ``calibration`` are then those that it was made with.
        read_seconds: how long the footer of a shard may take.

    Raises:
        ConfigError: the policy is one that no votes of the judge reach.
        InputError: ``policy.max_error`` cannot be promised; says why, with figures.
        ReconcileError: rows of the input are in no part, or in two.
        LeaseLostError: the lease was lost.
        PublishConflictError: another publisher swapped ``LATEST.json`` first.
        PairmillError: see ``pipeline.runtime.errors``.
    """
    whose: WhoseLabels
    if composition is not None:
        whose = OfSeveral(composition)
    else:
        whose = _of_one(output, judge, policy or PolicyConfig(), votes, calibration)
    before, version = claim_latest(output, lease)
    with step("reconcile") as detail:
        of = (whose.judge_id, whose.judges)
        if again is not None:
            inventory = same_inventory(again, output, *of)
        else:
            inventory = take_inventory(
                input_uri, output, *of, read_seconds, wanted=shards, open_source=open_source
            )
        check_inventory(
            inventory, output, allow_missing=config.allow_missing, max_defects=max_bad_shards
        )
        detail |= inventory.summary()
    with step("compact") as detail:
        by = (config, reporter, lease, stop or Stop())
        bound = None
        if policy is not None and policy.max_error is not None:
            labels = whose.stored(output, inventory.shards)
            bound = bound_of(output, labels, policy, gold or GoldConfig())
            whose = whose.within(bound)
        maker = SnapshotMaker(output, inventory, whose, before, *by, bound)
        manifest, made = maker.make()
        detail |= {"snapshot_id": manifest.snapshot_id, **made}
        if bound is not None:
            detail |= {"max_error": bound.max_error, "min_confidence": bound.min_confidence}
    snapshot_id = manifest.snapshot_id
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
        swap_latest(output, snapshot_id, before, version, lease)
        detail |= {"snapshot_id": snapshot_id, "before": before and before.snapshot_id}
    return Publication(manifest, live=True, changed=True)


def _of_one(
    output: Store,
    judge_id: str,
    policy: PolicyConfig,
    votes: VotesConfig | None,
    calibration: str,
) -> OfOne:
    """The labels of one judge, and what decides them all."""
    card = find_card(output, judge_id)
    judge = judge_of(card)
    if votes is not None:
        judge = judge.model_copy(update={"votes": votes})
    fitted = calibration_of(output, card["judge_id"], calibration)
    check_reachable(judge, policy, calibrated=fitted is not None)
    return OfOne(card, Labeler.of(judge, policy, fitted))


def _gated(manifest: Manifest, output: Store, gate: Gate, lease: Lease) -> Manifest:
    """The manifest with the gate's decision; a snapshot that is not live may be gated again."""
    # Through JSON, so that it equals what is stored.
    decision = json.loads(json.dumps(dict(gate(output, manifest))))
    if decision == manifest.gate:
        return manifest
    record = GateDecision(manifest.snapshot_id, _now(output), lease.run_id, decision)
    add_gate_decision(output, record, lease.check)
    return replace(manifest, gate=decision)


def _now(output: Store) -> str:
    return output.host.now().isoformat(timespec="microseconds")
