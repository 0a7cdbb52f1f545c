"""The pool of workers grows with what is to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.storage import Store
from tests.labeling import assert_exact, run_label, write_config
from tests.shards import pair, write_shard


def starts(output: Path) -> int:
    """How many workers a run began to start."""
    return sum(entry.key.endswith(".begun") for entry in Store(str(output)).list("attempts"))


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(("units", "workers"), [(40, 2), (1, 1)])
def test_a_pool_grows_where_more_waits_than_it_holds(
    tmp_path: Path, model: Path, units: int, workers: int
) -> None:
    rows = [pair(number, images=None) for number in range(units)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 1)
    changes: dict[str, Any] = {
        "engine": {"script": {"latency_s": 1}},
        "input": {"unit_rows": 1},
        "workers": {"min": 1, "max": 2},
    }
    config = write_config(tmp_path / "label.yaml", model, changes)
    outcome = run_label(config, tmp_path / "in", tmp_path / "out")
    assert (outcome.exit_code, outcome.error) == (0, "")
    assert starts(tmp_path / "out") == workers
    assert_exact(tmp_path / "out", {"a.parquet": rows})
