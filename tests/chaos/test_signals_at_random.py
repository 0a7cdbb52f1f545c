"""SIGINT and SIGTERM at random moments of real commands, from their first import to their end.

However a command ends, it says one sentence and has the exit code of the table (infra/OPS.md); what
it leaves is whole, and the same command, run again, comes to what it would have come to.
``PAIRMILL_SIGNAL_SEED`` replays the moments of a failure, ``PAIRMILL_SIGNAL_MOMENTS`` are how many
there are of each command.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

import jobs.ingest
from tests.exporting import Corpus, export_rows, fill, folder_of, run_export
from tests.labeling import assert_exact, label_arguments, run_label, run_records, write_config
from tests.nights import rows_of
from tests.processes import ROOT, dead, wait_until
from tests.publishing import live_rows, run_publish
from tests.shards import pair, write_shard

_SEED, _MOMENTS = "PAIRMILL_SIGNAL_SEED", int(os.environ.get("PAIRMILL_SIGNAL_MOMENTS", 16))
_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
_ASKED = "SIGTERM: finishing what is in flight; once more ends it at once"
_SAID = {130: ("interrupted; ",), 143: ("stopped by SIGTERM", _ASKED)}
_LATER = 1.15  # of the time that a command takes: some moments are behind its end
pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600)]


@dataclass
class Ended:
    """How a command ended that got signals."""

    sent: list[tuple[float, signal.Signals]]
    code: int
    stdout: str
    stderr: str
    left: list[psutil.Process] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What is wrong with it."""
        # Ray's own C++ code, and a start that a busy machine has failed.
        beside = ("logging.cc", ".cc:", "Ray did not start (")
        said = [line for line in self.stderr.splitlines() if not any(s in line for s in beside)]
        # Asked twice to stop, it has said what the second time does.
        if said[:1] == [_ASKED] and (said[1:] or len(self.sent) == 1):
            del said[0]
        found = []
        if self.code not in (0, *(_CODES[number] for _, number in self.sent)):
            found.append(f"exit code {self.code}")
        if self.code and not (len(said) == 1 and said[0].startswith(_SAID.get(self.code, ("",)))):
            found.append("not one sentence")
        if not self.code and said:
            found.append("done, and not silent")
        if self.left:
            found.append(f"left {[process.cmdline() for process in self.left]}")
        return found


def run(arguments: list[str], sent: list[tuple[float, signal.Signals]], group: bool) -> Ended:
    """Runs ``python -m …``, with signals so many seconds after it can handle any.

    Args:
        group: they go to every process of the job, as those of a terminal do.
    """
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(lambda: _handles(process.pid) or process.poll() is not None)
        begun, below = time.monotonic(), list[psutil.Process]()
        for moment, number in sent:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, begun + moment - time.monotonic()))
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                below += psutil.Process(process.pid).children(recursive=True)
                (os.killpg if group else os.kill)(process.pid, number)
        stdout, stderr = process.communicate()
    agents = ("DashboardAgent", "RuntimeEnvAgent")  # they look for their raylet once a minute
    with contextlib.suppress(AssertionError):
        wait_until(lambda: all(map(dead, below)), 30)
    left = [p for p in below if not dead(p)]
    with contextlib.suppress(psutil.Error):
        left = [p for p in left if not any(name in " ".join(p.cmdline()) for name in agents)]
    return Ended(sent, process.returncode, stdout, stderr, left)


def _handles(pid: int) -> bool:
    """Whether a process has a handler of SIGTERM: before that, Python itself starts."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def signals(chance: random.Random, lasts: float) -> tuple[list[tuple[float, signal.Signals]], bool]:
    """One signal or two, at random moments, and whether they go to the whole group."""
    first = chance.uniform(0, _LATER * lasts)
    numbers = chance.choice(
        [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM], [signal.SIGTERM] * 2]
    )
    sent, at = [], first
    for number in numbers:
        sent.append((at, number))
        at += chance.choice([0.005, 0.1, 1.0]) * chance.random()
    # SIGTERM is sent to the job alone: Ray's own processes end by it.
    return sent, numbers[0] is signal.SIGINT and chance.random() < 0.5


@dataclass
class Scene:
    """A command on inputs of its own, and what it must come to.

    Attributes:
        arguments: of the command that gets signals.
        fresh: puts everything as it is before the command's first run.
        finish: runs the same command to its end, and asserts what it comes to.
    """

    arguments: list[str]
    fresh: Callable[[], None]
    finish: Callable[[], None]


def _label(root: Path, model: Path) -> Scene:
    """A private Ray, two shards, units that take a second each."""
    shards = {
        "a.parquet": [pair(number) for number in range(60)],
        "b.parquet": [pair(number) for number in range(60, 90)],
    }
    for name, rows in shards.items():
        write_shard(root / "in" / name, rows, 20)
    slow = {"engine": {"script": {"latency_s": 0.1}}, "input": {"unit_rows": 8}}
    config = write_config(root / "label.yaml", model, slow)
    source, output = root / "in", root / "out"

    def finish() -> None:
        done = run_label(config, source, output, "--set", "engine.script.latency_s=0")
        assert (done.exit_code, done.error) == (0, "")
        assert_exact(output, shards)
        states = {record["state"] for record in run_records(output)}
        assert states <= {"stopped", "done"}

    arguments = ["jobs.label", *label_arguments(config, source, output)]
    return Scene(arguments, functools.partial(_remove, output), finish)


def _publish(root: Path, model: Path) -> Scene:
    corpus = fill(Corpus.at(root))
    labels, kept = Path(corpus.output.uri), root / "kept"
    for folder in ("snapshots", "exports", "leases"):
        _remove(labels / folder)
    shutil.copytree(labels, kept)
    where = ["--input", corpus.source.uri]

    def fresh() -> None:
        _remove(labels)
        shutil.copytree(kept, labels)

    def finish() -> None:
        done = run_publish(corpus.output, *where)
        assert (done.exit_code, done.error) == (0, "")
        rows = [*live_rows(corpus.output), *live_rows(corpus.output, "quarantine")]
        assert sorted((row["shard"], row["row"]) for row in rows) == rows_of(corpus.pairs)

    return Scene(["jobs.publish", "--output", corpus.output.uri, *where], fresh, finish)


def _export(root: Path, model: Path) -> Scene:
    corpus = fill(Corpus.at(root))
    folder = Path(corpus.output.uri) / "exports"
    how = ["--format", "jsonl"]

    def finish() -> None:
        done = run_export(corpus.output, *how)
        rows = export_rows(corpus.output, folder_of(done, corpus.output))
        exported = Counter(row["pair_id"] for row in rows)
        labelled = [row["pair_id"] for row, _ in corpus.labelled()]
        assert exported == Counter(labelled)
        _remove(folder)

    where = ["--output", corpus.output.uri, *how]
    return Scene(["jobs.export", *where], functools.partial(_remove, folder), finish)


def _ingest(root: Path, model: Path) -> Scene:
    texts = random.Random(0)
    rows = [
        {"id": str(n), "question": "Which?", "first": texts.randbytes(200).hex(), "second": f"{n}"}
        for n in range(5_000)
    ]
    source = root / "mine.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fields = {"pair_id": "id", "messages": "question", "a": "first", "b": "second"}
    command = ["--source", str(source), "--output", str(root / "pairs")]
    command += ["--shards.file_bytes", "100000"]
    command += [word for name, value in fields.items() for word in (f"--map.{name}", value)]

    def finish() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            assert jobs.ingest.main([*command, "--overwrite", "true"]) == 0
        names = sorted((root / "pairs").glob("*.parquet"))
        ids = [i for name in names for i in pq.read_table(name, columns=["pair_id"])[0].to_pylist()]
        assert ids == [row["id"] for row in rows]
        _remove(root / "pairs")

    return Scene(["jobs.ingest", *command], functools.partial(_remove, root / "pairs"), finish)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


SCENES = {"label": _label, "publish": _publish, "export": _export, "ingest": _ingest}


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("command", SCENES)
def test_whatever_moment_it_ends_at(
    command: str, tmp_path: Path, model: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get(_SEED, random.SystemRandom().randrange(10**9)))
    chance, scene = random.Random(seed), SCENES[command](tmp_path, model)
    scene.fresh()
    begun = time.monotonic()
    whole = run(scene.arguments, [], group=False)
    lasts = time.monotonic() - begun
    assert (whole.code, whole.faults()) == (0, [])
    scene.finish()
    found, codes = list[str](), Counter[int]()
    for number in range(_MOMENTS):
        scene.fresh()
        sent, group = signals(chance, lasts)
        ended = run(scene.arguments, sent, group)
        codes[ended.code] += 1
        if faults := ended.faults():
            found.append(f"{number}: {', '.join(faults)}, {group=}, {ended}")
        scene.finish()
    record_property("ended", f"{command}, seed {seed}: {lasts:.1f} s, {dict(codes)}")
    if found:
        pytest.fail("\n\n".join([f"{_SEED}={seed}", *found]))
