"""Probes: what a judge does with gold pairs that are altered to test it; run once, then read.

The same judge gives the same votes to the same pairs, so probes are judged once for a judge and a
version of gold, under ``probes/<identity>`` of the output: pairs, parts and the record. Another
policy labels the stored votes again, without an engine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.judged_pairs import JudgedPair, read_judged, relabeled
from pipeline.aggregation.labeler import Labeler
from pipeline.evaluation import pair_measures
from pipeline.evaluation.attacks import ATTACKS, PROBE_VERSION
from pipeline.evaluation.controls import PICTURE_CONTROLS
from pipeline.evaluation.probed_pairs import (
    AS_IS,
    NUMBER,
    PLACEBO,
    GoldSource,
    draw_gold,
    write_altered,
)
from pipeline.evaluation.probes_config import ProbesConfig
from pipeline.judging.judge_cards import write_card
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.label_run import label
from pipeline.labeling.run_budget import NO_LIMITS, RunBudget
from pipeline.labeling.run_request import RunRequest
from pipeline.pairs.shards import list_shards, open_input
from pipeline.parts.forgotten import Forgotten
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError, QuarantineError
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.stats.intervals import paired_difference
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store
from pipeline.store.stored_records import read_record
from schemas.probes import ENOUGH, ProbeRecord
from schemas.quality import Probed

PROBES = "probes"  # folder under the output root
_RECORD = "probes.json"
_OTHER = {"a": "b", "b": "a"}
Judged = Mapping[str, Mapping[int, JudgedPair]]  # by variant and number


@dataclass(frozen=True)
class ProbeRun:
    """The probes of one judge: what they are made of, and where they are kept.

    Attributes:
        config: of the judge.
        card: the judge's card in the output.
        source: gold pairs.
        output: where ``probes/`` is.
    """

    config: LabelConfig
    how: ProbesConfig
    card: Mapping[str, Any]
    source: GoldSource
    output: Store
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        """Identifies the votes.

        Raises:
            ConfigError: the judge does not compare pairs.
            InputError: there are no gold pairs.
            StorageError: the store fails.
        """
        format_ = self.config.judge.declared_format
        if format_.about != "pair":
            raise ConfigError(
                f"probes: judge.format {format_.name} is about a {format_.about}; attacks are on "
                "the worse answer of a pair"
            )
        about = (self.card["judge_id"], _version(self.source, self.output), PROBE_VERSION)
        object.__setattr__(self, "identity", digest(*about, str(self.how.pairs))[:16])

    @property
    def root(self) -> Store:
        """The output root of the probes: their parts are laid out as any."""
        return Store(self.output.path(f"{PROBES}/{self.identity}"))

    @property
    def labeler(self) -> Labeler:
        """Makes labels of the votes, as of any of the judge's."""
        fitted = read_calibration(self.output, self.card["judge_id"])
        return Labeler.of(self.config.judge, self.config.policy, fitted)

    def stored(self) -> ProbeRecord | None:
        """The record, if these probes were judged and labelled by this policy before.

        Raises:
            InputError: it is damaged.
            StorageError: the store fails.
        """
        found = read_record(self.root, _RECORD, ProbeRecord)
        current = found is not None and found.policy_id == self.labeler.policy_id
        return self._holding_out(found) if found and current else None

    def judged(
        self, reporter: Reporter, stop: Stop | None = None, budget: RunBudget = NO_LIMITS
    ) -> ProbeRecord:
        """The record; judges what no run has judged before.

        Raises:
            InputError: no gold pair can be altered.
            PairmillError: as ``label`` raises it; too many quarantined pairs are only noted.
        """
        if (before := self.stored()) is not None:
            return before
        drawn = draw_gold(
            self.source, self.config.judge, self.how.pairs, Forgotten.read(self.output)
        )
        if not drawn.rows:
            raise InputError(
                f"probes: no pair of {self.source.uri} has a better answer by people "
                f"({dict(drawn.left_out)}); expected gold of a or b"
            )
        root = self.root
        pairs = Store(root.path("pairs"))
        left_out = write_altered(drawn.rows, self.config.judge, pairs)
        plain: dict[str, Any] = {"layout": None, "map": {}, "columns": {}, "media_roots": ()}
        read = self.config.input.model_copy(update=plain)
        config = self.config.model_copy(update={"input": read})
        write_card(root, dict(self.card))
        try:
            request = RunRequest(stop=stop or Stop(), budget=budget, seeds_by_id=True)
            label(config, pairs.uri, root.uri, reporter, request)
        except QuarantineError as error:
            reporter.note(f"probes: {error}")
        found = read_judged(pairs.uri, read, root, self.card["judge_id"])
        by_variant: dict[str, dict[int, JudgedPair]] = defaultdict(dict)
        for row in relabeled(found, self.labeler):
            variant = row.label["shard"].rpartition("-")[0]
            by_variant[variant][int(pair_measures.metadata(row.pair)[NUMBER] or 0)] = row
        record = ProbeRecord(
            identity=self.identity,
            judge_id=self.card["judge_id"],
            policy_id=self.labeler.policy_id,
            source=self.source.uri,
            pairs=len(drawn.rows),
            probes=results(by_variant, left_out),
            left_out=dict(drawn.left_out),
        )
        record = self._holding_out(record)
        root.put(_RECORD, record.to_json())
        return record

    def _holding_out(self, record: ProbeRecord) -> ProbeRecord:
        """Which attacks count is no matter of the votes."""
        held = self.how.held_out
        probes = {n: replace(p, held_out=n in held) for n, p in record.probes.items()}
        return replace(record, probes=probes)


def results(judged: Judged, left_out: Mapping[str, Mapping[str, int]]) -> dict[str, Probed]:
    """What each probe showed.

    Args:
        judged: the labels of each variant, by the number of the pair.
        left_out: of each variant, the pairs that it was not made of.
    """
    as_is = judged[AS_IS]
    right = {number for number, row in as_is.items() if pair_measures.right(row)}
    found = {}
    for name in ATTACKS:
        attacked, placebo = judged.get(name, {}), judged.get(f"{name}{PLACEBO}", {})
        both = attacked.keys() & placebo.keys()
        counts = [(_turned(attacked[n]), _turned(placebo[n])) for n in both & right]
        missing = dict(left_out.get(name, {}))
        if wrong := len(both - right):
            missing["that the judge does not get right as they are"] = wrong
        found[name] = _probed("attack", counts, missing)
    for name in PICTURE_CONTROLS:
        changed = judged.get(name, {})
        both = changed.keys() & as_is.keys()
        counts = [(n in right, bool(pair_measures.right(changed[n]))) for n in both]
        found[name] = _probed("picture", counts, left_out.get(name, {}))
    return found


def _probed(kind: Any, counts: list[tuple[bool, bool]], missing: Mapping[str, int]) -> Probed:
    changed = sum(one and not other for one, other in counts)
    back = sum(other and not one for one, other in counts)
    effect = paired_difference(changed, back, len(counts))
    return Probed(kind, effect, changed, back, dict(missing))


def _turned(row: JudgedPair) -> bool:
    """Whether the judge prefers the answer that people find worse."""
    return pair_measures.label_of(row) == _OTHER[row.pair["gold"]]


def _version(source: GoldSource, output: Store) -> str:
    """Identifies gold pairs: what lies in their shards, how it is read, what people say."""
    store, prefix = open_input(source.uri)
    contents = ContentKeys(store, output)
    shards = [(entry.key, contents.of(entry)) for entry in list_shards(store, prefix)]
    read = source.config.model_dump(mode="json", include={"layout", "map", "columns"})
    said = sorted(source.people.gold.items())
    return digest(json.dumps([shards, read, said], sort_keys=True))


def warnings_of(record: ProbeRecord) -> list[str]:
    """What the probes show to be wrong with the judge, for people."""
    found = []
    for name, probe in record.probes.items():
        low, high = probe.effect.low, probe.effect.high
        if low is None or high is None:
            continue
        shown = f"{probe.effect.value:.3f} [{low:.3f}, {high:.3f}] of {probe.effect.n} pairs"
        if probe.kind == "attack" and low > 0:
            found.append(f"probe {name}: turns the judge to the worse answer: {shown}")
        if probe.kind == "picture" and low <= 0:
            found.append(
                f"probe {name}: the true pictures are not shown to gain the judge anything: {shown}"
            )
    if record.pairs < ENOUGH:
        found.append(
            f"probes: {record.pairs} pairs are few; {ENOUGH} or more show what one in ten does"
        )
    return found
