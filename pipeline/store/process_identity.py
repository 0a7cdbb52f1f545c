"""A process of one machine, distinguished from all others, and whether it has certainly ended."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, among those of all machines and of all times since they were started.

    Attributes:
        boot_id: of the machine since it was started; empty where the system has none.
        pid_namespace: within which ``process`` is unique, as the inode of its file; 0 if unknown.
        started: clock ticks from the machine's start to the process's; 0 if unknown.
    """

    host: str
    process: int
    boot_id: str = ""
    pid_namespace: int = 0
    started: int = 0


def this_process() -> ProcessIdentity:
    """The process that calls this."""
    try:
        boot_id = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").stat().st_ino
    except OSError:  # no Linux, or a sandbox without /proc
        boot_id, namespace = "", 0
    process = os.getpid()
    return ProcessIdentity(socket.gethostname(), process, boot_id, namespace, _started(process))


def has_ended(identity: ProcessIdentity) -> bool:
    """Whether this machine knows for certain that a process of its own has ended.

    False for processes of other machines and namespaces, of which nothing can be known, and for
    zombies.
    """
    own = this_process()
    places = [(each.host, each.boot_id, each.pid_namespace) for each in (own, identity)]
    if not own.boot_id or places[0] != places[1]:
        return False
    try:
        os.kill(identity.process, 0)  # not by a look into /proc, which may hide others' processes
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # Another process may have got its number.
    known = (identity.started, _started(identity.process))
    return all(known) and known[0] != known[1]


def _started(process: int) -> int:
    try:
        stat = (_PROC / f"{process}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])  # the name in brackets may hold anything
