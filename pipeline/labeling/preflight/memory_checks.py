"""Whether the judge fits: weights and keys and values against the memory of GPU or machine."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from pipeline.engines.engine import merged_args
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preflight.check import Check
from pipeline.labeling.preflight.gpus import Gpu
from pipeline.labeling.preflight.weight_checks import Weights

_GiB = 2**30
_UTILIZATION = 0.92  # vLLM's default of gpu_memory_utilization
_TIGHT = 0.85  # of what vLLM may take: activations and graphs need some, too
_CPU_SPACE = "VLLM_CPU_KVCACHE_SPACE"
_LESS = "choose a smaller or quantized model, a smaller judge.model.max_model_len"


def memory_checks(config: LabelConfig, weights: Weights, gpus: Sequence[Gpu]) -> list[Check]:
    """Checks the GPUs of this machine, or its memory where it has none.

    A cluster's workers run on other machines: there is nothing to measure here.
    """
    if config.engine.kind != "vllm":
        found = f"not estimated for engine.kind {config.engine.kind}"
        return [Check("engine memory", "skipped", found)]
    if os.environ.get("RAY_ADDRESS"):
        found = "RAY_ADDRESS is set: engines run on the cluster's nodes"
        advice = "to check these, run doctor on one of them without RAY_ADDRESS"
        return [Check("engine memory", "skipped", found, advice)]
    if not gpus:
        return [cpu_memory_check(config, weights, psutil.virtual_memory().available)]
    return [gpu_count_check(config, len(gpus)), gpu_memory_check(config, weights, gpus)]


def gpu_count_check(config: LabelConfig, count: int) -> Check:
    """Whether the pool's least workers find a GPU each."""
    workers = config.workers
    found = f"{count} visible; workers.min {workers.min}, each with workers.gpus {workers.gpus:g}"
    if workers.min * workers.gpus > count:
        advice = "lower workers.min or workers.gpus, or the run waits for GPUs that never come"
        return Check("GPUs", "fail", found, advice)
    return Check("GPUs", "ok", found)


def gpu_memory_check(config: LabelConfig, weights: Weights, gpus: Sequence[Gpu]) -> Check:
    """Whether the smallest GPU holds its share of an engine, with one prompt of full length."""
    name = "GPU memory"
    share = float(
        merged_args(config.judge, config.engine).get("gpu_memory_utilization", _UTILIZATION)
    )
    gpu = min(gpus, key=lambda each: each.free)
    usable = share * gpu.total
    if gpu.free < usable:
        found = (
            f"{gpu.name}: {_gib(gpu.free)} of {_gib(gpu.total)} free, vLLM wants {_gib(usable)} "
            f"(gpu_memory_utilization {share:g})"
        )
        advice = "end what uses the GPU (nvidia-smi), or lower engine.args.gpu_memory_utilization"
        return Check(name, "fail", found, advice)
    if (need := _need(config, weights)) is None:
        return Check(name, "skipped", f"{gpu.name}, {_gib(gpu.total)}; the model's size is unknown")
    need /= config.engine.tensor_parallel_size
    found = (
        f"{gpu.name}: {_gib(need)} for weights and one prompt of "
        f"{config.judge.model.max_model_len:,} tokens, {_gib(usable)} usable"
    )
    if need > usable:
        more = "raise engine.tensor_parallel_size and workers.gpus, or larger GPUs"
        return Check(name, "fail", found, f"{_LESS}, {more}")
    if need > _TIGHT * usable:
        advice = f"little is left for further prompts at once: {_LESS}, or larger GPUs"
        return Check(name, "warn", found, advice)
    return Check(name, "ok", found)


def cpu_memory_check(config: LabelConfig, weights: Weights, available: int) -> Check:
    """Whether all engines of the pool fit into the memory that this machine has left."""
    name = "engine memory"
    if (need := _need(config, weights)) is None:
        return Check(name, "skipped", "no GPU is visible, and the model's size is unknown")
    space = config.engine.env.get(_CPU_SPACE) or os.environ.get(_CPU_SPACE)
    if not space or not space.isdecimal():
        found = f"no GPU is visible, and {_CPU_SPACE} is {space or 'not set'}"
        advice = f'set engine.env.{_CPU_SPACE} to some GiB, such as "4": vLLM takes all there is'
        return Check(name, "warn", found, advice)
    prompt = config.judge.model.max_model_len * (weights.token_bytes or 0)
    if prompt > int(space) * _GiB:
        found = f"one prompt of full length takes {_gib(prompt)}, {_CPU_SPACE} is {space}"
        return Check(name, "fail", found, f"raise engine.env.{_CPU_SPACE}, or {_LESS}")
    need = config.workers.max * (need - prompt + int(space) * _GiB)
    found = (
        f"no GPU is visible: {_gib(need)} for {config.workers.max} engines on the CPU, "
        f"{_gib(available)} available"
    )
    if need > available:
        advice = f"{_LESS}, a smaller {_CPU_SPACE}, or fewer workers.max"
        return Check(name, "fail", found, advice)
    return Check(name, "ok", found)


def _need(config: LabelConfig, weights: Weights) -> float | None:
    """Bytes of the weights, and of the keys and values of one prompt of full length."""
    if weights.bytes is None:
        return None
    return weights.bytes + config.judge.model.max_model_len * (weights.token_bytes or 0)


def _gib(size: float) -> str:
    return f"{size / _GiB:.1f} GiB"
