"""``policy.max_error``, audits and top-ups on published labels; no engine, no Ray."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, t

from jobs import audit, export, publish
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.composition import Composition, Member
from pipeline.aggregation.first_settled import FirstSettled
from pipeline.aggregation.policy import PolicyConfig
from pipeline.export.export_record import ExportRecord
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import read_set
from pipeline.gold.people import GoldConfig
from pipeline.gold.roles import tests_bounds as kept_for_tests
from pipeline.judging.judge_cards import find_card
from pipeline.judging.votes import Vote
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.prompts import cluster_number
from pipeline.retention.forget import Forgetting, NewStates
from pipeline.retention.forget_file import read_named
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.snapshots.snapshot_reader import open_manifest
from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from pipeline.store.writer_lease import writer_lease
from schemas.benchmark_prompts import BenchmarkPrompts
from schemas.gold import Answer
from tests.calibrations import calibration, scored
from tests.measuring import Corpus, label
from tests.publishing import QUIET, Outcome, live_rows, run_on
from tests.s3_server import BUCKET, CLEANER, S3Server
from tests.shards import pair, response

_NOW = "2026-11-29T12:00:00+00:00"
Gold = dict[str, str]


def asked(number: int) -> dict[str, Any]:
    texts = {"response_a": response(f"Answer {number}"), "response_b": response(f"Reply {number}")}
    return pair(number, images=None, **texts)


def a_corpus(uri: str, shards: int = 1, rows: int = 800) -> tuple[Corpus, Gold]:
    """Labels whose calibrated confidence is right, and what people say of every pair.

    The gap of the scores is 1 to 8, and the preference is right with the probability that the
    calibration gives it.
    """
    made, rng = Corpus.at(uri), random.Random(7)
    gold: Gold = {}
    fitted = calibration(made.made.judge_id, weights=(0.45, 0.5, 0.0))
    put_calibration(made.output, fitted)
    for shard in range(shards):
        gold |= add_shard(made, f"{shard}.parquet", rows, rng)
    made.publish()
    return made, gold


def add_shard(made: Corpus, name: str, rows: int, rng: random.Random) -> Gold:
    start = 10_000 * len(made.pairs)
    gaps = [rng.randint(1, 8) for _ in range(rows)]
    votes = [[scored("ab", 9, 9 - gap), scored("ba", 9, 9 - gap)] for gap in gaps]
    made.write(name, [asked(start + n) for n in range(rows)], votes, identified=True)
    p = [1 / (1 + np.exp(-(0.45 * gap + 0.5))) for gap in gaps]
    labels = zip(made.shards[name], p, strict=True)
    return {row["pair_hash"]: "a" if rng.random() < each else "b" for row, each in labels}


def run(command: Any, corpus: Corpus, *arguments: object) -> Outcome:
    return run_on(command.main, corpus.output, *[str(each) for each in arguments])


def answered(corpus: Corpus, name: str, gold: Gold, most: int | None = None) -> None:
    """People answer the pairs of a set, the first ``most`` of them."""
    pairs = sorted(read_set(corpus.output, name).pairs)[:most]
    give_all(
        corpus.output,
        name,
        [("ann", each, Answer(gold[each], _NOW, "test")) for each in pairs],  # type: ignore[arg-type]
    )


def published(corpus: Corpus, *settings: object) -> Outcome:
    where = ("--input", corpus.source.uri, "--judge", corpus.made.judge_id)
    return run(publish, corpus, *where, *settings)


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Gold]:
    return a_corpus(str(tmp_path_factory.mktemp("published")))


@pytest.fixture
def undrawn(published_once: tuple[Corpus, Gold], tmp_path: Path) -> tuple[Corpus, Gold]:
    """A corpus of which nothing was drawn yet."""
    corpus, gold = published_once
    return corpus.copied(str(tmp_path)), gold


@pytest.fixture(scope="module")
def drawn_once(
    published_once: tuple[Corpus, Gold], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Corpus, Gold]:
    corpus, gold = published_once
    corpus = corpus.copied(str(tmp_path_factory.mktemp("drawn")))
    done = run(audit, corpus, "--name", "s", "--size", 600)
    assert (done.exit_code, done.error) == (0, "")
    answered(corpus, "s", gold)
    return corpus, gold


@pytest.fixture
def drawn(drawn_once: tuple[Corpus, Gold], tmp_path: Path) -> tuple[Corpus, Gold]:
    """A corpus and a random set of 600 of its pairs, which people have answered."""
    corpus, gold = drawn_once
    return corpus.copied(str(tmp_path)), gold


def test_a_bound_is_found_stated_and_recomputed(drawn: tuple[Corpus, Gold]) -> None:
    corpus, gold = drawn
    settings = ("--policy.max_error", 0.1, "--gold.set", "s")
    done = published(corpus, *settings)
    assert (done.exit_code, done.error) == (0, "")
    manifest = open_manifest(corpus.output)
    assert manifest.policy is not None
    bound = manifest.policy.bound
    assert bound is not None
    assert bound.min_confidence is not None
    assert (bound.max_error, bound.delta, bound.attempt, bound.outside) == (0.1, 0.05, 1, 0)

    # By hand, from the stored labels and answers alone.
    labels = [row for name in corpus.shards for row in corpus.shards[name]]
    pairs = read_set(corpus.output, "s").pairs
    checked = []
    for row in live_rows(corpus.output):
        if row["pair_hash"] in pairs and kept_for_tests("s", cluster_number(row["cluster"])):
            p = max(row["p_a"], 1 - row["p_a"])
            checked.append((p, gold[row["pair_hash"]] != ("a" if row["p_a"] > 0.5 else "b")))
    assert bound.checked == len(checked) == bound.answered == bound.drawn
    for test in bound.tests:
        n = sum(p >= test.threshold for p, _ in checked)
        k = sum(wrong for p, wrong in checked if p >= test.threshold)
        assert (test.n, test.wrong) == (n, k)
        assert test.passed == (binom.cdf(k, n, 0.1) <= 0.05)
    assert [test.passed for test in bound.tests] == [True] * (len(bound.tests) - 1) + [False]
    assert bound.min_confidence == bound.tests[-2].threshold

    rows = live_rows(corpus.output)
    kept = [row for row in rows if row["status"] == "labeled"]
    assert len(rows) == len(labels)
    assert min(row["confidence"] for row in kept) == bound.min_confidence
    assert len(kept) == bound.labels
    wrong = sum(gold[row["pair_hash"]] != row["preference"] for row in kept)
    assert wrong / len(kept) <= 0.1  # which the seed makes so; that it may fail is the promise
    quality = read_quality(corpus.output, manifest.snapshot_id)
    assert quality is not None
    assert quality.bound == bound
    assert quality.audit is not None
    # By hand (PPI++), from the same: of the preferences that are left.
    remaining = {row["pair_hash"]: row for row in kept}
    drawn_rows = [remaining[pair] for pair in pairs if pair in remaining]
    tested = [row for row in drawn_rows if kept_for_tests("s", cluster_number(row["cluster"]))]
    y = np.array([gold[row["pair_hash"]] == row["preference"] for row in tested], float)
    f, all_f = (np.array([row["confidence"] for row in some]) for some in (tested, kept))
    power = np.cov(y, f)[0, 1] / ((1 + len(y) / len(all_f)) * all_f.var())
    power = min(1.0, max(0.0, power))
    value = y.mean() + power * (all_f.mean() - f.mean())
    error = np.sqrt((y - power * f).var(ddof=1) / len(y) + power**2 * all_f.var() / len(all_f))
    assert quality.audit.n == len(y)
    assert quality.audit.value == pytest.approx(value)
    half = t.ppf(0.975, len(y) - 1) * error
    assert [quality.audit.low, quality.audit.high] == pytest.approx([value - half, value + half])
    assert "at most 10.0% of the" in done.event("published")["bound"]

    # Exports: what is promised, without the pairs of the set and of their prompts.
    promised = ("--format", "jsonl", "--export.selection.max_error")
    assert (
        "promises 0.1; publish with policy.max_error=0.05"
        in run(export, corpus, *promised, 0.05).error
    )
    assert run(export, corpus, *promised, 0.1).exit_code == 0
    (key,) = (e.key for e in corpus.output.list("exports") if e.key.endswith("export.json"))
    record = ExportRecord.parse(corpus.output.read(key), key)
    left = [row for row in rows if row["pair_hash"] not in pairs]
    kept_left = sum(row["status"] == "labeled" for row in left)
    assert (record.dropped["held_out"], record.total) == (len(rows) - len(left), kept_left)
    assert record.error_bound == bound.sentence

    # ε by the pairs of the set that calibrated nothing, of which the same is asked.
    p = {row["pair_hash"]: max(row["p_a"], 1 - row["p_a"]) for row in kept}
    held = [
        row["pair_hash"]
        for row in kept
        if row["pair_hash"] in pairs and kept_for_tests("s", cluster_number(row["cluster"]))
    ]
    preferred = {row["pair_hash"]: row["preference"] for row in kept}
    gap = float(np.mean([(gold[each] != preferred[each]) - (1 - p[each]) for each in held]))
    stated = float(np.mean([1 - p[each] for each in p if each not in pairs]))
    assert record.epsilon == pytest.approx(stated + gap, abs=2e-6)
    assert record.epsilon_basis == (
        f"{len(held)} pairs of gold sets, selected alike and held out, of {len(held)} prompts, "
        "and the calibration of the others"
    )
    card = corpus.output.read(f"{record.folder}/README.md").decode()
    assert bound.sentence in card
    assert "`held_out`" in card

    # Prompts of a benchmark that was evaluated stay out, too.
    seen = {row["cluster"] for row in left if row["status"] == "labeled"}
    shown = BenchmarkPrompts(tuple(sorted(seen)[:3]))
    corpus.output.put("evaluations/some-benchmark/judge/prompts.json", shown.to_json())
    done = run(export, corpus, *promised, 0.1)
    again = ExportRecord.parse(corpus.output.read(_key_of(done, corpus)), "again")
    assert (again.dropped["in_benchmark"], again.total) == (3, record.total - 3)

    # The same votes and answers take no further try; another promise would.
    assert published(corpus, *settings).event("published")["state"] == "live, as it was before"
    assert len(list(corpus.output.list("gold/s/bounds"))) == 1
    spent = published(corpus, "--policy.max_error", 0.15, "--gold.set", "s")
    assert spent.exit_code == 2
    assert "1 bounds were tried on it, which may be wrong with probability 0.05" in spent.error


def _key_of(done: Outcome, corpus: Corpus) -> str:
    folder = str(done.event("exported")["folder"]).removeprefix(f"{corpus.output.uri}/")
    return f"{folder}/export.json"


def test_what_came_later_is_outside_until_a_top_up(drawn: tuple[Corpus, Gold]) -> None:
    corpus, gold = drawn
    gold = gold | add_shard(corpus, "later.parquet", 300, random.Random(8))
    settings = ("--policy.max_error", 0.2, "--gold.set", "s", "--policy.bound_tries", 2)
    assert published(corpus, *settings).exit_code == 0
    policy = open_manifest(corpus.output).policy
    assert policy is not None
    assert policy.bound is not None
    later = [row for row in live_rows(corpus.output) if row["shard"] == "later.parquet"]
    labeled = sum(row["status"] == "labeled" for row in later)
    assert policy.bound.outside == labeled
    assert policy.bound.delta == pytest.approx(0.025)
    assert f"{labeled} others came later: outside bound" in policy.bound.sentence

    arguments = ("--format", "jsonl", "--export.selection.max_error", 0.2)
    assert run(export, corpus, *arguments).exit_code == 0
    (key,) = (e.key for e in corpus.output.list("exports") if e.key.endswith("export.json"))
    assert ExportRecord.parse(corpus.output.read(key), key).dropped["outside_bound"] == len(later)

    more = run(audit, corpus, "--name", "s", "--size", 150, "--top-up")
    assert more.event("drawn")["of"] == 300
    draws = read_set(corpus.output, "s").draws
    assert [(d.stratum, len(d.pairs)) for d in draws] == [("all", 600), ("later", 150)]
    assert {p.shard for p in draws[1].pairs} == {"later.parquet"}
    assert {p.probability for p in draws[1].pairs} == {0.5}
    answered(corpus, "s", gold)
    assert published(corpus, *settings).exit_code == 0
    policy = open_manifest(corpus.output).policy
    assert policy is not None
    assert policy.bound is not None
    assert (policy.bound.outside, policy.bound.attempt, policy.bound.weighted) == (0, 2, True)


def test_refusals_in_words_with_figures(undrawn: tuple[Corpus, Gold]) -> None:
    corpus, gold = undrawn
    settings = ("--policy.max_error", 0.1, "--gold.set", "s")
    none = published(corpus, "--policy.max_error", 0.1)
    assert none.exit_code == 2
    assert "gold.set names none; pairmill audit draws pairs" in none.error
    assert run(audit, corpus, "--name", "s", "--size", 60).exit_code == 0
    assert "people have decided none of its 60 pairs" in published(corpus, *settings).error
    answered(corpus, "s", gold, most=30)
    few = published(corpus, *settings)
    assert few.exit_code == 2
    checked = sum(
        kept_for_tests("s", cluster_number(str(each.cluster)))
        for each in sorted(read_set(corpus.output, "s").pairs.values(), key=lambda p: p.pair_hash)[
            :30
        ]
    )
    assert f"{checked} preferences are checked (" in few.error
    assert (
        f"and 29 without any error are the least that show 10.0%: {29 - checked} more" in few.error
    )
    again = run(audit, corpus, "--name", "s")
    assert again.exit_code == 2
    assert "gold set s exists; --top-up adds to it" in again.error
    assert (
        "does not exist, so there is no top-up"
        in run(audit, corpus, "--name", "t", "--top-up").error
    )
    more = run(audit, corpus, "--name", "t", "--size", 5_000)
    assert "800 judged pairs, expected 5000 or more" in more.error
    # Most pairs are wrong: no threshold can be promised, and the try is spent.
    assert run(audit, corpus, "--name", "u", "--size", 600).exit_code == 0
    answered(corpus, "u", dict.fromkeys(gold, "b"))
    settings = ("--policy.max_error", 0.1, "--gold.set", "u")
    for _ in range(2):  # the second time from the record
        hopeless = published(corpus, *settings)
        assert hopeless.exit_code == 2
        assert "cannot be promised by gold set u" in hopeless.error
        assert "are wrong, which shows 100.0% at most" in hopeless.error
    assert len(list(corpus.output.list("gold/u/bounds"))) == 1


def test_a_shifted_corpus_is_refused(drawn: tuple[Corpus, Gold]) -> None:
    corpus, _ = drawn
    for name in list(corpus.pairs):
        corpus.drop(name)
    rows = [asked(90_000 + n) for n in range(500)]
    votes = [[scored("ab", 9, 8), scored("ba", 9, 8)]] * 500
    corpus.write("hard.parquet", rows, votes, identified=True)
    shifted = published(corpus, "--policy.max_error", 0.1, "--gold.set", "s")
    assert shifted.exit_code == 2
    assert "are not those of the corpus (mean 0.721 of 500)" in shifted.error


def test_the_gate_measures_by_an_audit(undrawn: tuple[Corpus, Gold]) -> None:
    corpus, gold = undrawn
    done = run(audit, corpus, "--name", "s", "--size", 400, "--by", "uncertainty")
    drawn = read_set(corpus.output, "s").draws[0]
    assert done.event("drawn")["pairs"] == len(drawn.pairs)
    assert 340 < len(drawn.pairs) < 460
    chances = {pair.probability for pair in drawn.pairs}
    assert len(chances) == 8  # one for each gap of scores
    again = run(audit, corpus, "--name", "again", "--size", 400, "--by", "uncertainty")
    assert again.exit_code == 0
    assert read_set(corpus.output, "again").draws[0].pairs == drawn.pairs
    answered(corpus, "s", gold)
    low = published(corpus, "--gold.set", "s", "--gate.at_least", "{audited_accuracy: 0.97}")
    assert low.exit_code == 3
    assert "audited_accuracy: got 0." in low.error
    gate = ("--gate.at_least", "{audited_accuracy: 0.7}")
    assert published(corpus, "--gold.set", "s", *gate).exit_code == 0
    quality = read_quality(corpus.output, open_manifest(corpus.output).snapshot_id)
    assert quality is not None
    assert quality.audit is not None
    assert quality.audit.low is not None
    assert quality.audit.high is not None
    rows = live_rows(corpus.output)
    truth = sum(gold[row["pair_hash"]] == row["preference"] for row in rows) / len(rows)
    assert quality.audit.low <= truth <= quality.audit.high
    assert quality.audit.high - quality.audit.low < 0.12

    # By hand (Hájek), from the stored labels, probabilities and answers alone: pairs that tested.
    by_pair = {row["pair_hash"]: row for row in rows}
    stated = fmean(row["confidence"] for row in rows)
    sums = []
    for each in drawn.pairs:
        row = by_pair[each.pair_hash]
        if kept_for_tests("s", cluster_number(row["cluster"])):
            right = gold[each.pair_hash] == row["preference"]
            sums.append((1 / float(each.probability or 0), right - row["confidence"]))
    weight = sum(w for w, _ in sums)
    more = sum(w * r for w, r in sums) / weight
    error = math.sqrt(sum((1 - 1 / w) * (w * (r - more)) ** 2 for w, r in sums)) / weight
    half = t.ppf(0.975, len(sums) - 1) * error
    assert quality.audit.n == len(sums)
    assert quality.audit.value == pytest.approx(stated + more)
    assert [quality.audit.low, quality.audit.high] == pytest.approx(
        [stated + more - half, stated + more + half]
    )
    unmeasured = published(corpus, *gate, "--publish.file_mb", 512)
    assert "no answers about pairs that were drawn at random" in unmeasured.error


def a_cascade(uri: str, rows: int) -> tuple[Corpus, Composition, Gold]:
    """A cheap judge that is sure of half of the pairs, and right about 70 % of these; and a better
    one, whose two votes are less sure, right about 97 % of the others.
    """
    cheap, dear = (Corpus.at(uri, sampling={"temperature": each}) for each in (0.1, 0.2))
    rng, pairs = random.Random(5), [asked(number) for number in range(rows)]
    sides = [rng.choice("ab") for _ in pairs]

    def cast(number: int, right: float, votes: int) -> list[Vote]:
        side = sides[number] if rng.random() < right else "ba"["ab".index(sides[number])]
        gap = (9, 2) if side == "a" else (2, 9)
        return [scored(order, *gap) for order in ("ab", "ba") * votes]

    split = [scored("ab", 9, 2), scored("ba", 2, 9)]
    first = [cast(n, 0.7, 3) if n % 2 else split for n in range(rows)]
    cheap.write("s.parquet", pairs, first, identified=True)
    second = [cast(n, 0.97, 1) for n in range(rows)]
    label(dear, cheap.output, cheap.source, "s.parquet", second, None, pairs)
    cards = [find_card(cheap.output, each.made.judge_id) for each in (cheap, dear)]
    members = tuple(Member.of(card, PolicyConfig(), None) for card in cards)
    stored = cheap.shards["s.parquet"]
    gold = {row["pair_hash"]: side for row, side in zip(stored, sides, strict=True)}
    return cheap, Composition(members, FirstSettled((0.9,))), gold


def test_of_a_cascade_the_judge_that_holds_comes_first(tmp_path: Path) -> None:
    corpus, cascade, gold = a_cascade(str(tmp_path), 400)
    corpus.publish(composition=cascade)
    assert run(audit, corpus, "--name", "s", "--size", 300).exit_code == 0
    answered(corpus, "s", gold)
    policy, config = PolicyConfig(max_error=0.1), GoldConfig(set="s")
    manifest = corpus.publish(composition=cascade, policy=policy, gold=config).manifest
    assert manifest.policy is not None
    bound = manifest.policy.bound
    assert bound is not None
    # 2 agreeing votes have a confidence of .875, 6 of .99: by that alone the worse come first.
    assert (bound.path, bound.ahead, bound.min_confidence) == ("B", 1.0, 1.875)
    assert [test.passed for test in bound.tests] == [True, False]
    assert "of 0.875 or more of the last judge disagree" in bound.sentence
    assert manifest.policy.rule["ahead"] == 1.0
    rows = live_rows(corpus.output)
    by_last = {row["decided_by"] == cascade.members[1].judge_id for row in rows[::2]}
    assert by_last == {True}
    assert [row["status"] == "labeled" for row in rows] == [n % 2 == 0 for n in range(len(rows))]
    wrong = [gold[row["pair_hash"]] != row["preference"] for row in rows[::2]]
    assert sum(wrong) / len(wrong) < 0.1
    again = corpus.publish(composition=cascade, policy=policy, gold=config)
    assert not again.changed
    assert len(list(corpus.output.list("gold/s/bounds"))) == 1

    # The bound is not tested again where pairs are taken down, and no other labels come back.
    named = tmp_path / "named"
    named.write_text(rows[0]["pair_hash"])
    states = NewStates(policy, PublishConfig(), InputConfig(), composition=lambda _: cascade)
    with writer_lease(corpus.output, "forget", 5, QUIET) as lease:
        Forgetting(corpus.output, read_named(str(named))).apply(states, QUIET, lease)
    left = {row["pair_hash"]: row["status"] for row in live_rows(corpus.output)}
    expected = {row["pair_hash"]: row["status"] for row in rows[1:]}
    assert {pair: left[pair] for pair in expected} == expected


@pytest.mark.s3
def test_on_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit, its answers and a bound in a bucket."""
    for name, value in s3.environment(CLEANER).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()
    corpus, gold = a_corpus(f"s3://{BUCKET}/cleaned/bound-{id(monkeypatch)}", shards=1, rows=150)
    assert run(audit, corpus, "--name", "s", "--size", 100).exit_code == 0
    answered(corpus, "s", gold)
    done = published(corpus, "--policy.max_error", 0.2, "--gold.set", "s")
    assert (done.exit_code, done.error) == (0, "")
    policy = open_manifest(Store(corpus.output.uri)).policy
    assert policy is not None
    assert policy.bound is not None
    stored = json.loads(corpus.output.read("gold/s/bounds/000001.json"))
    assert stored["min_confidence"] == policy.bound.min_confidence
    Objects.clear_instance_cache()
