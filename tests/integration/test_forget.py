"""``pairmill forget``: afterwards nothing under the output holds the pairs, and all else does."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import forget
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.gold.answers import give_answer
from pipeline.gold.gold_sets import create_set, read_set
from pipeline.judging.row_rubrics import asked_hash, rubric_text
from pipeline.judging.rubric_config import RubricConfig
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part, committed_rows
from pipeline.parts.forgotten import Forgotten, remember
from pipeline.parts.index_update import update_index
from pipeline.parts.label_index import open_index
from pipeline.parts.units import Unit
from pipeline.retention.forget import Forgetting
from pipeline.snapshots.manifests import LATEST_KEY, read_manifest
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.swap_latest import claim_latest
from pipeline.store.lease import take_lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.gold import Answer, Draw, DrawnPair, GoldSet
from schemas.labels import LABELS
from tests import measuring
from tests.cleaning import objects, run_clean
from tests.derivations import rows_of, run_derive
from tests.exporting import Corpus, fill, run_export
from tests.publishing import QUIET, SMALL, Outcome, latest_of, live_rows, run_on
from tests.shards import hash_of, write_shard

PASSES = {"gate": lambda output, manifest: {"passed": True}}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two snapshots, an export of each, derived labels, canaries, probes, an index, a report."""
    made = fill(Corpus.at(tmp_path_factory.mktemp("forget")))
    made.publish(**PASSES)
    rows = made.pairs["z.parquet"]
    assert run_export(made.output, "--format", "jsonl").exit_code == 0
    made.shard("y.parquet", rows[:5], [[*votes] if votes else None for votes in [None] * 5])
    made.publish(**PASSES)
    assert run_export(made.output, "--format", "jsonl").exit_code == 0
    assert run_derive(made.made, "--policy.threshold", "0.9") == 0
    update_index(made.output, made.made.judge_id)
    for part in [entry.key for entry in made.output.list("parts")]:
        made.output.put(f"canaries/20260101T000000-abcdef/{part}", made.output.read(part))
        made.output.put(f"probes/0123456789abcdef/{part}", made.output.read(part))
    for number, folder in enumerate(("pairs", "controls/blind-abc")):
        some = made.pairs["a.parquet"] if number else rows[:2]
        write_shard(Path(made.output.uri) / f"evaluations/mine/{folder}/first-0.parquet", some)
    drawn = [DrawnPair(each["pair_hash"], each["pair_id"]) for each in made.labels["a.parquet"][:3]]
    when = "2026-01-01T00:00:00Z"
    draw = Draw(when, "run", "imported", tuple(drawn))
    assert create_set(made.output, GoldSet("people", when, "run", draws=(draw,)))
    for each in drawn:
        answer = Answer("a", when, "import", note=f"of {each.pair_id}")
        assert give_answer(made.output, "people", "ada", each.pair_hash, answer, 0).mine
    page = "".join(f"<p>{row['pair_id']}</p>" for row in made.pairs["a.parquet"])
    made.output.put("runs/20260101T000000-abcdef/report.html", page.encode())
    made.output.put("runs/20260102T000000-abcdef/report.html", b"of other pairs")
    return made


@pytest.fixture
def corpus(original: Corpus, tmp_path: Path) -> Corpus:
    """A copy of its output; the input is the same."""
    shutil.copytree(original.output.uri, tmp_path / "out")
    copied = Corpus.at(tmp_path / "unused")
    copied.pairs, copied.labels, copied.source = original.pairs, original.labels, original.source
    copied.made = type(copied.made)(
        Store(str(tmp_path / "out")), original.made.judge, original.made.judge_id
    )
    return copied


def named(corpus: Corpus, folder: Path) -> tuple[str, list[Row]]:
    """A file that names three pairs in three ways, and their labels."""
    labels = [corpus.labels["a.parquet"][0], corpus.labels["sub/b.parquet"][1]]
    labels.append(corpus.labels["a.parquet"][6])
    path = folder / "pairs.jsonl"
    path.write_text(
        f'{{"pair_id": "{labels[0]["pair_id"]}"}}\n\n{{"pair_hash": "{labels[1]["pair_hash"]}"}}\n'
        '{"shard": "a.parquet", "row": 6}\n'
    )
    return str(path), labels


def run_forget(output: Store, *arguments: str) -> Outcome:
    return run_on(forget.main, output, *arguments)


def take_down(output: Store, folder: Path, pair_id: str) -> Outcome:
    """Forgets one pair by its id."""
    path = folder / "pairs.txt"
    path.write_text(f"{pair_id}\n")
    return run_forget(output, "--pairs", str(path), "--apply")


def found_by(pair: Row) -> list[Row]:
    """By what ``holding`` finds a pair: its id and its hash."""
    return [{"pair_id": pair["pair_id"], "pair_hash": hash_of(pair), "label_id": None}]


def holding(output: Store, labels: list[Row]) -> set[str]:
    """The keys of all objects that have an id or a hash of the pairs, in whatever column."""
    ids = {label["pair_id"] for label in labels}
    hashes = {label["pair_hash"] for label in labels}
    words = ids | hashes | {label["label_id"] for label in labels}
    halves = {int(each[:16], 16) for each in hashes}
    found = set()
    for key, data in objects(output).items():
        if key.endswith(".parquet"):
            columns = pq.read_table(pa.BufferReader(data)).to_pydict()
            values = set(itertools.chain(*(map(str, each) for each in columns.values())))
            hits = values & words or {v for v in columns.get("high", ()) if v in halves}
        else:
            hits = {word for word in words if f'"{word}"'.encode() in data}
            hits |= {word for word in ids if f">{word}<".encode() in data}
        if hits:
            found.add(key)
    return found


def places(rows: list[Row]) -> set[tuple[str, int]]:
    return {(row["shard"], row["row"]) for row in rows}


def assert_forgotten(corpus: Corpus, labels: list[Row]) -> None:
    """Nothing holds the pairs; every other row is live as it was."""
    output = corpus.output
    assert holding(output, labels) == set()
    expected = [label for _, label in corpus.joined()]
    gone, votes = places(labels), live_rows(output, "votes")
    live = [*live_rows(output), *live_rows(output, "quarantine")]
    assert places(live) == places(expected)
    by_place = {(row["shard"], row["row"]): row for row in live}
    for label in expected:
        row = by_place[label["shard"], label["row"]]
        if (label["shard"], label["row"]) in gone:
            assert (row["status"], row["reason"]) == ("quarantined", "forgotten")
            assert {row[name] for name in ("pair_id", "pair_hash", "label_id", "rationale")} == {
                None
            }
        else:
            assert (row["pair_id"], row["status"]) == (label["pair_id"], label["status"])
    assert len(votes) == sum(
        len(label["votes"]) for label in expected if not places([label]) & gone
    )
    known = Forgotten.read(output)
    assert all(known.knows(None, label["pair_hash"]) for label in labels)
    index = open_index(output, corpus.made.judge_id)
    assert [index.find(label["pair_hash"]) for label in labels] == [None] * len(labels)


def test_a_dry_run_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    path, labels = named(corpus, tmp_path)
    before = objects(corpus.output)
    outcome = run_forget(corpus.output, "--pairs", path)
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert objects(corpus.output) == before
    listed = {(e["kind"], e["name"]) for e in outcome.events if e["event"] == "would remove"}
    kinds = {"snapshot", "files of snapshots", "export", "derivation", "canaries of a run"}
    kinds |= {
        "probes of a judge",
        "report of a run",
        "pairs of an evaluation",
        "part",
        "answer of a person",
    }
    assert {kind for kind, _ in listed} == kinds
    assert outcome.event("found")["rows"] == len(labels)


def test_nothing_holds_them_and_everything_else_stays(corpus: Corpus, tmp_path: Path) -> None:
    path, labels = named(corpus, tmp_path)
    before = latest_of(corpus.output)["snapshot_id"]
    assert holding(corpus.output, labels)
    corpus.output.put("exports/mine/data.json", b"theirs")
    outcome = run_forget(corpus.output, "--pairs", path, "--apply")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert_forgotten(corpus, labels)
    latest = latest_of(corpus.output)
    assert before != latest["snapshot_id"]
    assert latest["previous"] is None  # it is removed
    left = [e.key for e in corpus.output.list("exports") if not e.key.endswith(".begun.json")]
    assert {key.split("/")[1] for key in left} == {latest["snapshot_id"], "mine"}
    assert corpus.output.size("runs/20260102T000000-abcdef/report.html") is not None
    left = [entry.key for entry in corpus.output.list("evaluations")]
    assert left == ["evaluations/mine/pairs/first-0.parquet"]
    stay = [label["pair_hash"] for label in corpus.labels["a.parquet"][1:3]]
    assert [*read_set(corpus.output, "people").pairs] == stay
    answers = {entry.key.split("/")[4] for entry in corpus.output.list("gold/people/answers")}
    assert answers == set(stay)
    # Somebody's page was open: what is answered afterwards goes when forget is run again.
    late = Answer("b", "2026-02-01T00:00:00Z", "review")
    assert give_answer(corpus.output, "people", "ada", labels[0]["pair_hash"], late, 0).mine
    # What follows works on: the same again, a publication, a clean.
    assert run_forget(corpus.output, "--pairs", path, "--apply").exit_code == 0
    assert latest_of(corpus.output) == latest
    answers = {entry.key.split("/")[4] for entry in corpus.output.list("gold/people/answers")}
    assert answers == set(stay)
    assert not corpus.publish(**PASSES).blocked
    assert run_clean(corpus.output, "--clean.parts_days=0", "--apply").exit_code == 0
    assert_forgotten(corpus, labels)


def test_a_part_that_comes_afterwards_is_not_shown(corpus: Corpus, tmp_path: Path) -> None:
    """As of a run that lost its lease before the pair was forgotten."""
    label = corpus.labels["a.parquet"][0]
    remember(corpus.output, [], [label["pair_hash"]], "run")
    with writer_lease(corpus.output, "run", 60, QUIET) as lease:
        how: dict[str, Any] = {"policy": PolicyConfig(min_confidence=0.6), **PASSES}
        publish(corpus.source.uri, corpus.output, "", SMALL, QUIET, lease, **how)
    rows = [*live_rows(corpus.output), *live_rows(corpus.output, "quarantine")]
    assert len(rows) == len(corpus.joined())
    (row,) = [row for row in rows if (row["shard"], row["row"]) == ("a.parquet", 0)]
    assert (row["reason"], row["pair_id"], row["pair_hash"]) == ("forgotten", None, None)
    assert not [v for v in live_rows(corpus.output, "votes") if v["pair_id"] == label["pair_id"]]


def test_a_part_that_comes_meanwhile_keeps_the_votes_of_other_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that has lost its lease commits a part with the pair once the others are revised."""
    made = measuring.Corpus.at(str(tmp_path))
    pairs = [measuring.text_pair(number, None, "x", "y") for number in range(3)]
    cast: list[measuring.Cast] = [measuring.ranking(("ab", "ba"), 9, 2)] * 2
    made.write("a.parquet", pairs[:2], cast, identified=True)
    made.publish()
    publishes = Forgetting._publish

    def late(forgetting: Forgetting, *how: Any) -> None:
        made.write("late.parquet", [pairs[0], pairs[2]], cast, identified=True)
        publishes(forgetting, *how)

    with monkeypatch.context() as patch:
        patch.setattr(Forgetting, "_publish", late)
        assert take_down(made.output, tmp_path, pairs[0]["pair_id"]).exit_code == 0
    gone = found_by(pairs[0])
    kept = found_by(pairs[2])
    assert len(holding(made.output, gone)) == 1
    assert holding(made.output, gone) == holding(made.output, kept)
    assert take_down(made.output, tmp_path, pairs[0]["pair_id"]).exit_code == 0
    assert holding(made.output, gone) == set()
    (revised,) = {key for key in holding(made.output, kept) if key.startswith("parts/")}
    (row,) = [row for row in pq.read_table(Path(made.output.uri) / revised).to_pylist()
              if row["pair_hash"] == hash_of(pairs[2])]  # fmt: skip
    assert len(row["votes"]) == 2


def test_a_part_whose_rows_another_one_holds_too_loses_the_pairs(tmp_path: Path) -> None:
    """Two runs have cut other units of a version that is gone: one of the parts does not count."""
    made = measuring.Corpus.at(str(tmp_path))
    pairs = [measuring.text_pair(number, None, "x", "y") for number in range(3)]
    cast: list[measuring.Cast] = [measuring.ranking(("ab", "ba"), 9, 2)] * 3
    made.write("a.parquet", pairs, cast, identified=True)
    made.publish()
    manifest = read_manifest(made.output, latest_of(made.output)["snapshot_id"])
    (shard,), judge_id = manifest.shards, manifest.judge["judge_id"]
    whole = Unit(shard.path, shard.shard_key, 0, 3)
    rows = committed_rows(made.output, judge_id, whole, LABELS.names)
    for number in (1, 2):
        piece = replace(whole, start=number, stop=number + 1)
        assert commit_part(made.output, judge_id, piece, [rows[number] | {"unit": piece.name}])
    made.write("a.parquet", pairs[:1], cast[:1], identified=True)
    made.publish()
    gone = found_by(pairs[1])
    parts = [key for key in holding(made.output, gone) if key.startswith("parts/")]
    assert len(parts) == 2
    outcome = take_down(made.output, tmp_path, pairs[1]["pair_id"])
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert holding(made.output, gone) == set()


def test_from_its_first_step_on_nobody_else_makes_anything_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing that is live has the pair: what a lost run is about to publish may."""
    made = measuring.Corpus.at(str(tmp_path))
    pairs = [measuring.text_pair(number, None, "x", "y") for number in range(2)]
    cast: list[measuring.Cast] = [measuring.ranking(("ab", "ba"), 9, 2)] * 2
    for kept in (pairs, pairs[1:]):
        made.write("a.parquet", kept, cast[: len(kept)], identified=True)
        made.publish()
    lost = take_lease(made.output, "writer", "lost", ttl_s=60)
    _, claimed = claim_latest(made.output, lost)
    assert claimed is not None
    lost.release(failed=True)
    swaps = []

    def late(output: Store, *what: Any) -> Forgotten:
        swaps.append(output.swap(LATEST_KEY, claimed.data, claimed))
        return remember(output, *what)

    monkeypatch.setattr("pipeline.retention.forget.remember", late)
    outcome = take_down(made.output, tmp_path, pairs[0]["pair_id"])
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert swaps == [None]  # refused


@pytest.mark.parametrize("there", [True, False])
def test_a_pair_is_forgotten_under_all_rubrics_of_its_rows(tmp_path: Path, there: bool) -> None:
    """If the input still has it; else it is said that the others are not known."""
    made = measuring.Corpus.at(str(tmp_path))
    text = measuring.text_pair(0, None, "x", "y")
    pairs = [text | {"pair_id": f"id-{row}"} for row in range(3)]
    pairs.append(measuring.text_pair(3, None, "x", "z"))
    measuring.put(made.source, "a.parquet", pairs)
    (entry,) = made.source.list("a.parquet")
    key = shard_key(entry.key, entry.size, made.source.content_key(entry))
    votes = [measuring.ranking(("ab", "ba"), 9, 2)] * len(pairs)
    labeler = Labeler.of(made.made.judge)
    labels = rows_of(votes, labeler, made.made.judge_id, 0, "a.parquet")
    own = (RubricConfig.model_validate({"criteria": [{"name": n, "text": n}]}) for n in "EFGH")
    for label, row, rubric in zip(labels, pairs, own, strict=True):
        asked = None if row["pair_id"] == "id-2" else rubric  # that one has the judge's own
        label |= {"pair_id": row["pair_id"], "pair_hash": asked_hash(hash_of(row), asked)}
        label["rubric"] = None if asked is None else rubric_text(asked)
    assert commit_part(made.output, made.made.judge_id, Unit("a.parquet", key, 0, 4), labels)
    made.publish()
    if not there:
        made.source.delete("a.parquet")
    done = take_down(made.output, tmp_path, "id-0")
    assert (done.exit_code, done.error) == (0, "")
    gone = {row["row"] for row in live_rows(made.output, "quarantine")}
    assert gone == ({0, 1, 2} if there else {0})
    notes = " ".join(event.get("text", "") for event in done.events)
    assert ("1 of these pairs were asked by a rubric of their own" in notes) is not there
    # Nor will it be judged under another rubric: its own hash is known.
    assert Forgotten.read(made.output).knows(None, hash_of(text)) is there


@pytest.mark.parametrize(
    "steps", [0, 2, 5, 13, 34, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 3, 8, 21))]
)
def test_a_run_that_was_killed_goes_on(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """After any number of changes of the store."""
    path, labels = named(corpus, tmp_path)
    count = itertools.count()

    def killed(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(store: Store, key: str, *more: Any, **options: Any) -> Any:
            ours = store.uri == corpus.output.uri and not key.startswith("leases/")
            if ours and next(count) >= steps:
                raise KeyboardInterrupt
            return real(store, key, *more, **options)

        return change

    with monkeypatch.context() as patch:
        for name in ("put", "create", "swap", "upload", "delete"):
            patch.setattr(Store, name, killed(getattr(Store, name)))
        assert run_forget(corpus.output, "--pairs", path, "--apply").exit_code == 130
    assert len([*live_rows(corpus.output), *live_rows(corpus.output, "quarantine")]) == len(
        corpus.joined()
    )
    assert run_forget(corpus.output, "--pairs", path, "--apply").exit_code == 0
    assert_forgotten(corpus, labels)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.txt", "\n\n", "it names no pair"),
        ("p.jsonl", '{"id": 1}', "line 1: got ['id'], expected pair_id, pair_hash, or shard and"),
        ("p.jsonl", "pair-1", "line 1: not JSON"),
        ("p.jsonl", "[1]", "line 1: got '[1]', expected an object"),
        ("p.jsonl", '{"pair_hash": "ab"}', "line 1: pair_hash 'ab' has not 64 hex digits"),
        ("p.csv", "shard,row\na,b\n", "line 2: invalid literal"),
    ],
)
def test_files_that_name_no_pairs(
    corpus: Corpus, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    before = objects(corpus.output)
    outcome = run_forget(corpus.output, "--pairs", str(tmp_path / name), "--apply")
    assert outcome.exit_code == 2
    assert words in outcome.error
    assert objects(corpus.output) == before
