"""The files that a user's URI stands for: one file, a folder, or a glob, in any store.

A name is a pattern only in the URI that a user writes, and only where nothing has that very name;
names that a listing finds are never patterns.
"""

from __future__ import annotations

import re

from fsspec.utils import glob_translate

from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Entry, Store

PARQUET = (".parquet", ".pq")
_WILDCARD = re.compile(r"[*?\[]")


def open_files(uri: str, suffixes: tuple[str, ...] = PARQUET) -> tuple[Store, str]:
    """The root of the files, and the prefix or pattern under it.

    A single file's root is its folder; a glob's is the longest folder without a wildcard.

    Raises:
        StorageError: the scheme is not supported, or a store cannot be asked about a name that
            has a wildcard.
    """
    store = Store(uri)
    if _WILDCARD.search(store.uri) and next(store.list(), None) is None:
        fixed = _WILDCARD.split(store.uri, maxsplit=1)[0]
        root = fixed.rpartition("/")[0]
        if root not in ("", "s3:/", "s3:"):
            return Store(root), store.uri[len(root) + 1 :]
    root, _, name = store.uri.rpartition("/")
    if not name.lower().endswith(suffixes) or root == "s3:/":  # a bucket may be named so too
        return store, ""
    return Store(root or "/"), name


def list_files(store: Store, prefix: str, suffixes: tuple[str, ...] = PARQUET) -> list[Entry]:
    """Files under a prefix, or that a pattern fits, whose names end so in any case; sorted by key.

    Hidden ones (``_…`` and ``.…``, and what is in folders of such names) are left out, unless the
    prefix itself names them.

    Raises:
        InputError: there is none.
        StorageError: the store fails.
    """
    found, shown = list(store.list(prefix)), len(prefix)
    if not found and (wildcard := _WILDCARD.search(prefix)):
        shown = max(0, prefix.rfind("/", 0, wildcard.start()))
        fits = re.compile(glob_translate(prefix))
        found = [entry for entry in store.list(prefix[:shown]) if fits.match(entry.key)]
    files = [
        entry
        for entry in found
        if entry.key.lower().endswith(suffixes)
        and not any(part.startswith(("_", ".")) for part in entry.key[shown:].split("/"))
    ]
    if not files:
        kinds = ", ".join(f"*{suffix}" for suffix in suffixes)
        text = f"{store.path(prefix)}: no {kinds} there; hidden files are not read"
        ingest = "; pairmill ingest makes shards of JSON, CSV and others"
        raise InputError(text + ingest if suffixes == PARQUET else text)
    return files
