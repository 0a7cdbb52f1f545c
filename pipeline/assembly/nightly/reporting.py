"""The report as a night's last step."""

from __future__ import annotations

from pipeline.assembly.job_config import MillConfig
from pipeline.assembly.nightly.night import Report
from pipeline.assembly.progress import Reporter
from pipeline.assembly.report.write import write_report
from pipeline.core.storage import Store


def night_report(config: MillConfig, input_uri: str, reporter: Reporter) -> Report:
    """What :func:`pipeline.assembly.nightly.night.run_night` calls at its end.

    Args:
        config: of the night.
        input_uri: its pairs.
        reporter: told where the report is.
    """

    def report(output: Store, run_id: str, snapshot_id: str | None) -> None:
        told, columns = reporter.of_run(run_id), config.input
        write_report(output, input_uri, run_id, snapshot_id, config.report, told, columns=columns)

    return report
