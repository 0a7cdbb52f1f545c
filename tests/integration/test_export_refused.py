"""What cannot be exported, and what is left where an export fails: nothing that looks whole."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporting import FOR_A, TORN, Corpus, export_rows, folder_of, run_export, settings
from tests.processes import ROOT
from tests.shards import pair, picture, shard_bytes


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


def refused(corpus: Corpus, *arguments: str) -> str:
    """The message of an export that does not take place."""
    done = run_export(corpus.output, *arguments)
    assert (done.exit_code, done.events) == (2, [])
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


def test_no_row_is_left(corpus: Corpus, shared_ray: str, tmp_path: Path) -> None:
    error = refused(corpus, *settings(selection__min_confidence=0.99))
    assert "of 12 rows are dropped 12 low_confidence; ask for less" in error
    # Written to see that no row is left: what cannot be held is found row by row.
    done = run_export(corpus.output, "--format", "openrlhf")
    assert "dropped 12 has_images; openrlhf holds texts alone: take a format" in done.error
    assert "(trl-dpo, llama-factory, ms-swift, verl-rl, jsonl, pointwise)" in done.error
    assert not [e.key for e in corpus.output.list("exports") if e.key.endswith("export.json")]
    stripped = run_export(corpus.output, "--format", "openrlhf", *settings(media__strip=True))
    assert stripped.event()["kept"] == 12
    torn = Corpus.at(tmp_path / "torn")
    torn.shard("a.parquet", [pair(0)], [TORN])
    torn.publish()
    assert "dropped 1 abstained" in refused(torn)


def test_a_shard_that_changed_is_not_joined(corpus: Corpus, shared_ray: str) -> None:
    corpus.source.put("b.parquet", shard_bytes(corpus.pairs["b.parquet"][::-1]))
    error = refused(corpus)
    assert "1 shards of" in error
    assert "b.parquet: it is another one than when it was labelled" in error
    corpus.source.delete("b.parquet")
    assert "b.parquet: it is gone" in refused(corpus)
    done = run_export(corpus.output, *settings(changed_shards="drop", validation=0))
    assert done.event()["dropped_shard_changed"] == 6
    found = export_rows(corpus.output, folder_of(done, corpus.output))
    assert {row["pair_id"] for row in found} == {f"a.parquet-{number}" for number in range(6)}


def test_another_mapping_than_the_pairs_were_labelled_with(corpus: Corpus, shared_ray: str) -> None:
    mapping = "input.columns={response_a: {text: response_b.text}}"
    done = run_export(corpus.output, "--set", mapping)
    assert done.exit_code == 2
    assert "a.parquet, row 0: it is not the pair that was labelled" in done.error
    assert "give the input.columns" in done.error


# An export without Ray, whose own files a full disk would hit first.
WRITE = """
import contextlib, pickle, sys
import pyarrow as pa
from pipeline.assembly.export import run, selecting

def map_here(tasks, stage):
    for task in tasks:
        batch = pa.table({"task": pa.array([pickle.dumps(task)], pa.large_binary())})
        for table in stage(batch):
            yield from map(pickle.loads, table["result"].to_pylist())

run.map_tasks = selecting.map_tasks = map_here
run.ray_session = lambda workers: contextlib.nullcontext()
from jobs.export import main
sys.exit(main(["--output", sys.argv[1]]))
"""


@pytest.mark.parametrize("most", [1_000_000, 20_000])
def test_a_full_disk_leaves_no_export(corpus: Corpus, most: int) -> None:
    """No file may grow beyond ``most`` bytes; the system refuses more, as on a full disk."""
    big = [pair(n, images=[{"bytes": picture(n, (200, 150)), "path": None}]) for n in range(4)]
    corpus.shard("c.parquet", big, [FOR_A] * 4)
    corpus.publish()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    command = [sys.executable, "-c", WRITE, corpus.output.uri]
    done = subprocess.run(
        command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    left = [path for path in Path(corpus.output.uri).glob("exports/**/*") if path.is_file()]
    if most > 400_000:
        assert (done.returncode, done.stderr) == (0, "")
        assert "export.json" in {path.name for path in left}
    else:
        assert done.returncode == 2
        message = "train-00000.parquet: OSError: [Errno 27] File too large\n"
        assert done.stderr.startswith("error: ")
        assert done.stderr.endswith(message), done.stderr
        assert left == []
