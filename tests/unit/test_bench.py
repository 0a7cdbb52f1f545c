"""The benchmarks: their arithmetic, and their command line on what costs little."""

from __future__ import annotations

import asyncio
import datetime
import io
from pathlib import Path
from statistics import fmean

import pytest
from rich.console import Console

from jobs.bench import main, parser
from pipeline.engines.engine import Chat, Rendered, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import start_engine
from pipeline.engines.forced_lengths import ForcedLengths
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.bench.bench_commands import BENCHMARKS, Benchmark
from pipeline.lab.bench.bench_requests import when_complete
from pipeline.lab.bench.engine_sweep import run_setting
from pipeline.lab.bench.incremental_bench import Case, plan_once
from pipeline.lab.bench.label_timeline import Timeline, committed_timeline, full_rate
from pipeline.lab.bench.results_table import print_results
from pipeline.parts.commit import commit_part
from pipeline.runtime.errors import ConfigError
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, judge_rows, scripted, text_pair, unit

WAITING = "jobs/configs/bench-scaling.yaml"  # the scripted engine


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda each: each.name)
def test_every_benchmarks_help_has_the_exit_codes_and_an_example_that_is_accepted(
    benchmark: Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([benchmark.name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"example:\n  pairmill bench {benchmark.name} {benchmark.example}\n" in text
    assert "exit codes:\n    0  done\n" in text
    options = parser().parse_args([benchmark.name, *benchmark.example.split()])
    assert options.benchmark is benchmark
    named = [word for word in benchmark.example.split() if word.endswith(".yaml")]
    assert [name for name in named if not Path(name).exists()] == []


def test_a_plan_of_an_unchanged_corpus_reads_no_footer() -> None:
    def asked(shards: int, new: float = 0, *, published: bool = True) -> dict[str, int]:
        requests: dict[str, int] = plan_once(Case(shards, 1, new, published))["requests"]
        return requests

    estimate = 15  # a column chunk each of the pairs from which prompt lengths are estimated
    # A second page after the first thousand shards, and one listing for each first digit.
    assert asked(1_024) == {"LIST": 2 + 16, "GET": 2, "HEAD": 2}
    assert asked(256) == {"LIST": 1 + 16, "GET": 2, "HEAD": 2}
    assert asked(256, 0.5) == {"LIST": 1 + 16, "GET": 2 + 128 + estimate, "HEAD": 2}
    assert asked(256, published=False) == {"LIST": 1 + 16, "GET": 256, "HEAD": 1}


def test_the_pace_of_a_run_is_read_from_its_labels(tmp_path: Path) -> None:
    store, began = Store(str(tmp_path)), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    rows = judge_rows(scripted()[0], [text_pair(number) for number in range(40)])
    for row in rows:  # a label every half second
        row["judged_at"] = began + datetime.timedelta(seconds=row["row"] / 2)
    commit_part(store, JUDGE_ID, unit(0, 40), rows)
    paces = {"steady_per_s": 1.95, "full_per_s": 1.95}
    expected = Timeline(3.5, 1.5, **paces, by_second=(2,) * 20, first_at=began.timestamp())
    assert committed_timeline(store, JUDGE_ID, 23.0) == expected


def test_a_full_engines_pace_leaves_out_that_it_speeds_up_when_no_prompts_come_any_more() -> None:
    while_full, drained = [float(n) for n in range(120)], [120 + n / 8 for n in range(80)]
    assert full_rate(while_full + drained) == pytest.approx(1, rel=0.01)


def test_a_pair_is_complete_with_its_later_reply() -> None:
    assert when_complete([1.0, 4.0, 3.0, 2.0]) == [4.0, 3.0]


class Endless:
    """An engine that writes as many tokens as it may."""

    at_once = 1

    def render(self, chat: Chat) -> Rendered:
        return Rendered((), 1, chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        return Reply("x", "length", 1, sampling.max_tokens, 0)

    def close(self) -> None:
        """Nothing to end."""


def test_forced_lengths_are_of_the_prompt_and_have_the_mean() -> None:
    engine = ForcedLengths(Endless(), 550)

    async def replies(how: Sampling) -> list[int]:
        prompts = [engine.render(Chat("system", (f"question {n}",))) for n in range(2_000)]
        return [(await engine.reply("", prompt, how)).output_tokens for prompt in prompts]

    def lengths(most: int) -> list[int]:
        return asyncio.run(replies(Sampling(0, 1, most, 0)))

    found = lengths(10_000)
    assert found == lengths(10_000)
    assert fmean(found) == pytest.approx(550, rel=0.03)
    assert lengths(600) == [min(length, 600) for length in found]


@pytest.mark.parametrize("script", [{"latency_s": 1}, {"reply_tokens": 0}, {"reply_tokens": "x"}])
def test_a_real_engine_takes_no_other_script(script: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="takes nothing but reply_tokens"):
        start_engine(JudgeConfig(), EngineConfig(kind="vllm", script=script))


def test_results_are_shown_as_a_table_that_is_not_cut_short() -> None:
    results = {
        "benchmark": "peers",
        "rows": [{"side": "ours", "rate": 12.5, "requests": {"LIST": 1_234}}, {"side": "theirs"}],
        "ratio": 1.0,
        "notes": ["a note"],
    }
    written = io.StringIO()
    print_results(results, "out.json", Console(file=written, width=220))
    lines = [line.split() for line in written.getvalue().splitlines() if line.strip()]
    assert lines[0] == ["peers"]
    assert lines[1] == ["side", "rate", "requests.LIST"]
    assert lines[3:5] == [["ours", "12.5", "1,234"], ["theirs", "-", "-"]]
    assert lines[5:] == [["ratio:", "1"], ["*", "a", "note"], ["all", "of", "it:", "out.json"]]


def test_a_setting_that_does_not_start_is_a_row_of_its_own(tmp_path: Path) -> None:
    broken = run_setting(WAITING, ["engine.script.start_fault=refuse"], str(tmp_path))
    assert broken == {"error": "the script plans that the engine cannot start"}


def test_a_wrong_setting_ends_it_before_anything_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("typo: ['engine.max_num_sequences=1']", encoding="utf-8")
    arguments = ["engine", "--input", str(tmp_path), "--sweep", str(sweep)]
    assert main([*arguments, "--folder", str(tmp_path)]) == 2
    assert "max_num_sequences" in capsys.readouterr().err
