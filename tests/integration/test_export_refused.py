"""What cannot be exported, and what is left where an export fails: nothing that looks whole."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from tests.exporting import (
    FOR_A,
    TORN,
    Corpus,
    export_rows,
    folder_of,
    run_export,
    settings,
)
from tests.processes import ROOT
from tests.shards import pair, shard_bytes

BEGUN = ".begun.json"  # what names the files of an export before they are written


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two shards of labeled pairs with pictures, published."""
    made = Corpus.at(tmp_path)
    for name in ("a.parquet", "b.parquet"):
        made.shard(
            name, [pair(number, pair_id=f"{name}-{number}") for number in range(6)], [FOR_A] * 6
        )
    made.publish()
    return made


def refused(corpus: Corpus, *arguments: str, code: int = 2) -> str:
    """The message of an export that does not take place."""
    done = run_export(corpus.output, *arguments)
    assert (done.exit_code, done.events) == (code, [])
    assert list(corpus.output.list("exports")) == []
    return done.error


def test_what_there_is_not(corpus: Corpus, tmp_path: Path) -> None:
    empty = Corpus.at(tmp_path / "empty")
    assert "nothing is published there" in refused(empty)
    assert "snapshot 'feed': 0 ids under" in refused(corpus, "--snapshot", "feed")
    done = run_export(corpus.output, "--snapshot", f"{corpus.output.uri}/snapshots/x")
    assert "is a URI: leave --output out" in done.error
    assert "give --output URI" in run_export(None).error
    assert "export.selection.min_confidence" in refused(
        corpus, *settings(selection__min_confidence=3)
    )


def test_no_row_is_left(corpus: Corpus, tmp_path: Path) -> None:
    error = refused(corpus, *settings(selection__min_confidence=0.99))
    assert "of 12 rows are dropped 12 low_confidence; select less strictly" in error
    # Written to see that no row is left: what cannot be held is found row by row.
    done = run_export(corpus.output, "--format", "openrlhf")
    assert "dropped 12 has_images; openrlhf holds texts alone: take a format" in done.error
    assert "(trl-dpo, llama-factory, ms-swift, verl-rl, jsonl, pointwise, rankings)" in done.error
    assert not [e.key for e in corpus.output.list("exports") if e.key.endswith("export.json")]
    stripped = run_export(corpus.output, "--format", "openrlhf", *settings(media__strip=True))
    assert stripped.event()["kept"] == 12
    torn = Corpus.at(tmp_path / "torn")
    torn.shard("a.parquet", [pair(0)], [TORN])
    torn.publish()
    assert "dropped 1 abstained" in refused(torn)


def test_a_shard_that_changed_is_not_joined(corpus: Corpus) -> None:
    corpus.source.put("b.parquet", shard_bytes(corpus.pairs["b.parquet"][::-1]))
    error = refused(corpus, code=5)
    assert "1 shards of" in error
    assert "b.parquet: its content is not what was labelled" in error
    corpus.source.delete("b.parquet")
    assert "b.parquet: it is gone" in refused(corpus, code=5)
    done = run_export(corpus.output, *settings(changed_shards="drop", validation=0))
    assert done.event()["dropped_shard_changed"] == 6
    found = export_rows(corpus.output, folder_of(done, corpus.output))
    assert {row["pair_id"] for row in found} == {f"a.parquet-{number}" for number in range(6)}
    corpus.source.delete("a.parquet")
    none_left = run_export(corpus.output)
    assert none_left.exit_code == 5
    assert "a.parquet: it is gone" in none_left.error
    elsewhere = run_export(corpus.output, "--input", f"{corpus.source.uri}/elsewhere")
    assert elsewhere.exit_code == 2
    assert "no *.parquet" in elsewhere.error


def test_another_mapping_than_the_pairs_were_labelled_with(corpus: Corpus) -> None:
    mapping = "input.columns={response_a: {text: response_b.text}}"
    done = run_export(corpus.output, "--set", mapping)
    assert done.exit_code == 2
    assert "a.parquet, row 0: it is not the pair that was labelled" in done.error
    assert "give the input.map" in done.error


def is_receipt(key: str) -> bool:
    """Whether a key is of a part that is whole."""
    return "/_parts/" in key and not key.endswith(BEGUN)


def test_a_full_disk_leaves_no_export(corpus: Corpus) -> None:
    def limit() -> None:  # no file may grow beyond; the system refuses more, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "jobs.export", "--output", corpus.output.uri]
    done = subprocess.run(
        command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    message = (
        "train-00000.parquet: the disk is full, or a quota is used up: make room, and run again "
        "(OSError: [Errno 27] File too large)\n"
    )
    assert done.stderr.endswith(message), done.stderr
    folder = Path(corpus.output.uri) / "exports"
    left = [path.name for path in folder.rglob("*") if path.is_file()]
    assert [name for name in left if not name.endswith(BEGUN)] == []  # names alone, for `clean`


def test_a_killed_export_is_not_there_and_is_finished_by_the_next(tmp_path: Path) -> None:
    made = Corpus.at(tmp_path)
    rows = [pair(number, pair_id=f"{number}") for number in range(640)]
    made.shard("a.parquet", rows, [FOR_A] * 640)
    made.publish()
    arguments = ("--format", "trl-dpo", *settings(file_rows=16))
    command = [sys.executable, "-m", "jobs.export", "--output", made.output.uri, *arguments]
    process = subprocess.Popen(command, cwd=ROOT)
    while not any(map(is_receipt, (entry.key for entry in made.output.list("exports")))):
        assert process.poll() is None
        time.sleep(0.02)  # it writes fifty parts a second at most
    process.kill()
    assert process.wait() == -signal.SIGKILL
    keys = [entry.key for entry in made.output.list("exports")]
    assert 1 <= sum(map(is_receipt, keys)) < 40
    assert not any(key.endswith("export.json") for key in keys)
    done = next(PurePosixPath(key).stem for key in keys if is_receipt(key))  # in any order
    name = f"train-{done}.parquet"
    written = made.output.read(next(key for key in keys if key.endswith(name)))

    folder = folder_of(run_export(made.output, *arguments), made.output)
    found = export_rows(made.output, folder)
    assert sorted(int(row["pair_id"]) for row in found) == list(range(640))
    assert made.output.read(f"{folder}/{name}") == written
