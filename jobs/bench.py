"""Benchmarks: ``pairmill bench BENCHMARK``; each prints a table and writes JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from pipeline.lab.bench.bench_commands import COMMANDS
from pipeline.lab.bench.bench_tables import print_figures
from pipeline.lab.tiny_judge.clip_files import encode_clip
from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards
from pipeline.lab.vote_study.study_tables import comparison, markdown, ways
from pipeline.runtime.command import run_command

CONFIGS = Path(__file__).parent / "configs"


def main(arguments: list[str] | None = None) -> int:
    """Runs one benchmark; returns the exit code (0 done, 2 bad configuration or input)."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(lambda: _run(given), "interrupted; nothing is measured; run it again")


def _run(given: list[str]) -> int:
    options = _parser().parse_args(given)
    options.folder = options.folder.absolute()
    figures: dict[str, Any] = options.command.run(options)
    command = " ".join(["pairmill bench", *given])
    figures |= {"machine": platform.machine(), "command": command}
    path: Path = options.json or options.folder / f"{options.command.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if options.command.name == "votes":
        _show_votes(figures, path)
    else:
        print_figures(figures, str(path))
    return 0


def _show_votes(figures: dict[str, Any], path: Path) -> None:
    tables = [("Simulated judges", comparison(figures["rows"]))]
    if "real" in figures:
        tables.append(("Stored votes of a real judge", ways(figures["real"]["rows"])))
    for title, table in tables:
        sys.stdout.write(f"{title}\n\n{markdown(table)}\n\n")
    sys.stdout.write(f"everything in {path}, pictures beside it\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pairmill bench",
        description=__doc__,
        epilog="example:\n  pairmill bench pipeline --shards 2 --repeats 1\n\n"
        "exit codes:\n  0  done\n  2  configuration or input cannot be used",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    for command in COMMANDS:
        each = benchmarks.add_parser(command.name, help=command.text, description=command.text)
        command.arguments(each)
        each.add_argument("--folder", type=Path, default=Path("out/bench"), help="%(default)s")
        each.add_argument("--json", type=Path, help=f"FOLDER/{command.name}.json by default")
        if command.config:
            config, text = str(CONFIGS / command.config), f"default: {command.config}"
            each.add_argument("--config", default=config, help=text)
            each.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
        each.set_defaults(command=command)
        each.set_defaults(write_scenes=write_scene_shards, encode_clip=encode_clip)
    return parser


if __name__ == "__main__":
    sys.exit(main())
