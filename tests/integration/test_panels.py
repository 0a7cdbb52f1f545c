"""``aggregation.panel``: one label of several judges' stored votes; no engine, no Ray."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs import audit, export, forget, publish
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import read_set
from pipeline.gold.roles import tests_bounds as kept_for_tests
from pipeline.judging.votes import Vote
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.prompts import cluster_number
from pipeline.review.reviewed_output import Reviewed
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.snapshots.snapshot_reader import open_manifest
from schemas.gold import Answer
from tests.calibrations import scored
from tests.measuring import Corpus, label
from tests.publishing import Outcome, live_rows, run_on
from tests.shards import pair, response

_NOW = "2026-11-29T12:00:00+00:00"
_SHARD = "s.parquet"
_MODELS = ("maker/one", "maker/two", "maker/three")
_RIGHT = (0.7, 0.7, 0.88)  # the second repeats what the first says


class Panel:
    """Three judges about one shard, of which the first two are alike, and what people say."""

    def __init__(self, uri: str, rows: int) -> None:
        rng = random.Random(11)
        self.corpora = [
            Corpus.at(uri, model={"name": name}, sampling={"temperature": number / 10})
            for number, name in enumerate(_MODELS, 1)
        ]
        sides = [rng.choice("ab") for _ in range(rows)]
        said = [
            [side if rng.random() < right else _other(side) for side in sides] for right in _RIGHT
        ]
        said[1] = [
            one if rng.random() < 0.95 else two for one, two in zip(said[0], said[1], strict=True)
        ]
        pairs = [_asked(number) for number in range(rows)]
        first = self.corpora[0]
        first.write(_SHARD, pairs, [_cast(each, 0) for each in said[0]], identified=True)
        for number, corpus in enumerate(self.corpora[1:], 1):
            votes = [_cast(each, number) for each in said[number]]
            corpus.shards[_SHARD] = label(
                corpus, first.output, first.source, _SHARD, votes, None, pairs
            )
        stored = first.shards[_SHARD]
        self.gold = {row["pair_hash"]: side for row, side in zip(stored, sides, strict=True)}
        self.said = {
            row["pair_hash"]: [each[number] for each in said] for number, row in enumerate(stored)
        }
        self.clusters = {row["pair_hash"]: cluster_number(row["cluster"]) for row in stored}

    def copied(self, uri: str) -> Panel:
        """A copy below another path: to change what was made once for several tests."""
        made = copy.copy(self)
        made.corpora = [corpus.copied(uri) for corpus in self.corpora]
        return made

    @property
    def judges(self) -> list[str]:
        return [corpus.made.judge_id for corpus in self.corpora]

    def run(self, command: Any, *arguments: object) -> Outcome:
        return run_on(command.main, self.corpora[0].output, *[str(each) for each in arguments])

    def publish(self, *settings: str, panel: list[str] | None = None) -> Outcome:
        ids = self.judges if panel is None else panel
        chosen = ["--set", f"aggregation.panel={json.dumps(ids)}"]
        chosen += [part for setting in settings for part in ("--set", setting)]
        return self.run(publish, "--input", self.corpora[0].source.uri, *chosen)

    def ask(self, name: str, size: int, answer: Callable[[str], str | None]) -> None:
        """Draws pairs of what is live, and has people answer them."""
        assert self.run(audit, "--name", name, "--size", size).exit_code == 0
        pairs = sorted(read_set(self.corpora[0].output, name).pairs)
        given = [(each, said) for each in pairs if (said := answer(each)) is not None]
        give_all(
            self.corpora[0].output,
            name,
            [("ann", each, Answer(said, _NOW, "test")) for each, said in given],  # type: ignore[arg-type]
        )


def _other(side: str) -> str:
    return "b" if side == "a" else "a"


def _asked(number: int) -> dict[str, Any]:
    texts = {"response_a": response(f"Answer {number}"), "response_b": response(f"Reply {number}")}
    return pair(number, images=None, **texts)


def _cast(side: str, judge: int) -> list[Vote]:
    """Two votes, of which the second is the surer one."""
    gaps = (3 + judge, 5 + judge)
    scores = [(9, 9 - gap) if side == "a" else (9 - gap, 9) for gap in gaps]
    return [scored(order, *each) for order, each in zip(("ab", "ba"), scores, strict=True)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    """One whose first snapshot, without gold, has families to draw an audit from."""
    made = Panel(str(tmp_path_factory.mktemp("panel")), 600)
    assert made.publish().exit_code == 0
    return made


@pytest.fixture
def panel(original: Panel, tmp_path: Path) -> Panel:
    return original.copied(str(tmp_path))


@pytest.fixture(scope="module")
def small_original(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return Panel(str(tmp_path_factory.mktemp("small")), 100)


@pytest.fixture
def small(small_original: Panel, tmp_path: Path) -> Panel:
    """One of no more pairs than people are asked about, of which nothing is published."""
    return small_original.copied(str(tmp_path))


def test_a_stacked_panel_beats_its_best_judge_and_says_how_wrong_it_is(panel: Panel) -> None:
    output = panel.corpora[0].output
    panel.ask("s", 400, panel.gold.get)
    done = panel.publish("gold.set=s", "policy.max_error=0.2")
    assert done.exit_code == 0, done.error
    manifest = open_manifest(output)
    assert manifest.policy is not None
    rule, bound = manifest.policy.rule, manifest.policy.bound
    assert (rule["kind"], rule["by"]) == ("panel", "stacked")
    assert manifest.policy.calibration_id == rule["fit"]

    # By hand: only pairs that calibrate were fitted to; figures of each judge by counting.
    asked = set(read_set(output, "s").pairs)
    fitted_to = [each for each in asked if not kept_for_tests("s", panel.clusters[each])]
    assert rule["gold_pairs"] == len(fitted_to)
    for number, each in enumerate(rule["judges"]):
        right = sum(panel.said[pair][number] == panel.gold[pair] for pair in fitted_to)
        assert (each["right"], each["decided"]) == (right, len(fitted_to))
    assert rule["judges"][0]["family"] == rule["judges"][1]["family"] != rule["judges"][2]["family"]
    assert 1.5 < rule["effective_judges"] < 2.6

    weights = np.array([each["weight"] for each in rule["judges"]])
    rows = live_rows(output)
    for row in rows:
        score = weights @ [1 if side == "a" else -1 for side in panel.said[row["pair_hash"]]]
        p = 1 / (1 + np.exp(-score))
        assert row["p_a"] == pytest.approx(p)
        if row["status"] == "labeled":
            assert row["preference"] == ("a" if p > 0.5 else "b")
            assert row["confidence"] == pytest.approx(max(p, 1 - p))
            assert row["decided_by"] == "panel"
    assert bound is not None
    assert bound.min_confidence is not None
    labeled = [row for row in rows if row["status"] == "labeled"]
    assert min(row["confidence"] for row in labeled) >= bound.min_confidence
    wrong = sum(panel.gold[row["pair_hash"]] != row["preference"] for row in labeled)
    assert wrong <= 0.2 * len(labeled)

    # The same answers are not fitted or tested twice, and nothing is written again.
    again = panel.publish("gold.set=s", "policy.max_error=0.2")
    assert (again.exit_code, open_manifest(output).snapshot_id) == (0, manifest.snapshot_id)
    assert len(list(output.list("panels"))) == 2  # with gold, and without


def test_pairs_that_are_forgotten_leave_a_panels_snapshot(panel: Panel, tmp_path: Path) -> None:
    output = panel.corpora[0].output
    panel.ask("s", 400, panel.gold.get)
    assert panel.publish("gold.set=s", "policy.max_error=0.2").exit_code == 0
    before = {row["pair_hash"]: row["status"] for row in live_rows(output)}
    asked = read_set(output, "s").pairs
    gone = sorted(before.keys() - asked.keys())[:2]
    named = tmp_path / "named"
    named.write_text("\n".join(gone))
    settings = [f"aggregation.panel={json.dumps(panel.judges)}", "gold.set=s"]
    sets = [part for each in (*settings, "policy.max_error=0.2") for part in ("--set", each)]
    done = panel.run(forget, "--pairs", named, "--apply", *sets)
    assert (done.exit_code, done.error) == (0, "")
    after = {row["pair_hash"]: row["status"] for row in live_rows(output)}
    assert {pair: after.get(pair) for pair in before.keys() - set(gone)} == {
        pair: status for pair, status in before.items() if pair not in gone
    }
    assert not {pair for pair in gone if after.get(pair) == "labeled"}
    policy = open_manifest(output).policy
    assert policy is not None
    assert policy.rule["kind"] == "panel"
    assert policy.bound is None  # until the next publish tests it again
    assert panel.publish("gold.set=s", "policy.max_error=0.2").exit_code == 0


def test_the_rationale_is_of_the_surest_vote_that_agrees(small: Panel) -> None:
    assert small.publish().exit_code == 0
    output, checked = small.corpora[0].output, 0
    votes = {(row["row"], row["rationale"]): row for row in live_rows(output, "votes")}
    for row in live_rows(output):
        said = small.said[row["pair_hash"]]
        if row["status"] != "labeled":
            assert row["rationale"] is None
            continue
        told = votes[row["row"], row["rationale"]]
        assert told["choice"] == row["preference"]
        agreeing = [number for number, side in enumerate(said) if side == row["preference"]]
        assert told["judge_id"] in {small.judges[number] for number in agreeing}
        assert told["order"] == "ba"  # the surer of each judge's two
        checked += 1
    assert checked > 30
    rows = live_rows(output)
    assert {row["confidence"] for row in rows} == {row["p_a"] for row in rows} == {None}


def test_quality_card_and_review_say_who_decided(panel: Panel, tmp_path: Path) -> None:
    output = panel.corpora[0].output
    panel.ask("s", 300, panel.gold.get)
    assert panel.publish("gold.set=s").exit_code == 0
    manifest = open_manifest(output)
    quality = read_quality(output, manifest.snapshot_id)
    assert quality is not None
    assert quality.panel is not None
    assert [each.judge_id for each in quality.panel.judges] == panel.judges
    assert all(each.reliability is not None for each in quality.panel.judges)
    assert quality.panel.effective_judges is not None
    source = panel.corpora[0].source.uri
    done = panel.run(export, "--input", source, "--set", "export.format=jsonl")
    assert done.exit_code == 0, done.error
    card = next(each.key for each in output.list("exports") if each.key.endswith("README.md"))
    text = output.read(card).decode()
    assert "A panel of 3 judges decided these labels together." in text
    assert all(judge[:16] in text for judge in panel.judges)
    assert f"worth those of {quality.panel.effective_judges:.2f} independent judges" in text
    reviewed = Reviewed(output, None, InputConfig(), 2**20)
    found = reviewed.label(_SHARD, 3)
    assert found is not None
    opinions = reviewed.labels_by_judges(found)
    ids = [row["judge_id"] for row in opinions]
    assert ids == [manifest.judge["judge_id"], *sorted(panel.judges)]
    assert opinions[0]["votes"] == []
    assert all(len(row["votes"]) == 2 for row in opinions[1:])
    assert reviewed.judge_name(opinions[0]["judge_id"]).startswith("panel of 3 judges")


@pytest.mark.parametrize(
    ("settings", "answers", "message"),
    [
        (["aggregation.by=stacked"], None, "gold.set names none"),
        (["policy.min_confidence=0.6"], None, "no label reaches policy.min_confidence 0.6"),
        (["policy.max_error=0.1"], None, "policy.max_error cannot be tested"),
        (["gold.set=s"], lambda pair: None, "people have decided none of its 90 pairs"),
        (["gold.set=s"], lambda pair: "tie", r"\w{16} has 0, .* of 0 gold pairs .* expected 20"),
        (["gold.set=s"], lambda pair: "a", "prefer response_a in all"),
    ],
)
def test_a_panel_without_what_it_needs_is_refused(
    small: Panel, settings: list[str], answers: Callable[[str], str | None] | None, message: str
) -> None:
    if answers is not None:
        assert small.publish().exit_code == 0
        small.ask("s", 90, answers)
    done = small.publish(*settings)
    assert done.exit_code == 2
    assert re.search(message, done.error), done.error


def test_judges_that_are_unknown_or_named_twice_are_refused(small: Panel) -> None:
    first = small.judges[0]
    assert "judge 'nobody'" in small.publish(panel=[first, "nobody"]).error
    assert "each of them once" in small.publish(panel=[first, first[:9]]).error
    assert "expected two or more judges" in small.publish(panel=[first]).error
    assert not list(small.corpora[0].output.list("snapshots"))


def test_gold_of_other_pairs_is_refused_with_figures(small: Panel) -> None:
    assert small.publish().exit_code == 0
    small.ask("s", 60, small.gold.get)
    for corpus in small.corpora:
        for entry in list(corpus.output.list(f"parts/judge={corpus.made.judge_id[:16]}")):
            corpus.output.delete(entry.key)
    done = small.publish("gold.set=s")
    assert done.exit_code == 2
    assert "no judge of the panel has votes about any of the 60 pairs" in done.error
