"""An export is killed at every step: what it leaves is found by forget, and by clean."""

from __future__ import annotations

import datetime
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from jobs import forget
from pipeline.export.begun_files import begin, named_paths, remove_if_forgotten
from pipeline.retention.forget import Forgetting
from pipeline.retention.forget_file import NamedPairs
from pipeline.snapshots.manifests import live
from pipeline.snapshots.swap_latest import drop_previous
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from tests.chaos.dying import Ask, dying
from tests.cleaning import run_clean
from tests.exporting import FOR_A, FOR_B, Corpus, run_export
from tests.publishing import run_on
from tests.shards import pair

PASSES = {"gate": lambda output, manifest: {"passed": True}}
NAMED = pair(2)["pair_id"]
FORMAT = "llama-factory"
SECRET = "Ada Lovelace, 12 St James's Square"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A published corpus, one of whose pairs has a person's text in its prompt."""
    made = Corpus.at(tmp_path_factory.mktemp("export-kill"))
    rows = [pair(number, images=None) for number in range(6)]
    rows[2]["prompt"] = SECRET
    made.shard("a.parquet", rows, [FOR_A, FOR_B] * 3)
    made.publish(**PASSES)
    return made


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with dying("tests.chaos.export_and_die", {}) as asking:
        yield asking


def holding(output: Store) -> list[str]:
    """Every file, hidden ones too, with the text; rows of this format are not compressed."""
    files = [path for path in Path(output.uri).rglob("*") if path.is_file()]
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def killed_at_every_step(corpus: Corpus, ask: Ask, folder: Path) -> Iterator[tuple[str, Store]]:
    """Copies of the output, in each of which an export was killed before the step that is named."""
    steps, number = ["?"], 0
    while number < len(steps):
        output = Store(str(shutil.copytree(corpus.output.uri, folder / str(number))))
        done = ask({"output": output.uri, "format": FORMAT, "die_at": number})
        assert done["signal"] == signal.SIGKILL
        if number == 0:  # which steps there are
            whole = shutil.copytree(corpus.output.uri, folder / "whole")
            steps = ask({"output": str(whole), "format": FORMAT, "die_at": None})["steps"]
        yield steps[number], output
        number += 1


def test_what_a_killed_export_left_is_found(
    corpus: Corpus, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    named = NamedPairs(frozenset({NAMED}), frozenset(), frozenset())
    held = []
    for step, output in killed_at_every_step(corpus, ask, tmp_path):
        if files := holding(output):
            held.append(step)
        removed = Forgetting(output, named).plan()
        found = {output.path(entry.key) for each in removed for entry in each.thing.entries}
        assert set(files) <= found, step

        (snapshot,) = (entry.key for entry in output.list("snapshots") if "manifest" in entry.key)
        theirs = f"exports/{snapshot.split('/')[1]}/{FORMAT}/train/00009.jsonl"
        output.put(theirs, b"like ours")
        for entry in [*output.list("snapshots")]:  # as if later ones had come and this one gone
            output.delete(entry.key)
        with monkeypatch.context() as patch:
            patch.setattr(Host, "now", lambda host: later)
            assert run_clean(output, "--clean.exports.days", "1", "--apply").exit_code == 0
        assert list(Path(output.uri).rglob(".*.tmp")) == [], step
        assert [entry.key for entry in output.list("exports")] == [theirs], step
    # Hidden, visible, and named by a receipt; then beside others, and whole.
    assert (held[0].split()[0], held[-1]) == ("commit", "end")
    assert any(step.endswith("_parts/00000.json") for step in held)
    assert any(step.endswith("README.md") for step in held)


def names_alone(output: Store) -> bool:
    """Whether what is left of exports is what names their files, which nobody's text is in."""
    return all(entry.key.endswith(".begun.json") for entry in output.list("exports"))


def test_forget_removes_what_a_killed_export_left(corpus: Corpus, ask: Ask, tmp_path: Path) -> None:
    steps = killed_at_every_step(corpus, ask, tmp_path)
    output = next(output for _, output in steps if holding(output))
    (tmp_path / "pairs").write_text(NAMED)
    outcome = run_on(forget.main, output, "--pairs", str(tmp_path / "pairs"), "--apply")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert holding(output) == []
    assert names_alone(output)


def test_forget_removes_what_was_named_before_it_looked_and_written_before_the_snapshot_went(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Store(str(shutil.copytree(corpus.output.uri, tmp_path / "out")))
    snapshot, path = live(output).snapshot_id, "train/00000.jsonl"
    folder = f"exports/{snapshot}/{FORMAT}"
    begin(output, folder, "00000", [path])

    def written(*which: Any) -> None:
        output.put(f"{folder}/{path}", SECRET.encode())
        remove_if_forgotten(output, folder, snapshot, [path])  # it is there still
        assert holding(output)
        drop_previous(*which)

    monkeypatch.setattr("pipeline.retention.forget.drop_previous", written)
    (tmp_path / "pairs").write_text(NAMED)
    outcome = run_on(forget.main, output, "--pairs", str(tmp_path / "pairs"), "--apply")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert holding(output) == []
    assert names_alone(output)


def test_what_an_export_writes_after_forget_and_is_killed_is_found_by_the_next(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Store(str(shutil.copytree(corpus.output.uri, tmp_path / "out")))
    snapshot, path = live(output).snapshot_id, "train/00000.jsonl"
    folder = f"exports/{snapshot}/{FORMAT}"
    begin(output, folder, "00000", [path])
    (tmp_path / "pairs").write_text(NAMED)
    arguments = ("--pairs", str(tmp_path / "pairs"), "--apply")
    assert run_on(forget.main, output, *arguments).exit_code == 0
    output.put(f"{folder}/{path}", SECRET.encode())  # and killed before it looks
    assert run_on(forget.main, output, *arguments).exit_code == 0
    assert holding(output) == []

    output.put(f"{folder}/{path}", SECRET.encode())
    assert run_clean(output, "--apply").exit_code == 0
    assert holding(output) == []
    assert [*output.list("exports")]  # another one may be about to write it
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    monkeypatch.setattr(Host, "now", lambda host: later)
    assert run_clean(output, "--apply").exit_code == 0
    assert [*output.list("exports")] == []


def test_two_who_write_a_part_name_its_files_side_by_side(tmp_path: Path) -> None:
    output, folder = Store(str(tmp_path)), f"exports/{'0' * 16}/{FORMAT}"
    for path in ("train/00000.jsonl", "validation/00000.jsonl", "train/00000.jsonl"):
        begin(output, folder, "00000", [path])
    named = {path for entry in output.list(folder) for path in named_paths(output.read(entry.key))}
    assert named == {"train/00000.jsonl", "validation/00000.jsonl"}


def test_forget_looks_into_exports_whose_snapshot_is_gone(corpus: Corpus, tmp_path: Path) -> None:
    output = Store(str(shutil.copytree(corpus.output.uri, tmp_path / "out")))
    for form in ("jsonl", "verl-rl", "trl-dpo"):
        assert run_export(output, "--format", form).exit_code == 0
    other = f"exports/{'0' * 16}"
    for entry in [*output.list("exports")]:
        if (
            "/trl-dpo/" in entry.key
        ):  # an export of another snapshot, whose rows are not of the pair
            data = output.read(entry.key)
            if entry.key.endswith(".parquet"):
                rows = pq.read_table(pa.BufferReader(data))
                kept = rows.filter(pc.not_equal(rows["pair_id"], NAMED))
                buffer = pa.BufferOutputStream()
                pq.write_table(kept, buffer)
                data = bytes(buffer.getvalue())
            output.put(f"{other}/{entry.key.split('/', 2)[2]}", data)
    for entry in [*output.list("snapshots")]:
        output.delete(entry.key)
    (tmp_path / "pairs").write_text(NAMED)
    outcome = run_on(forget.main, output, "--pairs", str(tmp_path / "pairs"), "--apply")
    assert (outcome.exit_code, outcome.error) == (0, "")
    left = [e.key for e in output.list("exports") if not e.key.endswith(".begun.json")]
    assert {key.split("/")[1] for key in left} == {"0" * 16}
