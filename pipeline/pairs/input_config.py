"""The settings under ``input``: which columns hold what, where media may be, how units are cut."""

from __future__ import annotations

from pydantic import Field

from pipeline.pairs.columns import ColumnMapping
from pipeline.runtime.config_file import Frozen


class InputConfig(Frozen):
    """What is read."""

    columns: ColumnMapping = ColumnMapping()
    """Where foreign columns hold what pairs v1 asks for."""
    media_roots: tuple[str, ...] = ()
    """URI prefixes that a pair's media paths may point into; always includes the input itself.
    Relative paths are looked up under the first of them.
    """
    unit_rows: int = Field(default=512, ge=1, le=4_096)
    """Most pairs of one unit of work."""
    unit_bytes: int = Field(default=64 * 2**20, ge=2**16)
    """About the most bytes in memory of one unit of work."""
