"""Reads a configuration: one YAML file, with ``key.path=value`` overrides on top."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.runtime.errors import ConfigError
from pipeline.runtime.printable import names_a_secret
from pipeline.runtime.suggestion import did_you_mean
from schemas.validation_faults import fault_text

_NULLS = ("", "~", "null")  # of YAML
Config = TypeVar("Config", bound=BaseModel)


class Frozen(BaseModel):
    """A section of a configuration: immutable, and without room for misspelt settings.

    The text under a setting says what it means; ``--help-settings`` and jobs/README.md show it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def without_secret_names(env: dict[str, str]) -> dict[str, str]:
    """The same environment variables, of a configuration, which holds no secrets.

    Raises:
        ValueError: the name of one says that its value is secret.
    """
    if wrong := sorted(filter(names_a_secret, env)):
        raise ValueError(
            f"{wrong} are secrets by their names, and a configuration is stored and shown: set "
            "them in the environment of the job instead"
        )
    return env


def load_config(
    model: type[Config],
    path: str | None,
    overrides: Sequence[str] = (),
    *,
    own_sections: bool = False,
) -> Config:
    """Reads a YAML file and applies ``a.b=value`` overrides.

    Values are YAML too, but for expressions (of ``dict[str, str | None]``, such as ``input.map``):
    those are taken as they are written, whatever of them YAML would read as its own.

    Args:
        model: what is configured.
        path: the file; None has the defaults.
        overrides: those of a command line.
        own_sections: leaves out sections that the model has not, since the file is one of a
            command that has more of them.

    Raises:
        ConfigError: the file or an override cannot be used; the message names the key.
    """
    where = path or "built-in defaults"
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot read configuration {path}: {_yaml_fault(error)}") from error
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ConfigError(f"configuration {where}: expected a mapping, got {type(data).__name__}")
    for override in overrides:
        _apply(model, data, override)
    if own_sections:
        data = {name: value for name, value in data.items() if name in model.model_fields}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"  {line}" for line in _faults(model, error)]
        raise ConfigError("\n".join([f"configuration {where}:", *lines])) from error


class Setting(NamedTuple):
    """A setting: its dotted name, the model of its section, and its pydantic field there."""

    name: str
    section: type[BaseModel]
    field: Any


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """The settings of a configuration, in order of definition.

    A section is not listed itself; its settings are.
    """
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            yield Setting(f"{prefix}{name}", model, field)
        else:
            yield from settings_of(section, f"{prefix}{name}.")


def _apply(model: type[BaseModel], data: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        name = re.match(r"[\w.-]*", override)[0]  # type: ignore[index]
        raise ConfigError(f"override {name!r}: expected key.path=value")
    *parents, last = dotted.split(".")
    for parent in parents:
        section: Any = data.setdefault(parent, {})
        if isinstance(section, list):
            raise ConfigError(
                f"override {dotted!r}: {parent!r} is a list in the file; give the list under its "
                "own name there, such as cascade: {judges: [...]}, to set what is beside it"
            )
        if not isinstance(section, dict):
            raise ConfigError(f"override {dotted!r}: {parent!r} is not a section")
        data = section
    try:
        written = _holds_expressions(model, parents) and text.strip() not in _NULLS
        data[last] = text if written else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"override {dotted!r}: the value is not YAML ({_yaml_fault(error)})"
        ) from error


def _holds_expressions(model: type[BaseModel], path: Sequence[str]) -> bool:
    """Whether a setting has texts by name, of which each may be null."""
    annotation: Any = model
    for name in path:
        section = _section(annotation)
        field = section.model_fields.get(name) if section else None
        annotation = field.annotation if field else None
    return bool(annotation == dict[str, str | None])


def _yaml_fault(error: yaml.YAMLError) -> str:
    """What is wrong, and where; the lines themselves may hold what is nobody's business."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or type(error).__name__
    return f"{what}, line {mark.line + 1}, column {mark.column + 1}" if mark else what


def _faults(model: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        if item["type"] == "extra_forbidden":
            *parents, name = item["loc"]
            known = _names_in(model, parents)
            hint = did_you_mean(str(name), known)
            if known and not hint:
                hint = f"; expected one of {', '.join(sorted(known))}"
            yield f"{'.'.join(map(str, item['loc']))}: there is no such setting{hint}"
        else:
            yield fault_text(item)


def _names_in(model: type[BaseModel], parents: Iterable[Any]) -> list[str]:
    """The names of the settings of a section."""
    for parent in parents:
        field = model.model_fields.get(str(parent))
        section = _section(field.annotation) if field else None
        if section is None:
            return []
        model = section
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a nested section; None for a setting, such as a model that may be null."""
    nested = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if nested else None
