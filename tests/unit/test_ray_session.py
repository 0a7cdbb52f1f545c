"""A private Ray that does not start is tried once more, and then the job ends with what to do."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.labeling.cluster.ray_session import ray_session
from pipeline.labeling.label_config import WorkersConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.errors import ConfigError

# As ray 2.60 raises it when its raylet has not registered after 30 seconds.
TIMED_OUT = (
    "The current node timed out during startup. This could happen because some of the raylet "
    "failed to startup or the GCS has become overloaded."
)
CAUSE = TIMED_OUT.rstrip(".")


class FakeRay:
    """In place of the module ``ray``: its first starts fail, and leave a process behind each."""

    def __init__(self, failures: int, error: Callable[[], Exception]) -> None:
        self._failures, self._error = failures, error
        self.folders: list[Path] = []
        self.left: list[subprocess.Popen[bytes]] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: object) -> None:
        folder = Path(str(options["_temp_dir"]))
        self.folders.append(folder)
        logs = folder / "session_latest" / "logs"
        logs.mkdir(parents=True)
        (logs / "raylet.err").write_text("why", encoding="utf-8")
        if len(self.folders) <= self._failures:
            waits = [sys.executable, "-c", "import time; time.sleep(600)", f"--temp={folder}/x"]
            self.left.append(subprocess.Popen(waits))
            raise self._error()

    def shutdown(self) -> None:
        """Nothing of it is left in this process."""


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRay]:
    def planted(failures: int, error: Callable[[], Exception]) -> FakeRay:
        fake = FakeRay(failures, error)
        monkeypatch.setattr("pipeline.labeling.cluster.ray_session.ray", fake)
        return fake

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return planted


def command(workers: WorkersConfig) -> int:
    """What a job does that needs Ray for nothing."""

    def body() -> int:
        with ray_session(workers):
            return 0

    return run_command(body, "interrupted")


def test_a_start_that_fails_once_is_tried_again_in_a_fresh_folder(
    plant: Callable[..., FakeRay], caplog: pytest.LogCaptureFixture
) -> None:
    fake = plant(1, lambda: Exception(TIMED_OUT))
    with caplog.at_level(logging.WARNING, logger="pipeline"), ray_session(WorkersConfig()):
        first, second = fake.folders
        assert first.parent != second.parent
        assert second.parent.stat().st_mode & 0o777 == 0o700
        assert (first.parent.exists(), second.exists()) == (False, True)
        assert [process.poll() is None for process in fake.left] == [False]
    assert not second.parent.exists()
    assert caplog.messages == [f"Ray did not start ({CAUSE}); starting it once more"]


def test_a_start_that_fails_twice_ends_the_job_with_what_to_look_at(
    plant: Callable[..., FakeRay], capsys: pytest.CaptureFixture[str]
) -> None:
    fake = plant(2, lambda: Exception(TIMED_OUT))
    assert command(WorkersConfig(local_object_store_mb=123)) == 2
    first, second = fake.folders
    assert not first.exists()
    logs = second / "session_latest" / "logs"
    assert (logs / "raylet.err").read_text(encoding="utf-8") == "why"
    assert [process.poll() is None for process in fake.left] == [False, False]
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        rf"error: Ray did not start in two attempts \({re.escape(CAUSE)}\); look at what else "
        r"keeps this machine busy \(load [\d.]+ on \d+ cores\), at the room in /dev/shm "
        r"\(\d+ MiB free, workers\.local_object_store_mb is 123\), at the limit of open files "
        rf"\(ulimit -n: \d+, at most -?\d+\) and at Ray's logs in {re.escape(str(logs))}, then "
        r"run it again",
        last,
    )
    shutil.rmtree(second.parent)


def test_settings_that_ray_refuses_are_not_tried_again(plant: Callable[..., FakeRay]) -> None:
    fake = plant(2, lambda: ValueError("The configured object store size is too large.\nmore"))
    refused = (
        r"^Ray refuses to start with these settings \(The configured object store size is too "
        r"large\); check workers\.local_object_store_mb against the memory and /dev/shm of this "
        r"machine, and workers\.local_cpus$"
    )
    with pytest.raises(ConfigError, match=refused), ray_session(WorkersConfig()):
        raise AssertionError("not reached")
    assert [folder.parent.exists() for folder in fake.folders] == [False]
    assert [process.poll() is None for process in fake.left] == [False]


def test_what_ray_says_of_actors_that_the_run_ended_is_left_out(
    plant: Callable[..., FakeRay], capsys: pytest.CaptureFixture[str]
) -> None:
    plant(0, lambda: Exception(TIMED_OUT))
    killed = "The actor is dead because it was killed by `ray.kill`."
    with ray_session(WorkersConfig()):
        for line in (
            "(raylet) A worker died: its memory ran out.",
            f"(raylet) Task Map.submit failed, and will be retried. Error: {killed}",
            f"(raylet) Task Map.submit failed. Error: {killed} [repeated 2x across cluster]",
            "(raylet) The node is lost.",
        ):
            print(line)  # noqa: T201  as Ray does
    out, err = capsys.readouterr()
    said = "(raylet) A worker died: its memory ran out.\n(raylet) The node is lost.\n"
    assert (out, err) == ("", said)
