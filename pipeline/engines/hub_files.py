"""The hashes of a hub model's files, without its weights: the hub states those of large files."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # re-exports of its HTTP library
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
)

from pipeline.engines.model_files import model_files
from pipeline.store.disk_cache import DiskCache
from pipeline.store.file_hashes import SHA256, FileHashes

HUB_ERRORS: tuple[type[Exception], ...] = (HfHubHTTPError, HFValidationError, HTTPError, OSError)
"""What the hub's client raises where the hub does not answer, or refuses."""
_TIMEOUT_S = 30


def hub_hashes(name: str, commit: str, cache: DiskCache) -> dict[str, str]:
    """SHA-256 of a model's files at a commit, by name; small files are downloaded for it.

    Args:
        name: the model's id.
        commit: one of its commits, in full: what it holds never changes, so the answer is kept.
        cache: where.

    Returns:
        Nothing if the hub states nothing.

    Raises:
        HUB_ERRORS: the hub does not answer, or refuses.
    """
    api = HfApi()
    key = ("hub", api.endpoint, name, commit)
    if known := _parsed(cache.get(*key)):
        return known
    info = api.model_info(name, revision=commit, files_metadata=True, timeout=_TIMEOUT_S)
    listed = {each.rfilename: each.lfs for each in info.siblings or ()}
    names = model_files(listed)
    hashes = {each: lfs.sha256 for each in names if (lfs := listed[each])}
    small = [each for each in names if each not in hashes]
    paths = [Path(hf_hub_download(name, each, revision=commit)) for each in small]
    hashes |= FileHashes(cache).of(paths)
    cache.put(json.dumps(hashes), *key)
    return hashes


def _parsed(kept: str | None) -> dict[str, str]:
    try:
        found = json.loads(kept or "{}")
    except ValueError:
        return {}
    whole = isinstance(found, dict) and all(SHA256.fullmatch(str(each)) for each in found.values())
    return found if whole else {}
