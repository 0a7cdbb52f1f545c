"""What engines ask about GPUs: whether there are any, and whose turn it is to start on one.

Engines that share a GPU start one after the other. An engine measures what is free of the GPU's
memory before and after it loads: with another one that loads meanwhile, it would count that one's
memory as its own, or see less than it was promised.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU."""
    return Path("/dev/nvidiactl").exists()


@contextmanager
def turn_to_start(gpus: float) -> Iterator[None]:
    """Waits until no other engine starts on this process's GPU.

    Args:
        gpus: what the process has of GPUs; one that has whole ones, or none, waits for nobody.
    """
    if not 0 < gpus < 1:
        yield
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").replace(",", "-")
    lock = Path(tempfile.gettempdir(), f"pairmill-{os.getuid()}-gpu-{visible}.lock")
    with lock.open("w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
