"""The roles of infra/iam and the bucket's policy before a real S3 server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.policy_gate import PolicyGate, policy_gate
from tests.s3_server import BUCKET, JOB, WORKER, Key, S3Server

pytestmark = pytest.mark.s3
PART = "out/roles/parts/judge=1/a/b/1.parquet"
LATEST = "out/roles/snapshots/LATEST.json"
FILE = "out/roles/snapshots/files/1.parquet"


@pytest.fixture(scope="module")
def gate(s3: S3Server) -> Iterator[PolicyGate]:
    roles = {JOB.access: "policy-head.json", WORKER.access: "policy-worker.json"}
    with policy_gate(s3, roles) as served:
        yield served


def answer(call: Callable[[], dict[str, Any]]) -> str:
    """``done``, or the code of the error."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_what_each_role_may_do(gate: PolicyGate) -> None:
    def put(key: Key, name: str, **condition: str) -> str:
        client = gate.client(key)
        return answer(lambda: client.put_object(Bucket=BUCKET, Key=name, Body=b"1", **condition))

    assert put(WORKER, PART) == "AccessDenied"
    assert put(WORKER, PART, IfNoneMatch="*") == "done"
    assert put(WORKER, PART, IfNoneMatch="*") == "PreconditionFailed"
    assert [put(key, PART) for key in (WORKER, JOB)] == ["AccessDenied"] * 2
    assert put(WORKER, LATEST, IfNoneMatch="*") == "AccessDenied"
    assert put(JOB, LATEST, IfNoneMatch="*") == "done"
    assert put(JOB, LATEST) == "AccessDenied"
    head, worker = gate.client(JOB), gate.client(WORKER)
    tag = head.head_object(Bucket=BUCKET, Key=LATEST)["ETag"]
    assert put(WORKER, LATEST, IfMatch=tag) == "AccessDenied"
    assert put(JOB, LATEST, IfMatch=tag) == "done"
    assert answer(lambda: worker.get_object(Bucket=BUCKET, Key=LATEST)) == "done"
    assert answer(lambda: worker.list_objects_v2(Bucket=BUCKET, Prefix="out/roles/")) == "done"
    assert answer(lambda: worker.list_objects_v2(Bucket=BUCKET)) == "AccessDenied"
    assert answer(lambda: head.delete_object(Bucket=BUCKET, Key=PART)) == "AccessDenied"


def test_large_objects_are_written_in_pieces(gate: PolicyGate) -> None:
    head = gate.client(JOB)
    begun = head.create_multipart_upload(Bucket=BUCKET, Key=FILE)
    of = {"Bucket": BUCKET, "Key": FILE, "UploadId": begun["UploadId"]}
    piece = head.upload_part(**of, PartNumber=1, Body=bytes(6 * 2**20))
    parts = {"Parts": [{"PartNumber": 1, "ETag": piece["ETag"]}]}
    assert answer(lambda: head.complete_multipart_upload(**of, MultipartUpload=parts)) == "done"
