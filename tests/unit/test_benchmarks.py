"""Every benchmark loader, on generated files in the exact public schema."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.evaluation.benchmarks import BENCHMARKS, find_benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request
from pipeline.evaluation.benchmarks.benchmark_shards import Loaded, load_benchmark
from tests import public_benchmarks as made
from tests.shards import as_v1, picture

Row = made.Row


def load(name: str, data: object, output: Path, **more: object) -> tuple[Loaded, list[Row]]:
    """Loads a benchmark; returns what was said, and all pairs in order."""
    request = Request(data=str(data), **more)  # type: ignore[arg-type]
    loaded = load_benchmark(find_benchmark(name), request, str(output))
    rows: list[Row] = []
    for shard in sorted(output.glob("*.parquet")):
        rows += [as_v1(row) for row in pq.read_table(shard).to_pylist()]
    return loaded, rows


def metadata(row: Row) -> dict[str, str]:
    return {entry["key"]: entry["value"] for entry in row["metadata"] or ()}


def categories(name: str, rows: list[Row]) -> list[tuple[str, ...]]:
    return [BENCHMARKS[name].categories(row) for row in rows]


def test_vl_rewardbench(tmp_path: Path) -> None:
    rows = [made.vl_rewardbench(index) for index in range(11)]
    made.write_parquet(tmp_path / "in/data/test-00000-of-00001.parquet", rows, "vl-rewardbench")
    (tmp_path / "in/README.md").write_text("card")

    loaded, pairs = load("vl-rewardbench", tmp_path / "in", tmp_path / "out")

    assert (len(pairs), loaded.media_root) == (11, None)
    assert [pair["gold"] for pair in pairs] == [["a", "b", "tie"][i % 3] for i in range(11)]
    assert pairs[4]["response_a"] | {"images": None, "videos": None} == {
        "text": rows[4]["response"][0],
        "images": None,
        "videos": None,
        "model": "model-x",
    }
    assert pairs[4]["images"] == [rows[4]["image"]]
    assert [pair["prompt"] for pair in pairs] == [row["query"] for row in rows]
    assert categories("vl-rewardbench", pairs)[:5] == [
        ("hallucination",),
        ("reasoning",),
        ("general",),
        ("hallucination",),
        ("general",),
    ]


@pytest.mark.parametrize("folder", ["image", "images", "."])
@pytest.mark.parametrize("human", ["human", "human_answer"])
def test_mllm_as_a_judge_pair(tmp_path: Path, folder: str, human: str) -> None:
    rows = [made.mllm("pair", index) for index in range(7)]
    rows = [row | {human: row.pop("human")} for row in rows]
    made.write_jsonl(tmp_path / "in/pair.jsonl", rows)
    made.write_jsonl(tmp_path / "in/batch.jsonl", [made.mllm("batch", 0)])  # beside it
    made.write_pictures(tmp_path / "in" / folder, [f"{n}.png" for n in range(4)])

    _, pairs = load("mllm-as-a-judge-pair", tmp_path / "in", tmp_path / "out")

    assert [pair["gold"] for pair in pairs] == ["a", "b", "tie", "a", "b", "tie", "a"]
    assert pairs[5]["images"][0]["bytes"] == picture(1)
    assert pairs[5]["response_b"]["text"] == rows[5]["answer2"]["answer"]
    assert pairs[5]["response_b"]["model"] == "g"
    assert pairs[5]["pair_id"] == "mllm-as-a-judge-pair-000000005"
    assert categories("mllm-as-a-judge-pair", pairs)[:2] == [("coco",), ("math",)]


def test_mllm_as_a_judge_score_with_scores_as_numbers_and_as_text(tmp_path: Path) -> None:
    rows = [made.mllm("score", index) for index in range(9)]
    made.write_jsonl(tmp_path / "in/Benchmark/score.jsonl", rows)
    made.write_pictures(tmp_path / "in/image", [f"{n}.png" for n in range(4)])

    _, pairs = load("mllm-as-a-judge-score", tmp_path / "in/Benchmark", tmp_path / "out")

    assert [pair["gold_scores"] for pair in pairs] == [[float(1 + i % 5)] for i in range(9)]
    assert [len(pair["candidates"]) for pair in pairs] == [1] * 9
    assert pairs[3]["candidates"][0]["text"] == rows[3]["answer"]
    assert pairs[3]["images"][0]["bytes"] == picture(3)


def test_mllm_as_a_judge_batch(tmp_path: Path) -> None:
    rows = [made.mllm("batch", index) for index in range(6)]
    rows[5]["answers"] = rows[5]["answers"][:3]
    rows[5]["human_answer"] = "BCA"
    made.write_jsonl(tmp_path / "batch.jsonl", rows)
    made.write_pictures(tmp_path / "image", [f"{n}.png" for n in range(4)])

    _, pairs = load("mllm-as-a-judge-batch", tmp_path / "batch.jsonl", tmp_path / "out")

    for row, pair in zip(rows, pairs, strict=True):
        best_first = sorted("ABCD"[: len(row["answers"])], key=row["human_answer"].index)
        scores = dict(zip("ABCD", pair["gold_scores"], strict=False))
        assert sorted(scores, key=lambda letter: -scores[letter]) == best_first
        assert [c["text"] for c in pair["candidates"]] == [a["answer"] for a in row["answers"]]
    assert pairs[5]["gold_scores"] == [1.0, 3.0, 2.0]


@pytest.mark.parametrize("layout", ["folders", "files"])
def test_mj_bench_reads_each_perspective(tmp_path: Path, layout: str) -> None:
    for count, split in [(5, "alignment"), (3, "safety"), (4, "quality"), (2, "bias")]:
        name = f"{split}/0.parquet" if layout == "folders" else f"data/{split}-00000-of-1.parquet"
        made.write_parquet(
            tmp_path / "in" / name, [made.mj_bench(i) for i in range(count)], "mj-bench"
        )

    _, pairs = load("mj-bench", tmp_path / "in", tmp_path / "out")

    found = categories("mj-bench", pairs)
    assert sorted(found) == [("alignment",)] * 5 + [("artifact",)] * 4 + [("safety",)] * 3
    first = next(pair for pair in pairs if pair["pair_id"] == "mj-bench-alignment-000000003")
    assert first["gold"] == "b"
    assert first["response_a"]["images"] == [made.image(6)]
    assert first["response_b"]["images"] == [made.image(7)]
    caption, asked = first["prompt"].split("\n\n")
    assert (caption, first["images"]) == ("A drawing of 3 apples", None)
    assert asked.startswith("[What to Judge]\nJudge only how well each image shows what the prompt")

    _, bias = load("mj-bench", tmp_path / "in", tmp_path / "bias", split="bias")
    assert categories("mj-bench", bias) == [("bias",)] * 2


def test_mj_bench_asks_what_its_split_asks(tmp_path: Path) -> None:
    asked = {}
    for split in ("alignment", "safety", "quality", "bias", "composition"):
        rows = [made.mj_bench(0), made.mj_bench(1) | {"caption": ""}] + [made.mj_bench(0)] * 19
        made.write_parquet(tmp_path / f"{split}/{split}.parquet", rows, "mj-bench")
        loaded, pairs = load("mj-bench", tmp_path / split, tmp_path / f"out-{split}", split=split)
        (report,) = loaded.reports.values()
        assert report.bad_rows == 1  # one without a caption stays one, whatever is asked
        asked[split] = pairs[0]["prompt"]

    named = ("alignment", "safety", "quality", "bias")
    words = ("background", "violence", "limbs", "religion")
    for split, prompt in asked.items():
        assert [word in prompt for word in words] == [split == name for name in named]
    assert asked["composition"] == "A drawing of 0 apples"

    _, artifact = load(
        "mj-bench", tmp_path / "quality", tmp_path / "out-artifact", split="artifact"
    )
    assert artifact[0]["prompt"] == asked["quality"]


def test_mj_bench_as_json_with_paths(tmp_path: Path) -> None:
    rows = [
        {"caption": "x", "image0": f"images/{i}a.png", "image1": f"images/{i}b.png", "label": i % 2}
        for i in range(20)
    ]
    made.write_json(tmp_path / "safety/nsfw.json", rows)
    names = [f"images/{i}{side}.png" for i in range(20) for side in "ab"]
    made.write_pictures(tmp_path, [name for name in names if name != "images/1b.png"])

    loaded, pairs = load("mj-bench", tmp_path, tmp_path / "out", split="safety")

    assert pairs[0]["response_b"]["images"][0]["bytes"] == picture(1)
    assert pairs[1]["response_b"]["images"][0] == {"bytes": None, "path": "images/1b.png"}
    report = loaded.reports["mj-bench-safety"]
    assert sum(report.media_problems.values()) == report.bad_rows == 1


@pytest.mark.parametrize("task", ["image", "edit"])
def test_genai_bench_pictures(tmp_path: Path, task: str) -> None:
    name = f"genai-bench-{task}"
    config = {"image": "image_generation", "edit": "image_edition"}[task]
    rows = [made.genai(task, index) for index in range(6)]
    for split, count in [("test", 2), ("test_v1", 6), ("train_v1", 1)]:
        made.write_parquet(tmp_path / f"in/{config}/{split}-0-of-1.parquet", rows[:count], name)
    made.write_parquet(
        tmp_path / "in/video_generation/test_v1-0.parquet",
        [made.genai("video", 0)],
        "genai-bench-video",
    )

    _, pairs = load(name, tmp_path / "in", tmp_path / "out")

    assert [pair["gold"] for pair in pairs] == ["a", "b", "tie", "tie", "a", "b"]
    assert [metadata(pair)["vote_type"] for pair in pairs[:4]] == list(made.VOTES)
    assert pairs[1]["response_b"]["images"] == [made.image(3)]
    assert pairs[1]["response_b"]["model"] == "PixArt"
    if task == "image":
        assert (pairs[1]["prompt"], pairs[1]["images"]) == ("1 cats", None)
    else:
        assert pairs[1]["images"] == [made.image(901)]
        assert pairs[1]["prompt"] == (
            "Make them dogs.\n\nThe source image shows: 1 cats\n\n"
            "The edited image should show: 1 dogs"
        )


def test_genai_bench_videos_are_looked_up_by_name(tmp_path: Path) -> None:
    rows = [made.genai("video", index) for index in range(3)]
    made.write_parquet(tmp_path / "in/test_v1.parquet", rows, "genai-bench-video")
    for index in range(3):
        for side in "lr":
            file = tmp_path / f"clips/{side}{index}.mp4"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"video")

    loaded, pairs = load(
        "genai-bench-video", tmp_path / "in", tmp_path / "out", media=str(tmp_path / "clips")
    )

    assert loaded.media_root == str(tmp_path / "clips")
    assert pairs[2]["response_b"]["videos"] == [{"bytes": None, "path": "r2.mp4"}]


def test_multimodal_rewardbench(tmp_path: Path) -> None:
    rows = [made.multimodal_rewardbench(index) for index in range(6)]
    made.write_json(tmp_path / "data/all_data.json", rows)
    made.write_json(tmp_path / "data/original_data/nocaps.json", [{"image_id": 1}])
    made.write_pictures(tmp_path / "data", [row["Image"] for row in rows])

    _, pairs = load("multimodal-rewardbench", tmp_path, tmp_path / "out")

    assert [pair["gold"] for pair in pairs] == ["a", "b"] * 3
    assert pairs[3]["images"][0]["bytes"] == picture(3)
    assert pairs[3]["response_a"]["text"] == rows[3]["Output1"]
    assert categories("multimodal-rewardbench", pairs)[:3] == [
        ("correctness",),
        ("safety", "safety/bias"),
        ("reasoning", "reasoning/math"),
    ]


def test_videogen_rewardbench(tmp_path: Path) -> None:
    rows = [made.videogen_rewardbench(index) for index in range(5)]
    made.write_csv(tmp_path / "videogen-rewardbench.csv", rows)
    for row in rows:
        for name in (row["path_A"], row["path_B"]):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"video")

    loaded, pairs = load("videogen-rewardbench", tmp_path, tmp_path / "out")

    assert loaded.media_root == str(tmp_path)
    assert [pair["gold"] for pair in pairs] == ["a", "b", "tie", "a", "b"]
    assert pairs[1]["response_b"]["videos"] == [{"bytes": None, "path": "videos/minimax/1.mp4"}]
    assert pairs[1]["response_b"]["model"] == "minimax"
    assert metadata(pairs[1]) == {"VQ": "B", "MQ": "same", "TA": "A", "Overall": "B"}


def test_the_limit_is_of_each_part_and_the_same_data_gives_the_same_shards(tmp_path: Path) -> None:
    for split in ("alignment", "safety", "quality"):
        made.write_parquet(
            tmp_path / f"in/{split}/0.parquet", [made.mj_bench(i) for i in range(5)], "mj-bench"
        )
    _, pairs = load("mj-bench", tmp_path / "in", tmp_path / "out", limit=2)
    assert len(pairs) == 6
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    load("mj-bench", tmp_path / "in", tmp_path / "out", limit=2)

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
