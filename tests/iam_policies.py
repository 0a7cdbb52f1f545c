"""What the documents of infra/iam say to a request: IAM's rules as far as they use them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.processes import ROOT

IAM = ROOT / "infra" / "iam"
EXAMPLE = "pairmill-example"  # the bucket that they name


@dataclass(frozen=True)
class Request:
    """A call of S3.

    Attributes:
        action: such as ``s3:GetObject``.
        key: of the object; empty for the bucket itself.
        bucket: its bucket.
        facts: values of condition keys; what is not there is null.
    """

    action: str
    key: str = ""
    bucket: str = EXAMPLE
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """What it is about, as policies name it."""
        return f"arn:aws:s3:::{self.bucket}" + (f"/{self.key}" if self.key else "")


def document(name: str) -> dict[str, Any]:
    """A file of infra/iam."""
    found: dict[str, Any] = json.loads((IAM / name).read_text(encoding="utf-8"))
    return found


def allows(policy: str, request: Request) -> bool:
    """Whether a role's policy allows a request."""
    statements = document(policy)["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    return any(_concerns(statement, request) for statement in statements)


def denies(request: Request, policy: str = "bucket-policy.json") -> bool:
    """Whether the bucket's policy denies a request, whoever makes it."""
    statements = document(policy)["Statement"]
    assert {(each["Effect"], each["Principal"]) for each in statements} == {("Deny", "*")}
    return any(_concerns(statement, request) for statement in statements)


def listed(value: str | list[str]) -> list[str]:
    """One or many, as policies have them."""
    return [value] if isinstance(value, str) else value


def _concerns(statement: dict[str, Any], request: Request) -> bool:
    known = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
    assert statement.keys() <= known
    return (
        _matches(statement["Action"], request.action)
        and _matches(statement["Resource"], request.resource)
        and all(
            _holds(operator, key, listed(wanted), request.facts)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: list[str], facts: Mapping[str, str]) -> bool:
    value = facts.get(key)
    if operator == "Null":
        return [str(value is None).lower()] == wanted
    if operator == "Bool":
        return value in wanted
    assert operator == "StringLike", operator
    return value is not None and _matches(wanted, value)


def _matches(patterns: str | list[str], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in listed(patterns))
