"""Exports of published labels: every row is the snapshot's, once, or is counted with its reason."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from tests.calibrations import scored
from tests.exporting import (
    CAST,
    FOR_A,
    Corpus,
    Row,
    by_id,
    dpo_row,
    export_rows,
    fill,
    folder_of,
    run_export,
    settings,
    texts,
)
from tests.labeling import contents
from tests.processes import ROOT
from tests.publishing import run_publish
from tests.shards import pair, response


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return fill(Corpus.at(tmp_path))


def test_every_labeled_pair_is_there_and_loads_with_its_picture(
    corpus: Corpus, tmp_path: Path
) -> None:
    done = run_export(corpus.output, *settings(validation=0.3, file_rows=12))
    assert (done.exit_code, done.error) == (0, "")
    folder = folder_of(done, corpus.output)
    rows = export_rows(corpus.output, folder)
    assert by_id(rows) == by_id([dpo_row(*each) for each in corpus.labelled()])
    event = done.event()
    assert (event["rows"], event["kept"]) == (70, 30)
    dropped = {"abstained": 13, "quarantined": 13, "tie": 14}
    assert {name: event[f"dropped_{name}"] for name in dropped} == dropped

    sides = {split: export_rows(corpus.output, folder, split) for split in ("train", "validation")}
    prompts = [{row["prompt"][0]["content"] for row in rows} for rows in sides.values()]
    assert all(prompts)
    assert prompts[0].isdisjoint(prompts[1])

    place = corpus.output.path(folder)
    loaded = datasets.load_dataset(place, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in sides.items()} == loaded.num_rows
    first = loaded["train"][0]
    (image,) = first["images"]
    assert isinstance(image, Image.Image)
    original = Image.open(io.BytesIO(sides["train"][0]["images"][0]["bytes"]))
    assert image.tobytes() == original.tobytes()


def written(corpus: Corpus, folder: str) -> dict[str, tuple[object, bytes]]:
    """An export's objects, without the marks of what was begun, which have the time."""
    found = contents(corpus.output.uri, folder)
    return {key: each for key, each in found.items() if not key.endswith(".begun.json")}


def test_the_same_again_does_nothing_and_an_interrupted_one_goes_on(corpus: Corpus) -> None:
    arguments = ("--format", "trl-dpo", *settings(file_rows=8))
    folder = folder_of(run_export(corpus.output, *arguments), corpus.output)
    whole = written(corpus, folder)
    again = run_export(corpus.output, *arguments)
    assert again.event()["state"] == "there already"
    assert written(corpus, folder) == whole

    # As it is where a run ended before the second part: no record, card, receipt nor file of it.
    lost = [f"{folder}/{name}" for name in ("export.json", "README.md", "_parts/00001.json")]
    lost += [key for key in whole if key.endswith("-00001.parquet")]
    for key in lost:
        corpus.output.delete(key)
    assert run_export(corpus.output, *arguments).event()["state"] == "new"
    resumed = written(corpus, folder)
    assert {key: data for key, (_, data) in resumed.items()} == {
        key: data for key, (_, data) in whole.items()
    }
    rewritten = {key for key, (version, _) in resumed.items() if version != whole[key][0]}
    assert rewritten == set(lost)


def test_a_small_export_needs_no_ray(corpus: Corpus) -> None:
    script = """
import sys
from jobs.export import main
assert main(sys.argv[1:]) == 0
assert "ray" not in sys.modules
"""
    command = [sys.executable, "-c", script, "--output", corpus.output.uri]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [entry.key for entry in corpus.output.list("exports") if "export.json" in entry.key]


def test_an_export_on_ray_is_the_same(
    corpus: Corpus, shared_ray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = settings(file_rows=8, selection__max_per_prompt=1, selection__max_similarity=0.9)

    def export() -> dict[str, bytes]:
        folder = folder_of(run_export(corpus.output, *arguments), corpus.output)
        return {key: data for key, (_, data) in written(corpus, folder).items()}

    in_process = export()
    for key in in_process:
        corpus.output.delete(key)
    monkeypatch.setattr("pipeline.export.export_flow.IN_PROCESS_ROWS", 69)  # it has 70
    assert export() == in_process


def test_the_card(corpus: Corpus) -> None:
    arguments = settings(validation=0.3)
    folder = folder_of(run_export(corpus.output, *arguments), corpus.output)
    rows = {key: data for key, (_, data) in written(corpus, folder).items()}
    card = DatasetCard.load(Path(corpus.output.path(f"{folder}/README.md")))
    header = card.data.to_dict()
    assert (header["license"], header["size_categories"]) == ("unknown", ["n<1K"])
    assert header["configs"] == [
        {
            "config_name": "default",
            "data_files": [
                {"split": split, "path": [f"{split}-00000.parquet"]}
                for split in ("train", "validation")
            ],
        }
    ]
    record = json.loads(rows[f"{folder}/export.json"])
    assert (record["epsilon"], record["label_smoothing"]) == (None, None)
    for text in (
        "| train | ",
        "How many of these labels are wrong (ε) is not known: none of these rows has labels by "
        "people, expected rows of 20 prompts or more, or a calibration.",
        "args = DPOConfig(max_length=None, …)",
        "[jongwooko/Flex-VL-7B](https://huggingface.co/jongwooko/Flex-VL-7B)",
        "| `abstained` | has no label: its votes contradict each other | 13 |",
        "The snapshot was not measured.",
    ):
        assert text in card.text

    # Measured since, and with a license: only the card is written again.
    snapshot = record["snapshot_id"]
    assert run_publish(corpus.output, "--measure", snapshot).exit_code == 0
    license_ = settings(card__license="cc-by-4.0")
    assert run_export(corpus.output, *arguments, *license_).event()["state"] == "new"
    renewed = {key: data for key, (_, data) in written(corpus, folder).items()}
    changed = {key.removeprefix(f"{folder}/") for key in rows if renewed[key] != rows[key]}
    assert changed == {"README.md", "export.json"}
    card = DatasetCard.load(Path(corpus.output.path(f"{folder}/README.md")))
    assert card.data.license == "cc-by-4.0"
    assert "| tie | ties, of judged rows | 0.246 | " in card.text  # 14 of 57


def sign_of(row: Row) -> int:
    """Whether response a, the better one, is the longer one."""
    a, b = (len(row[name]["text"]) for name in ("response_a", "response_b"))
    return (a > b) - (a < b)


def test_selection(tmp_path: Path) -> None:
    made = Corpus.at(tmp_path)
    votes, rows = [], []
    for number in range(120):
        better_is_longer = number % 4 != 0
        a = f"{number} is right" + " indeed" * better_is_longer
        b = f"{number} is wrong {'!' * 3}"
        if number % 10 == 0:  # nearly identical
            a, b = f"Number {number}.", f"number  {number}. "
        rows.append(
            texts(number, prompt=f"{number % 40}?", response_a=response(a), response_b=response(b))
        )
        votes.append(FOR_A if number % 3 else [*FOR_A, *FOR_A])
    for shard in range(3):
        part = slice(40 * shard, 40 * shard + 40)
        made.shard(f"{shard}.parquet", rows[part], votes[part])
    made.publish()
    confidences = sorted({label["confidence"] for _, label in made.joined()})
    assert len(confidences) == 2  # of two votes, and of four

    def export(**selection: Any) -> tuple[Row, list[Row]]:
        chosen = {f"selection__{name}": value for name, value in selection.items()}
        done = run_export(made.output, "--format", "trl-reward", *settings(**chosen))
        assert done.error == ""
        record = json.loads(made.output.read(f"{folder_of(done, made.output)}/export.json"))
        assert sum(record["kept"].values()) + sum(record["dropped"].values()) == 120
        return record, export_rows(made.output, record["folder"])

    record, found = export(min_confidence=confidences[1], max_similarity=1.0)
    expected = [n for n in range(120) if n % 3 == 0 and n % 10]
    assert {row["pair_id"] for row in found} == {f"pair-{n}" for n in expected}
    assert record["dropped"] == {"low_confidence": 80, "near_identical": 4}

    record, found = export(max_per_prompt=2)
    assert record["dropped"] == {"over_prompt_cap": 40}
    counts: dict[str, int] = {}
    for row in found:
        question = row["chosen"][0]["content"]
        counts[question] = counts.get(question, 0) + 1
    assert counts == {f"{number}?": 2 for number in range(40)}

    record, found = export(balance_length=True)
    lengths = [
        len(row["chosen"][-1]["content"]) - len(row["rejected"][-1]["content"]) for row in found
    ]
    longer, shorter = (sum(sign * length > 0 for length in lengths) for sign in (1, -1))
    assert (record["longer"], record["shorter"]) == (longer, shorter)
    before = [sign_of(row) for row in rows]
    assert shorter == before.count(-1)
    assert before.count(1) > 2 * shorter
    assert 0.35 < longer / (longer + shorter) < 0.65

    record, _ = export(tiers={"sure": confidences[1], "rest": 0.5})
    tiers = {path.split("/")[0] for path in (file["path"] for file in record["files"])}
    assert tiers == {"sure", "rest"}
    sure = export_rows(made.output, record["folder"], tier="sure")
    assert {row["confidence"] for row in sure} == {confidences[1]}
    assert len(sure) == 40
    loaded = datasets.load_dataset(
        made.output.path(record["folder"]), "sure", cache_dir=str(tmp_path / "cache")
    )
    assert sum(loaded.num_rows.values()) == 40


def test_scores_of_single_responses(corpus: Corpus) -> None:
    done = run_export(corpus.output, "--format", "pointwise", *settings(validation=0))
    assert done.event()["kept"] == 44  # ties have scores as good as others
    found = export_rows(corpus.output, folder_of(done, corpus.output))
    got = [(row["pair_id"], row["response"], row["score"], row["rank"]) for row in found]
    assert got == [
        (
            row["pair_id"],
            row[f"response_{letter}"]["text"],
            score,
            int(score < max(label["scores"])),
        )
        for row, label in corpus.joined()
        if label["status"] in ("labeled", "tie")
        for letter, score in zip("ab", label["scores"], strict=True)
    ]


@pytest.mark.parametrize("format_", ["single_score", "batch_ranking"])
def test_scores_of_candidates(tmp_path: Path, format_: Any) -> None:
    made = Corpus.at(tmp_path, format=format_)
    single = format_ == "single_score"
    rows, votes = [], []
    for number in range(5):
        answers = [response(f"{number}{letter}") for letter in ("a" if single else "abc")]
        none = {"response_a": None, "response_b": None}
        rows.append(pair(number, candidates=answers, **none))
        scores = [float(number % 4 + 1)] if single else [number + 1.0, 9.0, 2.0]
        orders = ("a", "a") if single else ("abc", "cba")
        votes.append([scored(order, *scores) for order in orders])
    made.shard("a.parquet", rows, votes)
    made.publish()
    refused = run_export(made.output, "--format", "trl-reward")
    assert "formats that can hold these: pointwise" in refused.error
    done = run_export(made.output, "--format", "pointwise", *settings(validation=0))
    found = export_rows(made.output, folder_of(done, made.output))
    got = [(row["response"], row["score"], row["rank"], row["candidate"]) for row in found]
    assert got == [
        (f"{number}{letter}", score, sum(other > score for other in scores), letter)
        for number in range(5)
        for scores in [[number % 4 + 1.0] if single else [number + 1.0, 9.0, 2.0]]
        for letter, score in zip("abc", scores, strict=False)
    ]


def test_foreign_columns(tmp_path: Path) -> None:
    columns = {
        **{"pair_id": "id", "prompt": "question", "images": "image"},
        **{"response_a": {"text": "answers[0]"}, "response_b": {"text": "answers[1]"}},
    }
    rows = [pair(number, pair_id=str(number), source=None) for number in range(40)]
    foreign = {
        "id": list(range(40)),
        "question": [row["prompt"] for row in rows],
        "image": [row["images"][0]["bytes"] for row in rows],
        "answers": [[row[f"response_{letter}"]["text"] for letter in "ab"] for row in rows],
    }
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(foreign), buffer, row_group_size=7)
    made = Corpus.at(tmp_path)
    made.shard("a.parquet", rows, [CAST[n % 5] for n in range(40)], bytes(buffer.getvalue()))
    made.publish()
    config = tmp_path / "labeled.yaml"
    export = {"validation": 0, "selection": {"max_per_prompt": 1, "max_similarity": 0.99}}
    config.write_text(json.dumps({"input": {"columns": columns}, "export": export}))
    done = run_export(made.output, "--config", str(config))
    found = export_rows(made.output, folder_of(done, made.output))
    assert found == [dpo_row(*each) for each in made.labelled()]
