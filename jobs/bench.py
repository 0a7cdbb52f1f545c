"""Benchmarks: ``pairmill bench BENCHMARK``; each prints a table and writes JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from textwrap import fill

from pipeline.lab.bench.bench_commands import BENCHMARKS, Benchmark
from pipeline.runtime.command import run_command

CONFIGS = Path(__file__).parent / "configs"
EXIT_CODES = """\
exit codes:
    0  done
    1  a bug, or the engine died
    2  configuration or input cannot be used
  130  interrupted (Ctrl-C); nothing is measured"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one benchmark; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(lambda: _run(given), "nothing is measured; run it again")


def _run(given: list[str]) -> int:
    options = parser().parse_args(given)
    options.folder = options.folder.absolute()
    benchmark: Benchmark = options.benchmark
    command = " ".join(["pairmill bench", *given])
    results = benchmark.run(options) | {"machine": platform.machine(), "command": command}
    path: Path = options.json or options.folder / f"{benchmark.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2), encoding="utf-8")
    benchmark.show(results, str(path))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line: a subcommand for each benchmark."""
    whole = argparse.ArgumentParser(
        prog="pairmill bench",
        description=__doc__,
        epilog=_epilog("pipeline --shards 2 --repeats 1"),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    subcommands = whole.add_subparsers(required=True, metavar="BENCHMARK")
    for each in BENCHMARKS:
        own = subcommands.add_parser(
            each.name,
            help=each.text,
            description=f"{each.text}\n\n{fill(each.about, 80)}",
            epilog=_epilog(f"{each.name} {each.example}"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        each.add_arguments(own)
        own.add_argument("--folder", type=Path, default=Path("out/bench"),
            help="for everything that is written (%(default)s)")  # fmt: skip
        own.add_argument("--json", type=Path, help=f"FOLDER/{each.name}.json by default")
        if each.config:
            own.add_argument("--config", metavar="FILE", default=str(CONFIGS / each.config),
                help=f"YAML; jobs/configs/{each.config} by default")  # fmt: skip
            own.add_argument("--set", metavar="KEY=VALUE", action="append", default=[],
                help="a setting, such as workers.max=2")  # fmt: skip
        own.set_defaults(benchmark=each)
    return whole


def _epilog(example: str) -> str:
    return f"example:\n  pairmill bench {example}\n\n{EXIT_CODES}"


if __name__ == "__main__":
    sys.exit(main())
