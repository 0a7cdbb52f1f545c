"""Checks of infra/ are the group ``infra``: ``pytest -m infra`` runs them, and nothing else does.

They need programs and packages that nothing else needs, the extra ``infra`` of pyproject.toml.
Without it the group is skipped; it never counts as having passed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.infra.manifests import find_tool

_PROGRAMS = ("kubectl", "kubernetes-validate", "yamllint", "hadolint", "parliament")
_MODULES = ("celpy", "jsonschema", "promql_parser")


class _InfraModule(pytest.Module):
    """A test module that is skipped, before it is imported, where a tool is missing."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        if missing := _missing():
            raise pytest.skip.Exception(
                f"missing {', '.join(missing)}: install the extra 'infra' "
                "(pip install -e '.[infra]')",
                allow_module_level=True,
            )
        return super().collect()


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Marks every test below this folder."""
    module: pytest.Module = _InfraModule.from_parent(parent, path=module_path)
    module.add_marker("infra")
    return module


@cache
def _missing() -> list[str]:
    """What of the extra ``infra`` is not installed; looked for once a session."""
    programs = [name for name in _PROGRAMS if find_tool(name) is None]
    return programs + [name for name in _MODULES if importlib.util.find_spec(name) is None]
