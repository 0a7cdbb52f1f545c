"""The GPUs that this process may use, as the driver lists them; without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_COMMAND = "nvidia-smi"
_QUERY = ("--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
_ANSWER_S = 30
_MiB = 2**20


@dataclass(frozen=True)
class Gpu:
    """One GPU; sizes in bytes."""

    name: str
    total: int
    free: int


def visible_gpus() -> list[Gpu]:
    """The GPUs of this machine, within ``CUDA_VISIBLE_DEVICES``; none without a driver."""
    if shutil.which(_COMMAND) is None:
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen == "":
        return []
    command = [_COMMAND, *([f"--id={chosen}"] if chosen else []), *_QUERY]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_gpus(answer.stdout.splitlines()) if answer.returncode == 0 else []


def parse_gpus(lines: Sequence[str]) -> list[Gpu]:
    """GPUs out of lines like ``NVIDIA H200, 143771, 143160``: sizes in MiB."""
    gpus = []
    for line in lines:
        name, *sizes = (part.strip() for part in line.split(","))
        if len(sizes) == 2 and all(size.isdecimal() for size in sizes):
            gpus.append(Gpu(name, *(int(size) * _MiB for size in sizes)))
    return gpus
