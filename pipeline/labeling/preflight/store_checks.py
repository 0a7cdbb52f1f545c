"""Whether input and output can be used with the credentials at hand: each right by itself."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.labeling.planning.plan import check_apart
from pipeline.labeling.preflight.check import Check
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import outline_of
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.errors import InputError, StorageError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.store.object_store import Store

# Two fixed objects, so that nothing piles up where nothing may be deleted.
_FOLDER = "doctor"
_PROBE, _SWAPPED = f"{_FOLDER}/probe", f"{_FOLDER}/swap"
_DATA = b"written by pairmill doctor; may be removed\n"
_RIGHTS = "the job needs list, get and put there (infra/iam/policy.json has the rights in AWS)"
_CONDITIONS = (
    "use a store that honours If-None-Match and If-Match of PUT: two runs would overwrite each "
    "other's labels here"
)
_SHOWN = 3


def output_checks(uri: str) -> list[Check]:
    """Checks list, put, get, and the two conditional writes of an output root."""
    try:
        store = Store(uri)
    except StorageError as error:
        return [Check("output", "fail", str(error), "give a folder or s3://bucket/prefix")]
    listed = _right("output: list", lambda: _list(store), _RIGHTS)
    put = _right("output: put", lambda: _put(store), _RIGHTS)
    rest = (
        ("output: get", lambda: _get(store), _RIGHTS),
        ("output: create once", lambda: _create_once(store), _CONDITIONS),
        ("output: swap", lambda: _swap(store), _CONDITIONS),
    )
    if put.state != "ok":
        return [listed, put, *(Check(name, "skipped", "needs put") for name, _, _ in rest)]
    return [listed, put, *(_right(*each) for each in rest)]


def input_checks(name: str, uri: str, config: InputConfig) -> list[Check]:
    """Checks that shards are listed, that one can be read, and that it has the columns.

    Args:
        name: what the input is to the run.
        uri: a folder of shards, or one shard.
        config: how it is read.
    """
    try:
        source, prefix = open_input(uri)
        entries = list_shards(source, prefix)
    except (InputError, StorageError) as error:
        advice = "check the URI and the credentials: the job needs list and get there"
        return [Check(f"{name}: list", "fail", str(error), advice)]
    size = sum(entry.size for entry in entries)
    checks = [Check(f"{name}: list", "ok", f"{len(entries):,} shards, {size / 1e9:.2f} GB")]
    first = source.shown(entries[0].key)
    try:
        outline = outline_of(source, entries[0], config.read_seconds)
        schema, rows = outline.schema, outline.rows
    except StorageError as error:
        return [*checks, Check(f"{name}: get", "fail", str(error), "the job needs get there")]
    except UNREADABLE_FILE as error:
        found = f"{first}: its footer is corrupt ({first_line(error)})"
        advice = "rewrite the shard; a run leaves it out, and ends with 4 if there are more of them"
        return [*checks, Check(f"{name}: get", "warn", found, advice)]
    checks.append(Check(f"{name}: get", "ok", f"{first}: {rows:,} rows"))
    if problems := config.mapping().check(schema):
        found = f"{first}: {len(problems)} columns are not pairs v1: {'; '.join(problems[:_SHOWN])}"
        advice = "name the layout (input.layout), or map the columns (input.map)"
        return [*checks, Check(f"{name}: columns", "fail", found, advice)]
    return [*checks, Check(f"{name}: columns", "ok", "the first shard has those of pairs v1")]


def media_root_checks(roots: Sequence[str]) -> list[Check]:
    """Checks that each folder of media is there and can be listed."""

    def look(root: str) -> str:
        store = Store(root)
        if not store.local:
            # Not all of it: there may be millions of pictures.
            return _list(Store(f"{root.rstrip('/')}/{_FOLDER}"))
        if not Path(store.uri).is_dir():
            raise StorageError(f"{root}: there is no such folder")
        if not os.access(store.uri, os.R_OK | os.X_OK):
            raise StorageError(f"{root}: it may not be read")
        return root

    advice = "correct input.media_roots: pairs whose media are there would be quarantined"
    return [_right("media root", functools.partial(look, root), advice) for root in roots]


def apart_checks(input_uri: str, output_uri: str) -> list[Check]:
    """Checks that the output does not lie inside of the input."""
    try:
        source, prefix = open_input(input_uri)
        check_apart(source, prefix, Store(output_uri))
    except StorageError:
        return []  # another check has it
    except InputError as error:
        return [Check("input and output", "fail", str(error), "choose another --output")]
    return []


def _right(name: str, use: Callable[[], str], advice: str) -> Check:
    """Uses a right; what that returns is what was found."""
    try:
        return Check(name, "ok", use())
    except StorageError as error:
        return Check(name, "fail", str(error), advice)


def _list(store: Store) -> str:
    for _ in store.list(_FOLDER):
        break
    return store.uri


def _put(store: Store) -> str:
    store.put(_PROBE, _DATA)
    return store.path(_PROBE)


def _get(store: Store) -> str:
    if (found := store.read(_PROBE)) != _DATA:
        raise StorageError(f"{store.path(_PROBE)}: got {found[:40]!r}, expected {_DATA!r}")
    return store.path(_PROBE)


def _create_once(store: Store) -> str:
    if store.create(_PROBE, _DATA + b" once more"):
        raise StorageError(f"{store.path(_PROBE)}: an object that exists was created once more")
    return "an object that exists is not overwritten"


def _swap(store: Store) -> str:
    before = store.read_version(_SWAPPED)
    new = store.swap(_SWAPPED, secrets.token_hex(8).encode(), before)
    if new is None:
        raise StorageError(f"{store.path(_SWAPPED)}: refused, though it is as it was read")
    if store.swap(_SWAPPED, secrets.token_hex(8).encode(), before) is not None:
        raise StorageError(f"{store.path(_SWAPPED)}: written, though it has changed since")
    return "an object that has changed is not overwritten"
