"""Sets of gold: ``gold/<set>/set.json`` says which pairs, how drawn, and by what guideline."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import replace

from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store
from pipeline.store.stored_records import parse_record, read_record
from schemas.error_bounds import FrameShards
from schemas.gold import GoldSet

GOLD = "gold"
_RECORD = "set.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
NAMES = "letters, digits and _ . @ + -, up to 64, the first a letter or a digit"


def checked_name(name: str, what: str) -> str:
    """A name of a set or an annotator, which is a part of keys.

    Raises:
        ConfigError: it cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what}: got {name!r}, expected {NAMES}")
    return name


def set_folder(name: str) -> str:
    """The folder of a set, under the output root."""
    return f"{GOLD}/{checked_name(name, 'the name of a gold set')}"


def set_key(name: str) -> str:
    """Where a set's record is, under the output root."""
    return f"{set_folder(name)}/{_RECORD}"


def frame_key(name: str, snapshot_id: str) -> str:
    """Where it is kept which shards a set's pairs were drawn from."""
    return f"{set_folder(name)}/frames/{snapshot_id}.json"


def frame_shards(output: Store, gold: GoldSet) -> set[str]:
    """The keys of all shards that pairs of a set were drawn from.

    Raises:
        InputError: a record is damaged.
        StorageError: the store fails.
    """
    frames = {draw.frame.snapshot_id for draw in gold.draws if draw.frame}
    keys = (frame_key(gold.name, each) for each in sorted(frames))
    found = (read_record(output, key, FrameShards) for key in keys)
    return {key for record in found if record for key in record.shards}


def create_set(output: Store, gold: GoldSet) -> bool:
    """Stores a new set; False if there is one of this name, which stays as it is."""
    return output.swap(set_key(gold.name), gold.to_json(), None) is not None


def read_set(output: Store, name: str) -> GoldSet:
    """A set's record.

    Raises:
        InputError: there is no such set, or its record is damaged.
        StorageError: the store fails.
    """
    found = read_record(output, set_key(name), GoldSet)
    if found is None:
        there = ", ".join(set_names(output)) or "none"
        raise InputError(
            f"{output.path(set_key(name))} does not exist: there is no gold set {name!r}; there "
            f"are: {there}. pairmill gold import and pairmill audit make one"
        )
    return found


def change_set(output: Store, name: str, change: Callable[[GoldSet], GoldSet]) -> GoldSet:
    """Replaces a set's record by what ``change`` makes of it; calls it again if others were first.

    Raises:
        InputError: there is no such set, or its record is damaged.
        StorageError: the store fails.
    """
    key = set_key(name)
    while True:
        version = output.read_version(key)
        if version is None:
            return read_set(output, name)  # which says that there is none
        before = parse_record(version.data, output.path(key), GoldSet)
        after = change(before)
        if after == before or output.swap(key, after.to_json(), version) is not None:
            return after


def set_names(output: Store) -> list[str]:
    """The names of all sets, by one listing."""
    keys = (entry.key.split("/") for entry in output.list(GOLD))
    return sorted(parts[1] for parts in keys if len(parts) == 3 and parts[2] == _RECORD)


def drop_from_sets(output: Store, pair_hashes: Container[str]) -> list[str]:
    """Takes pairs out of the records of all sets; returns the names of those that had some."""

    def without(gold: GoldSet) -> GoldSet:
        draws = tuple(
            replace(draw, pairs=tuple(p for p in draw.pairs if p.pair_hash not in pair_hashes))
            for draw in gold.draws
        )
        return gold if draws == gold.draws else replace(gold, draws=draws)

    changed = []
    for name in set_names(output):
        if any(pair in pair_hashes for pair in read_set(output, name).pairs):
            change_set(output, name, without)
            changed.append(name)
    return changed
