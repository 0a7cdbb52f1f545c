"""Measures a judge on gold pairs, a public benchmark's or your own: ``pairmill evaluate``."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import PurePosixPath

from rich.console import Console

from pipeline.engines.engine_registry import layout_of
from pipeline.evaluation.benchmarks import BENCHMARKS, find_benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request
from pipeline.evaluation.controls import CONTROLS
from pipeline.evaluation.evaluate import Task, evaluate, evaluation_folder, preview_task
from pipeline.evaluation.evaluation_files import store_prompts, store_report
from pipeline.evaluation.evaluation_report import make_report
from pipeline.evaluation.evaluation_tables import print_report
from pipeline.evaluation.other_judge import evaluate_other, other_of
from pipeline.labeling.preview.show_preview import add_preview_option, show_preview
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.printable import printable
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--benchmark", metavar="NAME", help="\n".join(BENCHMARKS))
    what.add_argument("--input", metavar="URI", help="folder of gold pair shards")
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="labels and evaluation")
    add("--data", metavar="ID|URI", help="hub id, file, folder or glob of the benchmark")
    add("--split", help="only this split: of the hub set, or named so by a file or folder")
    add("--revision", help="commit of the hub set; pin it")
    add("--media", metavar="FOLDER", help="where the data's media paths start")
    names = ", ".join(CONTROLS)
    add("--as-published", action="store_true",
        help="sampling, votes, sizes of pictures of its published results")  # fmt: skip
    add("--control", action="append", default=[], metavar="NAME", help=names)
    add(
        "--probes",
        action="store_true",
        help="try attacks on the worse answers, and changed pictures (section probes)",
    )
    add("--limit", type=int, metavar="N", help="only the first N pairs (of a part)")
    add("--against", metavar="CONFIG|JUDGE",
        help="compare with another judge on the same gold: by its configuration's\n"
        "file, or by its id where it has labelled the pairs already")  # fmt: skip
    add_preview_option(parser)
    add("--name", help="names the evaluation; by default benchmark or input")


def _run(call: Call[PipelineConfig]) -> int:
    options = call.options
    task = _task(options)
    config = call.config(*_published_settings(task))
    task = replace(task, gold=config.gold, probes=config.probes if options.probes else None)
    if options.preview is not None:
        layout = layout_of(config.judge, config.engine)
        show_preview(preview_task(config, task, layout, options.preview), call.reporter)
        return 0
    against = None
    if options.against is not None:
        against = other_of(options.against, config, options.output)
    # Standard output is for the report; progress of the labeling runs goes beside it.
    reporter = Reporter(Console(file=sys.stderr, soft_wrap=True), style=options.log)
    result = evaluate(config, task, options.output, reporter)
    other = None
    if against is not None:
        other = evaluate_other(against, config, task, options.output, reporter)
    report = make_report(config, task, result, other)
    output, folder = Store(options.output), evaluation_folder(task, result.card)
    store_report(report, result.rows, output, folder)
    if task.benchmark is not None:
        store_prompts(result.rows, output, folder)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140)
    print_report(report, console)
    console.out(printable(f"written to {output.path(folder)}"), highlight=False)
    if result.failures:
        raise result.failures[0]
    return 0


def _published_settings(task: Task) -> tuple[str, ...]:
    """The settings of the benchmark's published results, if they are asked for."""
    if not task.as_published:
        return ()
    if task.benchmark is None or not task.benchmark.published:
        known = ", ".join(name for name, found in BENCHMARKS.items() if found.published)
        raise ConfigError(f"--as-published: results to compare with are known of {known}")
    return task.benchmark.setting.overrides()


def _task(options: argparse.Namespace) -> Task:
    request = Request(options.data, options.split, options.revision, options.media, options.limit)
    controls = tuple(dict.fromkeys(options.control))
    if options.benchmark is not None:
        benchmark = find_benchmark(options.benchmark)
        name = _name(options, benchmark.name)
        of_published = options.as_published
        return Task(name, None, benchmark, request, controls, as_published=of_published)
    of_benchmarks = ("data", "split", "revision", "media", "as_published")
    if given := [name.replace("_", "-") for name in of_benchmarks if getattr(options, name)]:
        raise ConfigError(f"--{given[0]} is of a benchmark: say which with --benchmark")
    stem = re.sub(r"[^\w.-]+", "-", PurePosixPath(options.input).stem).strip("-.")
    name = _name(options, stem or "gold")
    return Task(name, options.input, None, request, controls)


def _name(options: argparse.Namespace, default: str) -> str:
    """The evaluation's name; another selection of rows is another evaluation."""
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit: got {options.limit}, expected at least 1")
    parts = [
        options.name or default,
        options.split,
        options.as_published and "as-published",
        options.limit and f"first-{options.limit}",
    ]
    name = "-".join(part for part in parts if part)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"--name: got {name!r}, expected letters, digits, '_', '.' and '-'")
    return name


COMMAND = Command(
    name="evaluate",
    text="Labels gold pairs that are not labelled yet, and reports the agreement.",
    example="--config jobs/configs/flex-vl-7b.yaml --benchmark vl-rewardbench "
    "--data MMInstruction/VL-RewardBench --output s3://bucket/evaluation",
    settings=PipelineConfig,
    example_setting="--judge.candidates image",
    add_options=_options,
    run=_run,
    exits=(0, 2, 4, 5),
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
