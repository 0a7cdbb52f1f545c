"""Benchmarks: ``python -m jobs.bench pipeline|memory``; prints a table, writes JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.assembly.bench import bench_memory, bench_pipeline
from pipeline.core.config import LabelConfig
from pipeline.core.config_file import load_config
from pipeline.core.errors import PairmillError
from pipeline.tiny_judge.corpus import write_scene_shards

CONFIGS = Path(__file__).parent / "configs"
DEFAULT_CONFIG = {"pipeline": "tiny-cpu.yaml", "memory": "bench-memory.yaml"}


def main(arguments: list[str] | None = None) -> int:
    """Runs one benchmark."""
    options = _parser().parse_args(arguments)
    folder: Path = options.folder.absolute()
    try:
        default = CONFIGS / DEFAULT_CONFIG[options.benchmark]
        config = load_config(LabelConfig, options.config or str(default), options.set)
        if options.benchmark == "memory":
            figures = bench_memory(config, folder / "memory", options.mb)
        else:
            pairs = options.input or str(folder / "pairs")
            if options.input is None:
                write_scene_shards(folder / "pairs", options.shards, 256, seed=1)
            figures = bench_pipeline(config, pairs, str(folder / "labels"), options.repeats)
    except PairmillError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    figures |= {"machine": platform.machine(), "command": " ".join(["jobs.bench", *sys.argv[1:]])}
    path = folder / f"{options.benchmark}.json"
    path.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    _show(figures, path)
    return 0


def _show(figures: dict[str, Any], path: Path) -> None:
    table = Table(title=f"{figures['benchmark']} (also in {path})", title_justify="left")
    table.add_column("figure")
    table.add_column("value", overflow="fold")
    for key, value in figures.items():
        table.add_row(key, json.dumps(value))
    Console(soft_wrap=True).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobs.bench", description=__doc__)
    parser.add_argument("benchmark", choices=("pipeline", "memory"))
    parser.add_argument("--config", default=None, help="default: the one made for the benchmark")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--folder", type=Path, default=Path("out/bench"))
    parser.add_argument("--input", metavar="URI", help="pipeline: pair shards; default: scenes")
    parser.add_argument("--shards", type=int, default=4, help="pipeline: shards of 256 scenes")
    parser.add_argument("--repeats", type=int, default=3, help="pipeline: runs of either side")
    parser.add_argument("--mb", type=int, default=2_048, help="memory: MiB of pictures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
