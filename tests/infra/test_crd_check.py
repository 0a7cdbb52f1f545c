"""The check of custom resources, on a small definition that has one of everything."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.infra.crd_check import Schemas, problems, read_schemas

_SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["replicas"],
    "x-kubernetes-validations": [
        {"rule": "self.replicas <= self.limit", "message": "more replicas than the limit"},
        {"rule": "self.replicas >= oldSelf.replicas", "message": "never fewer than before"},
    ],
    "properties": {
        "replicas": {"type": "integer", "format": "int32"},
        "limit": {"type": "integer", "default": 9},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "mode": {"type": "string", "enum": ["fast", "exact"]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "x-kubernetes-validations": [{"rule": "self.name != ''"}],
                "properties": {"name": {"type": "string"}},
            },
        },
    },
}
_GOOD: dict[str, Any] = {
    **{"replicas": 2, "limit": 3, "port": "http", "note": None, "mode": "fast"},
    **{"labels": {"free": "text"}, "anything": {"goes": 1}, "steps": [{"name": "one"}]},
}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    properties = {name: {"type": "string"} for name in ("apiVersion", "kind")}
    openapi = {
        "type": "object",
        "properties": {**properties, "metadata": {"type": "object"}, "spec": _SPEC},
    }
    definition = {
        "spec": {
            "group": "example.org",
            "names": {"kind": "Thing"},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": openapi}}],
        }
    }
    path = tmp_path_factory.mktemp("crds") / "things.yaml"
    path.write_text(yaml.safe_dump(definition), encoding="utf-8")
    return read_schemas([path])


def thing(**changes: Any) -> dict[str, Any]:
    head = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "one"}}
    return head | {"spec": _GOOD | changes}


def test_what_keeps_to_its_schema_has_no_problem(schemas: Schemas) -> None:
    assert problems(schemas, thing()) == []


@pytest.mark.parametrize(
    ("changes", "places", "what"),
    [
        ({"replica": 1}, ["/spec"], "'replica' was unexpected"),
        ({"steps": [{"name": "one", "nmae": "x"}]}, ["/spec/steps/0"], "'nmae' was unexpected"),
        ({"mode": "slow"}, ["/spec/mode"], "'slow' is not one of ['fast', 'exact']"),
        ({"port": 1.5}, ["/spec/port"], "1.5 is not valid"),
        ({"labels": {"count": 1}}, ["/spec/labels/count"], "1 is not of type 'string'"),
        ({"replicas": 4}, ["/spec"], "more replicas than the limit"),
        ({"steps": [{"name": "one"}, {"name": ""}]}, ["/spec/steps/1"], "self.name != ''"),
        # No value that the rule could be evaluated on.
        ({"steps": [{}]}, ["/spec/steps/0"], "self.name != ''"),
        ({"replicas": "two"}, ["/spec/replicas", "/spec"], "'two' is not of type 'integer'"),
    ],
)
def test_a_problem_is_named_with_its_place(
    schemas: Schemas, changes: dict[str, Any], places: list[str], what: str
) -> None:
    found = problems(schemas, thing(**changes))
    assert [line.partition(": ")[0] for line in found] == places
    assert what in found[0]


def test_a_missing_field_and_a_missing_name(schemas: Schemas) -> None:
    bare = thing() | {"metadata": {}, "spec": {"limit": 3}}
    assert problems(schemas, bare) == [
        "/metadata: 'name' is a required property",
        "/spec: 'replicas' is a required property",
        "/spec: more replicas than the limit",  # a rule that cannot be evaluated is not kept
    ]


def test_a_kind_without_a_definition(schemas: Schemas) -> None:
    other = thing() | {"kind": "Other"}
    assert problems(schemas, other) == ["/: no definition describes Other of example.org/v1"]
