"""The AWS policy: what it allows, what it does not, and who may take the role."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from pipeline.export.export_run import EXPORTS
from tests.infra.manifests import ROOT, rendered, run, tool

IAM = ROOT / "infra" / "iam"
BUCKET = "arn:aws:s3:::pairmill-example"


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((IAM / name).read_text(encoding="utf-8"))
    return document


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allowed(
    action: str, resource: str, prefix: str | None = None, policy: str = "policy.json"
) -> bool:
    """Whether a policy allows a call, by IAM's rules as far as our policies use them."""
    for statement in read(policy)["Statement"]:
        assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Allow"
        if not any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"])):
            continue
        if not any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"])):
            continue
        condition = statement.get("Condition", {})
        assert condition.keys() <= {"StringLike"}
        wanted = condition.get("StringLike", {})
        assert wanted.keys() <= {"s3:prefix"}
        patterns = wanted.get("s3:prefix")
        if patterns is None or (
            prefix is not None and any(fnmatchcase(prefix, p) for p in patterns)
        ):
            return True
    return False


@pytest.mark.parametrize(
    ("action", "resource", "prefix"),
    [
        ("s3:ListBucket", BUCKET, "in/pairs/"),
        ("s3:ListBucket", BUCKET, "out/labels/parts/"),
        ("s3:GetObject", f"{BUCKET}/in/pairs/0.parquet", None),
        ("s3:GetObject", f"{BUCKET}/out/labels/judges/1.json", None),
        ("s3:PutObject", f"{BUCKET}/out/labels/runs/1/run.json", None),
        ("s3:AbortMultipartUpload", f"{BUCKET}/out/labels/parts/1.parquet", None),
    ],
)
def test_the_job_can_do_its_work(action: str, resource: str, prefix: str | None) -> None:
    assert allowed(action, resource, prefix)


@pytest.mark.parametrize(
    ("action", "resource", "prefix"),
    [
        ("s3:ListBucket", BUCKET, None),
        ("s3:ListBucket", BUCKET, "other/"),
        ("s3:ListBucket", BUCKET, "input/"),
        ("s3:ListBucket", "arn:aws:s3:::another", "in/"),
        ("s3:GetObject", f"{BUCKET}/other/1", None),
        ("s3:GetObject", "arn:aws:s3:::another/in/1", None),
        ("s3:PutObject", f"{BUCKET}/in/pairs/0.parquet", None),
        ("s3:DeleteObject", f"{BUCKET}/out/labels/parts/1.parquet", None),
        ("s3:DeleteObjectVersion", f"{BUCKET}/out/labels/parts/1.parquet", None),
        ("s3:DeleteBucket", BUCKET, None),
        ("s3:PutObjectAcl", f"{BUCKET}/out/labels/1", None),
        ("s3:PutBucketPolicy", BUCKET, None),
        ("iam:PassRole", "*", None),
    ],
)
def test_and_nothing_else(action: str, resource: str, prefix: str | None) -> None:
    assert not allowed(action, resource, prefix)


KINDS = (
    *("snapshots", "exports", "parts", "index", "derived", "canaries", "runs", "attempts"),
    "evaluations",  # by `forget` alone
)


@pytest.mark.parametrize(
    ("action", "resource", "may"),
    [
        *(("s3:DeleteObject", f"{BUCKET}/out/labels/{kind}/1", True) for kind in KINDS),
        ("s3:GetObject", f"{BUCKET}/out/labels/judges/1.json", True),
        ("s3:PutObject", f"{BUCKET}/out/labels/leases/writer.json", True),
        ("s3:PutObject", f"{BUCKET}/out/labels/index/judge=1/000000001.json", True),
        ("s3:PutObject", f"{BUCKET}/out/labels/parts/1.parquet", False),
        ("s3:PutObject", f"{BUCKET}/out/labels/snapshots/LATEST.json", False),
        ("s3:DeleteObject", f"{BUCKET}/out/labels/judges/1.json", False),
        ("s3:DeleteObject", f"{BUCKET}/out/labels/gold/1.json", False),
        ("s3:DeleteObject", f"{BUCKET}/out/labels/leases/writer.json", False),
        ("s3:DeleteObject", f"{BUCKET}/in/pairs/0.parquet", False),
        ("s3:DeleteObjectVersion", f"{BUCKET}/out/labels/parts/1.parquet", False),
        ("s3:DeleteBucket", BUCKET, False),
    ],
)
def test_only_the_role_that_cleans_deletes(action: str, resource: str, may: bool) -> None:
    assert allowed(action, resource, policy="policy-clean.json") == may


def test_what_clean_removes_is_what_its_role_may_delete() -> None:
    """Every folder that a kind of clean, or forget, lists."""
    source = (ROOT / "pipeline" / "retention").glob("stored_*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in source)
    listed_folders = set(re.findall(r'matching\(\s*"(\w+)"', text)) | {EXPORTS}
    assert listed_folders == set(KINDS)


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        ("policy.json", {"ListBucket", "GetObject", "PutObject", "AbortMultipartUpload"}),
        ("policy-clean.json", {"ListBucket", "GetObject", "PutObject", "DeleteObject"}),
    ],
)
def test_no_action_is_a_pattern(policy: str, actions: set[str]) -> None:
    assert actions == {
        action.removeprefix("s3:")
        for statement in read(policy)["Statement"]
        for action in listed(statement["Action"])
    }


@pytest.mark.parametrize("name", ["policy.json", "policy-clean.json"])
def test_parliament_finds_nothing(name: str) -> None:
    policy = (IAM / name).read_text(encoding="utf-8")
    done = run(tool("parliament"), "--include-community-auditors", "--string", policy)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_parliament_would_find_something() -> None:
    policy = read("policy.json")
    policy["Statement"][1]["Action"] = "s3:GetObjekt"
    done = run(tool("parliament"), "--string", json.dumps(policy))
    assert done.returncode == 1
    assert "GetObjekt" in done.stdout


def test_the_accounts_of_head_and_workers_take_the_role() -> None:
    accounts = {
        item["metadata"]["name"]
        for item in rendered("overlays/fleet")
        if "eks.amazonaws.com/role-arn" in item["metadata"].get("annotations", {})
    }
    (pods,) = read("trust-pod-identity.json")["Statement"]
    equals = pods["Condition"]["StringEquals"]
    assert set(equals["aws:RequestTag/kubernetes-service-account"]) == accounts
    assert equals["aws:RequestTag/kubernetes-namespace"] == "pairmill"
    assert pods["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    (irsa,) = read("trust-irsa.json")["Statement"]
    issuer = irsa["Principal"]["Federated"].split("oidc-provider/")[1]
    assert irsa["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert irsa["Condition"] == {
        "StringEquals": {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": [
                f"system:serviceaccount:pairmill:{name}" for name in sorted(accounts)
            ],
        }
    }


def test_unfinished_uploads_are_cleared_and_nothing_expires() -> None:
    rules = read("bucket-lifecycle.json")
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
