"""The raylet or the GCS dies while pairs are judged: one sentence, and the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.store.object_store import Store
from tests.labeling import assert_exact, label_arguments, write_config
from tests.nights import nights, run_nightly
from tests.processes import started, wait_until
from tests.shards import pair, write_shard
from tests.without_ray import label_here


@pytest.mark.parametrize("name", ["gcs_server", pytest.param("raylet", marks=pytest.mark.long)])
def test_ray_dies_under_a_night(
    tmp_path: Path, model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [pair(number) for number in range(64)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 32)
    changes: dict[str, Any] = {
        "engine": {"script": {"latency_s": 0.3}},
        "input": {"unit_rows": 8},
        "workers": {"min": 1, "max": 1, "local_cpus": 2},
    }
    config = write_config(tmp_path / "night.yaml", model, changes)
    output = tmp_path / "out"
    arguments = label_arguments(config, tmp_path / "in", output)
    with started("jobs.nightly", arguments) as job:
        wait_until(lambda: len(list(Store(str(output)).list("parts"))) >= 2)
        family = psutil.Process(job.process.pid).children(recursive=True)
        (victim,) = [process for process in family if process.name() == name]
        programs = {Path(word).name for process in family for word in process.cmdline()[1:3]}
        victim.kill()
        _, error = job.process.communicate(timeout=300)
    assert job.process.returncode == 2, error
    # Ray's own has these beside its agents; a run has no use for them.
    assert not programs & {"dashboard.py", "monitor.py", "log_monitor.py"}
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert "Ray failed under the run" in line
    assert "Traceback" not in error
    (record,) = nights(output)
    assert (record["state"], record["exit_code"]) == ("failed", 2)

    label_here(monkeypatch)  # on what is left, whoever judges it
    again = run_nightly(config, tmp_path / "in", output)
    assert (again.exit_code, again.error) == (0, "")
    assert_exact(output, {"a.parquet": rows})
