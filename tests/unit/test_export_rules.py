"""Which rows an export takes, and what of labels, texts and numbers decides it."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.export.export_config import ExportConfig, SelectionConfig
from pipeline.export.export_file import FileRecord
from pipeline.export.export_flow import fits_in_process
from pipeline.export.export_leftovers import remove_leftovers
from pipeline.export.export_parts import ExportRange, PartReceipt, Piece, SetEnds, cut_parts
from pipeline.export.export_rules import (
    in_validation,
    label_reasons,
    length_sign,
    near_identical,
    prompt_number,
)
from pipeline.export.formats.format_registry import TRAINER_FORMATS
from pipeline.export.labeled_shards import LabeledShard, labeled_shards
from pipeline.export.prompt_cap import RECORD, PromptCap
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.pairs.contents import pair_row, text_part
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import live, read_manifest
from pipeline.store.object_store import Entry, Store
from tests.exporting import Corpus, fill
from tests.shards import pair, read


def reasons(selection: dict[str, Any], name: str = "trl-dpo") -> list[str | None]:
    rows = [
        ("labeled", 0.9, True, [9.0, 2.0], "j"),
        ("labeled", 0.6, True, [9.0, 2.0], "j"),
        ("labeled", 0.9, False, None, None),
        ("tie", 0.9, True, [5.0, 5.0], "j"),
        ("abstained", None, None, None, "j"),
        ("labeled", None, None, None, "gold"),
    ]
    names = ("status", "confidence", "position_consistent", "scores", "decided_by")
    table = pa.table(dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True)))
    found = label_reasons(table, TRAINER_FORMATS[name], SelectionConfig.model_validate(selection))
    kept: list[str | None] = found.to_pylist()
    return kept


def test_reasons_of_labels() -> None:
    assert reasons({}) == [None, None, None, "tie", "abstained", None]
    low = [None, "low_confidence", None, "tie", "abstained", None]
    assert reasons({"min_confidence": 0.6001}) == low
    assert reasons({"min_confidence": 0.6}) == reasons({})
    tiers = {"tiers": {"low": 0.7, "high": 0.9}}
    assert reasons(tiers) == [None, "below_tiers", None, "tie", "abstained", None]
    consistent = [None, None, "position_inconsistent", "tie", "abstained", None]
    assert reasons({"position_consistent_only": True}) == consistent
    assert reasons({"ties": "keep"}, "jsonl") == [None, None, None, None, "abstained", None]
    assert reasons({}, "pointwise") == [None, None, "no_scores", None, "abstained", "no_scores"]
    assert reasons({"ties": "drop"}, "pointwise")[3] == "tie"


def test_tiers() -> None:
    selection = SelectionConfig(tiers={"low": 0.5, "high": 0.9})
    found = [selection.tier_of(confidence) for confidence in (1.0, 0.9, 0.89, 0.5, 0.49)]
    assert found == ["high", "high", "low", "low", None]
    assert SelectionConfig().tier_of(0.0) == ""


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"tiers": {"Train!": 0.5}}, "small letters"),
        ({"tiers": {"train": 0.5}}, "small letters"),
        ({"tiers": {"a": 1.5}}, "expected a confidence from 0 to 1, got 1.5"),
        ({"tiers": {"a": 0.5, "b": 0.5}}, "same confidence"),
        ({"tiers": {"a": 0.5}, "min_confidence": 0.6}, "above every tier"),
    ],
)
def test_selections_that_make_no_sense(selection: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExportConfig.model_validate({"selection": selection})


def test_near_identical() -> None:
    assert near_identical("The  CAT\nsat", "the cat sat ", 1)
    assert not near_identical("the cat sat", "the cat sat.", 1)
    # 9 of 9 + 10 trigrams in common, twice over: 18/19.
    assert near_identical("the cat sat", "the cat sat.", 0.94)
    assert not near_identical("the cat sat", "the cat sat.", 0.95)
    assert not near_identical("a", "b", 0.01)
    assert near_identical("", " ", 1)


@given(st.text(alphabet="abc ", max_size=30), st.text(alphabet="abc ", max_size=30))
def test_similarity_knows_no_order(first: str, second: str) -> None:
    for threshold in (0.3, 0.7, 1):
        assert near_identical(first, second, threshold) == near_identical(second, first, threshold)
        assert near_identical(first, first, threshold)


def test_length_sign() -> None:
    def sign(a: str | None, b: str | None, preference: str | None = "a") -> int:
        pair_ = pair_row("1", [], [[text_part(a)] if a else [], [text_part(b)] if b else []])
        return length_sign(pair_, preference)

    assert [sign("ab", "a"), sign("a", "ab"), sign("a", "b"), sign("a", None)] == [1, -1, 0, 1]
    assert [sign("ab", "a", "b"), sign("ab", "a", None)] == [-1, 0]


def test_a_prompt_is_the_same_however_it_is_written() -> None:
    asked = read(pair(1, prompt="Why?"))
    turn = read(pair(2, prompt=None, messages=[{"role": "user", "content": "Why?"}]))
    assert prompt_number(asked, 0, False) == prompt_number(turn, 0, False)
    assert prompt_number(asked, 0, True) != prompt_number(turn, 0, True)  # other pictures
    assert prompt_number(asked, 0, True) == prompt_number(dict(asked), 0, True)
    assert prompt_number(asked, 0, False) != prompt_number(asked, 1, False)


def test_the_share_of_prompts_for_validation() -> None:
    rows = (read(pair(n, prompt=f"prompt {n}", images=None)) for n in range(500))
    numbers = [prompt_number(row, 0, False) for row in rows]
    share = sum(in_validation(number, 0.2) for number in numbers) / len(numbers)
    assert 0.17 < share < 0.23
    assert not any(in_validation(number, 0.0) for number in numbers)


def test_the_cap_keeps_the_rows_with_the_smallest_random_numbers() -> None:
    rng = random.Random(3)
    prompts = [5, 6, 2**63 + 5]
    rows = [(rng.choice(prompts), rng.choice([1, 2, 3]), n, n % 3 - 1) for n in range(300)]
    rows += [(1_000 + n, 0, 300 + n, 1) for n in range(50)]
    by_prompt = defaultdict(list)
    for prompt, number, row, _ in rows:
        by_prompt[prompt].append((number, row))
    expected = sorted(row for found in by_prompt.values() for _, row in sorted(found)[4:])
    rng.shuffle(rows)
    with PromptCap(4, buckets=3) as cap:
        for start in range(0, len(rows), 7):
            cap.add(np.array(rows[start : start + 7], RECORD))
        beyond = [record for found in cap.beyond() for record in found.tolist()]
    assert sorted(row for _, _, row, _ in beyond) == expected
    assert set(beyond) < set(rows)
    assert max(Counter(row[0] for row in rows if row not in beyond).values()) == 4


def test_the_labels_of_a_shard_are_found_in_the_files_that_hold_them(tmp_path: Path) -> None:
    made = fill(Corpus.at(tmp_path))  # three shards; labels in files of a few rows
    manifest = read_manifest(made.output, live(made.output).snapshot_id)
    entries = {entry.key: entry for entry in made.source.list()}
    shards, problems = labeled_shards(manifest, entries)
    assert (len(shards), problems) == (3, {})
    for found in shards:
        expected = [
            (row, label["label_id"])
            for row, label in enumerate(made.labels[found.entry.key])
            if label["status"] != "quarantined"
        ]
        table = found.read_labels(made.output, ["label_id"])
        assert list(zip(*table.to_pydict().values(), strict=True)) == expected
        some = found.read_labels(made.output, ["label_id"], (2, 7))
        assert some["row"].to_pylist() == [row for row, _ in expected if 2 <= row < 7]

    _, second, third = sorted(entries)
    moved = entries | {second: replace(entries[second], size=1)}
    del moved[third]
    shards, problems = labeled_shards(manifest, moved)
    assert [each.number for each in shards] == [0]
    assert problems == {1: "its content is not what was labelled", 2: "it is gone"}
    wrong = replace(shards[0], labels=shards[0].labels + 1)
    with pytest.raises(InputError, match="has 32 labels in the files of the snapshot, expected 33"):
        wrong.read_labels(made.output, ["label_id"])


def test_which_exports_need_no_ray(tmp_path: Path) -> None:
    made = fill(Corpus.at(tmp_path))
    manifest = read_manifest(made.output, live(made.output).snapshot_id)
    assert fits_in_process(replace(manifest, rows=5_000))
    assert not fits_in_process(replace(manifest, rows=5_001))
    first, *others = manifest.shards
    large = replace(first, bytes=2**30 - sum(shard.bytes for shard in others))
    assert fits_in_process(replace(manifest, shards=(large, *others)))
    larger = replace(large, bytes=large.bytes + 1)
    assert not fits_in_process(replace(manifest, shards=(larger, *others)))


def test_what_a_killed_run_left_in_a_folder_that_is_read_whole(tmp_path: Path) -> None:
    """Ours goes: what a receipt names, and unfinished rows; files of others stay, and are named."""
    receipt = PartReceipt("id", 1)
    record = FileRecord(path="train/00001.parquet", rows=1, bytes=1, sha256="")
    receipt.files.append(("", "train", record))
    stays = {"train/00000.parquet", "README.md", "train/notes.csv", "train/00002.parquet"}
    stays |= {"train/.mine.0123456789ab.tmp", "train/.00000.parquet.swp"}
    goes = ("train/00001.parquet", "train/.00000.parquet.0123456789ab.tmp")
    output = Store(str(tmp_path))
    output.put("export/_parts/00001.json", receipt.to_json())
    for name in (*stays, *goes):
        path = tmp_path / "export" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))
    notes: list[str] = []
    remove_leftovers(output, "export", ["train/00000.parquet"], notes.append)
    found = {path for path in (tmp_path / "export").rglob("*") if path.is_file()}
    names = {path.relative_to(tmp_path / "export").as_posix() for path in found}
    assert names == {*stays, "_parts/00001.json"}
    (note,) = notes
    assert "export: 3 files among the rows are not of this export, such as train/.0000" in note


def test_the_example_configuration_is_one() -> None:
    example = Path(__file__).parents[2] / "jobs" / "configs" / "export.yaml"
    config = load_config(PipelineConfig, str(example), [])
    assert config.export.selection == SelectionConfig(
        min_confidence=0.7, position_consistent_only=True
    )


def shard(number: int, groups: list[tuple[int, int]], kept: list[int]) -> ExportRange:
    rows = sum(count for count, _ in groups)
    labeled = LabeledShard(number, Entry(f"{number}", 1, None), "c", rows, rows, ())
    return ExportRange(labeled, groups, np.isin(np.arange(rows), kept))


def rows_of(piece: Piece) -> list[int]:
    """The numbers of the rows that are exported."""
    kept = np.zeros(piece.shard.rows, np.bool_)
    piece.mark(kept)
    return list(np.flatnonzero(kept).tolist())


def test_parts_join_row_groups_that_have_rows() -> None:
    shards = [
        shard(0, [(4, 400), (4, 400), (4, 400)], [1, 2, 9]),  # the second group has none
        shard(1, [(2, 1_000), (2, 80)], [0, 1, 2, 3]),
    ]
    found = [
        [(piece.shard.number, piece.start, rows_of(piece)) for piece in part.pieces]
        for part in cut_parts(shards, file_bytes=300, file_rows=100)
    ]
    assert found == [
        [(0, 0, [1, 2]), (0, 8, [9])],  # 200 and 100 bytes
        [(1, 0, [0, 1])],
        [(1, 2, [2, 3])],
    ]
    by_rows = [len(part.pieces) for part in cut_parts(shards, 10**9, file_rows=3)]
    assert by_rows == [2, 1, 1]
    numbers = [part.number for part in cut_parts(shards, 1, 1)]
    sets: list[list[SetEnds]] = [[("x", "y"), (None, None), ("y", "z")], [("z", "z"), ("w", "w")]]
    joined = [replace(each, sets=ends) for each, ends in zip(shards, sets, strict=True)]
    assert [len(part.pieces) for part in cut_parts(joined, 1, 1)] == [3, 1]
    assert numbers == list(itertools.islice(itertools.count(), len(numbers)))
