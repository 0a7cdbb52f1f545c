"""What another user of the same machine finds of a job's private Ray, and what it lets them do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest


@dataclass(frozen=True)
class Listening:
    """A TCP socket of a process that a job's Ray consists of."""

    process: str
    address: str
    port: int


def listening(pid: int) -> list[Listening]:
    """Every TCP port at which a process and all below it wait for connections."""
    family = psutil.Process(pid)
    return [
        Listening(process.name(), found.laddr.ip.removeprefix("::ffff:"), found.laddr.port)
        for process in (family, *family.children(recursive=True))
        for found in process.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]


def assert_private(pid: int, folder: Path) -> None:
    """That of a job's Ray nothing is reached from elsewhere, nor without its token from here."""
    found = listening(pid)
    assert {socket.address for socket in found} == {"127.0.0.1"}, found
    assert folder.stat().st_mode & 0o777 == 0o700
    (gcs,) = [socket.port for socket in found if socket.process == "gcs_server"]
    address = f"127.0.0.1:{gcs}"
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
        for headers in ((), (("authorization", "Bearer " + "0" * 64),)):
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                ask(b"", metadata=headers)
