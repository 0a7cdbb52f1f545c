"""What the figures of an evaluation are called, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.evaluation.judged_outcomes import LABELS
from pipeline.evaluation.measures import headline
from schemas.pairs import GOLD_VALUES

Unit = Literal["share", "number", "tokens"]

TITLES: dict[str, tuple[str, Unit]] = {
    "accuracy": ("accuracy, ties, abstained and quarantined wrong", "share"),
    "accuracy_half": ("accuracy, the same counting ½", "share"),
    "accuracy_decided": ("accuracy where judge and human prefer one", "share"),
    "accuracy_no_gold_ties": ("accuracy without gold ties", "share"),
    "four_way": ("4-way accuracy (GenAI-Bench)", "share"),
    "pearson": ("Pearson's r of scores", "number"),
    "spearman": ("Spearman's rho of scores", "number"),
    "mae": ("mean absolute error of scores", "number"),
    "edit_distance": ("normalised edit distance of rankings (lower is better)", "number"),
    "kendall_tau": ("Kendall's tau-b of rankings", "number"),
    "pair_accuracy": ("accuracy over candidate pairs, ties wrong", "share"),
    "pair_accuracy_half": ("accuracy over candidate pairs, ties ½", "share"),
    "coverage": ("coverage: labelled of all", "share"),
    "kappa": ("Cohen's kappa over a, b, tie", "number"),
    "brier": ("Brier score (lower is better)", "number"),
    "ece": ("expected calibration error (lower is better)", "number"),
    "aurc": ("area under risk-coverage (lower is better)", "number"),
    "position_consistent": ("position-consistent pairs", "share"),
    "first_slot": ("first-slot win rate of votes", "share"),
    "repeat_flips": ("repeat-flip rate of votes", "share"),
    "longer_wins": ("longer text wins", "share"),
    "gold_longer_wins": ("longer text wins by gold", "share"),
    "accuracy_length_matched": ("accuracy, lengths within 10 %", "share"),
    "ties": ("pairs labelled a tie", "share"),
    "abstained": ("pairs abstained", "share"),
    "quarantined": ("pairs quarantined", "share"),
    "votes_tied": ("votes for a tie", "share"),
    "votes_unreadable": ("votes unreadable", "share"),
    "votes_malformed": ("votes malformed", "share"),
    "votes_truncated": ("votes truncated", "share"),
    "votes_refused": ("votes refused", "share"),
    "votes_out_of_range": ("votes out of range", "share"),
    "votes": ("votes a pair", "number"),
    "prompt_tokens": ("prompt tokens a pair", "tokens"),
    "output_tokens": ("output tokens a pair", "tokens"),
    "cached_tokens": ("cached tokens a pair", "tokens"),
    "flipped": ("preferences that followed the candidates", "share"),
}
_MACRO, _SUFFIXES = "macro_", {"_true": "true", "_control": "control", "_difference": "difference"}


def title_of(name: str) -> tuple[str, Unit]:
    """A figure's title and unit."""
    if name in TITLES:
        return TITLES[name]
    if name.startswith(_MACRO):
        title, unit = title_of(name.removeprefix(_MACRO))
        return f"mean over categories of {title}", unit
    for suffix, word in _SUFFIXES.items():
        if name.endswith(suffix):
            title, unit = title_of(name.removesuffix(suffix))
            return f"{title}: {word}", unit
    return name.replace("_", " "), "share"


def shown(value: float | None, name: str) -> str:
    """A value as it is shown."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if title_of(name)[1] == "tokens" else f"{value:.3f}"


_PARTS = {"source": "By source", "category": "By category", "format": "By format and candidates"}


@dataclass(frozen=True)
class Section:
    """A table of texts; the first column's cells are texts, all others numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sections(report: Mapping[str, Any]) -> list[Section]:
    """Every table of a report, in order."""
    found = [_figures("All pairs", report["overall"])]
    if report["published"]:
        found.append(_published(report["published"]))
    found += [_slices(report, kind) for kind in _PARTS if report["slices"].get(kind)]
    if "confusion" in report["curves"]:
        rows = zip(GOLD_VALUES, report["curves"]["confusion"], strict=True)
        cells = tuple((gold, *map(str, counts)) for gold, counts in rows)
        found.append(Section("Confusion", ("gold \\ label", *LABELS), cells))
    return found + [_control(control) for control in report["controls"]]


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Prints a report's tables and warnings."""
    console.print(f"[bold]{escape(_headline(report))}[/bold]", soft_wrap=True)
    for section in sections(report):
        table = Table(title=section.title, title_justify="left", header_style="bold")
        for index, name in enumerate(section.header):
            table.add_column(escape(name), justify="right" if index else "left")
        for row in section.rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for warning in report["warnings"]:
        console.print(f"[bold red]WARNING[/bold red] {escape(warning)}", soft_wrap=True)


def markdown(report: Mapping[str, Any], figures: Sequence[str]) -> str:
    """A report as Markdown.

    Args:
        report: what stands in ``evaluation.json``.
        figures: files of pictures, relative to the report.
    """
    lines = [f"# {report['title']}", "", _headline(report), ""]
    lines += [f"> **WARNING** {warning}\n" for warning in report["warnings"]]
    lines += [
        "Intervals are 95 % bootstrap percentiles over pairs. A row is right if its label is the "
        "gold one, ties included; abstained and quarantined rows are never right.",
        "",
    ]
    for section in sections(report):
        lines += [f"## {section.title}", "", _row(section.header)]
        lines.append(_row([":--", *["--:"] * (len(section.header) - 1)]))
        lines += [*map(_row, section.rows), ""]
    lines += [f"![{name.rpartition('/')[2].rpartition('.')[0]}]({name})" for name in figures]
    return "\n".join(lines).rstrip() + "\n"


def interval(estimate: Mapping[str, Any] | None, name: str) -> str:
    """An estimate with its interval, as it is shown."""
    if estimate is None or estimate["value"] is None:
        return "-"
    value = shown(estimate["value"], name)
    if estimate["low"] is None:
        return value
    return f"{value} [{shown(estimate['low'], name)}, {shown(estimate['high'], name)}]"


def _headline(report: Mapping[str, Any]) -> str:
    judge = report["judge"]
    return (
        f"{report['title']}: {report['pairs']} pairs judged by {judge['model']} "
        f"({judge['format']}, {judge['candidates']} candidates; judge {judge['judge_id'][:16]})"
    )


def _figures(title: str, figures: Mapping[str, Any]) -> Section:
    order = [name for name in TITLES if name in figures]
    order += [name for name in figures if name not in TITLES]
    rows = tuple(
        (title_of(name)[0], interval(figures[name], name), str(figures[name]["rows"]))
        for name in order
    )
    return Section(title, ("figure", "value [95 % interval]", "pairs"), rows)


def _published(entries: Sequence[Mapping[str, Any]]) -> Section:
    rows = []
    for entry in entries:
        title = title_of(entry["figure"])[0]
        title = f"{entry['category']}: {title}" if entry["category"] else title
        title = f"{title} ({entry['note']})" if entry["note"] else title
        published = (shown(entry[name], entry["figure"]) for name in ("flex", "base"))
        rows.append((title, interval(entry["measured"], entry["figure"]), *published))
    header = ("figure", "measured", "Flex-VL-7B, published", "its base, published")
    return Section("Beside what arXiv 2505.18601 published", header, tuple(rows))


def _slices(report: Mapping[str, Any], kind: str) -> Section:
    names = list(headline(report["family"]))
    if report["family"] == "pair":
        names += ["four_way", "coverage", "position_consistent"]
    slices = report["slices"][kind]
    names = [name for name in names if any(name in figures for figures in slices.values())]
    rows = tuple(
        (
            name,
            str(max(figure["rows"] for figure in figures.values())),
            *(interval(figures.get(figure), figure) for figure in names),
        )
        for name, figures in slices.items()
    )
    return Section(_PARTS[kind], (kind, "pairs", *(n.replace("_", " ") for n in names)), rows)


def _control(control: Mapping[str, Any]) -> Section:
    left_out = "".join(f"; {count} {why} left out" for why, count in control["left_out"].items())
    rows = tuple(
        (title_of(name)[0], interval(estimate, name))
        for name, estimate in control["figures"].items()
    )
    title = f"Control {control['control']}: {control['pairs']} pairs{left_out}"
    return Section(title, ("figure", "value [95 % interval]"), rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
