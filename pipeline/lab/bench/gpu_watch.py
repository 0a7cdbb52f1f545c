"""Use, power and memory of the GPUs while a block runs, read from NVIDIA's driver every second."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

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


class GpuWatch:
    """Samples the GPUs that this process may use while a block runs; none without a driver.

    Attributes:
        samples: in the order of time.
    """

    def __init__(self) -> None:
        self.samples: list[GpuSample] = []
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        if program := shutil.which("nvidia-smi"):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            only = [f"--id={visible}"] if visible else []
            how = [f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits", "--loop=1"]
            self._process = subprocess.Popen(
                [program, *how, *only],
                stdout=subprocess.PIPE,
                text=True,
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._thread.join()

    def idle_seconds(self, begin: float, end: float) -> float | None:
        """Seconds between two clock times in which a GPU ran nothing, on average over the GPUs.

        None without samples.
        """
        seen = [sample.busy for sample in self.samples if begin <= sample.at <= end]
        return (1 - sum(seen) / len(seen)) * (end - begin) if seen else None

    def _read(self) -> None:
        assert self._process is not None
        for line in self._process.stdout or ():
            if (sample := read_sample(line, time.time())) is not None:
                self.samples.append(sample)


def read_sample(line: str, at: float) -> GpuSample | None:
    """Reads a line of the driver's table; None if a cell is no number (``[N/A]``)."""
    try:
        gpu, busy, watts, mib = (float(cell) for cell in line.split(","))
    except ValueError:
        return None
    return GpuSample(at, int(gpu), busy / 100, watts, int(mib) * _MIB)
