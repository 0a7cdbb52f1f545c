"""Measures a judge on gold pairs: a public benchmark, or pairs of one's own.

python -m jobs.evaluate --config JUDGE.yaml --benchmark vl-rewardbench --output URI
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import PurePosixPath

from rich.console import Console

from pipeline.evaluation.benchmarks import BENCHMARKS, find_benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request
from pipeline.evaluation.controls import CONTROLS
from pipeline.evaluation.evaluate import Task, evaluate, evaluation_folder
from pipeline.evaluation.evaluation_files import store_report
from pipeline.evaluation.evaluation_report import make_report
from pipeline.evaluation.evaluation_tables import print_report
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (0 done, 2 bad config or input, 4 quarantined)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options), "interrupted; the same command goes on where this run stopped"
    )


def _run(options: argparse.Namespace) -> int:
    config, task = load_config(PipelineConfig, options.config, options.set), _task(options)
    # Standard output is for the report; what the labeling runs say goes beside it.
    reporter = Reporter(Console(file=sys.stderr, soft_wrap=True))
    result = evaluate(config, task, options.output, reporter)
    report = make_report(config, task, result)
    output, folder = Store(options.output), evaluation_folder(task, result.card)
    store_report(report, result.rows, output, folder)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140)
    print_report(report, console)
    console.print(f"written to {output.path(folder)}", soft_wrap=True, highlight=False)
    if result.failures:
        raise result.failures[0]
    return 0


def _task(options: argparse.Namespace) -> Task:
    request = Request(options.data, options.split, options.revision, options.media, options.limit)
    controls = tuple(dict.fromkeys(options.control))
    if options.benchmark is not None:
        benchmark = find_benchmark(options.benchmark)
        name = _name(options, benchmark.name)
        return Task(name, None, benchmark, request, controls)
    if given := [n for n in ("data", "split", "revision", "media") if getattr(options, n)]:
        raise ConfigError(f"--{given[0]} is of a benchmark: say which with --benchmark")
    name = _name(options, PurePosixPath(options.input).stem or "gold")
    return Task(name, options.input, None, request, controls)


def _name(options: argparse.Namespace, default: str) -> str:
    """The evaluation's name; another selection of rows is another evaluation."""
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit: got {options.limit}, expected at least 1")
    parts = [options.name or default, options.split, options.limit and f"first-{options.limit}"]
    name = "-".join(part for part in parts if part)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"--name: got {name!r}, expected letters, digits, '_', '.' and '-'")
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.evaluate",
        description="Labels gold pairs that are not labelled yet, and reports the agreement.",
        epilog="exit codes: 0 done; 2 bad config, input or storage; 4 too many quarantined",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML of the judge, as for jobs.label")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--benchmark", metavar="NAME", help=", ".join(BENCHMARKS))
    what.add_argument("--input", metavar="URI", help="folder of gold pair shards")
    parser.add_argument("--data", metavar="ID|PATH", help="hub id, file or folder of the benchmark")
    parser.add_argument("--split", help="a split other than the benchmark's own")
    parser.add_argument("--revision", help="commit of the hub set; pin it")
    parser.add_argument("--media", metavar="FOLDER", help="where the data's media paths start")
    parser.add_argument("--output", metavar="URI", required=True, help="labels and evaluation")
    parser.add_argument(
        "--control", action="append", default=[], metavar="NAME", help=", ".join(CONTROLS)
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pairs (of a part)")
    parser.add_argument("--name", help="names the evaluation; by default benchmark or input")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, such as --set judge.format=pairwise_options",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
