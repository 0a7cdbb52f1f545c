"""The index that pages are filtered by: it says what the tables say, and costs what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pairs.input_config import InputConfig
from pipeline.review.browse import Browser
from pipeline.review.filters import Filters
from pipeline.review.input_columns import InputColumns
from pipeline.review.label_columns import snapshot_columns
from pipeline.runtime.errors import InputError
from pipeline.snapshots import browse_index
from pipeline.snapshots.browse_index import IndexWriter, has_index, range_of, read_index
from pipeline.snapshots.manifests import manifest_key, read_manifest
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.snapshots import BROWSE, SNAPSHOT_BROWSE, SNAPSHOT_LABELS, contract_of
from tests.publishing import (
    LabeledInput,
    assert_live_is,
    live_rows,
    run_publish,
    stored_files,
)

Row = dict[str, Any]


def indexed(row: Row) -> Row:
    """What the index has of a row of labels or of quarantine."""
    made = {name: row[name] for name in SNAPSHOT_BROWSE.names}
    made["pair_hash"] = row["pair_hash"] and row["pair_hash"][:16]
    made["decided_by"] = row["decided_by"] or row["judge_id"]
    return made


def rows_of(output: Store, manifest: Manifest) -> list[Row]:
    rows = [row for table in read_index(output, manifest) for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row["shard"], row["row"]))


def assert_indexed(labeled: LabeledInput, manifest: Manifest) -> None:
    """The live snapshot is what was labelled, and its index says the same."""
    assert_live_is(labeled)
    rows = live_rows(labeled.output) + live_rows(labeled.output, "quarantine")
    expected = sorted(map(indexed, rows), key=lambda row: (row["shard"], row["row"]))
    assert rows_of(labeled.output, manifest) == expected


def index_files(manifest: Manifest) -> set[str]:
    return {file.path for file in manifest.files_of(BROWSE)}


def without_index(labeled: LabeledInput, manifest: Manifest) -> Manifest:
    """The snapshot as earlier versions have published it."""
    older = Manifest(
        **{name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}
        | {
            "files": tuple(file for file in manifest.files if file.table != BROWSE),
            "schemas": {n: c for n, c in manifest.schemas.items() if n != BROWSE},
        }
    )
    labeled.output.put(manifest_key(manifest.snapshot_id), older.to_json())
    for key in index_files(manifest):
        labeled.output.delete(key)
    return read_manifest(labeled.output, manifest.snapshot_id)


@pytest.fixture
def sixty(tmp_path: Path) -> LabeledInput:
    """Sixty shards of five rows each."""
    labeled = LabeledInput.at(str(tmp_path))
    for number in range(60):
        labeled.shard(f"{number:03d}.parquet", 5)
    return labeled


def test_the_index_says_what_the_tables_say_and_only_its_changed_range_is_written(
    sixty: LabeledInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sixty.publish().manifest
    assert_indexed(sixty, first)
    assert len(index_files(first)) == len({range_of(group.number) for group in first.groups})
    sixty.shard("031.parquet", 5, seed=2)
    read, asked = Store.read_range, set[str]()

    def watched(store: Store, key: str, start: int, stop: int) -> bytes:
        asked.add(key)
        return read(store, key, start, stop)

    monkeypatch.setattr(Store, "read_range", watched)
    second = sixty.publish().manifest
    monkeypatch.undo()
    (written,) = index_files(second) - index_files(first)
    (replaced,) = index_files(first) - index_files(second)
    assert {key for key in asked if "/files/" in key} == {replaced}  # for the groups beside it
    assert_indexed(sixty, second)
    number = next(shard.group for shard in second.shards if shard.path == "031.parquet")
    (file,) = (file for file in second.files_of(BROWSE) if file.path == written)
    assert range_of(file.group) == range_of(number)


def test_a_snapshot_of_earlier_versions_is_browsed_by_its_tables_and_the_next_is_indexed(
    sixty: LabeledInput,
) -> None:
    first = sixty.publish().manifest
    files = stored_files(sixty.output)
    older = without_index(sixty, first)
    assert not has_index(older)
    found = browse(sixty, older)
    assert found == browse(sixty, sixty_again(sixty, older, files))
    sixty.shard("new.parquet", 3)
    third = sixty.publish().manifest
    assert_indexed(sixty, third)
    # Of ranges in which nothing changed the files are those that were published before.
    assert len(index_files(third) & index_files(first)) >= len(index_files(first)) - 1


def sixty_again(labeled: LabeledInput, older: Manifest, files: dict[str, bytes]) -> Manifest:
    """A snapshot that has the index again, made of the tables."""
    made = []
    by_range: dict[int, list[Any]] = {}
    for group in older.groups:
        by_range.setdefault(range_of(group.number), []).append(group.number)
    for numbers in by_range.values():
        with IndexWriter(labeled.output, numbers[0], {}) as writer:
            for number in numbers:
                of_group = [file for file in older.files if file.group == number]
                paths = [shard.path for shard in older.shards if shard.group == number]
                writer.make(of_group, paths)
            made += writer.finish()
    assert {file.path for file in made} <= files.keys()  # the very same bytes
    values = {name: getattr(older, name) for name in Manifest.__dataclass_fields__}
    schemas = {**older.schemas, BROWSE: contract_of(BROWSE)}
    return Manifest(**values | {"files": (*older.files, *made), "schemas": schemas})


def browse(labeled: LabeledInput, manifest: Manifest) -> list[Any]:
    """Pages by several filters, with their counts."""
    columns = snapshot_columns(labeled.output, manifest, 2**30)
    inputs = InputColumns(columns, labeled.source, {}, InputConfig(), {})
    browser = Browser(columns, inputs)
    asked = ["", "status=tie", "reason=media_corrupt&sort=-votes", "pair=0-031", "sort=confidence"]
    found = [browser.find(Filters.parse(_fields(each))) for each in asked]
    return [(each.rows, each.of, each.counts, each.page) for each in found]


def _fields(query: str) -> list[tuple[str, str]]:
    return [tuple(each.split("=")) for each in query.split("&") if each]  # type: ignore[misc]


def test_a_lost_file_of_the_index_is_written_again_as_it_was(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    gone = sorted(index_files(first))[0]
    data = labeled.output.read(gone)
    labeled.output.delete(gone)
    with pytest.raises(InputError, match="files are not there with their sizes"):
        live_rows(labeled.output)
    again = labeled.publish().manifest
    assert (again.snapshot_id, labeled.output.read(gone)) == (first.snapshot_id, data)


def test_a_damaged_file_of_the_index_is_named(labeled: LabeledInput) -> None:
    first = labeled.publish().manifest
    file = first.files_of(BROWSE)[0]
    data = bytearray(labeled.output.read(file.path))
    data[len(data) // 3] ^= 255
    labeled.output.put(file.path, bytes(data))
    with pytest.raises(InputError, match=rf"{file.sha256}\.parquet: corrupt .* publish again"):
        list(snapshot_columns(labeled.output, first, 2**30).blocks())
    other = labeled.publish()
    labeled.shard("z.parquet", 9, seed=4)
    labeled.publish()
    back = run_publish(labeled.output, "--rollback", other.manifest.snapshot_id)
    assert (back.exit_code, "has the SHA-256" in back.error) == (1, True)


@given(cuts=st.lists(st.integers(0, 40), max_size=6), size=st.integers(1, 40))
def test_files_do_not_depend_on_how_rows_came(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], size: int
) -> None:
    output = Store(str(tmp_path_factory.mktemp("index")))
    values = {name: [None] * 40 for name in SNAPSHOT_LABELS.names} | {
        "pair_hash": [f"{n:064x}" for n in range(40)],
        "shard": ["s"] * 40,
        "row": list(range(40)),
        "judge_id": ["j"] * 40,
    }
    labels = pa.table(values, schema=pa.schema([f.with_nullable(True) for f in SNAPSHOT_LABELS]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browse_index, "_GROUP_ROWS", size)
        patch.setattr(browse_index, "_FILE_BYTES", 3_000)
        made = []
        for places in ([], sorted(cuts)):
            with IndexWriter(output, 0, {}) as writer:
                for start, stop in zip([0, *places], [*places, 40], strict=True):
                    writer.write(labels.slice(start, stop - start))
                made.append([(file.path, file.rows) for file in writer.finish()])
    assert made[0] == made[1]
    assert sum(rows for _, rows in made[0]) == 40
    tables = [pq.read_table(output.path(path)) for path, _ in made[0]]
    assert pa.concat_tables(tables)["row"].to_pylist() == list(range(40))
