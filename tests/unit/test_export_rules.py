"""Which rows an export takes, and what of labels, texts and numbers decides it."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.export.examples import in_validation, prompt_number
from pipeline.export.export_config import ExportConfig, SelectionConfig
from pipeline.export.export_parts import ExportRange, cut_parts
from pipeline.export.format_registry import TRAINER_FORMATS
from pipeline.export.leftovers import sweep
from pipeline.export.prompt_cap import RECORD, PromptCap
from pipeline.export.selection import RowBits
from pipeline.export.selection_rules import label_reasons, length_sign, near_identical
from pipeline.export.shard_survey import ShardJob
from pipeline.export.snapshot_labels import LabelFile, ShardLabels
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from pipeline.store.object_store import Entry
from tests.shards import pair


def reasons(selection: dict[str, Any], name: str = "trl-dpo") -> list[str | None]:
    rows = [
        ("labeled", 0.9, True, [9.0, 2.0]),
        ("labeled", 0.6, True, [9.0, 2.0]),
        ("labeled", 0.9, False, None),
        ("tie", 0.9, True, [5.0, 5.0]),
        ("abstained", None, None, None),
    ]
    names = ("status", "confidence", "position_consistent", "scores")
    table = pa.table(dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True)))
    found = label_reasons(table, TRAINER_FORMATS[name], SelectionConfig.model_validate(selection))
    kept: list[str | None] = found.to_pylist()
    return kept


def test_reasons_of_labels() -> None:
    assert reasons({}) == [None, None, None, "tie", "abstained"]
    low = [None, "low_confidence", None, "tie", "abstained"]
    assert reasons({"min_confidence": 0.6001}) == low
    assert reasons({"min_confidence": 0.6}) == reasons({})
    tiers = {"tiers": {"low": 0.7, "high": 0.9}}
    assert reasons(tiers) == [None, "below_tiers", None, "tie", "abstained"]
    consistent = [None, None, "position_inconsistent", "tie", "abstained"]
    assert reasons({"position_consistent_only": True}) == consistent
    assert reasons({"ties": "keep"}, "jsonl") == [None, None, None, None, "abstained"]
    assert reasons({}, "pointwise") == [None, None, "no_scores", None, "abstained"]
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
        ({"tiers": {"a": 1.5}}, "no confidence"),
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
    assert [length_sign("ab", "a"), length_sign("a", "ab"), length_sign("a", "b")] == [1, -1, 0]


def test_a_prompt_is_the_same_however_it_is_written() -> None:
    asked = pair(1, prompt="Why?")
    turn = pair(2, prompt=None, messages=[{"role": "user", "content": "Why?"}])
    assert prompt_number(asked, 0, False) == prompt_number(turn, 0, False)
    assert prompt_number(asked, 0, True) != prompt_number(turn, 0, True)  # other pictures
    assert prompt_number(asked, 0, True) == prompt_number(dict(asked), 0, True)
    assert prompt_number(asked, 0, False) != prompt_number(asked, 1, False)


def test_the_share_of_prompts_for_validation() -> None:
    numbers = [prompt_number(pair(n, prompt=f"prompt {n}"), 0, False) for n in range(2_000)]
    share = sum(in_validation(number, 0.2) for number in numbers) / len(numbers)
    assert 0.17 < share < 0.23
    assert not any(in_validation(number, 0.0) for number in numbers)


@given(st.lists(st.booleans(), max_size=70), st.integers(0, 40), st.data())
def test_bits_are_what_was_set(values: list[bool], start: int, data: st.DataObject) -> None:
    bits = RowBits(150)
    bits.set(start, np.array(values, np.bool_))
    stop = start + len(values)
    assert bits.get(start, stop).tolist() == values
    assert bits.count() == sum(values)
    cleared = data.draw(st.lists(st.integers(0, 149), max_size=20))
    bits.clear(np.array(cleared, np.int64))
    expected = [value and start + i not in cleared for i, value in enumerate(values)]
    assert bits.get(start, stop).tolist() == expected
    assert bits.get(0, start).tolist() == [False] * start
    other = RowBits(150)
    other.set(start, np.ones(len(values), np.bool_))
    assert bits.count(other) == sum(expected)


def test_the_cap_keeps_the_rows_with_the_smallest_draws() -> None:
    rng = random.Random(3)
    rows = [(rng.choice([5, 6, 2**63 + 5]), rng.choice([1, 2, 3]), n) for n in range(300)]
    rows += [(1_000 + n, 0, 300 + n) for n in range(50)]
    by_prompt = defaultdict(list)
    for prompt, draw, row in rows:
        by_prompt[prompt].append((draw, row))
    expected = sorted(row for found in by_prompt.values() for _, row in sorted(found)[4:])
    rng.shuffle(rows)
    with PromptCap(4, buckets=3) as cap:
        for start in range(0, len(rows), 7):
            cap.add(np.array(rows[start : start + 7], RECORD))
        beyond = [row for found in cap.beyond() for row in found.tolist()]
    assert sorted(beyond) == expected
    assert max(Counter(p for p, _, row in rows if row not in set(beyond)).values()) == 4


def test_what_a_killed_run_left_in_a_folder_that_is_read_whole(tmp_path: Path) -> None:
    names = ["train/00000.parquet", "train/.00000.parquet.0123456789ab.tmp", "README.md"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    sweep(tmp_path, ["train/00000.parquet"])
    found = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")]
    assert sorted(found) == ["README.md", "train/00000.parquet"]


def test_the_example_configuration_is_one() -> None:
    example = Path(__file__).parents[2] / "jobs" / "configs" / "export.yaml"
    config = load_config(PipelineConfig, str(example), [])
    assert config.export.selection == SelectionConfig(
        min_confidence=0.7, position_consistent_only=True
    )


def shard(number: int, groups: list[tuple[int, int]], kept: list[int]) -> ExportRange:
    labels = ShardLabels("s", 0, 0, (LabelFile("k", 1, 0, 1),))
    rows = sum(count for count, _ in groups)
    job = ShardJob(number, Entry(f"{number}", 1, None), "c", rows, labels)
    return ExportRange(job, groups, np.isin(np.arange(rows), kept))


def test_parts_join_row_groups_that_have_rows() -> None:
    shards = [
        shard(0, [(4, 400), (4, 400), (4, 400)], [1, 2, 9]),  # the second group has none
        shard(1, [(2, 1_000), (2, 80)], [0, 1, 2, 3]),
    ]
    found = [
        [
            (
                piece.entry.key,
                piece.group,
                (piece.start + np.flatnonzero(piece.kept_rows())).tolist(),
            )
            for piece in part.pieces
        ]
        for part in cut_parts(shards, file_bytes=300, file_rows=100)
    ]
    assert found == [
        [("0", 0, [1, 2]), ("0", 2, [9])],  # 200 and 100 bytes
        [("1", 0, [0, 1])],
        [("1", 1, [2, 3])],
    ]
    by_rows = [len(part.pieces) for part in cut_parts(shards, 10**9, file_rows=3)]
    assert by_rows == [2, 1, 1]
    numbers = [part.number for part in cut_parts(shards, 1, 1)]
    assert numbers == list(itertools.islice(itertools.count(), len(numbers)))
