"""Whether Ray can be used: the cluster's, or the resources of a private one on this machine.

A private Ray is not started for this: that takes 5 to 30 seconds, and what keeps it from starting
is seen without.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
from pathlib import Path

import psutil

from pipeline.labeling.label_config import WorkersConfig
from pipeline.labeling.preflight.check import Check
from pipeline.runtime.errors import PairmillError
from pipeline.runtime.faults import first_line

_MiB = 2**20
_CONNECT_S = 5
_MOST_ON_DISK = 10**10  # bytes of an object store that Ray puts on a disk for lack of /dev/shm
_FEW_FILES, _TOO_FEW_FILES = 8_192, 1_024
_SESSIONS = Path("/tmp")  # where a private Ray keeps its logs, and spills objects
_DISK_FULL, _DISK_NEARLY_FULL = 0.95, 0.9  # from the first one on, Ray writes no more to it
_BUSY = 4  # load for each core from which on Ray may need more than its 30 seconds


def ray_checks(workers: WorkersConfig, shm: Path) -> list[Check]:
    """Checks the cluster of ``RAY_ADDRESS``, or what a private Ray needs."""
    if address := os.environ.get("RAY_ADDRESS"):
        return [cluster_check(address, workers)]
    memory, (_, most) = psutil.virtual_memory(), resource.getrlimit(resource.RLIMIT_NOFILE)
    disk = shutil.disk_usage(_SESSIONS)
    room = shutil.disk_usage(shm).free if shm.is_dir() else 0
    return [
        shared_memory_check(workers.local_object_store_mb, room, memory.total),
        file_limit_check(most),
        disk_check(_SESSIONS, disk.used / disk.total),
        load_check(os.getloadavg()[0], os.cpu_count() or 1),
        *([] if workers.local_metrics_port is None else [port_check(workers.local_metrics_port)]),
    ]


def cluster_check(address: str, workers: WorkersConfig) -> Check:
    """Whether the cluster answers, accepts the token, and has GPUs up."""
    name = "Ray cluster"
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        try:
            # Ray itself would try for half a minute.
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        except OSError as error:
            found = f"RAY_ADDRESS={address} does not answer ({first_line(error)})"
            advice = "check the address; without RAY_ADDRESS a private Ray is started"
            return Check(name, "fail", found, advice)
    try:
        from pipeline.labeling.cluster.ray_nodes import (
            nodes_of_cluster,  # Ray takes seconds to load
        )
        from pipeline.labeling.cluster.ray_session import ray_session

        with ray_session(workers):
            nodes = nodes_of_cluster()
    except PairmillError as error:
        return Check(name, "fail", str(error), "check address and token (RAY_AUTH_TOKEN)")
    gpus = sum(float(node["Resources"].get("GPU", 0)) for node in nodes)
    found = f"RAY_ADDRESS={address}: {len(nodes)} nodes with {gpus:g} GPUs are up"
    if gpus < workers.min * workers.gpus:
        wanted = f"{workers.min} workers reserve {workers.gpus:g} each"
        return Check(name, "warn", f"{found}, {wanted}", "the run waits until more nodes are up")
    return Check(name, "ok", found)


def shared_memory_check(store_mb: int, free: int, total: int) -> Check:
    """Whether the object store of a private Ray fits into ``/dev/shm``."""
    name, free_mb = "shared memory", free // _MiB
    found = f"/dev/shm has {free_mb:,} MiB free, workers.local_object_store_mb is {store_mb:,}"
    advice = "give the machine or container more (docker run --shm-size), or lower the setting"
    if store_mb * _MiB > total:
        return Check(name, "fail", f"{found}, this machine has {total // _MiB:,} MiB", advice)
    if store_mb <= free_mb:
        return Check(name, "ok", found)
    if store_mb * _MiB > _MOST_ON_DISK:
        return Check(name, "fail", found, advice)
    return Check(name, "warn", f"{found}: it would be on a disk, which is slow", advice)


def file_limit_check(most: int) -> Check:
    """Whether Ray may open as many files as it does; it raises its own limit as far as allowed."""
    name = "file limit"
    if most == resource.RLIM_INFINITY:
        return Check(name, "ok", "ulimit -Hn: unlimited")
    found, advice = f"ulimit -Hn: {most:,}", f"raise it to {_FEW_FILES:,} or more (ulimit -n)"
    if most < _TOO_FEW_FILES:
        return Check(name, "fail", found, advice)
    if most < _FEW_FILES:
        return Check(name, "warn", found, advice)
    return Check(name, "ok", found)


def disk_check(folder: Path, used: float) -> Check:
    """Whether the disk of Ray's session folder has room to spill objects."""
    name, found = "disk", f"{folder} is {used:.0%} full"
    advice = f"make room there: at {_DISK_FULL:.0%} Ray stores no further objects on it"
    if used >= _DISK_FULL:
        return Check(name, "fail", found, advice)
    if used >= _DISK_NEARLY_FULL:
        return Check(name, "warn", found, advice)
    return Check(name, "ok", found)


def load_check(load: float, cores: int) -> Check:
    """Whether this machine is so busy that Ray may not start in time."""
    name, found = "load", f"{load:.1f} on {cores} cores"
    if load > _BUSY * cores:
        return Check(name, "warn", found, "wait until less runs: Ray must start within 30 seconds")
    return Check(name, "ok", found)


def port_check(port: int) -> Check:
    """Whether the port for metrics is free."""
    name = "metrics port"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            found = f"workers.local_metrics_port {port} cannot be used ({first_line(error)})"
            return Check(name, "fail", found, "choose another one, or end what listens on it")
    return Check(name, "ok", f"workers.local_metrics_port {port} is free")
