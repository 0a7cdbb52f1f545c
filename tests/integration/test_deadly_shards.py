"""Shards that end whatever reads them: each is named, and everything else is labelled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runtime.disposable import Disposables, ProcessDiedError
from tests.labeling import run_label, verdict_of, write_config
from tests.shards import labels_of, pair, write_shard
from tests.unit import hazards

# Both end a process that looks at their columns' metadata: one has a damaged byte there, the other
# is encrypted with a footer that is not.
DEADLY = Path(__file__).parents[1] / "reads"
PAGES, ENCRYPTED = "abort_on_read.parquet", "encrypted_plaintext_footer.parquet"


@pytest.mark.parametrize("name", [PAGES, ENCRYPTED])
def test_they_end_a_process_that_is_not_protected(name: str) -> None:
    processes = Disposables(["tests.unit.hazards"])
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


@EVERY
def test_every_edit_ends_a_process_that_is_not_protected(every: int) -> None:
    processes = Disposables(["tests.unit.hazards"])
    survived = []
    for number, data in enumerate(edited(every)):
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
