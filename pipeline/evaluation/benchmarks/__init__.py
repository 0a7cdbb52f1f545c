"""The public benchmarks that a judge can be measured on, by name.

In: a benchmark's data on the hub or in local files. Out: shards of pairs v2 with gold.
A file for each benchmark states its columns, categories and published results in the terms of
``benchmark``, which is the file to read first; ``benchmark_files`` finds the data and
``benchmark_shards`` writes the shards.
"""

from __future__ import annotations

from pipeline.evaluation.benchmarks.benchmark import Benchmark
from pipeline.evaluation.benchmarks.genai_bench import GENAI_EDIT, GENAI_IMAGE, GENAI_VIDEO
from pipeline.evaluation.benchmarks.mj_bench import MJ_BENCH
from pipeline.evaluation.benchmarks.mllm_as_a_judge import MLLM_BATCH, MLLM_PAIR, MLLM_SCORE
from pipeline.evaluation.benchmarks.multimodal_rewardbench import MULTIMODAL_REWARDBENCH
from pipeline.evaluation.benchmarks.videogen_rewardbench import VIDEOGEN_REWARDBENCH
from pipeline.evaluation.benchmarks.vl_rewardbench import VL_REWARDBENCH
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.suggestion import did_you_mean

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        VL_REWARDBENCH,
        MLLM_PAIR,
        MLLM_SCORE,
        MLLM_BATCH,
        MJ_BENCH,
        GENAI_IMAGE,
        GENAI_EDIT,
        GENAI_VIDEO,
        MULTIMODAL_REWARDBENCH,
        VIDEOGEN_REWARDBENCH,
    )
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigError: no benchmark has it; the message lists all names.
    """
    if name not in BENCHMARKS:
        hint = did_you_mean(name, list(BENCHMARKS))
        raise ConfigError(
            f"benchmark {name!r} is not known; known are {', '.join(BENCHMARKS)}{hint}"
        )
    return BENCHMARKS[name]
