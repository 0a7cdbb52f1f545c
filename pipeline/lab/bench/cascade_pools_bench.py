"""What a cascade of two judges keeps of their own rates, by where their pools run.

Which pairs the second judge is asked about is scripted: so many of them, evenly drawn, are in a
gold set, which every judge is asked about, and the first judge settles all others. So it is with
any engine, and with weights that were never trained.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.aggregation.calibration import Calibration, calibration_id
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.tie_band import TieBand
from pipeline.engines.engine_config import EngineConfig
from pipeline.gold.gold_sets import create_set
from pipeline.judging.judge_cards import write_card
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.gpu_watch import GpuWatch
from pipeline.lab.bench.label_timeline import committed_timeline
from pipeline.lab.bench.process_watch import PeakMemory, ProcessTreeCpu, ProcessTreeMemory
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.cascade.cascade_run import label_tiers
from pipeline.labeling.label_config import CascadeConfig, LabelConfig, TierConfig, WorkersConfig
from pipeline.labeling.label_run import RunResult, identified
from pipeline.labeling.run_request import RunRequest
from pipeline.pairs.shards import list_shards, open_input
from pipeline.parts.part_files import read_part
from pipeline.parts.part_keys import Part, judge_parts_prefix
from pipeline.runtime.digest import digest
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, GoldSet
from schemas.labels import NOT_ASKED

IN_TURN, SHARED, APART = "in-turn", "one-gpu", "own-gpus"
MODES = {
    IN_TURN: "one GPU, one judge after the other",
    SHARED: "one GPU, both at the same time, half of its memory each",
    APART: "both at the same time, on GPUs of their own",
}
_HALF = 0.44  # of a GPU's memory, to each of two engines
_WEIGHTS, _ANY_GAP = (1.0, 1.0, 1.0), 1e9
_MEMORY_EVERY_S = 10.0
_MIB = 2**20


@dataclass(frozen=True)
class Span:
    """One judge's part of a run.

    Attributes:
        asked: pairs that it was asked about.
        seconds: from its first unit's arrival at a worker to its last commit.
        began: clock time of that arrival.
    """

    asked: int
    seconds: float
    began: float

    @property
    def ended(self) -> float:
        """Clock time of its last commit."""
        return self.began + self.seconds

    @property
    def rate(self) -> float:
        """Pairs a second."""
        return self.asked / self.seconds


@dataclass(frozen=True)
class CascadeRun:
    """One run: a span for each judge, and what the machine did meanwhile.

    Attributes:
        gpu_idle_s: of all GPUs, on average; None without any.
        driver_mb: by how much the driver's memory grew.
        tree_mb: of all processes, at their peak.
    """

    spans: tuple[Span, ...]
    gpu_idle_s: float | None
    driver_cpu_s: float
    driver_mb: int
    tree_mb: int

    @property
    def seconds(self) -> float:
        """From the first unit's arrival to the last commit of any judge."""
        return max(s.ended for s in self.spans) - min(s.began for s in self.spans)


def stand_in_cascade(config: LabelConfig) -> LabelConfig:
    """The same with the dummy-weight model of its last judge as the first one's, too."""
    model = config.judge.model
    first = config.cascade.judges[0]
    name, args = model.name, {**first.judge.model.args, **model.args}
    own = first.judge.model.model_copy(update={"name": name, "args": args})
    judge = first.judge.model_copy(update={"model": own})
    return _with_first(config, first.model_copy(update={"judge": judge}))


def bench_cascade_pools(
    config: LabelConfig,
    input_uri: str,
    folder: Path,
    shares: Sequence[float],
    modes: Sequence[str],
    workers: tuple[int, int],
) -> dict[str, Any]:
    """Each judge alone, then both as a cascade, for each share and mode.

    Args:
        config: two judges.
        input_uri: pair shards.
        folder: for labels.
        shares: of the pairs, which the second judge is asked about.
        modes: of ``MODES``.
        workers: of each pool, where they are on GPUs of their own.
    """
    first, last = config.tiers
    whole = in_fresh_process(_run, _alone(first), input_uri, _new(folder), None)
    hashes, output = whole.pop("hashes"), whole.pop("run")
    some = _some_shards(input_uri, folder, max(shares))
    behind = in_fresh_process(_run, _alone(last), some, _new(folder), None)["run"]
    own = (output.spans[0], behind.spans[0])
    for name, span in zip(("first alone", "second alone"), own, strict=True):
        report_run(name, {"pairs": span.asked, "pairs_per_s": round(span.rate, 2)})
    rows = []
    for mode in modes:
        for share in shares:
            chosen = sorted(hashes, key=lambda each: digest("asked", each))
            asked = chosen[: round(share * len(chosen))]
            sized = _sized(config, mode, workers)
            run = in_fresh_process(_run, sized, input_uri, _new(folder), asked)["run"]
            pools = workers if mode == APART else (1, 1)
            rows.append(_row(run, mode, share, own, pools))
            report_run(mode, rows[-1])
    return {
        "benchmark": "cascade-pools",
        "rows": rows,
        "first_pairs_per_s": round(own[0].rate, 2),
        "second_pairs_per_s": round(own[1].rate, 2),
        "second_pairs_alone": own[1].asked,
        "workers": list(workers),
        "cores": os.cpu_count(),
        "notes": [
            *(f"{name}: {text}" for name, text in MODES.items()),
            "ratio: seconds that the judges' own rates (of one worker, measured in this run) allow "
            "over those seen, from the first unit's arrival at a worker to the last commit: one "
            "after the other on one GPU, the longer of the two where each has its own; "
            "judging_ratio leaves out what lies between two judges in turn: the second one's start",
            "which pairs the second judge is asked about is scripted by a gold set; one pair in a "
            "hundred beside it is asked anyway, and counted",
            "driver: the process that runs the job, with its threads; tree: all processes",
        ],
    }


def _row(
    run: CascadeRun, mode: str, share: float, own: Sequence[Span], pools: tuple[int, int]
) -> dict[str, Any]:
    needed = [
        span.asked / alone.rate / count
        for span, alone, count in zip(run.spans, own, pools, strict=True)
    ]
    allowed = max(needed) if mode == APART else sum(needed)
    judging = sum(span.seconds for span in run.spans) if mode == IN_TURN else run.seconds
    idle = run.gpu_idle_s
    return {
        "mode": mode,
        "share": share,
        "pairs": run.spans[0].asked,
        "asked_again": run.spans[1].asked,
        "seconds": round(run.seconds, 1),
        "allowed_s": round(allowed, 1),
        "ratio": round(allowed / run.seconds, 3),
        "judging_ratio": round(allowed / judging, 3),
        "pairs_per_s": round(run.spans[0].asked / run.seconds, 2),
        "first_s": round(run.spans[0].seconds, 1),
        "second_s": round(run.spans[1].seconds, 1),
        "second_after_s": round(run.spans[1].began - run.spans[0].began, 1),
        "gpu_idle_s": None if idle is None else round(idle, 1),
        "driver_cpu_s": run.driver_cpu_s,
        "driver_mb": run.driver_mb,
        "tree_mb": run.tree_mb,
    }


def _run(
    config: LabelConfig, input_uri: str, output_uri: str, asked: Sequence[str] | None
) -> dict[str, Any]:
    """One run of the job, in a process of its own.

    Args:
        config: one judge or two.
        input_uri: pair shards.
        output_uri: an empty folder.
        asked: hashes of the pairs that the second judge is asked about; None with one judge.

    Returns:
        ``run``, and ``hashes``, those of all pairs.
    """
    output, reporter = Store(output_uri), stderr_reporter()
    if asked is not None:
        _script(config, output, asked)
    tree = ProcessTreeMemory(_MEMORY_EVERY_S)
    with GpuWatch() as gpu, tree as memory, ProcessTreeCpu() as cpu, PeakMemory() as driver:
        results = label_tiers(config, input_uri, output_uri, reporter, RunRequest())
    spans = tuple(_span(output, each) for each in results)
    idle = gpu.idle_seconds(min(s.began for s in spans), max(s.ended for s in spans))
    sizes = (round((driver.grown_bytes or 0) / _MIB), round(memory.peak_bytes / _MIB))
    return {
        "run": CascadeRun(spans, idle, round(cpu.own_s, 1), *sizes),
        "hashes": _hashes(output, results[0].judge_id) if asked is None else [],
    }


def _script(config: LabelConfig, output: Store, asked: Sequence[str]) -> None:
    """Has the first judge settle everything, and every judge be asked about some pairs."""
    first, known = identified(config.tiers[0], output, stderr_reporter())
    write_card(output, known.card)
    if first.judge.declared_format.family == "reward":
        put_calibration(output, _made_up(known.judge_id))
    now = datetime.datetime.now(datetime.UTC).isoformat()
    pairs = tuple(DrawnPair(each) for each in asked)
    create_set(
        output, GoldSet("asked", now, "bench", draws=(Draw(now, "bench", "imported", pairs),))
    )


def _made_up(judge_id: str) -> Calibration:
    """A calibration by which every pair is surely a tie, whatever its scores."""
    tied = TieBand(margin=_ANY_GAP, ties=1.0)
    return Calibration(
        calibration_id=calibration_id(judge_id, _WEIGHTS, (), tied),
        judge_id=judge_id,
        method="platt",
        weights=_WEIGHTS,
        tie_band=tied,
        gold_pairs=1,
        gold="made up",
        fitted_at=datetime.datetime.now(datetime.UTC),
        fitted_with="bench",
        figures={},
    )


def _span(output: Store, result: RunResult) -> Span:
    pace = committed_timeline(output, result.judge_id, result.judging_seconds)
    asked = result.counts.pairs - result.counts.statuses[NOT_ASKED]
    return Span(asked, result.judging_seconds, pace.first_at - pace.first_label_s)


def _hashes(output: Store, judge_id: str) -> list[str]:
    parts = (each.key for each in output.list(judge_parts_prefix(judge_id)) if Part.of(each.key))
    found = (read_part(output, key, ["pair_hash"])["pair_hash"].to_pylist() for key in parts)
    return [each for hashes in found for each in hashes if each is not None]


def _alone(config: LabelConfig) -> LabelConfig:
    """One worker of one judge, on a GPU of its own; it need not be calibrated."""
    policy = config.policy.model_copy(update={"min_confidence": 0.0})
    return config.model_copy(update={"workers": _pool(config.workers, 1, 1), "policy": policy})


def _sized(config: LabelConfig, mode: str, workers: tuple[int, int]) -> LabelConfig:
    """Both judges' pools as a mode has them; the first one settles what it decides."""
    counts, gpus = (workers, 1.0) if mode == APART else ((1, 1), 0.5 if mode == SHARED else 1.0)
    (first,) = config.cascade.judges
    first = first.model_copy(
        update={
            "workers": _pool(first.workers, counts[0], gpus),
            "policy": first.policy.model_copy(update={"min_confidence": 0.0}),
            "engine": _share(first.engine) if mode == SHARED else first.engine,
        }
    )
    own = {
        "workers": _pool(config.workers, counts[1], gpus),
        "engine": _share(config.engine) if mode == SHARED else config.engine,
    }
    sized = _with_first(config.model_copy(update=own), first)
    cascade = sized.cascade.model_copy(update={"side_by_side": mode != IN_TURN})
    return sized.model_copy(update={"cascade": cascade})


def _with_first(config: LabelConfig, first: TierConfig) -> LabelConfig:
    return config.model_copy(update={"cascade": CascadeConfig(judges=(first,))})


def _pool(workers: WorkersConfig, count: int, gpus: float) -> WorkersConfig:
    return workers.model_copy(update={"min": count, "max": count, "gpus": gpus})


def _share(engine: EngineConfig) -> EngineConfig:
    """An engine that leaves half of the GPU's memory to another one."""
    if engine.kind != "vllm":
        return engine
    args = {**engine.args, "gpu_memory_utilization": _HALF}
    return engine.model_copy(update={"args": args})


def _some_shards(input_uri: str, folder: Path, share: float) -> str:
    """A folder of about this share of the shards, one at least."""
    source, prefix = open_input(input_uri)
    entries = list_shards(source, prefix)
    some = folder / f"some-{digest(input_uri)[:8]}-{share:g}"
    some.mkdir(parents=True, exist_ok=True)
    for entry in entries[: max(1, round(share * len(entries)))]:
        place = some / Path(entry.key).name
        if not place.exists():
            place.write_bytes(source.read(entry.key))
    return str(some)


def _new(folder: Path) -> str:
    return str(folder / "labels" / os.urandom(4).hex())
