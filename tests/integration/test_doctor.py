"""``jobs.doctor`` beside a Ray cluster that runs: it connects, and says what is up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.labeling import write_config
from tests.processes import ROOT


def test_a_cluster_is_asked_for_its_nodes(shared_ray: str, tmp_path: Path, model: Path) -> None:
    wanting = {"workers": {"min": 3, "max": 3}}  # of the two GPUs that this Ray pretends to have
    config = write_config(tmp_path / "c.yaml", model, wanting)
    done = subprocess.run(
        [sys.executable, "-m", "jobs.doctor", "--config", str(config)],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": shared_ray},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    (line,) = [line for line in lines if "RAY_ADDRESS=" in line]
    assert line.split(maxsplit=3)[:3] == ["warn", "Ray", "cluster"]
    assert line.endswith(
        f"RAY_ADDRESS={shared_ray}: 1 nodes with 2 GPUs are up, 3 workers reserve 1 each"
    )
    advice = lines[lines.index(line) + 1].strip()
    assert advice == "-> the run waits until more nodes are up"
