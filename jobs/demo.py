"""A whole night on the embedded judge: ``python -m jobs.demo`` (no GPU, no download)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
from rich.console import Console
from rich.table import Table

from pipeline import open_snapshot
from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards
from pipeline.nightly.night import night_report, run_night
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.reporter import Reporter

CONFIG = Path(__file__).parent / "configs" / "cpu.yaml"
SHARDS, ROWS, SEED = 4, 64, 20_26


def main(arguments: list[str] | None = None) -> int:
    """Makes pair shards, labels and publishes them, and shows labels beside what is true."""
    parser = argparse.ArgumentParser(prog="python -m jobs.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out/demo"), help="default: out/demo")
    folder: Path = parser.parse_args(arguments).folder.absolute()
    return run_command(lambda: _run(folder), "interrupted; run it again: it goes on")


def _run(folder: Path) -> int:
    console = Console(file=sys.stdout, soft_wrap=True)  # Ray may not write there
    write_scene_shards(folder / "pairs", SHARDS, ROWS, SEED)
    console.print(f"pairs:  {folder / 'pairs'} ({SHARDS} shards of {ROWS} preference pairs)")
    console.print(f"labels: {folder / 'labels'}")
    config = load_config(PipelineConfig, str(CONFIG), [])
    pairs, labels, reporter = str(folder / "pairs"), str(folder / "labels"), Reporter(console)
    report = night_report(config, pairs, reporter)
    exit_code = run_night(config, pairs, labels, reporter, report=report)
    _show(folder, console)
    return exit_code


def _show(folder: Path, console: Console) -> None:
    # Without threads: pyarrow 26 now and then aborts the process that ends after using them.
    shown = ["pair_id", "status", "preference", "margin", "rationale"]
    labels = open_snapshot(str(folder / "labels")).to_table(columns=shown, use_threads=False)
    pairs = pa.dataset.dataset(folder / "pairs").to_table(
        columns=["pair_id", "gold"], use_threads=False
    )
    joined = labels.join(pairs, "pair_id").sort_by("pair_id").to_pylist()
    decided = [row for row in joined if row["gold"] in ("a", "b")]
    right = sum(row["preference"] == row["gold"] for row in decided)
    table = Table(title="some labels", title_justify="left")
    for column in ("status", "preference", "gold", "margin", "rationale"):
        table.add_column(column)
    for row in joined[:6]:
        cells = (row["status"], row["preference"], row["gold"], row["margin"], row["rationale"])
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    console.print(table)
    console.print(f"{right} of {len(decided)} pairs with a better answer are labelled right")
    console.print("run it again: it finds every label made and starts no engine")


if __name__ == "__main__":
    sys.exit(main())
