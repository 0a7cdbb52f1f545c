"""Where a run's Ray is: the cluster that the job was submitted to, or a private instance."""

from __future__ import annotations

import io
import logging
import math
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import ray
import ray.data  # sets the level of its loggers when it is loaded

from pipeline.engines.shared_gpu import has_gpu
from pipeline.labeling.cluster.bare_ray import bare_ray
from pipeline.labeling.cluster.ray_access import private_access, private_folder, refuse_open_cluster
from pipeline.labeling.cluster.ray_watch import end_processes_of, remove, watched_ray
from pipeline.labeling.label_config import WorkersConfig
from pipeline.runtime.errors import ConfigError, Fault, PairmillError, RayLostError, StoppedError
from pipeline.runtime.faults import first_line
from pipeline.runtime.phases import phase
from pipeline.runtime.reporter import Reporter

logger = logging.getLogger(__name__)
_MiB = 2**20
_KILLED_BY_US = "it was killed by `ray.kill`"
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


class RayStartError(PairmillError):
    """A private Ray did not start, and neither did a second one."""

    fault = Fault.TRANSIENT


@contextmanager
def ray_session(workers: WorkersConfig, reporter: Reporter | None = None) -> Iterator[None]:
    """Connects to Ray for the length of a block.

    Under ``ray job submit``, or wherever ``RAY_ADDRESS`` is set, that cluster is used. Otherwise
    a private instance starts in a temporary folder, with a bounded object store, for this job
    alone, and ends with the block; where it does not start, a second attempt is made. A machine
    without GPUs pretends to have as many as the pool may reserve, since CPU engines are scheduled
    by the same rule.

    Meanwhile ``sys.stdout`` is standard error: Ray prints what happens to its workers there,
    whatever its logging level, and standard output is read by machines.

    Args:
        workers: the pool, and the size of a private instance.
        reporter: receives the phase of starting; None reports nothing.

    Raises:
        ConfigError: the cluster cannot be used, or by everybody, or Ray refuses the size of a
            private instance.
        RayStartError: a private instance did not start.
        StoppedError: SIGTERM came while Ray started.
        RayLostError: a process of a private instance died.
    """
    with redirect_stdout(_ErrorsOfOthers(sys.stderr)), _connection(workers, reporter):
        yield


class _ErrorsOfOthers(io.TextIOBase):
    """A stream for what Ray prints, without what it says of actors that this run has ended.

    An interrupted run ends its workers, and Ray announces that it will retry what they did.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._left_out = False

    def write(self, text: str) -> int:
        # The end of a printed line is a second call.
        self._left_out = _KILLED_BY_US in text or (self._left_out and text == "\n")
        return len(text) if self._left_out else self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def _connection(workers: WorkersConfig, reporter: Reporter | None) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    # Its messages go to Ray's log files; what went wrong reaches us as exceptions.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if address := os.environ.get("RAY_ADDRESS"):
        with phase(reporter, "connecting to Ray"), _own_sigterm(), _cluster_errors(address):
            ray.init(**_QUIET)
        try:
            refuse_open_cluster(address, workers)
            yield
        finally:
            ray.shutdown()
        return
    # Of Ray's C++ side: one line says that restarted actors need their arguments (issue 53727), as
    # if something were wrong; the driver holds them for as long as the run lasts.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with phase(reporter, "starting Ray"):
        folder = _start_private(workers)
    lost = False
    try:
        with watched_ray(folder):
            yield
    except RayLostError:
        lost = True
        raise
    finally:
        if not lost:  # else Ray would wait for what is gone, and then end this process
            ray.shutdown()
            remove(folder)


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


class _NotStartedError(Exception):
    """One attempt to start a private Ray failed; its processes are gone, its folder is there."""

    def __init__(self, folder: Path, cause: str) -> None:
        super().__init__(cause)
        self.folder = folder


def _start_private(workers: WorkersConfig) -> Path:
    """Starts a private Ray, a second time where the first attempt fails; returns its folder.

    Ray gives up on its own processes after 30 seconds, which a machine that is busy for a moment
    can take.
    """
    try:
        return _attempt(workers)
    except _NotStartedError as failed:
        logger.warning("Ray did not start (%s); starting it once more", failed)
        remove(failed.folder)
    try:
        return _attempt(workers)
    except _NotStartedError as failed:
        raise RayStartError(_what_to_look_at(failed, workers)) from failed


def _attempt(workers: WorkersConfig) -> Path:
    folder = private_folder()
    try:
        metrics = workers.local_metrics_port is not None
        with _own_sigterm(), private_access(), bare_ray(metrics=metrics):
            ray.init(
                num_cpus=workers.local_cpus,
                num_gpus=None if has_gpu() else math.ceil(workers.max * workers.gpus),
                object_store_memory=workers.local_object_store_mb * _MiB,
                include_dashboard=False,
                _temp_dir=str(folder),
                _metrics_export_port=workers.local_metrics_port,
                **_QUIET,
            )
    except BaseException as error:
        ray.shutdown()
        end_processes_of(folder)
        # Of its own processes Ray says by an Exception, a RuntimeError or a TimeoutError that they
        # did not start; by a ValueError, that they cannot start with these arguments.
        cause = first_line(error).rstrip(".")
        if isinstance(error, Exception) and not isinstance(error, PairmillError | ValueError):
            raise _NotStartedError(folder, cause) from error
        remove(folder)
        if isinstance(error, ValueError):
            raise ConfigError(
                f"Ray refuses to start with these settings ({cause}); check "
                "workers.local_object_store_mb against the memory and /dev/shm of this machine, "
                "and workers.local_cpus"
            ) from error
        raise
    return folder


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps the handler of SIGTERM that is set: Ray's would end the driver where it stands.

    Where it is the system's default, Ray's is better: it ends a private Ray too.

    Raises:
        StoppedError: SIGTERM came while Ray's handler was in force.
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


def _what_to_look_at(failed: _NotStartedError, workers: WorkersConfig) -> str:
    logs = Path(failed.folder, "session_latest", "logs")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"Ray did not start in two attempts ({failed}); look at what else keeps this machine busy "
        f"(load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores), at the room in /dev/shm "
        f"({_free_mb('/dev/shm')} MiB free, workers.local_object_store_mb is "
        f"{workers.local_object_store_mb}), at the limit of open files (ulimit -n: {soft}, at most "
        f"{hard}) and at Ray's logs in {logs if logs.is_dir() else failed.folder}, then run it "
        "again"
    )


def _free_mb(folder: str) -> int:
    try:
        return shutil.disk_usage(folder).free // _MiB
    except OSError:
        return 0
