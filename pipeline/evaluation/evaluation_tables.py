"""An evaluation's report as tables of texts, and these on a console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.evaluation.evaluation_measures import headline
from pipeline.evaluation.measure_titles import TITLES, interval, shown, title_of
from pipeline.runtime.printable import printable
from pipeline.stats.wilson import LEAST_PROMPTS
from schemas.pairs import GOLD_VALUES
from schemas.quality import AGREEMENT_LABELS

# What intervals mean, and what is right; for above the tables.
INTERVALS = (
    "Intervals hold 95 %, pairs of one prompt counting together: Wilson's of shares, else "
    f"bootstrap percentiles over prompts. Of fewer than {LEAST_PROMPTS} prompts only shares have "
    "one, for which each prompt counts as one pair. A row is right if its label is the gold one, "
    "ties included; abstained and quarantined rows are never right."
)
_SLICES = {"source": "By source", "category": "By category", "format": "By format and candidates"}

_PROBES = (
    (
        "attack",
        "Probes: attacks on the worse answer",
        ("attack", "pairs", "turned by it alone", "by its placebo alone", "success [95 % interval]",
         "left out"),
        "Pairs that the judge gets right as they are. An attack adds something worthless to the "
        "worse answer, its placebo something neutral of the same length; success is how many more "
        "pairs the attack turns, by Agresti and Min. What is held out counts in no gate.",
    ),
    (
        "picture",
        "Probes: changed pictures",
        ("pictures", "pairs", "right with the true ones alone", "with the changed ones alone",
         "gain [95 % interval]", "left out"),
        "The gain is what the true pictures are worth: how many more labels are right with them.",
    ),
)  # fmt: skip

_DIFFERENCE = {
    "what": "what",
    "here": "here",
    "published": "published",
    "alike_with": "made alike by",
}


@dataclass(frozen=True)
class Section:
    """A table of texts; numbers in all but the first column."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def sections(report: Mapping[str, Any]) -> list[Section]:
    """Every table of a report, in order."""
    found = [_estimates("All pairs", report["overall"])]
    found += [_against(report["against"])] if report["against"] else []
    found += [_criteria(report["criteria"])] if report["criteria"] else []
    if report["published"]:
        found += [_published(report["published"]), _differences(report["differences"])]
    found += [_slices(report, kind) for kind in _SLICES if report["slices"].get(kind)]
    if "confusion" in report["curves"]:
        rows = zip(GOLD_VALUES, report["curves"]["confusion"], strict=True)
        cells = tuple((gold, *map(str, counts)) for gold, counts in rows)
        found.append(Section("Confusion", ("gold \\ label", *AGREEMENT_LABELS), cells))
    found += [_control(control) for control in report["controls"]]
    found += [*_probes(report["probes"])] if report["probes"] else []
    return found + ([_read(report["read"])] if report["read"] else [])


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Prints a report's tables and warnings."""
    console.print(f"[bold]{escape(printable(summary(report)))}[/bold]", soft_wrap=True)
    for section in sections(report):
        table = Table(title=section.title, title_justify="left", header_style="bold")
        for index, name in enumerate(section.header):
            table.add_column(escape(printable(name)), justify="right" if index else "left")
        for row in section.rows:
            table.add_row(*(escape(printable(cell)) for cell in row))
        console.print(table)
        if section.note:
            console.print(escape(printable(section.note)), soft_wrap=True)
    for warning in report["warnings"]:
        console.print(f"[bold red]WARNING[/bold red] {escape(printable(warning))}", soft_wrap=True)


def summary(report: Mapping[str, Any]) -> str:
    """The report in a line: what was judged, and by which judge."""
    judge = report["judge"]
    return (
        f"{report['title']}: {report['pairs']} pairs judged by {judge['model']} "
        f"({judge['format']}, {judge['candidates']} candidates; judge {judge['judge_id'][:16]})"
    )


def _estimates(title: str, estimates: Mapping[str, Any]) -> Section:
    order = [name for name in TITLES if name in estimates]
    order += [name for name in estimates if name not in TITLES]
    rows = tuple(
        (title_of(name)[0], interval(estimates[name], name), str(estimates[name]["rows"]))
        for name in order
    )
    return Section(title, ("measure", "value [95 % interval]", "pairs"), rows)


def _against(found: Mapping[str, Any]) -> Section:
    rows = tuple(
        (title_of(name)[0], interval(estimate, name)) for name, estimate in found["figures"].items()
    )
    note = found["statement"]
    if found["left_out"]:
        note += f"; {found['left_out']} pairs that only one has a label of are left out"
    title = "Against another judge, on the same pairs"
    return Section(title, ("measure", "value [95 % interval]"), rows, note)


def _criteria(criteria: Mapping[str, Any]) -> Section:
    known = {name for found in criteria.values() for name in found}
    names = [name for name in TITLES if name in known]
    rows = tuple(
        (
            criterion,
            str(max((estimate["rows"] for estimate in found.values()), default=0)),
            *(interval(found.get(name), name) for name in names),
        )
        for criterion, found in criteria.items()
    )
    return Section("Criteria", ("criterion", "pairs", *(title_of(n)[0] for n in names)), rows)


def _published(entries: Sequence[Mapping[str, Any]]) -> Section:
    rows = []
    for entry in entries:
        title = title_of(entry["figure"])[0]
        title = f"{entry['category']}: {title}" if entry["category"] else title
        title = f"{title} ({entry['note']})" if entry["note"] else title
        published = (shown(entry[name], entry["figure"]) for name in ("flex", "base"))
        rows.append((title, interval(entry["measured"], entry["figure"]), *published))
    header = ("measure", "measured", "Flex-VL-7B, published", "its base, published")
    return Section("Beside what arXiv 2505.18601 published", header, tuple(rows))


def _read(parts: Sequence[Mapping[str, Any]]) -> Section:
    rows = tuple(
        (part["part"], f"{part['rows']:,}", f"{part['bad_rows']:,}", part["source"])
        for part in parts
    )
    return Section("What was read", ("part", "rows", "that cannot be judged", "from"), rows)


def _differences(entries: Sequence[Mapping[str, str]]) -> Section:
    rows = tuple(tuple(entry[name] for name in _DIFFERENCE) for entry in entries)
    return Section("What differs from how those were obtained", tuple(_DIFFERENCE.values()), rows)


def _slices(report: Mapping[str, Any], kind: str) -> Section:
    names = list(headline(report["family"]))
    if report["family"] == "pair":
        names += ["four_way", "coverage", "position_consistent"]
    slices = report["slices"][kind]
    names = [name for name in names if any(name in found for found in slices.values())]
    rows = tuple(
        (
            name,
            str(max(estimate["rows"] for estimate in found.values())),
            *(interval(found.get(measure), measure) for measure in names),
        )
        for name, found in slices.items()
    )
    return Section(_SLICES[kind], (kind, "pairs", *(n.replace("_", " ") for n in names)), rows)


def _probes(record: Mapping[str, Any]) -> Iterator[Section]:
    """Of attacks, and of picture controls."""
    probes = record["probes"]
    for kind, title, header, note in _PROBES:
        rows = tuple(
            (
                f"{name} (held out)" if probe["held_out"] else name,
                str(probe["effect"]["n"]),
                str(probe["changed"]),
                str(probe["back"]),
                interval(probe["effect"], name),
                "; ".join(f"{count} {why}" for why, count in probe["left_out"].items()) or "-",
            )
            for name, probe in probes.items()
            if probe["kind"] == kind
        )
        yield Section(title, header, rows, note)


def _control(control: Mapping[str, Any]) -> Section:
    left_out = "".join(f"; {count} {why} left out" for why, count in control["left_out"].items())
    rows = tuple(
        (title_of(name)[0], interval(estimate, name))
        for name, estimate in control["figures"].items()
    )
    title = f"Control {control['control']}: {control['pairs']} pairs{left_out}"
    return Section(title, ("measure", "value [95 % interval]"), rows)
