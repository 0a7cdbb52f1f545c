"""Hooks of a nightly run: each once for a change, again if it failed, and none beyond its time."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import psutil
import pytest

from pipeline.nightly.hooks import HookError, Hooks
from pipeline.nightly.nightly_config import NightlyConfig
from pipeline.runtime.errors import StoppedError
from pipeline.runtime.stop import Stop
from pipeline.snapshots.manifests import Latest
from pipeline.store.object_store import Store
from tests.labeling import forbid_ray, write_config
from tests.nights import detail_of, nights, run_nightly, steps_of, write_corpus
from tests.processes import dead, wait_until
from tests.publishing import QUIET, latest_of

pytestmark = pytest.mark.usefixtures("without_charts")

DONE = ["plan", "label", "reconcile", "compact", "gate", "publish"]
# Appends a line of its own to a file, or fails while another file is not there.
_RECORD = (
    "import os, sys; path, name = sys.argv[1:]; "
    "seen = [os.environ['PAIRMILL_' + x] for x in ('OUTPUT', 'SNAPSHOT', 'RUN_ID')]; "
    "open(path, 'a').write(' '.join([name, *seen]) + '\\n')"
)
_NEED = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 7)"


@pytest.mark.usefixtures("without_ray")
def test_a_failed_hook_is_named_and_run_again_with_those_behind_it(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "in")
    source, output, reported = tmp_path / "in", tmp_path / "out", tmp_path / "reported"
    needed = tmp_path / "needed"
    one, three = ([sys.executable, "-c", _RECORD, str(reported), name] for name in ("one", "three"))
    hooks = [one, [sys.executable, "-c", _NEED, str(needed)], three]
    config = write_config(tmp_path / "night.yaml", model, {"nightly": {"hooks": hooks}})
    outcome = run_nightly(config, source, output)
    assert outcome.exit_code == 1
    shown = f"hook {Path(sys.executable).name}"
    assert f"{shown} ended with exit code 7" in outcome.error
    assert str(needed) not in outcome.error
    live = latest_of(Store(str(output)))["snapshot_id"]
    (first,) = nights(output)
    assert (first["state"], first["snapshot_id"]) == ("failed", live)
    ended = {"hooks": "failed", "report": "done"}
    assert steps_of(first) == dict.fromkeys(DONE, "done") | ended
    assert [line.split()[0] for line in reported.read_text().splitlines()] == ["one"]

    needed.touch()
    forbid_ray(monkeypatch)
    assert run_nightly(config, source, output).exit_code == 0
    assert detail_of(nights(output)[-1], "hooks") == {"hooks": [shown, shown]}
    seen = [line.split() for line in reported.read_text().splitlines()]
    assert [(name, snapshot) for name, _, snapshot, _ in seen] == [("one", live), ("three", live)]
    assert run_nightly(config, source, output).exit_code == 0
    assert steps_of(nights(output)[-1])["hooks"] == "skipped"
    assert len(reported.read_text().splitlines()) == 2


def a_change(output: Store) -> Latest:
    """What a publisher has made live."""
    return Latest("f" * 16, "", "2026-01-01T00:00:00+00:00", "the-run", None)


def test_hooks_of_earlier_versions_are_not_run_again(tmp_path: Path) -> None:
    output, (first, second) = Store(str(tmp_path / "out")), (("sh", "-c", "1"), ("sh", "-c", "2"))
    output.put("runs/the-run/hooks.json", json.dumps({"done": [list(first)]}).encode())
    config = NightlyConfig(hooks=(first, second))
    assert Hooks(config, output, a_change(output)).pending == [second]


def test_a_hook_that_takes_too_long_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hook = ("sh", "-c", f"sleep 600 & echo $! > {child}; wait")
    config, output = NightlyConfig(hooks=(hook,), hook_seconds=1), Store(str(tmp_path / "out"))
    hooks = Hooks(config, output, a_change(output))
    with pytest.raises(HookError, match=r"it took more than 1 s \(nightly.hook_seconds\); its"):
        hooks.run("in", "run", QUIET, Stop(), 600)
    pid = int(child.read_text())
    wait_until(lambda: not psutil.pid_exists(pid) or dead(psutil.Process(pid)))
    assert hooks.pending == [hook]


def test_a_stopped_nightly_run_ends_its_hook_and_starts_no_other(tmp_path: Path) -> None:
    begun, never = tmp_path / "begun", tmp_path / "never"
    hook, other = ("sh", "-c", f"touch {begun}; sleep 600"), ("touch", str(never))
    config, output, stop = NightlyConfig(hooks=(hook, other)), Store(str(tmp_path / "out")), Stop()

    def ask() -> None:
        wait_until(begun.exists)
        stop.ask()

    asking = threading.Thread(target=ask)
    asking.start()
    hooks = Hooks(config, output, a_change(output))
    with pytest.raises(StoppedError, match="was killed before its end; the same command goes on"):
        hooks.run("in", "run", QUIET, stop, 0)
    asking.join()
    with pytest.raises(StoppedError, match="was next; the same command goes on"):
        hooks.run("in", "run", QUIET, stop, 600)
    assert Hooks(config, output, a_change(output)).pending == [hook, other]
    assert not never.exists()
