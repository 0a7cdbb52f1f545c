"""A nightly run with the embedded judge: ``pairmill demo`` (no GPU, no download)."""

from __future__ import annotations

import argparse
import os
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
from pipeline.report.run_records import newest_run
from pipeline.runtime.command import add_log_option, run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.phases import phase
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

CONFIG = Path(__file__).parent / "configs" / "cpu.yaml"
LAPTOP = "jobs/configs/laptop.yaml"
SHARDS, ROWS, SEED = 4, 64, 20_26


def main(arguments: list[str] | None = None) -> int:
    """Makes pair shards, labels and publishes them, and shows labels beside what is true."""
    parser = argparse.ArgumentParser(
        prog="pairmill demo",
        description="Draws scenes, lets the embedded judge label answers about them, publishes\n"
        "a snapshot and writes a report: the whole nightly run, on this machine's CPU.",
        epilog="example:\n  pairmill demo --folder out/demo\n\nexit codes:\n"
        "    0  done, also if there was nothing to do\n"
        "    2  configuration, input or storage cannot be used\n"
        "  130  interrupted (Ctrl-C); the same command goes on",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=Path("out/demo"), help="default: out/demo")
    add_log_option(parser, default="text")
    options = parser.parse_args(arguments)
    reporter = Reporter(style=options.log)
    return run_command(lambda: _run(options.folder, reporter), "run it again: it goes on")


def _run(folder: Path, reporter: Reporter) -> int:
    pairs, labels = str(folder.absolute() / "pairs"), str(folder.absolute() / "labels")
    with phase(reporter, f"drawing {SHARDS * ROWS} pairs of answers about pictures"):
        write_scene_shards(Path(pairs), SHARDS, ROWS, SEED)
    config = load_config(PipelineConfig, str(CONFIG))
    exit_code = run_night(
        config, pairs, labels, reporter, report=night_report(config, pairs, reporter)
    )
    _show(folder, reporter)
    return exit_code


def _show(folder: Path, reporter: Reporter) -> None:
    # Without threads: pyarrow 26 now and then aborts the process that ends after using them.
    shown = ["pair_id", "status", "preference", "margin", "rationale"]
    labels = open_snapshot(str(folder / "labels")).to_table(columns=shown, use_threads=False)
    pairs = pa.dataset.dataset(folder / "pairs").to_table(
        columns=["pair_id", "gold"], use_threads=False
    )
    joined = labels.join(pairs, "pair_id").sort_by("pair_id").to_pylist()
    decided = [row for row in joined if row["gold"] in ("a", "b")]
    right = sum(row["preference"] == row["gold"] for row in decided)
    page = folder / "labels" / "runs" / newest_run(Store(str(folder / "labels"))) / "report.html"
    if reporter.style == "json":
        found = {"right": right, "decided": len(decided), "report": str(page)}
        reporter.event("demo", found)
        return
    table = Table(title="some labels", title_justify="left")
    for column in ("status", "preference", "gold", "margin", "rationale"):
        table.add_column(column)
    for row in joined[:6]:
        cells = (row["status"], row["preference"], row["gold"], row["margin"], row["rationale"])
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    # Ray may not write to standard output meanwhile.
    console = Console(file=sys.stdout, soft_wrap=True)
    console.print(table)
    for line in _last_words(folder, page, f"{right} of {len(decided)}"):
        console.print(line, markup=False, highlight=False)


def _last_words(folder: Path, page: Path, right: str) -> list[str]:
    program = os.path.relpath(Path(sys.executable).with_name("pairmill"))
    return [
        "",
        f"{right} pairs with a better answer are labelled right",
        f"report: {page}",
        f"labels: {folder / 'labels'}  (run it again: nothing is left to judge)",
        "",
        'next, with pairs of your own (.jsonl, .csv, .parquet; README.md, "Your own pairs"):',
        f"  {program} ingest --source YOUR_FILE --output out/pairs --dry-run     # its columns",
        f"  {program} doctor --config {LAPTOP} --input out/pairs --output out/labels",
        f"  {program} nightly --config {LAPTOP} --input out/pairs --output out/labels",
    ]


if __name__ == "__main__":
    sys.exit(main())
