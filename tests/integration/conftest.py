"""An input with labels, to publish from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.publishing import LabeledInput


@pytest.fixture
def labeled(tmp_path: Path) -> LabeledInput:
    """Three labelled shards, of 45, 30 and 7 rows."""
    made = LabeledInput.at(str(tmp_path))
    made.shard("a.parquet", 45)
    made.shard("sub/b.parquet", 30, seed=1)
    made.shard("z.parquet", 7, seed=2)
    return made
