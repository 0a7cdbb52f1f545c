"""An evaluation's report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pipeline.evaluation.evaluation_measures import headline
from pipeline.evaluation.evaluation_tables import INTERVALS, sections
from pipeline.evaluation.measure_titles import interval, title_of
from pipeline.runtime.page_templates import page_templates


def evaluation_page(report: Mapping[str, Any], charts: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        report: what stands in ``evaluation.json``.
        charts: its charts as PNG, by name.
    """
    overall = report["overall"]
    figures = [
        (title_of(name)[0], interval(overall[name], name))
        for name in (*headline(report["family"]), "coverage", "votes")
        if name in overall
    ]
    return (
        page_templates("pipeline.evaluation")
        .get_template("evaluation.html.j2")
        .render(
            report=report,
            figures=figures,
            intervals=INTERVALS,
            sections=sections(report),
            charts={name: base64.b64encode(data).decode() for name, data in charts.items()},
        )
    )
