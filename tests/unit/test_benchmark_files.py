"""Which files of a folder are a benchmark's, and when that is not clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.evaluation.benchmarks import find_benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request, find_sources
from pipeline.runtime.errors import ConfigError


def chosen(
    folder: Path, names: list[str], benchmark: str, data: str = ".", split: str | None = None
) -> dict[str, list[str]]:
    """The files that are read for each split, of a folder with files of these names."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    request = Request(data=str(folder / data), split=split)
    return {
        part.split: [str(Path(file).relative_to(folder)) for file in source.named()]
        for part, source in find_sources(find_benchmark(benchmark), request)
    }


@pytest.mark.parametrize(
    ("names", "split", "read"),
    [
        (["x.parquet"], None, ["x.parquet"]),
        (["data/train-0-of-1.parquet", "data/test-0-of-1.parquet"], None,
         ["data/test-0-of-1.parquet"]),
        (["data/train-0-of-1.parquet", "data/test-0-of-1.parquet"], "train",
         ["data/train-0-of-1.parquet"]),
        (["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"], None,
         ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]),
        (["default/test/0000.parquet", "default/test/0001.parquet"], None,
         ["default/test/0000.parquet", "default/test/0001.parquet"]),
        (["TEST.PARQUET", "notes/old.csv"], None, ["TEST.PARQUET"]),
    ],
)  # fmt: skip
def test_one_table_is_read(
    tmp_path: Path, names: list[str], split: str | None, read: list[str]
) -> None:
    assert list(chosen(tmp_path, names, "vl-rewardbench", split=split).values()) == [read]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.jsonl", "b.jsonl"], r"2 tables fit.*: a\.jsonl, b\.jsonl; name one"),
        (["a.jsonl", "a.parquet"], r"2 tables fit.*: a\.jsonl, a\.parquet"),
        (["test.parquet", "old/test.parquet"], r"2 tables fit.*: old/test\.parquet, test\.parquet"),
        (["test.jsonl", "test-0-of-1.jsonl"], "2 tables fit"),
        (["test-0-of-1.parquet", "test-0-of-2.parquet", "test-1-of-2.parquet"], "2 tables fit"),
        (["test-00000-of-00003.parquet", "test-00002-of-00003.parquet"],
         "test is of 3 files, of which 1 are not there"),
        ([f"{name}.jsonl" for name in "abcdefghijkl"], r"12 tables fit.*, h\.jsonl and 4 more;"),
    ],
)  # fmt: skip
def test_what_could_count_twice_is_refused(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen(tmp_path, names, "vl-rewardbench")


PUBLISHED = [  # of github.com/Dongping-Chen/MLLM-Judge
    "Dataset/Benchmark/pair.jsonl",
    "Dataset/Benchmark/batch.jsonl",
    "Dataset/Benchmark/arxiv_data/pair/marker1_arxiv_pair.jsonl",
    "Dataset/Benchmark_Lite/pair_lite.jsonl",
    "Dataset/Hard & HQ/HQ/Pair.jsonl",
]


def test_copies_of_a_published_set_are_told_apart_by_name(tmp_path: Path) -> None:
    name = "mllm-as-a-judge-pair"
    with pytest.raises(ConfigError, match=r"3 tables fit.*Benchmark/pair\.jsonl"):
        chosen(tmp_path, PUBLISHED, name)

    lite = chosen(tmp_path, [], name, split="pair_lite")
    assert lite == {"pair_lite": ["Dataset/Benchmark_Lite/pair_lite.jsonl"]}
    hq = chosen(tmp_path, [], name, data="Dataset/Hard & HQ")
    assert hq == {"train": ["Dataset/Hard & HQ/HQ/Pair.jsonl"]}
    one = chosen(tmp_path, [], name, data="Dataset/Benchmark/pair.jsonl")
    assert one == {"train": ["Dataset/Benchmark/pair.jsonl"]}


def test_a_glob_reads_several_files_on_purpose(tmp_path: Path) -> None:
    names = ["safety/nsfw.json", "safety/toxic.json", "quality/blur.json", "alignment/a.csv"]
    with pytest.raises(ConfigError, match=r"2 tables fit.*safety/nsfw\.json, safety/toxic\.json"):
        chosen(tmp_path, names, "mj-bench")

    both = {"safety": ["safety/nsfw.json", "safety/toxic.json"], "quality": ["quality/blur.json"]}
    assert chosen(tmp_path, [], "mj-bench", data="*/*.json") == both
    one = chosen(tmp_path, [], "mj-bench", data="safety/*.json", split="safety")
    assert one == {"safety": both["safety"]}
    file = chosen(tmp_path, [], "mj-bench", data="quality/blur.json", split="artifact")
    assert file == {"quality": ["quality/blur.json"]}
    with pytest.raises(ConfigError, match=r"of one kind, got alignment/a\.csv, quality/blur"):
        chosen(tmp_path, [], "mj-bench", data="*/*", split="safety")


@pytest.mark.parametrize(
    ("data", "split", "said"),
    [
        (".", "nosuch", r"nothing is named after the split 'nosuch', got test\.parquet"),
        ("test.parquet", "train", "--split chooses among a folder's files"),
        ("gone", None, "gone: no such file or folder, and no hub id; expected"),
        ("empty", None, r"empty: expected a hub id such as 'owner/name', or a file, folder or gl"),
        ("card.md", None, r"card\.md: expected Parquet, JSON"),
    ],
)
def test_data_that_say_nothing(tmp_path: Path, data: str, split: str | None, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "card.md").touch()
    with pytest.raises(ConfigError, match=said):
        chosen(tmp_path, ["test.parquet"], "vl-rewardbench", data, split)
