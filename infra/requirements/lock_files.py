"""Reads the hashed requirements files beside this one: what is locked, and what needs it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# What an image or environment consists of; `torch.txt` is in place of PyTorch's own builds.
LOCKS = tuple(FOLDER / f"{name}.txt" for name in ("cpu", "gpu", "torch", "dev", "infra"))
_ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s\\;]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^    #(?: via)? +(?:via )?([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?$", re.MULTILINE)
_ASKED = re.compile(r"^    # .*-r [a-z]+\.in$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Locked:
    """One package at one version.

    Attributes:
        hashes: SHA-256 of its files, any of which may be installed.
        needed_by: packages that ask for it.
        asked: whether pyproject.toml or a list of ours asks for it.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]
    asked: bool = False


def locked(files: Iterable[Path]) -> list[Locked]:
    """What these files lock, each package at each version once, by name."""
    found: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    asked: set[tuple[str, str]] = set()
    for file in files:
        text = file.read_text(encoding="utf-8")
        starts = [match.start() for match in _ENTRY.finditer(text)]
        for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
            entry = text[start:stop]
            match = _ENTRY.match(entry)
            assert match
            key = (match[1], match[2])
            hashes, needed_by = found.setdefault(key, (set(), set()))
            hashes.update(_HASH.findall(entry))
            needed_by.update(_VIA.findall(entry))
            if _ASKED.search(entry):
                asked.add(key)
    return sorted(
        Locked(*key, tuple(sorted(hashes)), tuple(sorted(needed_by)), key in asked)
        for key, (hashes, needed_by) in found.items()
    )
