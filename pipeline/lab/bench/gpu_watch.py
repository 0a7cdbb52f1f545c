"""Use, power and memory of the GPUs while a block runs, read from NVIDIA's driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from pipeline.runtime.repeating import Repeating

_QUERY = "index,utilization.gpu,power.draw,memory.used"
_MIB = 2**20


@dataclass(frozen=True)
class GpuSample:
    """One GPU at one moment.

    Attributes:
        at: clock time.
        busy: share of the driver's last sample period in which any kernel ran, 0 to 1.
        watts: electric power.
        memory_bytes: used by all processes.
    """

    at: float
    gpu: int
    busy: float
    watts: float
    memory_bytes: int


class GpuWatch(Repeating):
    """Samples the GPUs that this process may use while a block runs; none without a driver.

    Attributes:
        samples: in the order of time.
    """

    def __init__(self, every_seconds: float = 1.0) -> None:
        """Samples every so many seconds."""
        super().__init__(every_seconds)
        self.samples: list[GpuSample] = []
        program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
        only = [f"--id={visible}"] if visible else []
        how = [f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits", *only]
        self._command = [program, *how] if program else None

    def look(self) -> None:
        """Takes a sample of each GPU."""
        if self._command:
            done = subprocess.run(self._command, stdout=subprocess.PIPE, text=True)
            found = (read_sample(line, time.time()) for line in done.stdout.splitlines())
            self.samples += filter(None, found)

    def idle_seconds(self, begin: float, end: float) -> float | None:
        """Seconds between two clock times in which a GPU ran nothing, on average over the GPUs.

        None without samples.
        """
        seen = [sample.busy for sample in self.samples if begin <= sample.at <= end]
        return (1 - sum(seen) / len(seen)) * (end - begin) if seen else None


def read_sample(line: str, at: float) -> GpuSample | None:
    """Reads a line of the driver's table; None if a cell is no number (``[N/A]``)."""
    try:
        gpu, busy, watts, mib = (float(cell) for cell in line.split(","))
    except ValueError:
        return None
    return GpuSample(at, int(gpu), busy / 100, watts, int(mib) * _MIB)
