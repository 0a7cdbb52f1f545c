"""How a snapshot is measured."""

from __future__ import annotations

from pydantic import Field

from pipeline.runtime.config_file import Frozen


class QualityConfig(Frozen):
    """How much is read to measure a snapshot, beside the narrow columns of all its rows.

    Attributes:
        gold: whether the input's shards are looked into for gold; only that column is read.
        length_groups: so many row groups of the input are read for their texts' lengths, each of
            another shard; the same input gives the same sample. 0 measures no length bias.
        threads: row groups that are read at once.
    """

    gold: bool = True
    length_groups: int = Field(default=32, ge=0, le=10_000)
    threads: int = Field(default=4, ge=1, le=64)
