"""Stores an evaluation: its report as JSON and Markdown, and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.evaluation_plots import evaluation_plots
from pipeline.evaluation.report_text import markdown
from pipeline.store.object_store import Store


def store_report(
    report: Mapping[str, Any], rows: Sequence[JudgedPair], output: Store, folder: str
) -> None:
    """Writes ``evaluation.json``, ``evaluation.md`` and ``figures/`` into a folder.

    Raises:
        StorageError: the store refuses.
    """
    plots = {f"figures/{name}": data for name, data in evaluation_plots(report, rows).items()}
    for name, data in plots.items():
        output.put(f"{folder}/{name}", data)
    pictures = [name for name in plots if name.endswith(".png")]
    output.put(f"{folder}/evaluation.md", markdown(report, pictures).encode())
    output.put(f"{folder}/evaluation.json", json.dumps(report, indent=1).encode())
