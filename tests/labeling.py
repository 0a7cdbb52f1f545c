"""Runs the main job in tests, and says independently of it what must come out."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.label import main
from pipeline.store.object_store import Store
from tests.shards import labels_of

Row = dict[str, Any]
_STATED = re.compile(r"score=(\d+)")


@dataclass(frozen=True)
class Outcome:
    """How a run of the job ended: exit code, events (every line of stdout), and stderr."""

    exit_code: int
    events: list[dict[str, Any]]
    error: str

    def event(self, name: str) -> dict[str, Any]:
        """The only event of that name."""
        (found,) = [event for event in self.events if event["event"] == name]
        return found

    @property
    def notes(self) -> list[str]:
        """What was said in sentences."""
        return [event["text"] for event in self.events if event["event"] == "note"]


def write_config(path: Path, model: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Writes a configuration with the scripted engine; ``changes`` are merged into it."""
    config: dict[str, Any] = {
        "judge": {"model": {"name": str(model)}},
        "engine": {"kind": "scripted", "max_num_seqs": 8, "decode_threads": 2},
        "input": {"unit_rows": 32},
        "workers": {"local_object_store_mb": 100},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(_merged(config, changes or {})), encoding="utf-8")
    return path


def run_label(config: Path, source: object, output: object, *arguments: str) -> Outcome:
    """Runs ``jobs.label`` in this process; every line it prints must be a JSON object."""
    return run_job(main, label_arguments(config, source, output, *arguments))


def run_job(main: Callable[[list[str]], int], arguments: list[str]) -> Outcome:
    """Runs a job in this process; every line it prints must be a JSON object."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        exit_code = main(arguments)
    lines = stdout.getvalue().splitlines()
    noise = [line for line in lines if not line.startswith("{")]
    assert noise == [], noise
    return Outcome(exit_code, [json.loads(line) for line in lines], stderr.getvalue())


def label_arguments(config: Path, source: object, output: object, *arguments: str) -> list[str]:
    """The command line of ``jobs.label`` or ``jobs.nightly``."""
    where = ["--input", str(source), "--output", str(output)]
    return ["--config", str(config), *where, *arguments]


def verdict_of(row: Row) -> tuple[str, str | None]:
    """Status and preference that the scores stated in a pair's answers demand."""
    score_a, score_b = (
        int(_STATED.findall(row[name]["text"])[0]) for name in ("response_a", "response_b")
    )
    if score_a == score_b:
        return "tie", None
    return "labeled", "a" if score_a > score_b else "b"


def assert_exact(
    output: object,
    shards: Mapping[str, Sequence[Row]],
    quarantined: Mapping[tuple[str, int], str] | None = None,
    abstained: Collection[tuple[str, int]] = (),
) -> list[Row]:
    """Asserts that every input row has exactly one label, and the right one.

    Args:
        output: the output root.
        shards: the rows of each shard.
        quarantined: the reason of each row that must be in quarantine.
        abstained: the rows whose votes must decide nothing.

    Returns:
        The labels, sorted by shard and row.
    """
    expected = {}
    for shard, rows in shards.items():
        for number, row in enumerate(rows):
            reason = (quarantined or {}).get((shard, number))
            verdict = ("quarantined", None) if reason else verdict_of(row)
            verdict = ("abstained", None) if (shard, number) in abstained else verdict
            expected[shard, number] = (row["pair_id"], *verdict, reason)
    labels = labels_of(str(output))
    counts = Counter((label["shard"], label["row"]) for label in labels)
    assert {place: count for place, count in counts.items() if count > 1} == {}
    got = {
        (label["shard"], label["row"]): tuple(
            label[name] for name in ("pair_id", "status", "preference", "reason")
        )
        for label in labels
    }
    assert got.keys() == expected.keys()
    assert {k: (got[k], expected[k]) for k in got if got[k] != expected[k]} == {}
    return labels


def contents(root: object, prefix: str = "") -> dict[str, tuple[object, bytes]]:
    """Every object under ``prefix``: its version (etag, or inode and time) and its bytes.

    Without the lease, which every run that may write takes and releases.
    """
    store = Store(str(root))
    found: dict[str, tuple[object, bytes]] = {}
    for entry in store.list(prefix):
        if entry.key.startswith("leases/"):
            continue
        version: object = entry.etag
        if version is None:
            stat = Path(store.path(entry.key)).stat()
            version = (stat.st_ino, stat.st_mtime_ns)
        found[entry.key] = (version, store.read(entry.key))
    return found


def run_records(output: object) -> list[dict[str, Any]]:
    """The records of all finished runs, oldest first."""
    store = Store(str(output))
    return [json.loads(store.read(e.key)) for e in store.list("runs") if "run.json" in e.key]


def forbid_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, the test fails if the job asks for Ray."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr("pipeline.labeling.cluster.ray_session.ray_session", refuse)


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        section = merged.get(key)
        if isinstance(section, dict) and isinstance(value, Mapping):
            value = _merged(section, value)
        merged[key] = value
    return merged
