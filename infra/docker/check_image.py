"""Checks that this image can judge, before anything else costs time: imports, and the GPUs.

Runs at the end of the images' builds and in the pods' init containers. Names everything that is
wrong, not only the first thing.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any

MODULES = ("ray", "vllm", "pipeline", "jobs.nightly")
_GIB = 2**30


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 if the image can judge, 1 if not, with what is wrong on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that must be visible")
    parser.add_argument("--gpu-memory-gib", type=float, default=0, help="that each must have")
    options = parser.parse_args(arguments)
    problems = [*_imports(), *_gpus(options.gpus, options.gpu_memory_gib)]
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    if not problems:
        sys.stdout.write("this image can judge\n")
    return 1 if problems else 0


def _imports() -> list[str]:
    problems = []
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - an extension may raise anything
            problems.append(
                f"import {name}: {type(error).__name__}: {error}; rebuild the image "
                "(infra/docker), or run the one that was built for this job"
            )
        else:
            sys.stdout.write(f"{name} {getattr(module, '__version__', '')}".rstrip() + "\n")
    return problems


def _gpus(wanted: int, memory_gib: float) -> list[str]:
    if not wanted:
        return []
    try:
        cuda: Any = importlib.import_module("torch").cuda
        found = [cuda.get_device_properties(index) for index in range(cuda.device_count())]
    except Exception as error:  # noqa: BLE001 - drivers raise what they like
        return [f"asking torch for GPUs: {type(error).__name__}: {error}; check the node's driver"]
    problems = []
    if len(found) < wanted:
        problems.append(
            f"{len(found)} GPUs visible, expected {wanted}: check the pod's nvidia.com/gpu limit, "
            "the node's device plugin, and that its driver is as new as the image's CUDA"
        )
    for index, gpu in enumerate(found):
        sys.stdout.write(f"GPU {index}: {gpu.name}, {gpu.total_memory / _GIB:.0f} GiB\n")
        if gpu.total_memory < memory_gib * _GIB:
            problems.append(
                f"GPU {index} ({gpu.name}) has {gpu.total_memory / _GIB:.1f} GiB, expected "
                f"{memory_gib:g} or more: choose other nodes, or a smaller judge"
            )
    return problems


if __name__ == "__main__":
    sys.exit(main())
