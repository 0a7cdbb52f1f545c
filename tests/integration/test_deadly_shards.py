"""Shards that end whatever reads them: each is named, and everything else is labelled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.runtime.disposable import Disposables, ProcessDiedError
from tests.footers import footer_of, with_footer
from tests.hostile import hazards
from tests.labeling import run_label, verdict_of, write_config
from tests.shards import labels_of, pair, write_shard

# Both end a process that looks at their columns' metadata: one has a damaged byte there, the other
# is encrypted with a footer that is not.
DEADLY = Path(__file__).parents[1] / "reads"
PAGES, ENCRYPTED = "abort_on_read.parquet", "encrypted_plaintext_footer.parquet"


@pytest.mark.parametrize("name", [PAGES, ENCRYPTED])
def test_they_end_a_process_that_is_not_protected(name: str) -> None:
    processes = Disposables(["tests.hostile.hazards"])
    with pytest.raises(ProcessDiedError, match="SIGABRT"):
        processes.call(hazards.column_sizes, (DEADLY / name).read_bytes())
    processes.close()


# Every so many of the edits: all of them take long.
EVERY = pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.long)])


def edited(every: int) -> Iterator[bytes]:
    """Shards of nine rows, each with an edit that ends a process."""
    for base, edits in json.loads((DEADLY / "deadly_edits.json").read_text())[::every]:
        data = bytearray((DEADLY / "bases" / f"{base}.parquet").read_bytes())
        for offset, value in edits:
            data[offset] = value
        yield bytes(data)


_GROUPS, _COLUMNS, _CHUNK, _SIZES = 4, 1, 3, 16  # fields of a footer that lead to a chunk's sizes
_LEVELS = (2, 3)  # of those: counts of repetition and definition levels


def miscounted(every: int) -> Iterator[bytes]:
    """Shards of nine rows in which one column of one row group counts a level too few, or many."""
    data = (DEADLY / "bases" / "plain.parquet").read_bytes()
    groups = range(len(footer_of(data)[_GROUPS][1][1]))
    columns = range(len(footer_of(data)[_GROUPS][1][1][0][_COLUMNS][1][1]))
    places = [(g, c, level, more) for g in groups for c in columns for level in _LEVELS
              for more in ([], [0, 0, 0])]  # fmt: skip
    for group, column, level, more in places[::every]:
        footer = footer_of(data)
        chunk = footer[_GROUPS][1][1][group][_COLUMNS][1][1][column][_CHUNK][1]
        counts = chunk[_SIZES][1].get(level, [0, [0, []]])[1]
        counts[1] = [*counts[1][:-1], *more]
        if level in chunk[_SIZES][1] and counts[1]:  # none at all are not looked at
            yield with_footer(data, footer)


DEADLY_KINDS = pytest.mark.parametrize(
    ("make", "every"),
    [
        (edited, 10),
        (miscounted, 60),
        pytest.param(edited, 1, marks=pytest.mark.long),
        pytest.param(miscounted, 1, marks=pytest.mark.long),
    ],
)
Made = Callable[[int], Iterator[bytes]]


@DEADLY_KINDS
def test_every_edit_ends_a_process_that_is_not_protected(make: Made, every: int) -> None:
    processes = Disposables(["tests.hostile.hazards"])
    survived = []
    for number, data in enumerate(make(every)):
        try:
            processes.call(hazards.column_sizes, data)
            survived.append(number)
        except ProcessDiedError:
            pass
    processes.close()
    assert survived == []


@EVERY
@pytest.mark.usefixtures("shared_ray")
def test_many_deadly_shards(tmp_path: Path, model: Path, every: int) -> None:
    good = {f"{place}-good.parquet": [pair(n) for n in range(9)] for place in ("000", "065", "999")}
    for name, rows in good.items():
        write_shard(tmp_path / "in" / name, rows, 4)
    for number, data in enumerate(edited(every), 1):
        (tmp_path / "in" / f"{number:03d}-deadly.parquet").write_bytes(data)
    quarantine = {"max_fraction": 1, "max_shards": 130}
    config = write_config(tmp_path / "label.yaml", model, {"quarantine": quarantine})
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    labels = labels_of(str(tmp_path / "out"))
    rest = [label for label in labels if label["shard"] in good]
    stated = ((name, n, row) for name, rows in good.items() for n, row in enumerate(rows))
    expected = {(name, n, *verdict_of(row)) for name, n, row in stated}
    assert {(r["shard"], r["row"], r["status"], r["preference"]) for r in rest} == expected
    rows_of = Counter(label["shard"] for label in labels)
    unreadable = outcome.event("done")["unreadable_shards"]
    assert rows_of.keys() | unreadable.keys() == {path.name for path in (tmp_path / "in").iterdir()}
    assert not rows_of.keys() & unreadable.keys()
    assert set(rows_of.values()) == {9}


_LONG = [pytest.mark.long, pytest.mark.timeout(2_400)]


@pytest.mark.parametrize(
    ("every", "places"),
    [
        (120, "amz"),
        pytest.param(6, "amz", marks=_LONG),
        *(pytest.param(1, place, marks=_LONG) for place in "amz"),
    ],
)
@pytest.mark.usefixtures("shared_ray")
def test_each_kind_first_in_the_middle_and_last(
    tmp_path: Path, model: Path, every: int, places: str
) -> None:
    good = {f"{name}.parquet": [pair(n) for n in range(9)] for name in ("b", "n", "y")}
    for name, rows in good.items():
        write_shard(tmp_path / "in" / name, rows, 4)
    deadly = [*edited(2 * every), *miscounted(max(every, 6))]
    for number, data in enumerate(deadly):
        for place in places:
            (tmp_path / "in" / f"{place}-{number:03d}.parquet").write_bytes(data)
    quarantine = {"max_fraction": 1, "max_shards": len(places) * len(deadly)}
    config = write_config(tmp_path / "label.yaml", model, {"quarantine": quarantine})
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.error
    labels = labels_of(str(tmp_path / "out"))
    rest = [label for label in labels if label["shard"] in good]
    expected = {(n, i, *verdict_of(row)) for n, rows in good.items() for i, row in enumerate(rows)}
    assert len(rest) == len(expected)
    assert {(r["shard"], r["row"], r["status"], r["preference"]) for r in rest} == expected
    rows_of = Counter(label["shard"] for label in labels)
    unreadable = outcome.event("done")["unreadable_shards"]
    assert rows_of.keys() | unreadable.keys() == {path.name for path in (tmp_path / "in").iterdir()}
    assert not rows_of.keys() & unreadable.keys()
    assert set(rows_of.values()) == {9}


@pytest.mark.usefixtures("shared_ray")
def test_deadly_shards_among_good_ones(tmp_path: Path, model: Path) -> None:
    good = {f"{name}.parquet": [pair(n) for n in range(20)] for name in ("b", "n", "y")}
    for name, rows in good.items():
        write_shard(tmp_path / "in" / name, rows, 7)
    for place in ("a", "m", "z"):  # first, in the middle, and last
        for name in (PAGES, ENCRYPTED):
            (tmp_path / "in" / f"{place}-{name}").write_bytes((DEADLY / name).read_bytes())
    config = write_config(tmp_path / "label.yaml", model, {"quarantine": {"max_fraction": 1}})
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert outcome.exit_code == 4
    for place in ("a", "m", "z"):
        assert f"{place}-{ENCRYPTED}" in outcome.error
    labels = labels_of(str(tmp_path / "out"))
    lost = [label for label in labels if PAGES in label["shard"]]
    assert len(lost) == 3 * 20
    assert {(label["status"], label["reason"]) for label in lost} == {("quarantined", "bad_row")}
    assert {label["detail"].partition(":")[0] for label in lost} == {"corrupt data page"}
    rest = [label for label in labels if PAGES not in label["shard"]]
    expected = {
        (name, n, *verdict_of(row)) for name, rows in good.items() for n, row in enumerate(rows)
    }
    assert len(rest) == len(expected)
    assert {(r["shard"], r["row"], r["status"], r["preference"]) for r in rest} == expected
