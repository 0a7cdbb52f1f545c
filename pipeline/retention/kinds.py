"""The kinds of things that ``pairmill clean`` removes, in the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.retention.clean_config import CleanConfig, Limits
from pipeline.retention.stored import Stored
from pipeline.retention.stored_exports import stored_exports
from pipeline.retention.stored_parts import stored_index_files, stored_parts
from pipeline.retention.stored_runs import (
    stored_attempts,
    stored_canaries,
    stored_derivations,
    stored_probes,
    stored_runs,
)
from pipeline.retention.stored_snapshots import stored_snapshot_files, stored_snapshots
from pipeline.retention.stored_unfinished import stored_unfinished
from pipeline.retention.things import Thing


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        name: of one thing of it, for people.
        things: lists all there are, with what needs them.
        limits: how many stay.
        has_useless: whether some may go without any limit.
    """

    name: str
    things: Callable[[Stored], Iterable[Thing]]
    limits: Callable[[CleanConfig], Limits]
    has_useless: bool = False


SNAPSHOTS = Kind("snapshot", stored_snapshots, lambda config: config.snapshots, has_useless=True)

# Under the lease of the output alone: what no manifest names may be what a publisher has written.
SNAPSHOT_FILES = Kind(
    "files of snapshots", stored_snapshot_files, lambda config: Limits(), has_useless=True
)

EXPORTS = Kind("export", stored_exports, lambda config: config.exports, has_useless=True)
PARTS = "parts of a shard"

# Snapshots come first: which of them stay decides about what they need.
KINDS = (
    SNAPSHOTS,
    SNAPSHOT_FILES,
    EXPORTS,
    Kind("derivation", stored_derivations, lambda config: config.derived, has_useless=True),
    Kind("canaries of a run", stored_canaries, lambda config: config.canaries),
    Kind("probes of a judge", stored_probes, lambda config: config.probes),
    Kind("records of a run", stored_runs, lambda config: config.runs),
    Kind("marks of attempts", stored_attempts, lambda config: Limits(days=config.attempts_days)),
    Kind(PARTS, stored_parts, lambda config: Limits(days=config.parts_days)),
    Kind("files of an index", stored_index_files, lambda config: Limits(), has_useless=True),
    Kind("unfinished file", stored_unfinished, lambda config: Limits(), has_useless=True),
)
