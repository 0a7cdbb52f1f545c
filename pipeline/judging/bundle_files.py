"""Reads bundles: those that are shipped, by name, and a user's folder.

A folder is read once, where the configuration is: its texts then go along with the configuration to
every worker and into the judge's card, so that no other machine needs the folder.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.judging.bundle import Bundle, BundleFile, named_files
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.suggestion import did_you_mean
from schemas.validation_faults import first_faults

SHIPPED = Path(__file__).with_name("bundles")
DECLARATION, TRANSCRIPTS = "bundle.yaml", "transcripts.jsonl"
CONSTRUCTED = "constructed"  # the origin of a transcript that no judge wrote
_MOST_BYTES = 1 << 20  # of a file of a bundle


class StoredBundle(Frozen):
    """A user's bundle as configurations and cards hold it."""

    name: str
    """The folder's name, for people."""
    files: dict[str, str]
    """Its texts by file name, ``bundle.yaml`` among them."""
    verified: bool
    """Whether a transcript of it names a public origin."""

    def __hash__(self) -> int:
        return hash((self.name, self.verified, tuple(sorted(self.files.items()))))


BundleSource = str | StoredBundle


@cache
def shipped_bundles() -> tuple[str, ...]:
    """The names of the bundles that are shipped; looked up once, not for each configuration."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{DECLARATION}")))


def stored_bundle(given: object) -> BundleSource:
    """What a configuration states as ``judge.bundle``: a shipped bundle's name, or a folder's.

    Raises:
        ValueError: there is no such bundle, or a file of it cannot be read.
    """
    if isinstance(given, StoredBundle):
        return given
    if isinstance(given, dict):
        return StoredBundle.model_validate(given)
    if not isinstance(given, str):
        raise ValueError(f"got {given!r}, expected a bundle's name or a folder such as ./mine")
    known = shipped_bundles()
    if given in known:
        return given
    folder = Path(given)
    if not (folder / DECLARATION).is_file():
        hint = did_you_mean(given, known)
        raise ValueError(
            f"got {given!r}: no such bundle{hint}; expected one of {', '.join(known)}, or a folder "
            f"that holds a {DECLARATION}"
        )
    return read_folder(folder)


def read_folder(folder: Path) -> StoredBundle:
    """Reads a bundle's folder.

    Raises:
        ValueError: a file of it cannot be read.
    """
    declared = _declared(str(folder), _text(folder, DECLARATION))
    names = sorted({DECLARATION, *named_files(declared)})
    files = {name: _text(folder, name) for name in names}
    verified = any(line["origin"] != CONSTRUCTED for line in read_transcripts(folder))
    return StoredBundle(name=folder.resolve().name, files=files, verified=verified)


@cache
def load_bundle(source: BundleSource) -> Bundle:
    """The bundle that a configuration states.

    Raises:
        ValueError: it is not a sound one; the message says what to change.
    """
    stored = read_folder(SHIPPED / source) if isinstance(source, str) else source
    declared = _declared(stored.name, stored.files[DECLARATION])
    return Bundle(stored.name, declared, stored.files, stored.verified)


def read_transcripts(folder: Path) -> list[dict[str, Any]]:
    """The transcripts of a folder, of which every one names its origin.

    Raises:
        ValueError: a line is not a transcript.
    """
    if not (folder / TRANSCRIPTS).exists():
        return []
    found = []
    for number, line in enumerate(_text(folder, TRANSCRIPTS).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            transcript = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{folder / TRANSCRIPTS}:{number}: not JSON ({error})") from error
        missing = {"reply", "verdict", "origin"} - set(transcript)
        if not isinstance(transcript, dict) or missing:
            raise ValueError(
                f"{folder / TRANSCRIPTS}:{number}: expected a reply, a verdict and an origin; "
                f"missing: {', '.join(sorted(missing))}"
            )
        found.append(transcript)
    return found


def _declared(name: str, text: str) -> BundleFile:
    try:
        return BundleFile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"bundle {name}: {DECLARATION} is not YAML: {error}") from error
    except ValidationError as error:
        raise ValueError(f"bundle {name}: {DECLARATION}: {first_faults(error)}") from error


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if folder.resolve() not in path.resolve().parents:
        raise ValueError(f"{path}: outside of the bundle's folder")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path}: larger than {_MOST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); {DECLARATION} names it") from error
