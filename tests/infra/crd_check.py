"""Validates manifests against the schemas of CustomResourceDefinitions, without a cluster.

A Kubernetes API server checks a custom resource twice: against the definition's OpenAPI schema,
and by the rules in the Common Expression Language (CEL) that are written into that schema. Both
are done here. Fields that the schema does not name are problems, as with
``kubectl apply --validate=strict``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celpy
import jsonschema  # type: ignore[import-untyped]
import yaml
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

Node = dict[str, Any]


@dataclass(frozen=True)
class Schema:
    """How one version of one kind is described.

    Attributes:
        openapi: the definition's own schema, with its CEL rules.
        strict: the same as JSON Schema, in which a field that is not named is an error.
    """

    openapi: Node
    strict: Node


Schemas = dict[tuple[str, str], Schema]

# In Python alone, KubeRay's three definitions, megabytes each, take PyYAML ten times as long.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_schemas(definitions: Iterable[Path]) -> Schemas:
    """The schemas of CustomResourceDefinitions, by ``apiVersion`` and ``kind``.

    Args:
        definitions: YAML files with one CustomResourceDefinition each.
    """
    schemas: Schemas = {}
    for path in definitions:
        spec = yaml.load(path.read_text(encoding="utf-8"), _Loader)["spec"]
        for version in spec["versions"]:
            openapi = version["schema"]["openAPIV3Schema"]
            strict = _strict(openapi)
            strict["properties"]["metadata"] = {"type": "object", "required": ["name"]}
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            schemas[key] = Schema(openapi, strict)
    return schemas


def problems(schemas: Schemas, manifest: Node) -> list[str]:
    """What an API server would refuse in a manifest: ``/path/to/field: what is wrong``."""
    kind = (str(manifest["apiVersion"]), str(manifest["kind"]))
    if kind not in schemas:
        return [f"/: no definition describes {kind[1]} of {kind[0]}"]
    schema = schemas[kind]
    errors = jsonschema.Draft7Validator(schema.strict).iter_errors(manifest)
    found = [f"/{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    return found + list(_broken_rules(schema.openapi, manifest, ""))


def _strict(node: Any) -> Any:
    """A node of an OpenAPI schema as JSON Schema without unnamed fields."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-kubernetes-int-or-string"):
        pattern = {"pattern": node["pattern"]} if "pattern" in node else {}
        return {"anyOf": [{"type": "integer"}, {"type": "string", **pattern}]}
    made = {key: _converted(key, value) for key, value in node.items() if key != "format"}
    open_ended = "additionalProperties" in node or node.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in node and not open_ended:
        made["additionalProperties"] = False
    if node.get("nullable") and "type" in node:
        made["type"] = [node["type"], "null"]
    return made


def _converted(key: str, value: Any) -> Any:
    if key in ("default", "enum", "required"):  # values, not schemas
        return value
    if key == "properties":  # its keys are names of fields, even where they read like keywords
        return {name: _strict(schema) for name, schema in value.items()}
    return _strict(value)


def _broken_rules(schema: Node, value: Any, path: str) -> Iterator[str]:
    """The CEL rules that a value, and everything below it, does not keep."""
    for rule in schema.get("x-kubernetes-validations", []):
        # Rules with the value before a change hold for updates; here everything is created.
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{path or '/'}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, item in value.items():
            below = properties.get(key, others)
            if isinstance(below, dict):
                yield from _broken_rules(below, item, f"{path}/{key}")
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        for number, item in enumerate(value):
            yield from _broken_rules(items, item, f"{path}/{number}")


def _holds(rule: str, value: Any) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule))
    try:
        return bool(program.evaluate({"self": json_to_cel(value)}))
    except CELEvalError:  # an API server refuses what a rule cannot be evaluated on
        return False
