"""Tallies as they are stored: a gzip file of one part a line, or of one part, as it was once."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from pipeline.runtime.errors import InputError
from pipeline.snapshots.quality import group_tally
from pipeline.snapshots.quality.group_tally import GroupTally, StoredTally, Tallies, tallies_key
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store


def test_tallies_are_read_whatever_parts_they_are_compressed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_tally, "_PIECE_BYTES", 7)
    output, key = Store(str(tmp_path)), tallies_key("s")
    tallies = {
        name: GroupTally([Tally(Counter(rows=number))], said={"pair": None}, drawn=[])
        for number, name in enumerate(("x", "y"))
    }
    made = Tallies(
        "how",
        frozenset(["pair"]),
        {name: StoredTally.of(name, tally) for name, tally in tallies.items()},
    )
    made.write(output, "s")
    assert Tallies.read(output, "s") == made
    output.put(key, gzip.compress(gzip.decompress(output.read(key))))
    found = Tallies.read(output, "s")
    assert found is not None
    assert (found.how, found.asked) == ("how", frozenset(["pair"]))
    assert {name: stored.tally() for name, stored in found.groups.items()} == tallies
    output.put(key, output.read(key)[:-1])
    with pytest.raises(InputError, match=r"tallies.jsonl.gz: damaged \(it is cut off\)"):
        Tallies.read(output, "s")
