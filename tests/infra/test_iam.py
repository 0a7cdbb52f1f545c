"""The AWS policies: what they allow, what they do not, and who may take the roles."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator

from pipeline.export.export_run import EXPORTS
from pipeline.retention.clean import plan_clean
from pipeline.retention.clean_config import CleanConfig
from pipeline.retention.stored import Stored
from pipeline.runtime.errors import StorageError
from pipeline.store.lease import take_lease
from pipeline.store.object_store import Store, Version
from tests.iam_policies import IAM, Request, allows, denies, document, listed
from tests.infra.manifests import ROOT, rendered, run, tool

HEAD, WORKER, CLEAN = "policy-head.json", "policy-worker.json", "policy-clean.json"
OUT = "out/labels"


def ask(action: str, key: str, prefix: str | None = None) -> Request:
    return Request(action, key, facts={} if prefix is None else {"s3:prefix": prefix})


@pytest.mark.parametrize("policy", [HEAD, WORKER])
@pytest.mark.parametrize(
    "request_",
    [
        ask("s3:ListBucket", "", "in/pairs/"),
        ask("s3:ListBucket", "", f"{OUT}/parts/"),
        ask("s3:GetObject", "in/pairs/0.parquet"),
        ask("s3:GetObject", f"{OUT}/judges/1.json"),
        ask("s3:PutObject", f"{OUT}/parts/judge=1/a/b/1.parquet"),
        ask("s3:PutObject", f"{OUT}/attempts/judge=1/1"),
        ask("s3:PutObject", f"{OUT}/canaries/run/parts/judge=1/1.parquet"),
        ask("s3:PutObject", f"{OUT}/evaluations/gold/parts/judge=1/1.parquet"),
        ask("s3:AbortMultipartUpload", f"{OUT}/exports/1/jsonl/a.parquet"),
    ],
    ids=lambda request: f"{request.action} {request.key}",
)
def test_head_and_workers_can_do_their_work(policy: str, request_: Request) -> None:
    assert allows(policy, request_)


@pytest.mark.parametrize("policy", [HEAD, WORKER])
@pytest.mark.parametrize(
    "request_",
    [
        ask("s3:ListBucket", ""),
        ask("s3:ListBucket", "", "other/"),
        ask("s3:ListBucket", "", "input/"),
        replace(ask("s3:ListBucket", "", "in/"), bucket="another"),
        ask("s3:GetObject", "other/1"),
        replace(ask("s3:GetObject", "in/1"), bucket="another"),
        ask("s3:PutObject", "in/pairs/0.parquet"),
        ask("s3:DeleteObject", f"{OUT}/parts/1.parquet"),
        ask("s3:DeleteObjectVersion", f"{OUT}/parts/1.parquet"),
        ask("s3:DeleteBucket", ""),
        ask("s3:PutObjectAcl", f"{OUT}/1"),
        ask("s3:PutBucketPolicy", ""),
    ],
    ids=lambda request: f"{request.action} {request.key}",
)
def test_and_nothing_else(policy: str, request_: Request) -> None:
    assert not allows(policy, request_)


@pytest.mark.parametrize(
    "key",
    [
        "snapshots/LATEST.json",
        "snapshots/0123456789abcdef/manifest.json",
        "snapshots/files/0.parquet",
        "judges/1.json",
        "leases/writer.json",
        "runs/1/run.json",
        "index/judge=1/1.json",
        "gold/set/set.json",
        "forgotten/000001.json",
    ],
)
def test_what_is_the_heads_alone(key: str) -> None:
    assert allows(HEAD, ask("s3:PutObject", f"{OUT}/{key}"))
    assert not allows(WORKER, ask("s3:PutObject", f"{OUT}/{key}"))


@pytest.mark.parametrize(
    ("key", "conditions", "denied"),
    [
        ("parts/judge=1/a/b/1.parquet", {}, True),
        ("parts/judge=1/a/b/1.parquet", {"s3:if-match": '"1"'}, True),
        ("parts/judge=1/a/b/1.parquet", {"s3:if-none-match": "*"}, False),
        ("canaries/run/parts/judge=1/1.parquet", {}, True),
        ("snapshots/0123456789abcdef/manifest.json", {}, True),
        ("snapshots/0123456789abcdef/manifest.json", {"s3:if-none-match": "*"}, False),
        ("snapshots/LATEST.json", {}, True),
        ("snapshots/LATEST.json", {"s3:if-match": '"1"'}, False),
        ("snapshots/LATEST.json", {"s3:if-none-match": "*"}, False),
        ("gold/set/answers/somebody/0123/1.json", {}, True),
        ("gold/set/set.json", {}, False),
        ("leases/writer.json", {}, True),
        ("runs/1/run.json", {}, False),
        ("judges/1.json", {}, False),
    ],
)
def test_the_bucket_denies_overwriting(key: str, conditions: dict[str, str], denied: bool) -> None:
    facts = {"s3:ObjectCreationOperation": "true", "aws:SecureTransport": "true", **conditions}
    assert denies(Request("s3:PutObject", f"{OUT}/{key}", facts=facts)) == denied
    # Pieces of an upload have no condition; that which completes it has.
    pieces = facts | {"s3:ObjectCreationOperation": "false"}
    assert not denies(Request("s3:PutObject", f"{OUT}/{key}", facts=pieces))
    assert denies(Request("s3:GetObject", "in/1", facts={"aws:SecureTransport": "false"}))


KINDS = (
    *("snapshots", "exports", "parts", "index", "derived", "canaries", "runs", "attempts"),
    "probes",
    "evaluations",  # by `forget` alone
)


@pytest.mark.parametrize(
    ("action", "key", "may"),
    [
        *(("s3:DeleteObject", f"{OUT}/{kind}/1", True) for kind in KINDS),
        ("s3:GetObject", f"{OUT}/judges/1.json", True),
        ("s3:PutObject", f"{OUT}/leases/writer.json", True),
        ("s3:PutObject", f"{OUT}/index/judge=1/000000001.json", True),
        ("s3:PutObject", f"{OUT}/parts/1.parquet", False),
        ("s3:PutObject", f"{OUT}/snapshots/LATEST.json", True),  # claimed, never swapped
        ("s3:PutObject", f"{OUT}/snapshots/0123456789abcdef/manifest.json", False),
        ("s3:DeleteObject", f"{OUT}/judges/1.json", False),
        ("s3:DeleteObject", f"{OUT}/gold/1.json", False),
        ("s3:DeleteObject", f"{OUT}/leases/writer.json", False),
        ("s3:DeleteObject", "in/pairs/0.parquet", False),
        ("s3:DeleteObjectVersion", f"{OUT}/parts/1.parquet", False),
        ("s3:DeleteBucket", "", False),
    ],
)
def test_only_the_role_that_cleans_deletes(action: str, key: str, may: bool) -> None:
    assert allows(CLEAN, ask(action, key)) == may


def test_clean_after_a_run_that_was_ended_writes_what_its_role_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Store(str(tmp_path / "out"))
    with pytest.raises(StorageError), take_lease(output, "writer", "ended"):
        raise StorageError("a request may be under way still")
    swap, written = Store.swap, []

    def swapped(store: Store, key: str, data: bytes, expected: Version | None) -> Version | None:
        written.append(key)
        return swap(store, key, data, expected)

    monkeypatch.setattr(Store, "swap", swapped)
    with take_lease(output, "writer", "clean") as lease:
        assert lease.unfinished == 1
        plan_clean(Stored(output), CleanConfig()).apply(lease)
    assert "snapshots/LATEST.json" in written
    assert all(allows(CLEAN, ask("s3:PutObject", f"{OUT}/{key}")) for key in written)


def test_what_clean_removes_is_what_its_role_may_delete() -> None:
    """Every folder that a kind of clean, or forget, lists."""
    source = (ROOT / "pipeline" / "retention").glob("stored_*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in source)
    listed_folders = set(re.findall(r'matching\(\s*"(\w+)"', text)) | {EXPORTS}
    assert listed_folders == set(KINDS)


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        (HEAD, {"ListBucket", "GetObject", "PutObject", "AbortMultipartUpload"}),
        (WORKER, {"ListBucket", "GetObject", "PutObject", "AbortMultipartUpload"}),
        (CLEAN, {"ListBucket", "GetObject", "PutObject", "DeleteObject"}),
    ],
)
def test_no_action_is_a_pattern(policy: str, actions: set[str]) -> None:
    assert actions == {
        action.removeprefix("s3:")
        for statement in document(policy)["Statement"]
        for action in listed(statement["Action"])
    }


@pytest.mark.parametrize("name", [HEAD, WORKER, CLEAN, "bucket-policy.json"])
def test_parliament_finds_nothing(name: str) -> None:
    policy = (IAM / name).read_text(encoding="utf-8")
    done = run(tool("parliament"), "--include-community-auditors", "--string", policy)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_parliament_would_find_something() -> None:
    policy = document(HEAD)
    policy["Statement"][1]["Action"] = "s3:GetObjekt"
    done = run(tool("parliament"), "--string", json.dumps(policy))
    assert done.returncode == 1
    assert "GetObjekt" in done.stdout


def test_the_account_of_each_role_takes_it() -> None:
    annotations = {
        item["metadata"]["name"]: item["metadata"].get("annotations", {})
        for item in rendered("overlays/fleet")
        if item["kind"] == "ServiceAccount"
    }
    roles = {
        account: found["eks.amazonaws.com/role-arn"].rpartition("/")[2]
        for account, found in annotations.items()
        if found
    }
    assert roles == {name: name for name in ("pairmill-head", "pairmill-worker")}
    # As they are for the head; README says how they become those of the others.
    (pods,) = document("trust-pod-identity.json")["Statement"]
    equals = pods["Condition"]["StringEquals"]
    assert equals["aws:RequestTag/kubernetes-service-account"] == "pairmill-head"
    assert equals["aws:RequestTag/kubernetes-namespace"] == "pairmill"
    assert pods["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    (irsa,) = document("trust-irsa.json")["Statement"]
    issuer = irsa["Principal"]["Federated"].split("oidc-provider/")[1]
    assert irsa["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert irsa["Condition"] == {
        "StringEquals": {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": "system:serviceaccount:pairmill:pairmill-head",
        }
    }


def test_unfinished_uploads_are_cleared_and_nothing_expires() -> None:
    rules = document("bucket-lifecycle.json")
    shape = (
        botocore.session.get_session()
        .get_service_model("s3")
        .shape_for("BucketLifecycleConfiguration")
    )
    report = ParamValidator().validate(rules, shape)
    assert not report.has_errors(), report.generate_report()
    assert rules["Rules"] == [
        {
            "ID": "pairmill-incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": "out/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]
