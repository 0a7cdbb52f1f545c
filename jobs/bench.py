"""Benchmarks: ``python -m jobs.bench pipeline|memory|votes``; prints a table, writes JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.assembly.bench.memory import bench_memory
from pipeline.assembly.bench.pipeline_job import bench_pipeline
from pipeline.assembly.command import run_command
from pipeline.assembly.vote_study.bench import bench_stored_votes, bench_votes
from pipeline.assembly.vote_study.tables import comparison, markdown, ways
from pipeline.core.config import LabelConfig
from pipeline.core.config_file import load_config
from pipeline.tiny_judge.corpus import write_scene_shards

CONFIGS = Path(__file__).parent / "configs"


def main(arguments: list[str] | None = None) -> int:
    """Runs one benchmark."""
    options = _parser().parse_args(arguments)
    options.folder = options.folder.absolute()
    return run_command(lambda: _run(options), "interrupted; no figures are written")


def _run(options: argparse.Namespace) -> int:
    figures: dict[str, Any] = options.run(options)
    figures |= {"machine": platform.machine(), "command": " ".join(["jobs.bench", *sys.argv[1:]])}
    path = options.folder / f"{options.benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    options.show(figures, path)
    return 0


def _pipeline(options: argparse.Namespace) -> dict[str, Any]:
    pairs = options.input or str(options.folder / "pairs")
    if options.input is None:
        write_scene_shards(options.folder / "pairs", options.shards, 256, seed=1)
    output = str(options.folder / "labels")
    return bench_pipeline(_config(options), pairs, output, options.repeats)


def _memory(options: argparse.Namespace) -> dict[str, Any]:
    return bench_memory(_config(options), options.folder / "memory", options.mb)


def _votes(options: argparse.Namespace) -> dict[str, Any]:
    figures = bench_votes(options.folder, options.seed, options.pairs)
    if options.real:
        pairs = options.folder / f"pairs-{options.real_pairs}"
        write_scene_shards(pairs, 1, options.real_pairs, seed=1_001)
        figures["real"] = bench_stored_votes(
            _config(options), str(pairs), options.folder, options.seed
        )
    return figures


def _config(options: argparse.Namespace) -> LabelConfig:
    return load_config(LabelConfig, options.config, options.set)


def _show(figures: dict[str, Any], path: Path) -> None:
    table = Table(title=f"{figures['benchmark']} (also in {path})", title_justify="left")
    table.add_column("figure")
    table.add_column("value", overflow="fold")
    for key, value in figures.items():
        table.add_row(key, json.dumps(value))
    Console(soft_wrap=True).print(table)


def _show_votes(figures: dict[str, Any], path: Path) -> None:
    tables = [("Simulated judges", comparison(figures["rows"]))]
    if "real" in figures:
        tables.append(("Stored votes of a real judge", ways(figures["real"]["rows"])))
    for title, table in tables:
        sys.stdout.write(f"{title}\n\n{markdown(table)}\n\n")
    sys.stdout.write(f"everything in {path}, pictures beside it\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobs.bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")

    def add(name: str, text: str, config: str, run: Any, show: Any = _show) -> Any:
        benchmark = benchmarks.add_parser(name, help=text, description=text)
        benchmark.add_argument("--config", default=str(CONFIGS / config), help=f"default: {config}")
        benchmark.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
        benchmark.add_argument("--folder", type=Path, default=Path("out/bench"))
        benchmark.set_defaults(run=run, show=show)
        return benchmark

    pipeline = add("pipeline", "the whole job against the engine alone", "tiny-cpu.yaml", _pipeline)
    pipeline.add_argument("--input", metavar="URI", help="pair shards; default: scenes")
    pipeline.add_argument("--shards", type=int, default=4, help="shards of 256 scenes")
    pipeline.add_argument("--repeats", type=int, default=3, help="runs of either side")
    memory = add("memory", "pictures piling up before a slow judge", "bench-memory.yaml", _memory)
    memory.add_argument("--mb", type=int, default=2_048, help="MiB of pictures")
    text = "ways of asking, on simulated judges and on stored votes of a real one"
    votes = add("votes", text, "bench-votes.yaml", _votes, _show_votes)
    votes.add_argument("--seed", type=int, default=1, help="of sampled votes and of the bootstrap")
    votes.add_argument("--pairs", type=int, default=600, help="sampled a seed and population")
    votes.add_argument("--real", action="store_true", help="also ask the judge of --config")
    votes.add_argument("--real-pairs", type=int, default=240, help="pairs that it is asked about")
    return parser


if __name__ == "__main__":
    sys.exit(main())
