"""An input with labels, to publish from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.publishing import Mill


@pytest.fixture
def mill(tmp_path: Path) -> Mill:
    """Three labelled shards, of 45, 30 and 7 rows."""
    made = Mill.at(str(tmp_path))
    made.shard("a.parquet", 45)
    made.shard("sub/b.parquet", 30, seed=1)
    made.shard("z.parquet", 7, seed=2)
    return made
