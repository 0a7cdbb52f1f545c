"""A real S3 server (SeaweedFS) on this machine, with keys that may do no more than they must."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from tests.starting import NotStartedError, free_port, start_or_retry

BUCKET = "judge"
_SERVERS = ("master", "volume", "filer", "s3", "admin")
_READY_SECONDS = 60


@dataclass(frozen=True)
class Key:
    """An access key and its secret."""

    access: str
    secret: str


ADMIN = Key("admin-key", "admin-secret-2b7e151628aed2a6")
# What the job needs: to list, to read input and output, to write the output. No right to delete.
JOB = Key("job-key", "job-secret-abf7158809cf4f3c")
# The same, for workers that are kept to less by `tests.policy_gate`.
WORKER = Key("worker-key", "worker-secret-09cf4f3c4762ab1d")
# What pairmill clean needs, under a prefix of its own: as the job, and to delete.
CLEANER = Key("cleaner-key", "cleaner-secret-15ca71be2b73aef0")
READER = Key("reader-key", "reader-secret-762e7160f38b4da5")


@dataclass(frozen=True)
class S3Server:
    """A running server with the bucket ``judge``."""

    endpoint: str

    def environment(self, key: Key = JOB) -> dict[str, str]:
        """The environment variables that the default credential chain reads."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key.access,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, key: Key = ADMIN) -> Any:
        """A botocore client."""
        return botocore.session.get_session().create_client(
            "s3",
            "us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=key.access,
            aws_secret_access_key=key.secret,
        )

    def put(self, key: str, data: bytes) -> None:
        """Writes an object of the bucket."""
        self.client().put_object(Bucket=BUCKET, Key=key, Body=data)

    def remove(self, key: str) -> None:
        """Removes an object of the bucket that is no output."""
        self.client().delete_object(Bucket=BUCKET, Key=key)


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Starts a server on free ports, and ends it with the block."""
    running = start_or_retry(_start)
    try:
        yield running.server
    finally:
        running.end()


@dataclass(frozen=True)
class _Running:
    """A server's process, and what it leaves on the disk."""

    server: S3Server
    process: subprocess.Popen[bytes]
    folder: Path
    ports: dict[str, int]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for port in self.ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()
        shutil.rmtree(self.folder)


def _start() -> _Running:
    folder = Path(tempfile.mkdtemp(prefix="s3-"))
    ports = {f"{name}.port{kind}": free_port() for name in _SERVERS for kind in ("", ".grpc")}
    (folder / "s3.json").write_text(json.dumps({"identities": _identities()}), encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("weed")),
        "-logtostderr=true",
        "mini",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}/data",
        f"-bucket={BUCKET}",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={folder}/s3.json",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    server = S3Server(f"http://127.0.0.1:{ports['s3.port']}")
    running = _Running(server, process, folder, ports)
    try:
        _wait_until_ready(server, process)
    except (BotoCoreError, ClientError) as error:
        failed = NotStartedError("the S3 server", error, [folder / "log"])
        running.end()
        raise failed from error
    return running


def _identities() -> list[dict[str, Any]]:
    read, write = ["Read:judge/in/*", "Read:judge/out/*"], ["Write:judge/out/*"]
    actions = {ADMIN: ["Admin"], JOB: ["List:judge", *read, *write], READER: ["List:judge", *read]}
    actions[WORKER] = actions[JOB]
    actions[CLEANER] = ["List:judge", "Read:judge/cleaned/*", "Write:judge/cleaned/*"]
    return [
        {
            "name": key.access,
            "credentials": [{"accessKey": key.access, "secretKey": key.secret}],
            "actions": allowed,
        }
        for key, allowed in actions.items()
    ]


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            server.put("ready", b"")
            _forbid_deletes(server)
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _forbid_deletes(server: S3Server) -> None:
    # SeaweedFS counts deleting as writing; a bucket policy takes it away.
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/out/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    server.client().put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
