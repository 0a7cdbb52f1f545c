"""Workers of the Ray that tests share, forked from a process that has imported what each needs.

A worker of Ray imports ``ray.data`` and pandas before it does anything, three seconds of a slow
core, and tests start a hundred. Here what the raylet starts asks a parent process for a fork of
itself, which then is the worker: it runs Ray's own program, with the arguments, environment, folder
and output that the raylet gave. Workers of the clusters and jobs that tests start are Ray's.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LISTENS = "PAIRMILL_TEST_WORKERS"  # the socket of the parent process
_PROGRAM = "PAIRMILL_TEST_WORKER_PROGRAM"  # Ray's own
_IMPORTED = (
    *("ray.data", "pipeline.labeling.dataflow", "pipeline.labeling.judge_actor"),
    # What comes with pickled settings and operators.
    *("pipeline.nightly.pipeline_config", "ray.data._internal.issue_detection"),
)
# Of the environment Ray's library reads these once, when it is imported. A worker that is not of
# the tests' own Ray job has others, and is not forked.
_READ_AT_IMPORT = ("RAY_JOB_ID", "RAY_RAYLET_PID")
_NO_JOB = "ffffffff"  # of workers that are started before there is one
_LENGTH = 8  # bytes that say how long a request is
_FORKED = b"forked"


class WorkersParent:
    """The process that workers are forked from; it ends with its folder, and with this process."""

    def __init__(self, folder: Path) -> None:
        """Starts it.

        Args:
            folder: of the Ray that it serves, and of its socket.
        """
        self._path = str(folder / "workers")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(64)
            number = listener.fileno()
            code = f"from tests.forked_workers import serve; serve({number}, {self._path!r})"
            self._process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[number])

    @contextmanager
    def asked(self) -> Iterator[None]:
        """A Ray that is started inside has its workers forked."""
        from unittest.mock import patch

        from ray._private.parameter import RayParams
        from ray._private.workers import default_worker

        settle = RayParams.update_if_absent

        def with_this_file(self: Any, **settings: Any) -> None:
            program = {"worker_path": __file__} if "worker_path" in settings else {}
            settle(self, **settings | program)  # type: ignore[no-untyped-call]

        ours = {_LISTENS: self._path, _PROGRAM: default_worker.__file__}
        os.environ.update(ours)  # and what Ray sets for its other jobs stays
        try:
            with patch.object(RayParams, "update_if_absent", with_this_file):
                yield
        finally:
            for name in ours:
                del os.environ[name]

    def end(self) -> None:
        """Ends it; workers that are left are Ray's to end."""
        self._process.kill()
        self._process.wait()


def serve(listening: int, path: str) -> None:
    """Forks a worker for each request, while the socket's path and this one's parent last."""
    import select

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal's processes
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    listener = socket.socket(fileno=listening)
    owner, known = os.getppid(), None
    while os.getppid() == owner and Path(path).exists():
        if not select.select([listener], [], [], 1.0)[0]:
            continue
        with listener.accept()[0] as asked:
            request, fds = _received(asked)
            environment = request["environment"]
            fixed = [environment[name] for name in _READ_AT_IMPORT]
            if known is None:
                _import_all(environment)
                known = fixed
            if fixed == known and os.fork() == 0:
                listener.close()
                _be_worker(request, fds)
            asked.sendall(_FORKED if fixed == known else b"no")
        for fd in fds:
            os.close(fd)


def _received(asked: socket.socket) -> tuple[Mapping[str, Any], list[int]]:
    length, fds, _, _ = socket.recv_fds(asked, _LENGTH, 3)
    with asked.makefile("rb") as request:
        return json.loads(request.read(int.from_bytes(length, "big"))), fds


def _import_all(environment: Mapping[str, str]) -> None:
    import importlib

    os.environ.clear()
    os.environ.update(environment)
    for name in _IMPORTED:
        importlib.import_module(name)
    import ray

    # The first title takes the place of the environment that a process begins with.
    ray._raylet.setproctitle("parent of workers")  # type: ignore[attr-defined]


def _be_worker(request: Mapping[str, Any], fds: list[int]) -> None:
    """Runs Ray's program; the one that asked waits until this process is gone."""
    import runpy

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # as Ray has its processes
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    os.setpgid(0, 0)  # Ray ends a worker's group with it
    os.setpriority(os.PRIO_PROCESS, 0, request["niceness"])
    sys.argv = [os.environ[_PROGRAM], *request["arguments"]]
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


def main() -> None:
    """Has a worker forked and ends with it, or is one."""
    with socket.socket(socket.AF_UNIX) as parent:
        # One that has ended forks nobody: then this is a worker as any other.
        if os.environ["RAY_JOB_ID"] != _NO_JOB and not parent.connect_ex(os.environ[_LISTENS]):
            request = {
                "arguments": sys.argv[1:],
                "environment": dict(os.environ),
                "folder": str(Path.cwd()),
                "niceness": os.getpriority(os.PRIO_PROCESS, 0),
            }
            message = json.dumps(request).encode()
            socket.send_fds(parent, [len(message).to_bytes(_LENGTH, "big")], [0, 1, 2])
            parent.sendall(message)
            if parent.recv(len(_FORKED)) == _FORKED:
                parent.recv(1)  # until the worker is gone
                return
    os.execv(sys.executable, [sys.executable, os.environ[_PROGRAM], *sys.argv[1:]])


if __name__ == "__main__":
    main()
