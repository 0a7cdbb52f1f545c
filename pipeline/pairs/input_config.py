"""The settings under ``input``: how columns are mapped, where media may be, sizes of units."""

from __future__ import annotations

from pydantic import Field

from pipeline.pairs.mapping_config import MappingConfig

READ_SECONDS = 300.0


class InputConfig(MappingConfig):
    """What is read."""

    media_roots: tuple[str, ...] = ()
    """URI prefixes that a pair's media paths may point into; always includes the input itself.
    Relative paths are looked up under the first of them.
    """
    unit_rows: int = Field(default=512, ge=1, le=4_096)
    """Most pairs of one unit of work."""
    unit_bytes: int = Field(default=64 * 2**20, ge=2**16)
    """About the most bytes in memory of one unit of work."""
    read_seconds: float = Field(default=READ_SECONDS, gt=0, le=86_400, allow_inf_nan=False)
    """How long a shard's footer, and each batch of its rows, may take to decode, without the time
    that the store takes. What takes longer counts as corrupt: the shard is named unreadable, or the
    rows are quarantined.
    """
