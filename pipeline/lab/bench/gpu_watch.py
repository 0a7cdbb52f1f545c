"""What NVIDIA's driver says of the GPUs while a block runs, read every second."""

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
        at: time of the clock.
        busy: share of the last moments in which any kernel ran, 0 to 1.
        watts: electric power.
        memory_bytes: taken by all processes.
    """

    at: float
    gpu: int
    busy: float
    watts: float
    memory_bytes: int


class GpuWatch:
    """Watches the GPUs that this process may use while a block runs; none without a driver.

    Attributes:
        samples: in the order in which they came.
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
        """Seconds between two times of the clock in which GPUs ran nothing, a GPU on average.

        None where no GPU was seen.
        """
        seen = [sample.busy for sample in self.samples if begin <= sample.at <= end]
        return (1 - sum(seen) / len(seen)) * (end - begin) if seen else None

    def _read(self) -> None:
        assert self._process is not None
        for line in self._process.stdout or ():
            if (sample := read_sample(line, time.time())) is not None:
                self.samples.append(sample)


def read_sample(line: str, at: float) -> GpuSample | None:
    """Reads a line of the driver's table; None if it has no figures (``[N/A]``)."""
    try:
        gpu, busy, watts, mib = (float(cell) for cell in line.split(","))
    except ValueError:
        return None
    return GpuSample(at, int(gpu), busy / 100, watts, int(mib) * _MIB)
