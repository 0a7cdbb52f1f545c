"""How many shards are read at once follows from the object store, not from the CPUs."""

from __future__ import annotations

import pytest

from pipeline.assembly.dataflow import readers

MiB = 2**20


@pytest.mark.parametrize(
    ("store_bytes", "unit_bytes", "expected"),
    [
        (0, 64 * MiB, 1),  # a store of unknown size
        (120 * MiB, 16 * MiB, 1),
        (1_024 * MiB, 64 * MiB, 2),
        (60 * 1_024 * MiB, 64 * MiB, 128),
    ],
)
def test_readers_fit_into_the_store(store_bytes: int, unit_bytes: int, expected: int) -> None:
    assert readers(store_bytes, unit_bytes) == expected
