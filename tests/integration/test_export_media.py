"""Media in exports: by path, as responses, and on S3."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from tests.derivations import Labelled
from tests.exporting import (
    FOR_A,
    FOR_B,
    Corpus,
    by_id,
    export_rows,
    fill,
    folder_of,
    run_export,
    settings,
    texts,
)
from tests.processes import ROOT
from tests.s3_server import ADMIN, BUCKET, JOB, S3Server
from tests.shards import pair, picture, response

CASES = Path(__file__).parents[1] / "media_cases"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return fill(Corpus.at(tmp_path))


def test_media_by_path(tmp_path: Path) -> None:
    made = Corpus.at(tmp_path)
    folder = Path(made.source.uri) / "img"
    folder.mkdir(parents=True)
    for number in range(6):
        (folder / f"{number}.png").write_bytes(picture(number))
    rows = [pair(n, images=[{"bytes": None, "path": f"img/{n}.png"}]) for n in range(6)]
    made.shard("a.parquet", rows, [FOR_A] * 6)
    made.publish()
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes(picture(99))
    strict = run_export(made.output, *settings(media__strict=True, validation=0))
    assert strict.exit_code == 2
    assert "row 1: media_missing: " in strict.error

    done = run_export(made.output, *settings(validation=0))
    found = export_rows(made.output, folder_of(done, made.output))
    assert [row["images"] for row in found] == [
        [{"bytes": picture(number), "path": None}] for number in (0, 3, 4, 5)
    ]
    record = json.loads(made.output.read(f"{folder_of(done, made.output)}/export.json"))
    assert record["dropped"] == {"media_changed": 1, "media_missing": 1}
    assert (
        "a.parquet, row 2: a medium changed since the pair was judged"
        in record["details"]["media_changed"]
    )

    # Beside the rows, named by their content.
    done = run_export(made.output, "--format", "llama-factory", *settings(validation=0))
    key = folder_of(done, made.output)
    paths = [row["images"] for row in export_rows(made.output, key)]
    assert [made.output.read(f"{key}/{path}") for (path,) in paths] == [
        picture(number) for number in (0, 3, 4, 5)
    ]
    # Left where they are: nothing is looked at.
    done = run_export(made.output, *settings(validation=0, media__mode="references"))
    found = export_rows(made.output, folder_of(done, made.output))
    assert [row["images"] for row in found] == [row["images"] for row in rows]


def test_heic_becomes_png_which_trainers_read(tmp_path: Path) -> None:
    made = Corpus.at(tmp_path)
    data = (CASES / "heic-turned.heic").read_bytes()
    made.shard("a.parquet", [pair(0, images=[{"bytes": data, "path": None}])], [FOR_A])
    made.publish()
    done = run_export(made.output, *settings(validation=0))
    (row,) = export_rows(made.output, folder_of(done, made.output))
    with Image.open(io.BytesIO(row["images"][0]["bytes"]), formats=["PNG"]) as image:
        assert image.size == (48, 64)
        assert image.getpixel((43, 4)) == (220, 30, 30)


def test_pictures_as_responses(tmp_path: Path) -> None:
    made = Corpus.at(tmp_path, candidates="image")
    rows = []
    for number in range(4):
        a, b = ([{"bytes": picture(10 * number + i), "path": None}] for i in (1, 2))
        answers = {"response_a": response(None, images=a), "response_b": response(None, images=b)}
        rows.append(texts(number, **answers))
    made.shard("a.parquet", rows, [FOR_A, FOR_B, FOR_A, FOR_B])
    made.publish()
    refused = run_export(made.output, "--format", "trl-dpo")
    assert refused.exit_code == 2
    assert "formats that can: ms-swift, jsonl, pointwise, rankings" in refused.error
    files = settings(validation=0, media__mode="files")
    done = run_export(made.output, "--format", "ms-swift", *files)
    key = folder_of(done, made.output)
    found = export_rows(made.output, key)
    sides = [
        [[made.output.read(f"{key}/{path}") for path in row[name]] for row in found]
        for name in ("images", "rejected_images")
    ]
    assert sides == [
        [[picture(10 * number + 1 + number % 2)] for number in range(4)],
        [[picture(10 * number + 2 - number % 2)] for number in range(4)],
    ]


@pytest.mark.s3
def test_on_s3(
    s3: S3Server, tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment(ADMIN).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()  # it remembers the key before
    root = f"s3://{BUCKET}/out/export"
    made = fill(Corpus(Store(f"s3://{BUCKET}/in/export"), Labelled.at(root)))
    # A process of its own, with a key that may neither delete nor write the input.
    command = [sys.executable, "-m", "jobs.export", "--snapshot", root, "--format", "llama-factory"]
    environment = os.environ | s3.environment(JOB)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    event = json.loads(done.stdout.splitlines()[-1])
    key = event["folder"].removeprefix(f"{root}/")
    found = export_rows(made.output, key)
    assert [row["pair_id"] for row in by_id(found)] == [
        row["pair_id"] for row in by_id([pair for pair, _ in corpus.labelled()])
    ]
    pictures = {row["pair_id"]: row["images"][0]["bytes"] for row, _ in corpus.labelled()}
    for row in found:
        (path,) = row["images"]
        assert made.output.read(f"{key}/{path}") == pictures[row["pair_id"]]
    Objects.clear_instance_cache()
