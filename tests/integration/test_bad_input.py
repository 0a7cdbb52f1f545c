"""Bad input: a clear error before anything starts, or a quarantined row with its reason."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.bad_rows import bad_rows
from tests.labeling import assert_exact, contents, run_label, run_records, write_config
from tests.shards import pair, picture, shard_bytes, write_shard


def flipped(shard: bytes, group: int, column: str) -> bytes:
    """The shard with the last byte of a column's data in a row group changed."""
    columns = pq.read_metadata(io.BytesIO(shard)).row_group(group)
    chunks = [columns.column(index) for index in range(columns.num_columns)]
    (chunk,) = [chunk for chunk in chunks if chunk.path_in_schema == column]
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    place = first + chunk.total_compressed_size - 1
    return shard[:place] + bytes([shard[place] ^ 0xFF]) + shard[place + 1 :]


@pytest.mark.usefixtures("without_ray")
def test_every_bad_row_has_its_reason_and_the_rest_is_labelled(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    outside = tmp_path / "outside.png"
    outside.write_bytes(picture(1))
    (source / "pictures").mkdir(parents=True)
    (source / "pictures" / "good.png").write_bytes(picture(2))
    (source / "pictures" / "link.png").symlink_to(outside)

    cases = bad_rows(outside)
    shards = {"rows.parquet": [pair(number) | case[0] for number, case in enumerate(cases)]}
    quarantined = {
        ("rows.parquet", number): reason for number, (_, reason, _) in enumerate(cases) if reason
    }
    write_shard(source / "rows.parquet", shards["rows.parquet"], 11)

    # One damaged page spoils the rows of its row group, and those alone.
    for name, column in (("page.parquet", "prompt"), ("id-page.parquet", "pair_id")):
        rows = [pair(number) for number in range(24)]
        path = source / name
        path.write_bytes(flipped(shard_bytes(rows, 8, write_page_checksum=True), 1, column))
        quarantined |= {(name, number): "bad_row" for number in range(8, 16)}
        shards[name] = rows
    for row in shards["id-page.parquet"][8:16]:
        row["pair_id"] = None

    write_shard(source / "no-rows.parquet", [])
    good = shard_bytes([pair(number) for number in range(8)])
    unreadable = {
        "footer.parquet": flipped_footer(good),
        "half.parquet": good[: len(good) // 2],
        "nothing.parquet": b"",
        "text.parquet": b"this is no Parquet file, but long enough to be one",
    }
    for name, data in unreadable.items():
        (source / name).write_bytes(data)
    write_shard(source / "_hidden.parquet", [pair(1)])

    changes = {"judge": {"media": {"max_bytes": 2_000_000}}, "quarantine": {"max_fraction": 1}}
    config = write_config(tmp_path / "label.yaml", model, changes)
    outcome = run_label(config, source, output)
    assert outcome.exit_code == 4
    assert "error: 4 shards are unreadable, quarantine.max_shards allows 0" in outcome.error
    labels = assert_exact(output, shards, quarantined)
    details = {row["row"]: row["detail"] for row in labels if row["shard"] == "rows.parquet"}
    wrong = {
        number: (details[number], detail)
        for number, (_, _, detail) in enumerate(cases)
        if (detail not in details[number] if detail else details[number] is not None)
    }
    assert wrong == {}
    for label in labels:
        if "page" in label["shard"] and label["status"] == "quarantined":
            assert label["detail"].startswith("corrupt data page: ")

    (record,) = run_records(output)
    assert record["unreadable_shards"].keys() == unreadable.keys()
    noted = [note.split(": ")[:2] for note in outcome.notes]
    assert noted == [["unreadable shard, left out", name] for name in sorted(unreadable)]
    total = sum(len(rows) for rows in shards.values())
    assert record["pairs"] == record["plan"]["pairs"] == total
    assert record["quarantined"] == len(quarantined)
    assert record["labeled"] + record["tie"] == total - len(quarantined)

    # The limit on shards is not part of the judge: nothing is judged again.
    lenient = run_label(config, source, output, "--set", "quarantine.max_shards=4")
    assert (lenient.exit_code, lenient.event("plan")["pairs_to_do"]) == (0, 0)


def flipped_footer(shard: bytes) -> bytes:
    """The shard with every byte of its footer's metadata changed; length and magic are kept."""
    length = int.from_bytes(shard[-8:-4], "little")
    footer = bytes(byte ^ 0xFF for byte in shard[-8 - length : -8])
    return shard[: -8 - length] + footer + shard[-8:]


def test_all_shards_that_break_the_contract_are_named_at_once(tmp_path: Path, model: Path) -> None:
    table = pa.Table.from_pylist([pair(1)], schema=pq.read_schema(io.BytesIO(shard_bytes([]))))
    (tmp_path / "in").mkdir()
    numbers = pa.array([1.5])
    broken = {
        "column.parquet": table.drop_columns(["response_b", "candidates"]),
        "type.parquet": table.set_column(0, "pair_id", numbers),
        "prompt.parquet": table.drop_columns(["prompt", "messages"]),
    }
    for name, rows in broken.items():
        pq.write_table(rows, tmp_path / "in" / name)
    config = write_config(tmp_path / "label.yaml", model)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.events) == (2, [])
    first, *lines, last = outcome.error.splitlines()
    assert first == "error: no shard fits the mapping:"
    problems = {
        "required column 'response_b' or 'candidates' is missing": "column.parquet",
        "required column 'prompt' or 'messages' is missing": "prompt.parquet",
        "none of its first 1 rows fits the mapping: row 0: pair_id: got the number": "type.parquet",
    }
    for (what, where), (problem, shard) in zip(
        zip(lines[::2], lines[1::2], strict=True), problems.items(), strict=True
    ):
        assert what.strip().startswith(problem)
        assert where.strip() == f"{tmp_path}/in/{shard}"
    assert "input.layout" in last
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "{root}/none: no *.parquet, *.pq there"),
        ("empty", "{root}/empty: no *.parquet, *.pq there"),
        ("in/none.parquet", "{root}/in/none.parquet: no *.parquet, *.pq there"),
        ("gs://bucket/in", "gs://bucket/in: scheme 'gs' is not supported; use a path or s3://"),
    ],
)
def test_an_input_that_is_not_there(tmp_path: Path, model: Path, source: str, message: str) -> None:
    write_shard(tmp_path / "in" / "a.parquet", [pair(1)])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    config = write_config(tmp_path / "label.yaml", model)
    where = source if "://" in source else tmp_path / source
    outcome = run_label(config, where, tmp_path / "out")
    assert (outcome.exit_code, outcome.events) == (2, [])
    assert message.format(root=tmp_path) in outcome.error
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("changes", "arguments", "messages"),
    [
        (
            {"judge": {"sampling": {"temprature": 0}}},
            (),
            ["judge.sampling.temprature", "did you mean temperature"],
        ),
        ({"engine": {"args": {"dtype": "half"}}}, (), ["engine:", "['dtype']", "judge.model"]),
        ({"engine": {"kind": "sglang"}}, (), ["engine.kind", "'sglang'"]),
        ({"workers": {"min": 3, "max": 2}}, (), ["workers.min 3 > workers.max 2"]),
        ({"input": {"unit_rows": 0}}, (), ["input.unit_rows", "got 0"]),
        (
            {"input": {"columns": {"pair_id": "nope"}}},
            (),
            ["pair_id (nope): column 'nope' is missing", "a.parquet"],
        ),
        ({}, ("--set", "engine.kind"), ["override 'engine.kind': expected key.path=value"]),
        ({}, ("--set", "progress_seconds.x=1"), ["'progress_seconds' is not a section"]),
        ({}, ("--set", "engine.kind=[1"), ["override 'engine.kind': the value is not YAML"]),
    ],
)
def test_a_bad_configuration_names_the_key(
    tmp_path: Path,
    model: Path,
    changes: dict[str, Any],
    arguments: tuple[str, ...],
    messages: list[str],
) -> None:
    write_shard(tmp_path / "in" / "a.parquet", [pair(1)])
    config = write_config(tmp_path / "label.yaml", model, {"progress_seconds": 10} | changes)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out", *arguments)
    assert (outcome.exit_code, outcome.events) == (2, [])
    for message in messages:
        assert message in outcome.error
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("text", [None, "- a\n- b\n", "judge: {", b"\xff\xfe\x00"])
def test_a_configuration_that_cannot_be_read(tmp_path: Path, text: str | bytes | None) -> None:
    config = tmp_path / "label.yaml"
    if text is not None:
        config.write_bytes(text.encode() if isinstance(text, str) else text)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.events) == (2, [])
    assert str(config) in outcome.error
