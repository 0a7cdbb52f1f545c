"""The results of the study as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from pipeline.lab.vote_study.study import DEFAULTS, REFERENCE
from pipeline.lab.vote_study.voting_strategies import OneOrder, Strategy, fixed

MAIN: tuple[Strategy, ...] = (OneOrder(), fixed(2), REFERENCE, *DEFAULTS)
Table = tuple[list[str], list[list[str]]]  # header and lines


def print_study(results: dict[str, Any], where: str) -> None:
    """Prints the main results.

    Args:
        results: as in the JSON.
        where: the JSON, which has all of them.
    """
    tables = [("Simulated judges", _comparison(results["rows"]))]
    if "real" in results:
        tables.append(("Stored votes of a real judge", _strategies(results["real"]["rows"])))
        if soft := results["real"]["soft"]:
            worth = f"a soft vote is worth {soft['weight'] or 1:.5f} sampled ones"
            tables.append((f"The same votes as soft ones: {worth}", soft_table(soft["rows"])))
    for title, table in tables:
        sys.stdout.write(f"{title}\n\n{_markdown(table)}\n\n")
    sys.stdout.write(f"all of it: {where}, with charts beside it\n")


def _comparison(rows: Sequence[dict[str, Any]]) -> Table:
    """One line for each population: accuracy, votes and undecided share of ``MAIN``."""
    header = ["judge"]
    for strategy in MAIN:
        header += [strategy.name, *(["votes"] if strategy in DEFAULTS else []), "undecided"]
    by_name = {(r["population"], r["strategy"]): r for r in rows if r["method"] != "check"}
    lines = []
    for population in dict.fromkeys(row["population"] for row in rows):
        line = [population]
        for strategy in MAIN:
            row = by_name[population, strategy.name]
            line.append(f"{100 * row['accuracy']:.1f}{_behind(row)}")
            line += [f"{row['votes']:.2f}"] if strategy in DEFAULTS else []
            line.append(f"{100 * row['undecided']:.1f}")
        lines.append(line)
    return header, lines


def _strategies(rows: Sequence[dict[str, Any]]) -> Table:
    """One line for each strategy on one population."""
    header = ["strategy", "accuracy", "behind fixed 8", "among decided", "undecided", "forced"]
    header += ["votes", "retries"]
    lines = [
        [
            row["strategy"],
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['behind']:+.1f}{_interval(row)}",
            f"{100 * row['among_decided']:.1f}",
            f"{100 * row['undecided']:.1f}",
            f"{100 * row['forced']:.0f}",
            f"{row['votes']:.2f}",
            f"{row['retries']:.2f}",
        ]
        for row in rows
    ]
    return header, lines


def soft_table(rows: Sequence[dict[str, Any]]) -> Table:
    """One line for each strategy, on votes as they were sampled and as soft ones."""
    header = ["strategy", "accuracy", "soft", "more", "votes", "soft", "more"]
    lines = [
        [
            row["strategy"],
            *(f"{100 * row[name]:.1f}" for name in ("accuracy", "soft_accuracy")),
            "[{:+.1f}, {:+.1f}]".format(*(100 * each for each in row["accuracy_more"])),
            *(f"{row[name]:.2f}" for name in ("votes", "soft_votes")),
            "[{:+.2f}, {:+.2f}]".format(*row["votes_more"]),
        ]
        for row in rows
    ]
    return header, lines


def _markdown(table: Table) -> str:
    """A table as lines of Markdown."""
    header, lines = table
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _behind(row: dict[str, Any]) -> str:
    if row["strategy"] == REFERENCE.name:
        return ""
    return f" ({100 * row['behind']:+.1f}{_interval(row)})"


def _interval(row: dict[str, Any]) -> str:
    found = row["intervals"].get("behind")
    if found is None:
        return ""
    low_high = isinstance(found, list | tuple)
    return (
        f" [{100 * found[0]:+.1f}, {100 * found[1]:+.1f}]" if low_high else f" ± {100 * found:.1f}"
    )
