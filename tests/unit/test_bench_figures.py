"""What benchmarks read of a run while it runs, and the pictures they draw of it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.lab.bench.bench_plots import draw_pipeline, draw_scaling
from pipeline.lab.bench.bench_requests import Rates
from pipeline.lab.bench.early_verdicts_bench import _Reasoned
from pipeline.lab.bench.early_verdicts_bench import _row as early_row
from pipeline.lab.bench.gpu_watch import GpuWatch
from pipeline.lab.bench.job_run import JobRun, compile_cache, compiled_graphs
from pipeline.lab.bench.label_timeline import Timeline
from pipeline.lab.bench.shared_prompts_bench import possible_share
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.worker_activity import Work


def test_gpus_are_read_from_what_their_driver_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '0, 100, 690.25, 1024'\necho '1, 50, [N/A], 2'\necho '1, 50, 350.00, 2'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    began = time.time()
    with GpuWatch() as watch:
        while len(watch.samples) < 2:
            time.sleep(0.01)
    seen = [(each.gpu, each.busy, each.watts, each.memory_bytes) for each in watch.samples]
    assert seen[:2] == [(0, 1.0, 690.25, 2**30), (1, 0.5, 350.0, 2**21)]
    now = watch.samples[-1].at
    assert watch.idle_seconds(began, now + 8) == pytest.approx((now + 8 - began) / 4)
    assert watch.idle_seconds(now + 1, now + 8) is None


def test_only_the_gpus_that_the_process_may_use_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "${last#--id=}, 100, 1, 1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with GpuWatch() as watch:
        while not watch.samples:
            time.sleep(0.01)
    assert {sample.gpu for sample in watch.samples} == {3}


def test_figures_are_drawn(tmp_path: Path) -> None:
    sides = [
        {"side": side, "pairs_per_s": 27, "judgments_per_s": 54, "steady_judgments_per_s": 56}
        for side in ("bare engine", "whole job")
    ]
    pipeline = {
        "rows": sides,
        "labels_by_second": (20, 30, 25),
        "in_flight": [(-0.5, 0), (0.5, 96), (1.5, 96)],
        "pair_s": {"prepare": 0.03, "engine": 1.6, "commit": 0.04},
        "gpu": [(-0.5, 0.0, 120), (0.5, 1.0, 690)],
    }
    scaling = {
        "rows": [{"engines": 1, "linear_pairs_per_s": 15, "steady_pairs_per_s": 14.8}],
        "autoscaling": {"changes_at_s": [(0, 0), (5.1, 1), (9, 2)]},
    }
    folder = tmp_path / "of its own"
    names = [*draw_pipeline(pipeline, folder), *draw_scaling(scaling, folder)]
    assert names == ["pipeline_throughput.png", "pipeline_waterfall.png", "scaling.png"]
    for name in names:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_what_prompts_allow_is_what_they_begin_with_in_whole_blocks() -> None:
    frame, picture = list(range(20)), [("picture", 1)] * 20
    first, second = [*frame, *picture, *[7] * 40], [*frame, *picture, *[8] * 40]
    other = [*frame, *[("picture", 2)] * 20, *[7] * 40]
    # 32 of the second's tokens, 16 of the other's; of the repeated one all but the last block.
    assert possible_share([first, second, other, first]) == (32 + 16 + 64) / 320


def test_a_runs_start_and_its_emptying_end_are_read_from_its_requests() -> None:
    pace = Timeline(2.0, 9.0, 1.0, 1.0, by_second=(1,), first_at=1_012.0)  # a unit came at 1,010
    work, last = Work(), Work(requests=Counter({1_011: 0, 1_050: 50, 1_080: 51, 1_081: 50}))
    work.add(Work(requests=Counter({1_009: 0, 1_011: 8, 1_050: 100})))
    work.add(Work(requests=Counter({1_080: 50, 1_081: 50})))
    work.add(last)  # of another worker
    rates = Rates(100, 200, 0, 90.0, 1.0)
    run = JobRun(rates, pace, 0, work, 1, GpuWatch(), 1_000.0, 200, "cold")
    assert run.ends() == {
        "first_request_s": 11.0,
        "compile_cache": "cold",
        "half_empty_s": 20.0,
        "half_empty_share": 0.222,
    }


def test_a_compile_cache_is_warm_where_an_engine_adds_no_graphs_to_it(tmp_path: Path) -> None:
    config = LabelConfig.model_validate({"engine": {"env": {"VLLM_CACHE_ROOT": str(tmp_path)}}})
    nothing = compiled_graphs(config)
    assert compile_cache(nothing, nothing) == "cold"
    (tmp_path / "torch_compile_cache" / "ab12" / "rank_0_0").mkdir(parents=True)
    one = compiled_graphs(config)
    assert [compile_cache(nothing, one), compile_cache(one, one)] == ["cold", "warm"]
    for model in ("cd34", "ef56"):  # compiled ahead of time, they lie a folder deeper
        (tmp_path / "torch_compile_cache" / "torch_aot_compile" / model).mkdir(parents=True)
        more = compiled_graphs(config)
        assert [compile_cache(one, more), compile_cache(more, more)] == ["cold", "warm"]
        one = more


def test_an_early_verdict_needs_both_orders_at_two_marks_in_a_row() -> None:
    def reasoned(verdict: str, *early: str) -> _Reasoned:
        return _Reasoned(verdict, 100, early, (5,) * len(early))

    agree = (reasoned("a", "b", "a", "a", "a"), reasoned("a", "a", "a", "a"))
    unread = (reasoned("b", "unread", "unread"), reasoned("b", "unread", "unread"))
    turned = (reasoned("a", "b", "b"), reasoned("b", "b", "b"))
    assert early_row(16, [agree, unread, turned]) == {
        "every": 16,
        "pairs": 3,
        "tokens_a_reply": 100,
        "ended_early": 2,
        # 2 x 48 and 2 x 32 tokens of 600, and the 200 of the pair that is never settled.
        "saved": 0.4,
        # Six, four and four probes of five tokens.
        "with_probes": 0.283,
        "changed": 1,  # b where both replies come to different verdicts, so to a tie
        "changed_share": 0.3333,
    }
