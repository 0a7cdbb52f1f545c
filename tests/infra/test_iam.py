"""The AWS policy: what it allows, what it does not, and who may take the role."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tests.infra.manifests import ROOT, rendered, run, tool

IAM = ROOT / "infra" / "iam"
BUCKET = "arn:aws:s3:::pairmill-example"


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((IAM / name).read_text(encoding="utf-8"))
    return document


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allowed(action: str, resource: str, prefix: str | None = None) -> bool:
    """Whether the policy allows a call, by IAM's rules as far as the policy uses them."""
    for statement in read("policy.json")["Statement"]:
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


def test_no_action_is_a_pattern() -> None:
    actions = {
        action
        for statement in read("policy.json")["Statement"]
        for action in listed(statement["Action"])
    }
    assert actions == {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}


def test_parliament_finds_nothing() -> None:
    policy = (IAM / "policy.json").read_text(encoding="utf-8")
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
