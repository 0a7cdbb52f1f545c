"""The report of a run: ``python -m jobs.report --output URI``."""

from __future__ import annotations

import argparse
import sys

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.report.run_records import newest_run
from pipeline.report.write_report import write_report
from pipeline.runtime.command import run_command
from pipeline.runtime.config_file import load_config
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store


def main(arguments: list[str] | None = None) -> int:
    """Runs the job; returns its exit code (see ``--help``)."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options, Reporter()), "interrupted; an earlier report may be still there"
    )


def _run(options: argparse.Namespace, reporter: Reporter) -> int:
    config = load_config(PipelineConfig, options.config, options.set)
    output = Store(options.output)
    run_id = options.run or newest_run(output)
    write_report(
        output,
        options.input,
        run_id,
        None,
        config.report,
        reporter.of_run(run_id),
        columns=config.input,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.report",
        description="Writes the report of a run: runs/<run>/report.html, one page that needs "
        "nothing else, and metrics.json, the same figures in one flat object. jobs.nightly does "
        "so by itself; this makes the report again, or that of a run of jobs.label or "
        "jobs.publish. Starts no engine and changes nothing else.",
        epilog="exit codes: 0 done; 2 bad config, no such run, or storage",
    )
    add = parser.add_argument
    add("--output", metavar="URI", required=True, help="the output of jobs.label or jobs.nightly")
    add("--run", metavar="ID", help="the run, as its folder under runs/ is called; the newest")
    add("--input", metavar="URI", help="the pairs, if they are not where the run found them")
    add("--config", metavar="FILE", help="YAML of a labeling job, with a section report")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, such as --set report.gpu_usd_per_hour=2.5",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
