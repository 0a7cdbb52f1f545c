"""quality.json of real snapshots equals a recount of the raw rows, in plain Python."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.aggregation.labeler import Labeler
from pipeline.evaluation.evaluation_measures import statistics
from pipeline.pairs.input_config import InputConfig
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.quality.measure_snapshot import quality_key, read_quality
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from pipeline.stats.intervals import mean_design_effect, stability_index
from pipeline.store.writer_lease import writer_lease
from schemas.manifest import OUTCOMES
from tests.calibrations import calibration
from tests.measuring import (
    Corpus,
    counts,
    every_pair,
    label,
    measure_it,
    measured,
    random_corpus,
    random_pairs,
    random_votes,
    ranking,
    text_pair,
)
from tests.publishing import QUIET, SMALL, run_publish, stored_files
from tests.recounting import recount, said


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return random_corpus(str(tmp_path_factory.mktemp("original")))


@pytest.fixture
def corpus(original: Corpus, tmp_path: Path) -> Corpus:
    return original.copied(str(tmp_path))


def test_every_figure_equals_a_recount_of_the_raw_rows(corpus: Corpus) -> None:
    rng = random.Random(6)
    canaries = random_pairs(rng, 40)
    canary = corpus.canary("run-7", canaries, random_votes(rng, 40))
    quality = measured(corpus, canary=canary)
    pairs = every_pair(corpus)
    expected = recount(pairs)
    assert all(whole for _, whole in expected.values())
    found = {name: counts(rate) for name, rate in quality.rates.items()}
    assert {name: found[name] for name in expected} == expected
    rows = [row for _, row in pairs]
    votes = [vote for row in rows for vote in row["votes"]]
    assert quality.rows == len(rows)
    assert quality.counts == dict.fromkeys(OUTCOMES, 0) | Counter(row["status"] for row in rows)
    assert quality.quarantined_by_reason == Counter(r["reason"] for r in rows if r["reason"])
    assert quality.votes_by_outcome == Counter(vote["outcome"] for vote in votes)
    assert quality.tokens == {
        name: sum(vote[f"{name}_tokens"] for vote in votes)
        for name in ("prompt", "output", "cached")
    }
    assert (quality.calibrated, quality.notes) == (False, ())
    sums = {name: sum(histogram.counts) for name, histogram in quality.histograms.items()}
    judged = [row for row in rows if row["status"] != "quarantined"]
    assert sums["p_a"] == sums["margin"] == sums["confidence"] == len(judged)
    assert sums["votes_per_pair"] == len(rows)
    assert sums["output_tokens"] == len(votes)
    assert quality.gold is not None
    assert quality.gold.confusion is not None
    table = Counter((pair["gold"], said(row)) for pair, row in pairs)
    labels = ("a", "b", "tie", "abstained", "quarantined")
    assert quality.gold.confusion == tuple(
        tuple(table[gold, label] for label in labels) for gold in ("a", "b", "tie")
    )
    # In the terms of a judge's evaluation.
    gold = [JudgedPair(pair, row) for pair, row in pairs if pair["gold"]]
    figures = statistics(gold, "pair")
    for name, term in (("agreement", "accuracy_decided"), ("agreement_all", "accuracy")):
        (value,) = figures[term](np.ones((1, len(gold))))
        assert quality.rates[f"gold_{name}"].value == pytest.approx(value)
        assert quality.rates[f"gold_{name}"].n == figures[term].support
    assert (quality.gold.source, quality.gold.pairs) == (
        corpus.source.uri,
        sum(pair["gold"] is not None for pair, _ in pairs),
    )


def test_canaries_are_those_of_the_run_alone(corpus: Corpus) -> None:
    right, wrong = ranking(("ab", "ba"), 9, 2), ranking(("ab", "ba"), 2, 9)
    pairs = [text_pair(number, gold, "x", "y") for number, gold in enumerate("aaaab")]
    earlier = corpus.canary("run-1", pairs, [right] * 5)
    now = corpus.canary("run-2", pairs, [right, right, wrong, None, wrong])
    last = replace(earlier, run_id=None)
    for canary, decided, of_all in (
        (earlier, (4, 5), (4, 5)),
        (now, (3, 4), (3, 5)),
        (last, (3, 4), (3, 5)),
    ):
        quality = measured(corpus, canary=canary)
        assert counts(quality.rates["canary_agreement"]) == decided
        assert counts(quality.rates["canary_agreement_all"]) == of_all
        assert quality.canary is not None
        assert (quality.canary.pairs, quality.canary.source) == (5, canary.input_uri)


def test_canaries_that_were_not_judged_are_a_note(corpus: Corpus) -> None:
    canary = corpus.canary("run-1", random_pairs(random.Random(1), 4), [])
    quality = measured(corpus, canary=canary)
    assert (quality.canary, quality.rates["canary_agreement"].n) == (None, 0)
    assert quality.notes[0].startswith("no canary of run run-1 can be used: ")
    assert "4 rows, " in quality.notes[0]
    quality = measured(corpus, canary=replace(canary, run_id=None))
    assert quality.notes == (
        f"{corpus.output.uri}/canaries: no run has judged canaries with judge "
        f"{quality.judge_id[:16]}; pairmill nightly does, from canary.input",
    )


def test_a_sample_of_row_groups_gives_the_lengths(tmp_path: Path) -> None:
    made, rng = Corpus.at(str(tmp_path)), random.Random(7)
    for number in range(4):
        name = f"{number}.parquet"
        pairs = [text_pair(row, "a", "x" * 9, "y") for row in range(40)]
        made.write(name, pairs, random_votes(rng, 40), group_rows=10)
    manifest = made.publish().manifest
    sampled = measure_it(made, manifest, QualityConfig(length_groups=3))
    assert sampled.rates["gold_longer_wins"].n == 30  # of three shards a group of ten each
    assert sampled == measure_it(made, manifest, QualityConfig(length_groups=3, threads=1))
    nothing = measure_it(made, manifest, QualityConfig(length_groups=0, gold=False))
    assert nothing.rates["longer_wins"].n == nothing.rates["gold_agreement"].n == 0
    assert nothing.gold is None


def test_foreign_columns_are_read_as_they_are_mapped(tmp_path: Path) -> None:
    made = Corpus.at(str(tmp_path))
    rows = [
        {"id": "1", "answers": ["long text", "x"], "better": "Output1", "bytes": b"1"},
        {"id": "2", "answers": ["x", "long text"], "better": "Output1", "bytes": b"2"},
        {"id": "3", "answers": ["x", "long text"], "better": "?", "bytes": b"3"},
    ]
    buffer = pa.BufferOutputStream()
    pa.parquet.write_table(pa.Table.from_pylist(rows), buffer)
    made.source.put("f.parquet", bytes(buffer.getvalue()))
    votes = [ranking(("ab", "ba"), 9, 2)] * 3
    made.shards["f.parquet"] = label(made, made.output, made.source, "f.parquet", votes)
    columns = {
        "pair_id": "id",
        "prompt": {"const": "?"},
        "response_a": "answers[0]",
        "response_b": "answers[1]",
        "gold": {"column": "better", "values": {"Output1": "a", "Output2": "b"}},
    }
    quality = measured(made, columns=InputConfig.model_validate({"columns": columns}))
    assert counts(quality.rates["gold_agreement"]) == (2, 2)
    assert counts(quality.rates["longer_wins"]) == (1, 3)
    assert counts(quality.rates["gold_longer_wins"]) == (1, 2)
    # As pairs v1, they have neither gold nor texts.
    plain = measured(made)
    assert (plain.gold, plain.rates["longer_wins"].n, plain.notes) == (None, 0, ())


def test_drift_is_measured_by_the_figures_of_the_other_alone(corpus: Corpus) -> None:
    first = measured(corpus)
    rng = random.Random(9)
    corpus.write("a.parquet", random_pairs(rng, 200), random_votes(rng, 200, favour=0.95))
    for key in stored_files(corpus.output):
        corpus.output.delete(key)
    second = measured(corpus, against=first.snapshot_id)
    drift = second.drift
    assert (drift.against, drift.judge_changed, drift.detail) == (first.snapshot_id, False, "")
    a, b = (counts(each.rates["preference_a"]) for each in (second, first))
    assert drift.preference_a_change.value == pytest.approx(a[0] / a[1] - b[0] / b[1])
    assert drift.preference_a_change.n == min(a[1], b[1])
    now, then = (each.histograms["p_a"].counts for each in (second, first))
    alike = np.zeros((200, 10), np.int64)  # of each prompt, which is named by its number
    for pair, labelled in every_pair(corpus):
        if labelled["p_a_raw"] is not None:
            number = int(pair["prompt"].rstrip("?").rpartition(" ")[2])
            alike[number, min(9, int(labelled["p_a_raw"] * 10))] += 1
    assert mean_design_effect(alike) != 1
    assert drift.p_a_psi == stability_index(then, now, mean_design_effect(alike))
    assert drift.p_a_psi.low is not None
    assert drift.p_a_psi.low > 0


@pytest.mark.parametrize(
    ("stored", "said"),
    [(None, "was never measured; pairmill publish --measure"), (b"{}", "version: got None")],
)
def test_figures_that_are_not_there_are_reported_as_missing(
    corpus: Corpus, stored: bytes | None, said: str
) -> None:
    if stored is not None:
        corpus.output.put(quality_key("before"), stored)
    drift = measured(corpus, against="before").drift
    assert (drift.against, drift.p_a_psi.n, drift.preference_a_change.n) == ("before", 0, 0)
    assert said in drift.detail


def test_another_judge_is_named_and_compared(corpus: Corpus) -> None:
    first = measured(corpus)
    other = Corpus.at(corpus.source.uri.removesuffix("/in"), sampling={"temperature": 0.5})
    for name, pairs in corpus.pairs.items():
        other.write(name, pairs, random_votes(random.Random(11), len(pairs)))
    with writer_lease(other.output, "run", 60, QUIET) as lease:
        arguments = (other.source.uri, other.output, other.made.judge_id, SMALL, QUIET, lease)
        made = publish(*arguments).manifest
    second = measure_it(other, made, against=first.snapshot_id)
    assert second.drift.judge_changed
    assert second.drift.detail == f"the judge is another one ({first.judge_id[:16]} before)"
    assert second.drift.p_a_psi.value is not None


def test_probabilities_are_calibrated_or_stated_not_to_be(tmp_path: Path) -> None:
    made, rng = Corpus.at(str(tmp_path)), random.Random(12)
    fitted = calibration(made.made.judge_id, weights=(0.2, 1.5, 0.4))
    labeler = Labeler.of(made.made.judge, None, fitted)
    pairs, votes = random_pairs(rng, 60), random_votes(rng, 60)
    made.write("a.parquet", pairs, votes)
    raw = measured(made)
    made.write("b.parquet", pairs, votes, labeler=labeler)
    still = measured(made, against=raw.snapshot_id)  # the labels of the day count for nothing
    assert (raw.calibrated, still.calibrated, still.drift.detail) == (False, False, "")
    put_calibration(made.output, fitted)
    whole = measured(made, against=raw.snapshot_id)
    assert (whole.calibrated, whole.notes) == (True, ())
    assert whole.drift.detail == "p_a is calibrated, and was the share of votes before"
    p = [row["p_a"] for row in made.shards["b.parquet"] if row["p_a"] is not None]
    expected = [sum(low <= x < low + 0.1 for x in p) for low in np.arange(10) / 10]
    expected = [2 * count for count in expected]  # a.parquet has the same votes
    assert whole.histograms["p_a"].counts == tuple(expected)


def test_a_snapshot_is_measured_again_by_the_job(corpus: Corpus) -> None:
    first = corpus.publish().manifest.snapshot_id
    corpus.write("e.parquet", random_pairs(random.Random(1), 4), [None] * 4)
    second = corpus.publish().manifest.snapshot_id
    for snapshot_id, before in ((first, None), (second, first)):
        outcome = run_publish(corpus.output, "--measure", snapshot_id[:10])
        assert outcome.exit_code == 0
        event = outcome.event("measured")
        assert (event["snapshot"], event["against"]) == (snapshot_id, before)
        stored = read_quality(corpus.output, snapshot_id)
        assert stored is not None
        assert event["tie"] == round(stored.rates["tie"].value or 0, 4)
    assert run_publish(corpus.output, "--measure", "nope").exit_code == 2


@pytest.mark.parametrize("damage", [None, b"{}"])
def test_measuring_again_keeps_the_canaries_and_replaces_the_rest(
    corpus: Corpus, damage: bytes | None
) -> None:
    canary = corpus.canary("run-1", random_pairs(random.Random(1), 20), [None] * 20)
    whole = measured(corpus, canary=canary)
    assert whole.canary is not None
    if damage is not None:
        corpus.output.put(quality_key(whole.snapshot_id), damage)
    assert run_publish(corpus.output, "--measure", whole.snapshot_id).exit_code == 0
    again = read_quality(corpus.output, whole.snapshot_id)
    if damage is None:
        assert again == whole
    else:
        assert again is not None
        assert (again.canary, again.rates["tie"]) == (None, whole.rates["tie"])
