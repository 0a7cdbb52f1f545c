"""Whether a process has ended is known of this machine's own alone, and for certain."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.store.process_identity import ProcessIdentity, has_ended, this_process

_SAYS_WHO = (
    "import dataclasses, sys\n"
    "from pipeline.store.process_identity import this_process\n"
    "print(dataclasses.astuple(this_process()), flush=True)\n"
    "sys.stdin.read()\n"
)


def test_a_process_lives_until_it_is_killed() -> None:
    command = [sys.executable, "-c", _SAYS_WHO]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        identity = ProcessIdentity(*ast.literal_eval(child.stdout.readline()))
        assert identity.process == child.pid
        assert not has_ended(identity)
        child.kill()
    assert has_ended(identity)


def test_it_is_the_same_whenever_it_is_asked() -> None:
    own = this_process()
    assert own == this_process()
    assert own.process == os.getpid()
    assert not has_ended(own)


@pytest.mark.parametrize(
    "changes", [{"host": "other"}, {"boot_id": "other"}, {"boot_id": ""}, {"pid_namespace": 1}]
)
def test_nothing_is_known_of_processes_elsewhere(changes: dict[str, object]) -> None:
    gone = replace(this_process(), started=1)
    assert has_ended(gone)  # its number is this process's now
    assert not has_ended(replace(gone, **changes))  # type: ignore[arg-type]


def test_a_process_of_which_the_start_is_not_known_may_live() -> None:
    assert not has_ended(replace(this_process(), started=0))
