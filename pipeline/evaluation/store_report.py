"""Stores an evaluation: its report as JSON and Markdown, and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.evaluation_plots import PLOT_FORMATS, draw_all, encoded
from pipeline.evaluation.report_text import markdown
from pipeline.store.object_store import Store


def store_report(
    report: Mapping[str, Any], rows: Sequence[JudgedPair], output: Store, folder: str
) -> None:
    """Writes ``evaluation.json``, ``evaluation.md`` and ``figures/`` into a folder.

    Raises:
        StorageError: the store refuses.
    """
    pictures = []
    for name, figure in draw_all(report, rows).items():
        for format_ in PLOT_FORMATS:
            output.put(f"{folder}/figures/{name}.{format_}", encoded(figure, format_))
        pictures.append(f"figures/{name}.{PLOT_FORMATS[0]}")
    output.put(f"{folder}/evaluation.md", markdown(report, pictures).encode())
    output.put(f"{folder}/evaluation.json", json.dumps(report, indent=1).encode())
