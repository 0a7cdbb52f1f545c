"""Ingest of files in the exact public schemas, every row checked by value."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

from jobs.ingest import main
from pipeline.pairs.shards import list_shards, open_input
from schemas.contract import differences
from schemas.pairs import PAIRS_V2
from tests.integration.public_sets import (
    RLAIF_V,
    VL_REWARDBENCH,
    Row,
    rlaif_v_pair,
    rlaif_v_row,
    vl_rewardbench_pair,
    vl_rewardbench_row,
)
from tests.s3_server import BUCKET, S3Server
from tests.shards import as_v1

CONFIGS = Path(__file__).parents[2] / "jobs" / "configs"


def write_files(folder: Path, rows: list[Row], features: Features, files: int = 2) -> None:
    """The rows as Parquet files as the hub serves them, with `datasets`' own metadata."""
    folder.mkdir()
    size = -(-len(rows) // files)
    for index in range(files):
        part = datasets.Dataset.from_list(rows[index * size : (index + 1) * size], features)
        part.to_parquet(folder / f"train-{index:05d}-of-{files:05d}.parquet")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def shards(output: Path) -> list[Path]:
    return sorted(output.glob("*.parquet"))


def read(output: Path) -> list[Row]:
    rows = []
    for shard in shards(output):
        table = pq.read_table(shard, page_checksum_verification=True)
        assert differences(table.schema, PAIRS_V2) == []
        assert table.schema.metadata == PAIRS_V2.metadata
        rows += [as_v1(row) for row in table.to_pylist()]
    return rows


def test_vl_rewardbench(tmp_path: Path) -> None:
    rows = [vl_rewardbench_row(index) for index in range(37)]
    write_files(tmp_path / "in", rows, VL_REWARDBENCH)
    config = CONFIGS / "ingest-vl-rewardbench.yaml"
    assert run("--config", config, "--source", tmp_path / "in", "--output", tmp_path / "out") == 0
    assert read(tmp_path / "out") == [vl_rewardbench_pair(row) for row in rows]


@pytest.mark.parametrize("as_dict", [False, True])
def test_rlaif_v(tmp_path: Path, as_dict: bool) -> None:
    features = RLAIF_V.copy()
    if as_dict:
        features["image"] = {"bytes": Value("binary"), "path": Value("string")}
    rows = [rlaif_v_row(index) for index in range(41)]
    write_files(tmp_path / "in", rows, features, files=3)
    config = CONFIGS / "ingest-rlaif-v.yaml"
    assert run("--config", config, "--source", tmp_path / "in", "--output", tmp_path / "out") == 0
    assert read(tmp_path / "out") == [rlaif_v_pair(row, n) for n, row in enumerate(rows)]


def test_size_limits_checksums_and_compression(tmp_path: Path) -> None:
    rows = [rlaif_v_row(index) for index in range(60)]
    rows[30]["image"]["bytes"] = b"x" * 9_000  # larger than a row group may be: alone in one
    write_files(tmp_path / "in", rows, RLAIF_V)
    sizes = ["shards.group_rows=16", "shards.group_bytes=4096", "shards.file_bytes=12000"]
    command = ["--config", CONFIGS / "ingest-rlaif-v.yaml", "--source", tmp_path / "in", *sizes]
    assert run(*command, "--output", tmp_path / "out") == 0
    assert read(tmp_path / "out") == [rlaif_v_pair(row, n) for n, row in enumerate(rows)]

    names = [path.name for path in shards(tmp_path / "out")]
    assert len(names) > 2
    assert names == [f"in-{index:05d}.parquet" for index in range(len(names))]
    for shard in shards(tmp_path / "out"):
        file = pq.ParquetFile(shard)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            assert table.num_rows <= 16
            assert table.nbytes <= 4096 or table.num_rows == 1
            columns = [file.metadata.row_group(group).column(i) for i in range(len(file.schema))]
            codecs = {c.path_in_schema.rpartition(".")[2]: c.compression for c in columns}
            assert codecs["bytes"] == "UNCOMPRESSED"
            assert {codecs["text"], codecs["path"]} == {"ZSTD"}
    assert run(*command, "--output", tmp_path / "again") == 0
    assert [p.read_bytes() for p in shards(tmp_path / "again")] == [
        p.read_bytes() for p in shards(tmp_path / "out")
    ]


def test_a_flipped_bit_in_a_shard_is_noticed(tmp_path: Path) -> None:
    row = rlaif_v_row(1) | {"image": {"bytes": b"A" * 5_000, "path": None}}
    write_files(tmp_path / "in", [row], RLAIF_V, files=1)
    config = CONFIGS / "ingest-rlaif-v.yaml"
    run("--config", config, "--source", tmp_path / "in", "--output", tmp_path / "out")
    (shard,) = shards(tmp_path / "out")
    shard.write_bytes(shard.read_bytes().replace(b"A" * 5_000, b"A" * 4_999 + b"B"))
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(shard, page_checksum_verification=True)


def write_lines(folder: Path, rows: list[Row]) -> Path:
    folder.mkdir()
    (folder / "v").write_bytes(b"a clip")
    path = folder / "dpo_pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def line(**changes: object) -> Row:
    row = {"prompt": "p", "image": None, "video": None, "chosen": "c", "rejected": "r"}
    return row | changes


@pytest.mark.parametrize("inline", [False, True])
def test_media_beside_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inline: bool
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"secret")
    images = ["pictures/1.jpg", None, "gone.jpg", "../secret.txt", str(secret)]
    source = write_lines(
        tmp_path / "in", [line(image=image) for image in images] + [line(video="clip.mp4")]
    )
    (source.parent / "pictures").mkdir()
    (source.parent / "pictures" / "1.jpg").write_bytes(b"one")
    (source.parent / "clip.mp4").write_bytes(b"moving")
    command = ["--config", CONFIGS / "ingest-jsonl.yaml", "--source", source]
    command += ["--inline-media"] if inline else []
    # One of six rows names a picture that is not there, and two one that lies elsewhere.
    assert run(*command, "--output", tmp_path / "out") == 4

    rows = read(tmp_path / "out")
    kept = [None if row["images"] is None else row["images"][0] for row in rows]
    assert [item and item["path"] for item in kept] == [*images, None]
    assert [item and item["bytes"] for item in kept] == [b"one" if inline else None] + [None] * 5
    assert rows[5]["videos"] == [{"bytes": b"moving" if inline else None, "path": "clip.mp4"}]
    said = capsys.readouterr().out
    assert f"1 media not read: no such file in {source.parent}" in said
    assert (f"2 media not read: path leads out of {source.parent}" in said) == inline
    assert f" {3 if inline else 1} cannot be judged" in said


def test_a_root_that_is_named_is_looked_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "in", [line(image="1.jpg"), line(image="gone.jpg")])
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "1.jpg").write_bytes(b"one")
    command = ["--config", CONFIGS / "ingest-jsonl.yaml", "--source", source]
    command += ["--media_root", tmp_path / "media", "--output", tmp_path / "out"]
    assert run(*command) == 4
    reason = f"1 x no such file in {tmp_path / 'media'}: row 1 (id 'mm-rlhf-000000001')"
    assert reason in capsys.readouterr().out
    assert [row["images"][0]["path"] for row in read(tmp_path / "out")] == ["1.jpg", "gone.jpg"]


def test_absolute_paths_under_the_source_become_relative(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    source = write_lines(folder, [line(image=f"{folder}/é/1.jpg", video="v")])
    (folder / "é").mkdir()
    (folder / "é" / "1.jpg").write_bytes(b"one")
    config = CONFIGS / "ingest-jsonl.yaml"
    assert run("--config", config, "--source", source, "--output", tmp_path / "out") == 0
    (row,) = read(tmp_path / "out")
    assert row["images"] == [{"bytes": None, "path": "é/1.jpg"}]


def test_bad_rows_are_kept_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line(video="v"), line(prompt=None), line(chosen=""), line(prompt=""), line()]
    source = write_lines(tmp_path / "in", rows)
    config = CONFIGS / "ingest-jsonl.yaml"
    command = ["--config", config, "--source", source, "--output", tmp_path / "out"]
    assert run(*command) == 4
    assert [row["prompt"] for row in read(tmp_path / "out")] == ["p", None, "p", None, "p"]
    said, error = capsys.readouterr()
    assert "5 rows in 1 shards" in said
    assert (
        "2 x there is no question: messages hold nothing: "
        "row 1 (id 'mm-rlhf-000000001'), row 3 (id 'mm-rlhf-000000003')" in said
    )
    assert "2 of 5 rows cannot be judged, more than max_bad_fraction 0.05 allows" in error
    assert run(*command, "overwrite=true", "max_bad_fraction=0.6") == 0


def test_limit_reads_the_first_rows(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in", [line(prompt=str(n), video="v") for n in range(100)])
    command = ["--config", CONFIGS / "ingest-jsonl.yaml", "--source", source, "limit=70"]
    assert run(*command, "--output", tmp_path / "out") == 0
    assert [row["prompt"] for row in read(tmp_path / "out")] == [str(n) for n in range(70)]


def test_dry_run_shows_columns_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "in", [vl_rewardbench_row(1)], VL_REWARDBENCH, files=1)
    command = ["--source", tmp_path / "in", "--output", tmp_path / "out", "--dry-run"]
    assert run("--config", CONFIGS / "ingest-vl-rewardbench.yaml", *command) == 0
    said = capsys.readouterr().out
    assert "  response: list<element: string> -> a, b\n" in said
    assert "  judge: string -> (not read)\n" in said
    assert run(*command) == 2
    error = capsys.readouterr().err
    assert "required column 'pair_id' is missing; columns there: id, query" in error
    assert not (tmp_path / "out").exists()


def test_shards_of_another_ingest_are_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "in", [line(prompt=str(n), video="v") for n in range(9)])
    config = CONFIGS / "ingest-jsonl.yaml"
    command = ["--config", config, "--source", source, "--output", tmp_path / "out"]
    small = ["shards.group_rows=4", "shards.file_bytes=1024"]
    assert run(*command, *small) == 0
    before = [path.read_bytes() for path in shards(tmp_path / "out")]
    assert len(before) == 3
    assert run(*command) == 2
    assert "already holds 3 shards of 'dpo_pairs'" in capsys.readouterr().err
    assert [path.read_bytes() for path in shards(tmp_path / "out")] == before
    assert run(*command, "overwrite=true") == 2
    error = capsys.readouterr().err
    assert "remove them: dpo_pairs-00001.parquet, dpo_pairs-00002.parquet" in error


def test_a_source_that_breaks_off_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "in", [rlaif_v_row(index) for index in range(8)], RLAIF_V)
    last = tmp_path / "in" / "train-00001-of-00002.parquet"
    last.write_bytes(last.read_bytes()[:-20])
    config = CONFIGS / "ingest-rlaif-v.yaml"
    assert run("--config", config, "--source", tmp_path / "in", "--output", tmp_path / "out") == 2
    assert f"cannot be opened: {last}" in capsys.readouterr().err
    assert shards(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "gone.parquet"], "source 'gone.parquet': expected a hub id"),
        (["--source", "what is this"], "expected a hub id such as 'openbmb/RLAIF-V-Dataset'"),
        (["--source", "parquet"], "give its files as data_files"),
        (["--source", "{empty}"], "got no such files"),
        (["--source", "{lines}", "row_ids=x", "columns.pair_id=prompt"], "already has a pair_id"),
        (
            ["--source", "{lines}", "colums.prompt=x"],
            "colums: there is no such setting; did you mean columns?",
        ),
        ([], "source: missing"),
    ],
)
def test_what_cannot_be_ingested_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    lines = write_lines(tmp_path / "in", [line()])
    places = {"{empty}": str(tmp_path / "empty"), "{lines}": str(lines)}
    given = [places.get(argument, argument) for argument in arguments]
    assert run(*given, "--output", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_source_without_rows_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(RLAIF_V.arrow_schema.empty_table(), tmp_path / "in" / "none.parquet")
    config = CONFIGS / "ingest-rlaif-v.yaml"
    assert run("--config", config, "--source", tmp_path / "in", "--output", tmp_path / "out") == 2
    assert ": no rows" in capsys.readouterr().err


def test_a_file_without_the_mapped_picture_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "in", [rlaif_v_row(index) for index in range(4)], RLAIF_V)
    last = tmp_path / "in" / "train-00001-of-00002.parquet"
    pq.write_table(pq.read_table(last).drop_columns("image"), last)
    command = ["--config", CONFIGS / "ingest-rlaif-v.yaml", "--source", tmp_path / "in"]
    assert run(*command, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"column 'image', read as images, is not in {last}, but is in other files" in error
    assert not (tmp_path / "out").exists()


def test_keys_of_s3_are_read_as_they_are(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    write_files(tmp_path / "in", [rlaif_v_row(index) for index in range(4)], RLAIF_V, files=4)
    keys = ["a1.parquet", "a::b.PARQUET", "a?versionId=7.pq", "a[1].parquet"]
    folder = f"s3://{BUCKET}/in/odd::names"
    for key, file in zip(keys, sorted((tmp_path / "in").iterdir()), strict=True):
        for name, data in ((key, file.read_bytes()), (f"_temporary/{key}", b"unfinished")):
            s3.client().put_object(Bucket=BUCKET, Key=f"in/odd::names/{name}", Body=data)
    wanted = {folder: [0, 1, 2, 3], f"{folder}/a?.parquet": [0]}
    wanted |= {f"{folder}/{key}": [number] for number, key in enumerate(keys)}
    for number, (uri, rows) in enumerate(wanted.items()):
        command = ["--config", CONFIGS / "ingest-rlaif-v.yaml", "--source", uri]
        assert run(*command, "--name", "x", "--output", tmp_path / str(number)) == 0
        expected = [rlaif_v_pair(rlaif_v_row(row), n) for n, row in enumerate(rows)]
        assert [r["prompt"] for r in read(tmp_path / str(number))] == [
            pair["prompt"] for pair in expected
        ]
    assert [entry.key for entry in list_shards(*open_input(folder))] == keys
