"""Where a run's Ray is: the cluster that the job was submitted to, or a private instance."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray

from pipeline.labeling.label_config import WorkersConfig
from pipeline.runtime.errors import ConfigError, StoppedError

_MiB = 2**20


@contextmanager
def ray_session(workers: WorkersConfig) -> Iterator[None]:
    """Connects to Ray for the length of a block.

    Under ``ray job submit``, or wherever ``RAY_ADDRESS`` is set, that cluster is used. Otherwise
    a private instance starts in a temporary folder, with a bounded object store, and ends with
    the block. A machine without GPUs pretends to have as many as the pool may reserve, since
    CPU engines are scheduled by the same rule.

    Meanwhile ``sys.stdout`` is standard error: Ray prints what happens to its workers there,
    whatever it is told, and standard output is read by machines.
    """
    with redirect_stdout(sys.stderr), _connection(workers):
        yield


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """What is to happen on SIGTERM stays as it was: Ray's would end the driver where it stands.

    Where it was the system's, Ray's is better: it ends a private Ray too.

    Raises:
        StoppedError: SIGTERM came while Ray's way was in force.
    """
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        yield
    except SystemExit as ended:
        raise StoppedError("stopped by SIGTERM while Ray started; run it again") from ended
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _cluster_errors(address: str) -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        causes = str(error.__cause__ or error).strip().splitlines() or [str(error)]
        cause = next((line for line in causes if "Error: " in line), causes[-1])
        raise ConfigError(
            f"RAY_ADDRESS={address}: this Ray cluster cannot be used ({cause[:300]}); expected one "
            "that runs and, where it asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN; "
            "without RAY_ADDRESS a private Ray is started"
        ) from error


@contextmanager
def _connection(workers: WorkersConfig) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    # Ray's own chatter goes to its log files; what went wrong reaches us as exceptions.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" in os.environ:
        with _own_sigterm(), _cluster_errors(os.environ["RAY_ADDRESS"]):
            ray.init(**quiet)
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Of Ray's C++ side: one line says that restarted actors need their arguments (issue 53727), as
    # if something were wrong; the driver holds them for as long as the run lasts.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Short, for Unix sockets below it have at most 107 characters in their path.
    folder = tempfile.mkdtemp(prefix="pairmill-", dir="/tmp")
    try:
        with _own_sigterm():
            ray.init(
                num_cpus=workers.local_cpus,
                num_gpus=None if _has_gpu() else math.ceil(workers.max * workers.gpus),
                object_store_memory=workers.local_object_store_mb * _MiB,
                include_dashboard=False,
                _temp_dir=folder,
                _metrics_export_port=workers.local_metrics_port,
                **quiet,
            )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists()
