"""Ranked sets become pairs, these are labelled, and an export has one ranking of a set again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

from jobs.__main__ import main as pairmill
from pipeline.ingest.ranked_pairs import as_pairs
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS
from tests.exporting import FOR_A, FOR_B, TIE, TORN, Corpus, export_rows, folder_of, run_export
from tests.exporting import settings as export_settings
from tests.labeling import run_label, write_config
from tests.publishing import run_publish
from tests.shards import as_v1, pair, response

Row = dict[str, Any]
SETS = 12


def ranked_file(folder: Path) -> dict[str, list[int]]:
    """``mine.jsonl`` in the layout ``ranked``; returns the scores that the answers state."""
    stated = {}
    with (folder / "mine.jsonl").open("w", encoding="utf-8") as file:
        for number in range(SETS):
            scores = [(number * k + 3 * k * k) % 10 + 1 for k in range(1, 3 + number % 3 + 1)]
            texts = [f"Answer {k} of {number}, score={score}." for k, score in enumerate(scores)]
            row = {"id": f"s{number}", "prompt": f"Question {number}?", "generations": texts}
            file.write(json.dumps(row | {"scores": [-score for score in scores]}) + "\n")
            stated[f"s{number}"] = scores
    return stated


@pytest.mark.usefixtures("without_ray")
def test_a_ranked_file_comes_back_as_rankings(tmp_path: Path) -> None:
    stated = ranked_file(tmp_path)
    source, output = tmp_path / "pairs", Store(f"{tmp_path}/labels")
    words = ["--source", str(tmp_path / "mine.jsonl"), "--output", str(source)]
    words += ["--layout", "ranked", "--set", "ranked_pairs=all", "--set", "shards.group_rows=4"]
    words += ["--set", "shards.file_bytes=2048"]  # sets lie across row groups and shards
    assert pairmill(["ingest", *words]) == 0
    assert len(list(source.iterdir())) > 2
    config = write_config(tmp_path / "config.yaml", Path("tiny-judge"))
    assert run_label(config, source, output.uri).exit_code == 0
    assert run_publish(output, "--input", str(source)).exit_code == 0
    words = ["--format", "rankings", *export_settings(validation=0, file_rows=3)]
    done = run_export(output, *words)
    found = export_rows(output, folder_of(done, output))
    assert [row["ranked_id"] for row in found] == list(stated)
    for row in found:
        scores = stated[row["ranked_id"]]
        ranks = {each["candidate"]: each["rank"] for each in row["completions"]}
        levels = sorted(set(scores), reverse=True)
        assert [ranks[letter] for letter in sorted(ranks)] == [levels.index(x) for x in scores]
        assert (row["unordered"], row["contradicted"]) == ([], [])
        assert row["labels"] == len(scores) * (len(scores) - 1) // 2
        best = row["completions"][0]
        assert best["judge_score"] == max(scores)
        assert f"score={max(scores)}." in best["completion"][0]["content"]
    assert done.event()["kept"] == sum(row["labels"] for row in found)


def corpus_of(root: Path, sets: list[Row], votes: dict[str, Any]) -> Corpus:
    """The pairs of ranked sets, labelled by these votes; for ``a`` where none are given."""
    table = as_pairs(to_pairs(PairMapping(), pa.Table.from_pylist(sets, PAIRS)), "all")
    rows = [as_v1(row) for row in table.to_pylist()]
    made = Corpus.at(root)
    made.shard("a.parquet", rows, [votes.get(row["pair_id"], FOR_A) for row in rows])
    made.publish()
    return made


def set_of(name: str, count: int) -> Row:
    """A row of several candidates."""
    answers = [response(f"{name} {n}") for n in range(count)]
    none = {"response_a": None, "response_b": None}
    return pair(0, pair_id=name, images=None, candidates=answers, **none)


def test_ties_circles_and_missing_labels(tmp_path: Path) -> None:
    sets = [set_of("circle", 3), set_of("tied", 3), set_of("torn", 3), set_of("lost", 3)]
    votes: dict[str, Any] = {"circle:ac": FOR_B, "tied:bc": TIE, "torn:bc": TORN}
    votes |= {"lost:ac": None, "lost:bc": TORN}  # nothing is known of c
    made = corpus_of(tmp_path, [*sets, pair(7, images=None)], votes)
    done = run_export(made.output, "--format", "rankings", *export_settings(validation=0))
    folder = folder_of(done, made.output)
    rows = export_rows(made.output, folder)
    got = {
        row["ranked_id"]: (
            [(each["candidate"], each["rank"]) for each in row["completions"]],
            row["unordered"],
            row["contradicted"],
        )
        for row in rows
    }
    below = [("a", 0), ("b", 1), ("c", 1)]
    assert got == {
        "circle": ([("a", 0), ("b", 0), ("c", 0)], [], ["ab", "ac", "bc"]),
        "tied": (below, [], []),
        "torn": (below, ["bc"], []),
        "pair-7": ([("a", 0), ("b", 1)], [], []),
    }
    record = json.loads(made.output.read(f"{folder}/export.json"))
    assert record["kept"] == {"/train": 3 + 3 + 2 + 1}
    assert record["dropped"] == {"abstained": 2, "quarantined": 1, "ranking_incomplete": 1}
    loaded = datasets.load_dataset(made.output.path(folder), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"][0]["completions"][0]["rank"] == 0
