"""One run of the labeling job, measured from outside: its rates, its pace and where time went."""

from __future__ import annotations

import os
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lab.bench.bench_requests import Rates
from pipeline.lab.bench.fresh_process import stderr_reporter
from pipeline.lab.bench.gpu_watch import GpuWatch
from pipeline.lab.bench.label_timeline import Timeline, committed_timeline
from pipeline.lab.bench.ray_watch import created_bytes
from pipeline.labeling.cluster.ray_session import ray_session
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.label_run import RunResult, label
from pipeline.labeling.run_request import RunRequest
from pipeline.labeling.worker_activity import Work
from pipeline.pairs.shards import list_shards, open_input
from pipeline.parts.part_keys import judge_parts_prefix
from pipeline.store.object_store import Store


@dataclass(frozen=True)
class JobRun:
    """One run of the job.

    Attributes:
        store_bytes: put into Ray's object store.
        work: what the workers say that they did.
        units: committed.
        gpu: samples of the GPUs meanwhile.
        began_at: clock time when the process was asked to run it; Ray was not there yet.
        slots: of all engines.
        cache: whether vLLM used graphs that it compiled earlier, ``warm``, or not, ``cold``.
    """

    rates: Rates
    pace: Timeline
    store_bytes: int
    work: Work
    units: int
    gpu: GpuWatch
    began_at: float
    slots: int
    cache: str

    def details(self, input_uri: str) -> dict[str, Any]:
        """Where the run's time went, and the bytes that it moved, for JSON."""
        began = self.pace.first_at - self.pace.first_label_s
        ended = began + self.rates.seconds
        idle = self.gpu.idle_seconds(began, ended)
        pairs, kib = self.rates.pairs, 1_024
        return {
            "object_store_kb_a_pair": round(self.store_bytes / pairs / kib, 2),
            "input_kb_a_pair": round(_bytes_of(input_uri) / pairs / kib, 2),
            "pair_s": self.pair_seconds(),
            **self.ends(),
            "gpu_idle_s": None if idle is None else round(idle, 1),
            "labels_by_second": self.pace.by_second,
            "in_flight": [(self._since(when), count) for when, count in self._in_flight()],
            "gpu": [
                (self._since(sample.at), sample.busy, round(sample.watts))
                for sample in self.gpu.samples
                if sample.at <= ended
            ],
        }

    def ends(self) -> dict[str, Any]:
        """How the run started, and how long at its end less than half of the slots were taken.

        That is None of a run in which at no whole second more than half of them were.
        """
        in_flight = self._in_flight()
        ended = self.pace.first_at - self.pace.first_label_s + self.rates.seconds
        filled = [when for when, count in in_flight if count > self.slots / 2]
        first = next((when for when, count in in_flight if count), None)
        emptying = round(ended - max(filled), 1) if filled else None
        return {
            "first_request_s": None if first is None else round(first - self.began_at, 1),
            "compile_cache": self.cache,
            "half_empty_s": emptying,
            "half_empty_share": None
            if emptying is None
            else round(emptying / self.rates.seconds, 3),
        }

    def _in_flight(self) -> list[tuple[int, int]]:
        """Pairs of a whole second of the clock and how many requests the engines had then."""
        return sorted(self.work.requests.items())

    def _since(self, when: float) -> float:
        return round(when - self.pace.first_at, 1)

    def pair_seconds(self) -> dict[str, float]:
        """Mean seconds of each stage: prepare a pair, one reply, commit a unit."""
        of = {"decode": self.rates.pairs, "engine": self.rates.judgments, "commit": self.units}
        named = {"decode": "prepare"}
        return {
            named.get(stage, stage): round(self.work.stage_s[stage] / max(count, 1), 4)
            for stage, count in of.items()
        }


def run_job(config: LabelConfig, input_uri: str, output_uri: str) -> JobRun:
    """The whole labeling job, in this process and its Ray."""
    began_at, compiled = time.time(), compiled_graphs(config)
    with ray_session(config.workers, stderr_reporter()), GpuWatch() as gpu:
        result = label_on_stderr(config, input_uri, output_uri)
        crossed = created_bytes()
    counts = result.counts
    output = Store(output_uri)
    units = sum(1 for _ in output.list(judge_parts_prefix(result.judge_id)))
    pace = committed_timeline(output, result.judge_id, result.judging_seconds)
    rates = Rates(
        counts.pairs,
        counts.judgments,
        counts.output_tokens,
        result.judging_seconds,
        pace.full_per_s * counts.judgments / counts.pairs,
        counts.prompt_tokens,
        counts.cached_tokens,
    )
    slots = config.engine.max_num_seqs * config.workers.max
    ends = (began_at, slots, compile_cache(compiled, compiled_graphs(config)))
    return JobRun(rates, pace, crossed, result.work, units, gpu, *ends)


def compile_cache(before: Set[Path], after: Set[Path]) -> str:
    """``warm`` if an engine found its graphs among those that there were before it started."""
    return "warm" if after and after <= before else "cold"


def compiled_graphs(config: LabelConfig) -> set[Path]:
    """The folders of graphs that vLLM keeps on this machine, each of a model and its settings."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = config.engine.env.get("VLLM_CACHE_ROOT") or os.environ.get("VLLM_CACHE_ROOT")
    kept = Path(root or f"{home}/vllm") / "torch_compile_cache"
    return {*kept.glob("*"), *kept.glob("torch_aot_compile/*")}


def label_on_stderr(config: LabelConfig, input_uri: str, output_uri: str) -> RunResult:
    """Runs the labeling job; it reports on standard error, as standard output is for results."""
    return label(config, input_uri, output_uri, stderr_reporter(), RunRequest())


def _bytes_of(input_uri: str) -> int:
    store, prefix = open_input(input_uri)
    return sum(entry.size for entry in list_shards(store, prefix))
