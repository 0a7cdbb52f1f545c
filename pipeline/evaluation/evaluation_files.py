"""The files of an evaluation: its report as JSON, Markdown and a page, and its charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.evaluation_page import evaluation_page
from pipeline.evaluation.evaluation_tables import INTERVALS, sections, summary
from pipeline.runtime.markdown_table import table_row
from pipeline.runtime.printable import printable
from pipeline.store.object_store import Store
from schemas.benchmark_prompts import PROMPTS, BenchmarkPrompts


def store_report(
    report: Mapping[str, Any], rows: Sequence[JudgedPair], output: Store, folder: str
) -> None:
    """Writes ``evaluation.{json,md,html}`` and ``figures/`` into a folder.

    Raises:
        StorageError: the store refuses.
    """
    from pipeline.evaluation.evaluation_plots import evaluation_plots  # matplotlib loads a second

    plots = {f"figures/{name}": data for name, data in evaluation_plots(report, rows).items()}
    for name, data in plots.items():
        output.put(f"{folder}/{name}", data)
    pictures = [name for name in plots if name.endswith(".png")]
    charts = {PurePosixPath(name).stem: plots[name] for name in pictures}
    output.put(f"{folder}/evaluation.html", evaluation_page(report, charts).encode())
    output.put(f"{folder}/evaluation.md", markdown(report, pictures).encode())
    output.put(f"{folder}/evaluation.json", json.dumps(report, indent=1).encode())


def store_prompts(rows: Sequence[JudgedPair], output: Store, folder: str) -> None:
    """Writes which prompts a benchmark has, as hashes, so that exports leave them out.

    Raises:
        StorageError: the store refuses.
    """
    clusters = {row.label["cluster"] for row in rows} - {None}
    record = BenchmarkPrompts(tuple(sorted(clusters)))
    output.put(f"{folder}/{PROMPTS}", record.to_json())


def markdown(report: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """A report as Markdown.

    Args:
        report: what stands in ``evaluation.json``.
        pictures: files of its charts, relative to the report.
    """
    lines = [f"# {report['title']}", "", summary(report), ""]
    lines += [f"> **WARNING** {warning}\n" for warning in report["warnings"]]
    lines += [INTERVALS, ""]
    for section in sections(report):
        lines += [f"## {section.title}", "", *([section.note, ""] if section.note else [])]
        lines.append(table_row(section.header))
        lines.append(table_row([":--", *["--:"] * (len(section.header) - 1)]))
        lines += [*map(table_row, section.rows), ""]
    lines += [f"![{name.rpartition('/')[2].rpartition('.')[0]}]({name})" for name in pictures]
    return printable("\n".join(lines)).rstrip() + "\n"
