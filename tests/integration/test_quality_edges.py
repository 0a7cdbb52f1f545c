"""Snapshots and inputs of which little or nothing can be said, and other formats than pairs'."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.runtime.errors import InputError
from pipeline.snapshots.snapshot_reader import open_snapshot
from pipeline.snapshots.table_reader import map_row_groups
from pipeline.store.host import Host, OneProcess
from pipeline.store.object_store import Store
from schemas.quality import RATES, Quality, Rate
from tests.labeling import Row
from tests.measuring import (
    Corpus,
    counts,
    measure_it,
    measured,
    put,
    random_corpus,
    random_pairs,
    ranking,
    text_pair,
)
from tests.recounting import recount
from tests.shards import pair


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return random_corpus(str(tmp_path_factory.mktemp("original")))


@pytest.fixture
def corpus(original: Corpus, tmp_path: Path) -> Corpus:
    return original.copied(str(tmp_path))


def pairs_of(corpus: Corpus, name: str) -> list[tuple[Row, Row]]:
    """The pairs of a shard with their labels."""
    return list(zip(corpus.pairs[name], corpus.shards[name], strict=True))


def test_ranked_groups_agree_by_the_pairs_that_a_human_orders(tmp_path: Path) -> None:
    made = Corpus.at(str(tmp_path), format="batch_ranking")
    golds = [[3.0, 2.0, 1.0], [1.0, 1.0, 2.0], None, [1.0, 2.0, 3.0]]
    pairs = [pair(number, images=None, gold_scores=gold) for number, gold in enumerate(golds)]
    cast = ranking(("abc", "cba"), 9, 2, 2), ranking(("abc", "cba"), 1, 2, 3)
    made.write("r.parquet", pairs, [cast[0], cast[1], cast[0], None])
    quality = measured(made)
    # The first orders three pairs and leaves one of them equal, the second two; the last has none.
    assert counts(quality.rates["gold_agreement"]) == (4, 4)
    assert counts(quality.rates["gold_agreement_all"]) == (4, 8)
    assert quality.gold is not None
    assert (quality.gold.pairs, quality.gold.confusion) == (3, None)
    assert counts(quality.rates["quarantine"]) == (1, 4)
    assert counts(quality.rates["position_consistency"]) == (3, 3)
    assert_no_pairs(quality)


def test_single_scores_have_no_agreement(tmp_path: Path) -> None:
    made = Corpus.at(str(tmp_path), format="single_score")
    pairs = [pair(number, images=None, gold_scores=[4.0]) for number in range(3)]
    made.write("s.parquet", pairs, [ranking(("a",), 7), ranking(("a",), 3), None])
    quality = measured(made)
    assert (quality.gold, quality.rates["position_consistency"].n) == (None, 0)
    assert counts(quality.rates["tie"]) == (0, 2)
    assert counts(quality.rates["unreadable"]) == (0, 2)
    assert_no_pairs(quality)


def assert_no_pairs(quality: Quality) -> None:
    """What is said of pairs is not said: there are none."""
    for name in ("preference_a", "longer_wins", "first_slot_wins"):
        assert quality.rates[name] == Rate(None, None, None, 0)
    assert sum(quality.histograms["p_a"].counts) == sum(quality.histograms["margin"].counts) == 0


@pytest.mark.parametrize("format_", ["pairwise_scores", "batch_ranking", "single_score"])
def test_a_snapshot_without_rows_has_no_figures(tmp_path: Path, format_: str) -> None:
    made = Corpus.at(str(tmp_path), format=format_)
    made.write("empty.parquet", [], [])
    quality = measured(made)
    assert (quality.rows, quality.votes, quality.gold, quality.notes) == (0, 0, None, ())
    assert set(quality.rates.values()) == {Rate(None, None, None, 0)}


def test_a_snapshot_of_quarantined_rows_has_no_figures_but_that(tmp_path: Path) -> None:
    made, rng = Corpus.at(str(tmp_path)), random.Random(8)
    made.write("a.parquet", random_pairs(rng, 20), [None] * 20)
    quality = measured(made)
    measured_on = {name: rate.n for name, rate in quality.rates.items() if rate.n}
    gold = sum(pair["gold"] is not None for pair in made.pairs["a.parquet"])
    assert measured_on == {"quarantine": 20, "gold_agreement_all": gold}
    assert counts(quality.rates["gold_agreement_all"]) == (0, gold)


def test_the_input_may_have_changed_or_be_unreadable_since(corpus: Corpus) -> None:
    manifest = corpus.publish().manifest
    whole = measure_it(corpus, manifest)
    put(corpus.source, "a.parquet", [text_pair(0, "a", "x", "y")])
    (entry,) = corpus.source.list("d.parquet")
    damaged = bytearray(corpus.source.read("d.parquet"))
    damaged[4 : entry.size // 2] = bytes(entry.size // 2 - 4)
    corpus.source.put("d.parquet", bytes(damaged))
    rest = measure_it(corpus, manifest)
    expected = recount(pairs_of(corpus, "b/c.parquet"))
    for name in ("gold_agreement", "gold_agreement_all", "longer_wins"):
        assert counts(rest.rates[name]) == expected[name]
    # Its interval follows from how alike pairs of one prompt are in what can be read.
    assert counts(rest.rates["tie"]) == counts(whole.rates["tie"])
    (note,) = rest.notes
    assert note == (
        "gold and texts of 2 shards are not known, such as a.parquet: it was removed or replaced "
        "since the snapshot was made"
    )


def test_a_shard_of_the_same_size_is_not_taken_for_the_same(corpus: Corpus) -> None:
    manifest = corpus.publish().manifest
    whole = corpus.source.read("b/c.parquet")
    other = [row | {"prompt": row["prompt"].upper()} for row in corpus.pairs["b/c.parquet"]]
    put(corpus.source, "b/c.parquet", other)
    assert len(corpus.source.read("b/c.parquet")) == len(whole)
    (note,) = measure_it(corpus, manifest).notes
    assert note == (
        "gold and texts of 1 shards are not known, such as b/c.parquet: it was removed or replaced "
        "since the snapshot was made"
    )


@pytest.mark.parametrize("rewritten", [True, False])
def test_a_shard_that_is_rewritten_or_removed_while_it_is_measured_is_not_known(
    corpus: Corpus, rewritten: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, read = corpus.publish().manifest, Store.read_range

    def changed(store: Store, key: str, start: int, stop: int) -> bytes:
        if key == "b/c.parquet" and store.size(key):
            put(store, key, corpus.pairs[key][::-1]) if rewritten else store.delete(key)
        return read(store, key, start, stop)

    monkeypatch.setattr(Host, "disposables", OneProcess.disposables)
    monkeypatch.setattr(Store, "read_range", changed)
    quality = measure_it(corpus, manifest)
    known = [n for name in ("a.parquet", "d.parquet") for n in pairs_of(corpus, name)]
    assert counts(quality.rates["gold_agreement"]) == recount(known)["gold_agreement"]
    (note,) = quality.notes
    assert "of 1 shards are not known, such as b/c.parquet: it was removed or replaced" in note


def test_without_its_input_a_snapshot_has_the_figures_of_its_own(corpus: Corpus) -> None:
    manifest = corpus.publish().manifest
    whole = measure_it(corpus, manifest)
    for name in list(corpus.shards):
        corpus.drop(name)
    rest = measure_it(corpus, manifest)
    assert (rest.gold, len(rest.notes)) == (None, 1)
    found = {
        name: [(q.rates[name].value, q.rates[name].n) for q in (rest, whole)] for name in RATES
    }
    assert {name for name, (ours, theirs) in found.items() if ours != theirs} == {
        "gold_agreement",
        "gold_agreement_all",
        "longer_wins",
        "gold_longer_wins",
    }


def test_a_snapshot_that_is_damaged_is_not_measured(corpus: Corpus) -> None:
    manifest = corpus.publish().manifest
    file = manifest.files_of("labels")[0]
    key = file.path
    whole = corpus.output.read(key)
    corpus.output.put(key, whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(InputError, match=f"{file.path}: corrupt"):
        measure_it(corpus, manifest)
    corpus.output.put(key, whole)
    other = dict(manifest.counts)
    other["tie"], other["abstained"] = other["abstained"] + 1, other["tie"] - 1
    with pytest.raises(InputError, match=r"its files hold .*, expected .* by its manifest"):
        measure_it(corpus, replace(manifest, counts=other))


def test_row_groups_are_read_a_few_at_a_time_and_in_order(corpus: Corpus) -> None:
    manifest = corpus.publish().manifest
    lock, active, most = threading.Lock(), 0, 0
    begun = threading.Semaphore(0)

    def count(table: pa.Table) -> tuple[int, ...]:
        nonlocal active, most
        with lock:
            active, most = active + 1, max(most, active + 1)
        begun.release()
        assert table.column_names == ["row"]
        with lock:
            active -= 1
        return tuple(table["row"].to_pylist())

    groups = map_row_groups(corpus.output, manifest, "votes", ["row"], count, threads=2)
    first = next(groups)
    # Only what the threads were given has been read: two groups, of more.
    for _ in range(2):
        begun.acquire()
    assert not begun.acquire(blocking=False)
    rows = [first, *groups]
    assert len(rows) > 2
    assert most <= 2
    dataset = open_snapshot(corpus.output.uri, manifest.snapshot_id, "votes")
    stored = dataset.to_table(["row"], use_threads=False)["row"].to_pylist()
    assert [row for group in rows for row in group] == stored
