"""How signals end a command: while it loads, while it works, and once its work is over."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pipeline.runtime.command import run_command
from pipeline.runtime.ending import TerminatedError

AS_COMMAND = """
import os, sys, time
from signal import SIGINT, SIGTERM
from pipeline.runtime.ending import this_process_is_a_command
this_process_is_a_command()
def send(number):
    os.kill(os.getpid(), number)
"""
WORKS = """
from pipeline.runtime.command import run_command
def body():
    try:
        {body}
    finally:
        print("closed", flush=True)
    return 3
sys.exit(run_command(body, "run it again"))
"""
# What the work does, what is closed before it ends, its exit code, and what is on stderr.
ENDS: dict[str, tuple[str, str, int, str]] = {
    "the work was done": ("pass", "closed\n", 3, ""),
    "Ctrl-C": ("send(SIGINT)", "closed\n", 130, "interrupted; run it again\n"),
    "SIGTERM": ("send(SIGTERM)", "closed\n", 143, "stopped by SIGTERM; run it again\n"),
    "Ctrl-C, and again while it is closed": (
        "try: send(SIGINT)\n        finally: send(SIGINT)",
        "",
        130,
        "interrupted; ended at once: what it was at is left as it was; run it again\n",
    ),
    "an error that Ctrl-C has caused": (
        "try: send(SIGINT)\n        except BaseException: raise ImportError('half')",
        "closed\n",
        130,
        "interrupted; run it again\n",
    ),
    "Ctrl-C where nothing can be raised": (
        "class Odd:\n            def __del__(self): send(SIGINT)\n"
        "        Odd()\n        time.sleep(60)",
        "closed\n",
        130,
        "interrupted; run it again\n",
    ),
}


def ended(program: str) -> tuple[str, int, str]:
    done = subprocess.run(
        [sys.executable, "-c", AS_COMMAND + program], capture_output=True, text=True
    )
    return done.stdout, done.returncode, done.stderr


def test_while_it_loads_nothing_is_begun() -> None:
    assert ended("send(SIGINT)") == ("", 130, "interrupted; nothing was begun\n")
    assert ended("send(SIGTERM)") == ("", 143, "stopped by SIGTERM; nothing was begun\n")


@pytest.mark.parametrize("how", ENDS)
def test_while_it_works(how: str) -> None:
    body, *came = ENDS[how]
    assert ended(WORKS.format(body=body)) == tuple(came)


def test_what_came_of_the_work_stands_while_python_is_left() -> None:
    late = "import atexit\natexit.register(lambda: send(SIGTERM))\n"
    assert ended(late + WORKS.format(body="pass")) == ("closed\n", 3, "")


def test_who_ignores_ctrl_c_goes_on_doing_so() -> None:
    ignoring = "import signal; signal.signal(SIGINT, signal.SIG_IGN); this_process_is_a_command()\n"
    assert ended(ignoring + WORKS.format(body="send(SIGINT)")) == ("closed\n", 3, "")


def test_a_program_that_calls_a_command_keeps_its_own_handlers() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def body() -> int:
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        raise TerminatedError

    assert run_command(body, "run it again") == 143


def test_a_command_is_one_from_its_first_import() -> None:
    shown = "import signal, jobs; print(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)"
    for first, handled in (("-m", True), ("elsewhere", False)):
        program = f"import sys; sys.argv[0] = {first!r}; {shown}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout == f"{handled}\n"
