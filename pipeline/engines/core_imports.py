"""Lets vLLM's engine core begin with what it has to import, while this process imports the same.

vLLM forks its engine core, or spawns it where forking is not safe, as in a worker of Ray with its
threads: a spawned one begins when this process has imported torch and vLLM, and imports both anew.
A fork server of multiprocessing, a process without threads, does so at the same time, and the core
is forked from it. In a worker on an H200 that is some ten seconds of an engine's start.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing import context, forkserver

from pipeline.engines.shared_gpu import has_gpu
from pipeline.runtime.replaced import replaced

_END_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG
_IMPORTED = (
    *("ray", "transformers", "vllm.v1.engine.core", "vllm.v1.worker.gpu_worker"),
    "vllm.model_executor.models.qwen2_5_vl",  # and what models of pictures have in common
)


def is_forked_apart() -> bool:
    """Whether engine cores come from a fork server: those with NVIDIA's GPUs.

    Those on CPUs need libraries that are loaded before Python.
    """
    return has_gpu()


def begin_imports() -> None:
    """Starts the fork server, with the environment that this process has now."""
    multiprocessing.set_forkserver_preload(list(_IMPORTED))
    forkserver.ensure_running()


@contextlib.contextmanager
def cores_from_fork_server() -> Iterator[None]:
    """Engine cores that vLLM starts inside are forked from the fork server."""
    from vllm.v1.engine import utils

    with replaced(utils, "get_mp_context", _CoreContext):
        yield


class _CoreProcess(context.ForkServerProcess):
    """An engine core, which ends with the fork server that it comes from.

    Its environment is the one that this process has when it is started: the fork server has an
    earlier one, and vLLM tells its engine core things through it.
    """

    def start(self) -> None:
        self._environment = dict(os.environ)
        super().start()

    def run(self) -> None:
        # Ray ends the children of a worker that it ends, and not theirs.
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        os.environ.update(self._environment.items() - os.environ.items())
        super().run()


class _CoreContext(context.ForkServerContext):
    Process = _CoreProcess
