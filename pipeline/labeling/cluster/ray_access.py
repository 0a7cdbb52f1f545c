"""Who may use Ray: a private one serves its job alone, and a cluster must ask for a token.

Whoever reaches a Ray can run code as its user, with the credentials that it has.
"""

from __future__ import annotations

import functools
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import ray
from ray._private import ray_constants

from pipeline.labeling.label_config import WorkersConfig
from pipeline.runtime.errors import ConfigError

_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
# An empty request that Ray's control service answers to whoever may use it.
_ASK = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_ANSWER_S = 10


@contextmanager
def private_access() -> Iterator[None]:
    """Lets the Ray that starts in this block listen on loopback, and ask for a token of its own.

    The token is in the memory of this process and in the environment of Ray's; by itself Ray
    takes or writes ``~/.ray/auth_token``, which other users can read. Ray decides on both when it
    starts: the token of the environment is taken where no mode is set, and a machine that cannot
    be one of a cluster is the node 127.0.0.1 (given as an address, Ray replaces that one).
    """
    before = {name: os.environ.pop(name, None) for name in (_MODE, _TOKEN)}
    clusters = ray_constants.ENABLE_RAY_CLUSTER
    os.environ[_TOKEN] = _own_token()
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@functools.cache
def _own_token() -> str:
    """One a process: Ray keeps the first that it has read."""
    return secrets.token_hex(32)


def private_folder() -> Path:
    """A new temporary folder for a private Ray, in one that only this user may enter.

    Ray opens its own folder and sockets to every user. Names are short, for Unix sockets below
    have at most 107 characters in their path.
    """
    folder = Path(tempfile.mkdtemp(prefix="pairmill-", dir="/tmp")) / "ray"
    folder.mkdir()
    return folder


def refuse_open_cluster(address: str, workers: WorkersConfig) -> None:
    """Checks that the cluster to which this process is connected asks for a token.

    Args:
        address: its address as the user gave it, for messages.
        workers: says whether a cluster may be without one.

    Raises:
        ConfigError: it answers whoever asks, and the settings do not allow that.
    """
    if workers.cluster_without_token or not _answers(ray.get_runtime_context().gcs_address):
        return
    raise ConfigError(
        f"RAY_ADDRESS={address}: this Ray cluster asks for no token, so whoever reaches it can run "
        "code with this job's credentials; start it with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN on "
        "all its nodes (KubeRay: authOptions: {mode: token}) and give `ray job submit` the same, "
        "or allow it where its network is its guard: --set workers.cluster_without_token=true"
    )


def _answers(gcs: str) -> bool:
    """Whether Ray's control service answers a request without token."""
    with grpc.insecure_channel(gcs) as channel:
        try:
            channel.unary_unary(_ASK)(b"", timeout=_ANSWER_S)
        except grpc.RpcError:
            return False  # refused, or reached with a certificate only
    return True
