"""Takes pairs down: a record first, then new states without them, then the old states go.

Each step finds what is left to do, so that the same command finishes what was ended anywhere. From
the record on no run judges the pairs or reuses their votes; from the swap of ``LATEST.json`` on no
reader gets them; at the end nothing under the output holds them. What lies elsewhere is for people
to remove (``NOT_REACHED``). A room that stores pairs adds what holds them to ``_with_pairs``.
"""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.aggregation.composition import Composition
from pipeline.aggregation.policy import PolicyConfig
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.export.export_run import EXPORTS, export_snapshot
from pipeline.gold.answers import answers_about
from pipeline.gold.gold_sets import drop_from_sets, read_set, set_names
from pipeline.pairs.input_config import InputConfig
from pipeline.parts.commit import redact_part
from pipeline.parts.forgotten import Forgotten, remember
from pipeline.parts.index_update import drop_pairs, update_index
from pipeline.parts.part_keys import Part, ShardParts
from pipeline.retention.clean import remove_things
from pipeline.retention.forget_file import NamedPairs
from pipeline.retention.held_pairs import HeldPairs, Row
from pipeline.retention.row_contents import contents_of
from pipeline.retention.stored import JUDGE, PART, Stored, grouped
from pipeline.retention.stored_evaluations import evaluated_pairs
from pipeline.retention.stored_exports import stored_exports
from pipeline.retention.stored_parts import (
    INDEX_FILES,
    drop_from_indexes,
    stored_index_files,
)
from pipeline.retention.stored_runs import (
    stored_canaries,
    stored_derivations,
    stored_probes,
    stored_runs,
)
from pipeline.retention.stored_snapshots import (
    stored_snapshot_files,
    stored_snapshots,
    stored_tallies,
)
from pipeline.retention.stored_unfinished import stored_unfinished
from pipeline.retention.things import Removal, Thing
from pipeline.runtime.errors import ConfigError, InputError, PairmillError
from pipeline.runtime.printable import printable
from pipeline.runtime.reporter import Reporter
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.swap_latest import claim_latest, drop_previous
from pipeline.store.lease import Lease
from pipeline.store.object_store import Entry, Store
from schemas.manifest import Manifest

_COLUMNS = InputConfig()
_WHY = "holds a pair that is to be forgotten"
NOT_REACHED = (
    "the input, folders of publish --materialize, files of gold export, copies of exports, "
    "datasets on the hub, and versions and unfinished uploads that a bucket keeps may hold them "
    "still: remove them there"
)


@dataclass(frozen=True)
class NewStates:
    """How the states without the pairs are made.

    Attributes:
        policy, publish: as nightly runs publish.
        composition: makes that of several judges under a policy; None where labels are of one.
        columns: the ``input`` section, by which exports read the pairs.
        export: makes an export again.
    """

    policy: PolicyConfig
    publish: PublishConfig
    columns: InputConfig
    export: Callable[..., object] = export_snapshot
    composition: Callable[[PolicyConfig], Composition | None] = lambda policy: None


class Forgetting:
    """The forgetting of some pairs from one output.

    Attributes:
        held: finds the pairs.
        rows: how many rows the names were found in.
    """

    def __init__(self, output: Store, named: NamedPairs, columns: InputConfig = _COLUMNS) -> None:
        """Looks for the names in all parts.

        Args:
            output: the output root.
            named: as people named them.
            columns: how the input is read, where rows have rubrics of their own.

        Raises:
            InputError: a part, or a record of what was forgotten before, is damaged.
            StorageError: the store fails.
        """
        self._output = output
        self._listed: dict[str, Entry] = {}  # parts, by key
        self.held = HeldPairs(output, named, Forgotten.read(output))
        stored = Stored(output)

        def contents(labels: Sequence[Row]) -> Mapping[str, str]:
            return contents_of(stored.input_uri, columns, labels) if stored.input_uri else {}

        parts = (entry for _, entry in stored.matching("parts", _PARTS))
        self.rows = self.held.learn(parts, contents)
        for name in set_names(output):
            drawn = read_set(output, name).pairs.values()
            self.held.hashes |= {each.pair_hash for each in drawn if each.pair_id in self.held.ids}

    def notes(self) -> Iterator[str]:
        """What people are to know."""
        if count := self.held.other_rubrics_unknown:
            yield (
                f"{count} of these pairs were asked by a rubric of their own and are not in the "
                "input any more: the same pairs under other rubrics are not found; name these, too"
            )
        yield NOT_REACHED

    def plan(self) -> list[Removal]:
        """What holds the pairs now; of parts and of what is live, new states take the place."""
        parts = [part for version in self._versions() for part in version.all]
        return [*_with_pairs(Stored(self._output), self.held), *self._removals(parts)]

    def apply(self, how: NewStates, reporter: Reporter, lease: Lease) -> list[Removal]:
        """Forgets them; returns what was removed.

        Raises:
            LeaseLostError: the lease of the output was lost.
            PairmillError: a new state cannot be made, or these credentials may not delete.
        """
        output, held = self._output, self.held
        claim_latest(output, lease)  # so that nobody makes live what goes
        held.known = remember(output, held.ids, held.hashes, lease.run_id)
        self._redact(lease)
        self._publish(how, reporter, lease)
        self._export(how, reporter)
        found = list(_with_pairs(Stored(output, lease.run_id), held))
        removed = [each for each in found if each.kind != "export"]
        snapshots = [each for each in removed if each.kind == "snapshot"]
        drop_previous(output, [each.thing.name for each in snapshots], lease)
        remove_things(output, removed, lease.check)
        # Exports hold no lease. What they have written before their snapshots went is found now: a
        # list from before lacks files, and what names these would go. What they write later they
        # remove themselves (``remove_if_forgotten``).
        gone = [each.thing.name for each in snapshots if each.why == _WHY]
        exports = list(_exports(Stored(output, lease.run_id), held, gone))
        remove_things(output, exports, lease.check)
        removed += exports
        drop_from_sets(output, held)
        # Last: by them a run that was ended finds the pairs again. Only those that have revisions
        # without the pairs: what a run that lost its lease has committed meanwhile stays, is not
        # shown (``Forgotten.redacted``), and goes when ``forget`` is run again.
        replaced = [part for version in self._versions() for part in version.revised]
        parts = list(self._removals(replaced))
        remove_things(output, parts, lease.check)
        drop_from_indexes(output, (removal.thing.name for removal in parts))
        return [*removed, *parts]

    def _redact(self, lease: Lease) -> None:
        """Writes revisions without the rows, and takes the pairs out of the indexes."""
        for version in self._versions():
            counting = {part.key: part for part in (*version.parts, *version.doubled)}
            for key, gone in self.held.in_parts(self._entries(counting.values())).items():
                lease.check()
                redact_part(self._output, counting[key], gone)
        hashes = self.held.hashes | self.held.earlier
        indexes = grouped(Stored(self._output).matching("index", INDEX_FILES))
        for judge in sorted(name.removeprefix("judge=") for name in indexes):
            # One that is damaged is made again, so that clean knows its old files.
            drop_pairs(update_index(self._output, judge), self._output, hashes)

    def _versions(self) -> Iterator[ShardParts]:
        """The parts of every version of a shard by every judge, as they are now."""
        self._listed = {e.key: e for _, e in Stored(self._output).matching("parts", _PARTS)}
        folders: dict[str, list[str]] = defaultdict(list)
        for key in self._listed:
            folders[key.rpartition("/")[0]].append(key)
        for _, keys in sorted(folders.items()):
            yield ShardParts.of(keys)

    def _entries(self, parts: Iterable[Part]) -> Iterator[Entry]:
        return (self._listed[part.key] for part in parts)

    def _removals(self, parts: Iterable[Part]) -> Iterator[Removal]:
        """Those of some parts that hold the pairs."""
        for key in self.held.in_parts(self._entries(parts)):
            yield Removal("part", Thing(key, (self._listed[key],)), _WHY)

    def _publish(self, how: NewStates, reporter: Reporter, lease: Lease) -> None:
        """Publishes what is live again if it has some of the pairs."""
        stored = Stored(self._output)
        live = stored.manifests[stored.latest.snapshot_id] if stored.latest else None
        if live is None or not self.held.in_snapshot(live):
            return
        policy = _without_bound(how.policy, live)
        composition = how.composition(policy)
        if composition is not None and live.policy is not None and live.policy.bound is not None:
            rule = live.policy.rule
            composition = composition.at_least(rule["min_confidence"], rule.get("ahead", 0.0))
        if live.judges and composition is None:
            raise ConfigError(
                f"snapshot {live.snapshot_id} has labels of {len(live.judges)} judges together: "
                "give the configuration of the nightly runs that made it (--config), which names "
                "them"
            )
        done = publish(
            live.input,
            self._output,
            "" if composition else live.judge["judge_id"],
            # What is missing there stays so.
            how.publish.model_copy(update={"allow_missing": True}),
            reporter,
            lease,
            policy=policy,
            composition=composition,
            max_bad_shards=len(live.shards),
            # No threshold may keep the pairs live; the next nightly run is gated as any.
            gate=lambda output, manifest: {"passed": True, "why": "pairs were forgotten"},
            again=live,
        )
        reporter.note(f"snapshot {done.manifest.snapshot_id} is live, without the pairs")

    def _export(self, how: NewStates, reporter: Reporter) -> None:
        """Exports what is live for every trainer that had an export of the snapshot before it."""
        stored = Stored(self._output)
        before = stored.manifests.get(stored.latest.previous or "") if stored.latest else None
        if before is None or not self.held.in_snapshot(before):
            return
        for entry in stored.under(EXPORTS):
            if not entry.key.startswith(f"{EXPORTS}/{before.snapshot_id}/"):
                continue
            if not entry.key.endswith(f"/{NAME}"):
                continue
            try:
                record = ExportRecord.parse(self._output.read(entry.key), entry.key)
                config = ExportConfig.model_validate(record.config)
                which = (record.input, str(stored.latest and stored.latest.snapshot_id), config)
                how.export(self._output, *which, reporter, columns=how.columns)
            except (PairmillError, ValueError) as error:
                reporter.note(f"{entry.key}: not exported again: {error}")


def _without_bound(policy: PolicyConfig, live: Manifest) -> PolicyConfig:
    """The policy with the least confidence that the live snapshot has, and no promise: its gold may
    lose pairs here. The next publish tests a bound again.
    """
    if live.policy is None or live.policy.bound is None:
        return policy
    least = live.policy.rule["min_confidence"]
    return policy.model_copy(update={"max_error": None, "min_confidence": least})


_PARTS = rf"({JUDGE})/{PART}"
_SHOWN_CHARS = 100  # at least so many of an id


def _with_pairs(stored: Stored, held: HeldPairs) -> Iterator[Removal]:
    """Everything but parts that holds the pairs."""
    gone = {name for name, made in stored.manifests.items() if held.in_snapshot(made)}
    for thing in stored_snapshots(stored):
        if thing.name in gone:
            yield Removal("snapshot", thing, _WHY)
        elif thing.useless and not thing.needed:  # such as a forget that was ended has left
            yield Removal("snapshot", thing, thing.useless)
    stored.without(gone)
    for thing in stored_snapshot_files(stored):
        if thing.entries:
            yield Removal("files of snapshots", thing, "no snapshot that stays names them")
    for thing in stored_tallies(stored, held):
        yield Removal("tallies of a snapshot", thing, "were searched for such a pair")
    yield from _exports(stored, held, gone)
    for kind, things in (
        ("derivation", stored_derivations(stored)),
        ("canaries of a run", stored_canaries(stored)),
        ("probes of a judge", stored_probes(stored)),
    ):
        for thing in things:
            if held.in_parts(thing.entries):
                yield Removal(kind, thing, _WHY)
    for thing in stored_index_files(stored):
        if thing.entries:
            yield Removal("files of an index", thing, thing.useless)
    for thing in evaluated_pairs(stored, held.seen_ids):
        yield Removal("pairs of an evaluation", thing, _WHY)
    for thing in stored_runs(stored):
        shown = tuple(_showing(stored.output, thing.entries, held.seen_ids))
        if shown:
            yield Removal("report of a run", Thing(thing.name, shown), "shows such a pair")
    for entry in answers_about(stored.output, held):
        yield Removal("answer of a person", Thing(entry.key, (entry,)), _WHY)
    for thing in stored_unfinished(stored):
        yield Removal("unfinished file", thing, thing.useless)


def _exports(stored: Stored, held: HeldPairs, gone: Collection[str]) -> Iterator[Removal]:
    """Exports of snapshots with the pairs; of snapshots that are not there, by their own rows."""
    for thing in stored_exports(stored):
        snapshot = thing.name.partition("/")[0]
        if snapshot in stored.manifests and snapshot not in gone:
            continue
        if not thing.entries and thing.needed:
            raise InputError(thing.needed)
        if snapshot in gone:
            yield Removal("export", thing, f"its snapshot {_WHY}")
        elif not thing.first:
            yield Removal("export", thing, thing.useless)
        elif held.in_export(thing.then):
            yield Removal("export", thing, _WHY)


def _showing(output: Store, entries: Sequence[Entry], ids: set[str]) -> Iterator[Entry]:
    """The reports that name one of the pairs, as pages show ids."""
    names = [printable(each)[:_SHOWN_CHARS] for each in ids]
    for entry in entries:
        if entry.key.endswith(".html"):
            page = html.unescape(output.read(entry.key).decode(errors="replace"))
            if any(name in page for name in names):
                yield entry


def forgotten_fields(removed: Sequence[Removal]) -> dict[str, Any]:
    """The log fields: how many things of each kind, and their bytes."""
    counts = Counter(removal.kind for removal in removed)
    return {**dict(sorted(counts.items())), "bytes": sum(each.thing.bytes for each in removed)}
