"""What an output holds, as the kinds of ``pairmill clean`` look at it: listed and read once."""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from pipeline.pairs.shards import PATH_DIGITS, open_input
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import Latest, manifest_key, read_latest, read_manifest
from pipeline.snapshots.snapshot_inventory import OpenSource
from pipeline.store.object_store import Entry, Store
from schemas.manifest import Manifest

# How the folders and names that this software makes look.
RUN = r"\d{8}T\d{6}-[0-9a-f]{6}"
SNAPSHOT = r"[0-9a-f]{16}"
JUDGE = r"judge=[0-9a-f]{16}"
SHARD = rf"[0-9a-f]{{{PATH_DIGITS}}}/[0-9a-f]{{32}}"
ROWS = r"\d{9}-\d{9}"
PART = rf"{SHARD}/{ROWS}(?:\.[1-9]\d*)?\.parquet"


class Stored:
    """One output at one moment.

    Attributes:
        run_id: of the run that cleans.
        input_uri: the pairs as they are now; by default those that the live snapshot was made of.
        open_source: opens them.
        now: by the clock of this machine.
        latest: which snapshot is live; None before the first is.
    """

    def __init__(
        self,
        output: Store,
        run_id: str = "",
        input_uri: str | None = None,
        open_source: OpenSource = open_input,
    ) -> None:
        """Reads which snapshot is live.

        Raises:
            InputError: that object is not valid, or the live snapshot has no manifest.
            StorageError: the store fails.
        """
        self.output, self.run_id, self.open_source = output, run_id, open_source
        self.now = output.host.now()
        self.latest: Latest | None = read_latest(output)
        self._listed: dict[str, list[Entry]] = {}
        self._gone: set[str] = set()
        if self.latest is not None and self.latest.snapshot_id not in self.manifests:
            raise InputError(
                f"{output.path(manifest_key(self.latest.snapshot_id))} does not exist, and "
                f"LATEST.json names this snapshot; nothing was removed: restore the object, or "
                "publish again"
            )
        live = self.manifests[self.latest.snapshot_id] if self.latest else None
        self.input_uri = input_uri or (live.input if live else None)

    def under(self, folder: str) -> list[Entry]:
        """The objects of a folder directly under the root."""
        if folder not in self._listed:
            self._listed[folder] = list(self.output.list(folder))
        return self._listed[folder]

    def matching(self, folder: str, pattern: str) -> Iterator[tuple[re.Match[str], Entry]]:
        """The objects of a folder whose keys below it match."""
        compiled = re.compile(f"{folder}/{pattern}")
        for entry in self.under(folder):
            if match := compiled.fullmatch(entry.key):
                yield match, entry

    @cached_property
    def manifests(self) -> Mapping[str, Manifest]:
        """Of all snapshots that have one.

        Raises:
            InputError: one is not valid: which files are needed is not known then.
        """
        pattern = rf"({SNAPSHOT})/manifest\.json"
        ids = [match[1] for match, _ in self.matching("snapshots", pattern)]
        return {name: read_manifest(self.output, name) for name in ids}

    @property
    def needed_snapshots(self) -> Mapping[str, str]:
        """The snapshots that must stay, and why."""
        if self.latest is None:
            return dict.fromkeys(self.manifests, "nothing is live yet")
        needed = {self.latest.previous: "was live before"} if self.latest.previous else {}
        return {**needed, self.latest.snapshot_id: "is live"}

    def without(self, snapshots: Iterable[str]) -> None:
        """States which snapshots go, so that ``staying`` are the others."""
        self._gone.update(snapshots)

    @property
    def staying(self) -> Mapping[str, Manifest]:
        """The manifests of the snapshots that stay."""
        return {name: each for name, each in self.manifests.items() if name not in self._gone}


def grouped(
    found: Iterable[tuple[re.Match[str], Entry]],
) -> dict[str, list[tuple[re.Match[str], Entry]]]:
    """Objects by the first group of what their keys matched."""
    groups = defaultdict(list)
    for match, entry in found:
        groups[match[1]].append((match, entry))
    return dict(groups)


def time_of(text: str) -> datetime.datetime | None:
    """A time that a record states in ISO 8601; None of another text, or without a time zone."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def run_time(run_id: str) -> datetime.datetime | None:
    """The time that a run's name begins with."""
    return time_of(f"{run_id[:15]}+00:00")
