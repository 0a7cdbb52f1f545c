"""Runs commands on one private Ray, whose folder stays: what it has logged can be read.

Arguments: the file that is to name the folder, and a JSON list of ``[module, argument, …]``.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from pipeline.labeling.cluster import ray_session
from pipeline.labeling.label_config import WorkersConfig

_SIZE = WorkersConfig(local_cpus=2, local_object_store_mb=100, max=2)


def main(named: str, commands: str) -> int:
    """Runs them one after the other; returns the highest exit code."""

    def keep(folder: Path) -> None:
        Path(named).write_text(str(folder.parent), encoding="utf-8")

    setattr(ray_session, "remove", keep)  # noqa: B010 - in place of the one that it imports
    with ray_session.ray_session(_SIZE):
        codes = [
            int(importlib.import_module(module).COMMAND.main(arguments))
            for module, *arguments in json.loads(commands)
        ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
