"""``pairmill clean`` over exports and derived labels: their own records say what is theirs."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from pipeline.export.export_record import NAME
from pipeline.store.host import Host
from tests.cleaning import gone, objects, run_clean
from tests.derivations import run_derive
from tests.exporting import FOR_A, FOR_B, Corpus, fill, folder_of, run_export
from tests.shards import pair


def corpus_of(tmp_path: Path, snapshots: int) -> tuple[Corpus, list[str]]:
    """Snapshots of a growing corpus, each exported for two trainers; the folders of the exports."""
    corpus, folders = Corpus.at(tmp_path), []
    for number in range(snapshots):
        rows = [pair(10 * number + n) for n in range(6)]
        corpus.shard(f"{number}.parquet", rows, [FOR_A, FOR_B] * 3)
        corpus.publish(gate=lambda output, manifest: {"passed": True})
        for format_ in ("jsonl", "llama-factory"):
            folders.append(folder_of(run_export(corpus.output, "--format", format_), corpus.output))
    return corpus, folders


def a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """By when nobody writes what was begun, so that what names it may go."""
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    monkeypatch.setattr(Host, "now", lambda host: later)


def test_exports_of_older_snapshots_go_with_what_their_records_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, folders = corpus_of(tmp_path, 4)
    output = corpus.output
    kept, old = folders[-4:], folders[:-4]  # those of what is live and was live before stay
    theirs = {f"{old[0]}/notes.txt", f"{old[0]}/train-00099.jsonl", f"{old[1]}/train/mine.json"}
    for key in theirs:
        output.put(key, b"theirs")
    before = objects(output)
    a_day_later(monkeypatch)
    outcome = run_clean(output, "--clean.exports.keep=1", "--apply")
    assert {name for kind, name in gone(outcome) if kind == "export"} == {
        folder.removeprefix("exports/") for folder in old
    }
    after = objects(output)
    assert {key for key in after if key.startswith("exports/")} == theirs | {
        key for key in before if key.startswith(tuple(f"{folder}/" for folder in kept))
    }
    assert outcome.event("not ours, left")["objects"] == len(theirs)


def test_an_unfinished_export_goes_once_it_cannot_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, folders = corpus_of(tmp_path, 3)
    output, (first, *_) = corpus.output, folders
    output.delete(f"{first}/{NAME}")  # killed before its end
    assert not gone(run_clean(output, "--apply"))
    outcome = run_clean(output, "--clean.snapshots.keep=1", "--apply")
    unfinished = {
        ("export", first[len("exports/") :]): "was never finished, and its snapshot is gone",
    }
    assert gone(outcome) == unfinished | {
        ("snapshot", first.split("/")[1]): "not among the newest 1"
    }
    left = [entry.key for entry in output.list(first)]
    assert left
    assert all(key.endswith(".begun.json") for key in left)  # its writer may go on
    assert not gone(run_clean(output, "--apply"))
    a_day_later(monkeypatch)
    assert gone(run_clean(output, "--apply")) == unfinished
    assert [*output.list(first)] == []


def test_derivations_go_by_their_own_time(tmp_path: Path) -> None:
    made = fill(Corpus.at(tmp_path)).made
    for threshold in ("0.8", "0.9"):
        assert run_derive(made, "--policy.threshold", threshold) == 0
    folders = {entry.key.split("/")[2] for entry in made.output.list("derived")}
    assert len(folders) == 2
    half = f"judge={made.judge_id[:16]}/policy={'0' * 16}"
    part = next(entry.key for entry in made.output.list("parts")).split("/", 2)[2]
    made.output.put(f"derived/{half}/{part}", b"of a derivation that was killed")
    assert gone(run_clean(made.output, "--clean.derived.days=1", "--apply")) == {
        ("derivation", half): "has no derivation.json: what made or removed it was ended"
    }
    outcome = run_clean(made.output, "--clean.derived.days=0", "--apply")
    assert len(gone(outcome)) == 2
    assert [*made.output.list("derived")] == []
