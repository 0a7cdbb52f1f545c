"""All checks before a run, in the order in which a run would meet what they find."""

from __future__ import annotations

from pathlib import Path

from pipeline.labeling.canary_config import CanaryConfig
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preflight.check import Check
from pipeline.labeling.preflight.gpus import visible_gpus
from pipeline.labeling.preflight.judge_checks import judge_check
from pipeline.labeling.preflight.memory_checks import memory_checks
from pipeline.labeling.preflight.ray_checks import ray_checks
from pipeline.labeling.preflight.software_checks import software_checks
from pipeline.labeling.preflight.store_checks import (
    apart_checks,
    input_checks,
    media_root_checks,
    output_checks,
)
from pipeline.labeling.preflight.weight_checks import find_weights

_SHM = Path("/dev/shm")


def preflight(
    config: LabelConfig,
    input_uri: str | None = None,
    output_uri: str | None = None,
    canary: CanaryConfig | None = None,
) -> list[Check]:
    """Checks what a run with this configuration needs.

    Args:
        config: the configuration of the run.
        input_uri: the pairs; None skips their checks.
        output_uri: where labels go; None skips its checks.
        canary: where the run's canaries are.
    """
    gpus = visible_gpus()
    weights = find_weights(config.judge.model, config.engine)
    checks = [
        *software_checks(config.engine, gpus),
        weights.check,
        *memory_checks(config, weights, gpus),
        *ray_checks(config.workers, _SHM),
    ]
    if input_uri is None:
        checks.append(Check("input", "skipped", "no --input was given"))
    else:
        checks += input_checks("input", input_uri, config.input)
        checks += media_root_checks(config.input.media_roots)
    if canary is not None and canary.input is not None:
        checks += input_checks("canaries", canary.input, canary.read_as(config.input))
    if output_uri is None:
        checks.append(Check("output", "skipped", "no --output was given"))
    else:
        checks += output_checks(output_uri)
    checks.append(judge_check(config, output_uri))
    if input_uri is not None and output_uri is not None:
        checks += apart_checks(input_uri, output_uri)
    return checks
