"""Reports and evaluations without charts: for tests whose proof is another.

Of a night of few rows charts are most of the CPU. What they show is proven by tests of reports and
of evaluations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.evaluation import evaluation_plots
from pipeline.report import report_charts
from pipeline.report.report_charts import Chart

if TYPE_CHECKING:
    import pytest  # what runs in processes of chaos needs none


def no_charts(*arguments: object) -> list[Chart]:
    return []


def no_files(*arguments: object) -> dict[str, bytes]:
    return {}


def empty_chart(*arguments: object) -> Chart:
    return Chart("Calibration", None, "")


REPLACED: list[tuple[Any, str, Any]] = [
    (evaluation_plots, "evaluation_plots", no_files),
    (report_charts, "calibration_chart", empty_chart),
    *((report_charts, name, no_charts) for name in ("distributions", "biases", "trends")),
]


def draw_no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, reports and evaluations have no charts."""
    for owner, name, other in REPLACED:
        monkeypatch.setattr(owner, name, other)
