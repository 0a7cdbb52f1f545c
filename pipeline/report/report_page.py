"""Renders the page of a report from its templates."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from pipeline.report import report_charts as charts
from pipeline.report.gallery import Card, cards, chips
from pipeline.report.gallery_source import Sample
from pipeline.report.report_config import ReportConfig
from pipeline.report.report_words import DRIFT, OUTCOMES, RATES, SPEED, TRENDS
from pipeline.report.run_outcome import State
from pipeline.report.run_records import Record, Records
from pipeline.runtime.page_templates import page_templates
from pipeline.stats.shown_numbers import Point, Unit, shown, with_interval
from schemas.labels import BY_GOLD, BY_SEVERAL, Status
from schemas.manifest import MISSING
from schemas.pairs import GOLD_VALUES
from schemas.quality import AGREEMENT_LABELS, Agreement, Rate
from schemas.quality import RATES as MEANINGS

REVIEW_ADDRESS = "http://127.0.0.1:8765"  # of `pairmill review` as it starts by default
_RULES = {"at_least": "at least", "at_most": "at most"}
_INDEX = "p_a_psi"  # the one metric that is no share
_SHADES = 5  # of a cell of the confusion table


@dataclass(frozen=True)
class Measured:
    """A metric with its interval, as a row of a table."""

    name: str
    title: str
    meaning: str
    value: str
    interval: str
    n: str
    before: str
    point: Point | None


def render(
    records: Records,
    state: State,
    metrics: Mapping[str, Any],
    sample: Sample,
    config: ReportConfig,
) -> str:
    """The report of a run.

    Args:
        records: of the run.
        state: how it ended.
        metrics: of it.
        sample: pairs to show.
        config: how it is reported.
    """
    environment = _templates()
    sources = {name: _source(environment, name) for name in ("style.css", "gallery.js")}
    runs = [*records.earlier, metrics]
    shown_cards: list[Card] = cards(sample.specimens, sample.thumbnails, config.gallery)
    return environment.get_template("report.html.j2").render(
        style=Markup(sources["style.css"]),
        script=Markup(sources["gallery.js"]),
        hashes={name: _hash(text) for name, text in sources.items()},
        records=records,
        state=state,
        metrics=metrics,
        runs=runs,
        day_of=charts.day_of,
        rows=_rows(metrics),
        run_rows=_run_rows(records.run),
        judge=_judges(records) or _judge(records.card),
        rates=_rates(records),
        criteria=_criteria(records),
        probes=_probes(records),
        panel=_panel(records),
        deciders=_deciders(records),
        checks=_checks(records),
        quality_trends=charts.trends(runs, TRENDS) if len(runs) > 1 else [],
        speed_trends=charts.trends(runs, SPEED) if len(runs) > 1 else [],
        distributions=charts.distributions(records.quality) if records.quality else [],
        biases=charts.biases(records.quality) if records.quality else [],
        agreements=_agreements(records),
        cards=shown_cards,
        chips=chips(sample.specimens, config.gallery),
        review=REVIEW_ADDRESS,
        sample=sample,
        config=config,
    )


@functools.cache
def _templates() -> Environment:
    """Compiled once a process, which takes as long as a third of the charts."""
    environment = page_templates("pipeline.report", "templates")
    environment.filters |= {"shown": shown, "with_interval": with_interval}
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=1)
    return environment


def _source(environment: Environment, name: str) -> str:
    """A file that is put into the page unchanged; the page's security policy has its hash."""
    if environment.loader is None:
        raise AssertionError("the environment has no templates")
    return environment.loader.get_source(environment, name)[0]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Rows by outcome: kind, title and count."""
    if metrics["rows"] is None:
        return []
    return [(kind, OUTCOMES[kind], metrics[f"rows_{kind}"]) for kind in (*Status, MISSING)]


def _run_rows(run: Record | None) -> list[tuple[str, str, int]]:
    if run is None:
        return []
    return [(kind, OUTCOMES[kind], run[kind]) for kind in Status]


def _judge(card: Record | None) -> list[tuple[str, str]]:
    """The judge in a few lines."""
    if card is None:
        return []
    judge = card["judge"]
    model, sampling, votes = judge["model"], judge["sampling"], judge["votes"]
    known = [
        ("model", model["name"]),
        ("version", card["model_version"]),
        ("judges", f"{judge['format'].replace('_', ' ')} of {judge['candidates']}"),
        ("engine", f"{card['engine']}, {model['dtype']}"),
        ("sampling", f"temperature {sampling['temperature']:g}, top-p {sampling['top_p']:g}"),
        ("votes", f"{votes['min_votes']} to {votes['max_votes']} a pair"),
        ("calibration", "fitted to gold" if card.get("calibration") else "none"),
        ("fingerprint", card["judge_id"]),
    ]
    return [(name, str(value)) for name, value in known]


def _rates(records: Records) -> list[Measured]:
    """Every rate and the drift, each beside that of the run before."""
    quality = records.quality
    if quality is None:
        return []
    before = records.earlier[-1] if records.earlier else {}
    found = [
        _measured(name, title, MEANINGS[name], quality.rates[name], before.get(f"rate_{name}"))
        for name, title in RATES.items()
    ]
    against = f"against snapshot {quality.drift.against}" if quality.drift.against else ""
    detail = "; ".join(filter(None, (against, quality.drift.detail)))
    for name, title in DRIFT.items():
        rate: Rate = getattr(quality.drift, name)
        found.append(_measured(name, title, detail, rate, before.get(f"drift_{name}")))
    if quality.audit is not None:
        said = "preferences that agree with people, of all, by a gold set that was drawn from them"
        audit = ("audited_accuracy", "Audited accuracy", said, quality.audit)
        found.append(_measured(*audit, before.get("rate_audited_accuracy")))
    return found


def _judges(records: Records) -> list[tuple[str, str]]:
    """Several judges in a line each; empty where the labels are of one."""
    made = records.manifest
    if made is None or not made.judges or made.policy is None:
        return []
    kind, several = made.policy.rule["kind"], enumerate(made.judges, 1)
    lines = [(f"judge {number}", _named(card)) for number, card in several]
    return [("labels by", f"a {kind} of {len(made.judges)} judges"), *lines]


def _named(card: Record) -> str:
    return f"{card['judge']['model']['name']} ({card['judge_id'][:16]})"


def _panel(records: Records) -> list[tuple[str, ...]]:
    """Each judge of a panel, as a row of texts."""
    found, made = records.quality.panel if records.quality else None, records.manifest
    if found is None or made is None:
        return []
    names = {card["judge_id"]: _named(card) for card in made.judges}
    return [
        (
            names.get(each.judge_id, each.judge_id[:16]),
            shown(each.weight, "number"),
            str(each.family),
            shown(each.reliability, "share"),
            "" if each.decided is None else f"{each.decided:,}",
        )
        for each in found.judges
    ]


def _deciders(records: Records) -> list[tuple[str, str, str]]:
    """Who decided how many rows, where that was not one judge alone: judge, rows and share."""
    found, made = records.quality.decided_by if records.quality else {}, records.manifest
    if made is None or set(found) <= {made.judge["judge_id"]}:
        return []
    names = {card["judge_id"]: _named(card) for card in (made.judge, *made.judges)}
    names |= {BY_GOLD: "people themselves", BY_SEVERAL: "the panel"}
    total = sum(found.values())
    order = [card["judge_id"] for card in made.judges]  # of a cascade, in order of cost
    rest = sorted(found.keys() - set(order))
    return [
        (names.get(by, by[:16]), f"{found[by]:,}", shown(found[by] / total, "share"))
        for by in (*order, *rest)
        if by in found
    ]


def _probes(records: Records) -> list[tuple[str, ...]]:
    """Each probe of the judge, as a row of texts."""
    found = records.quality.probes if records.quality else {}
    return [
        (
            f"{name} (held out)" if each.held_out else name,
            {"attack": "attack succeeds", "picture": "true pictures gain"}[each.kind],
            shown(each.effect.value, "share"),
            shown(each.effect.low, "share"),
            shown(each.effect.high, "share"),
            f"{each.effect.n:,}",
        )
        for name, each in found.items()
    ]


def _criteria(records: Records) -> list[tuple[str, ...]]:
    """Each criterion of the snapshot's rubric, as a row of texts."""
    found = records.quality.criteria if records.quality else {}
    return [
        (
            name,
            f"{each.rows:,}",
            *(shown(n, "number") for n in (each.winner, each.loser, each.mean, each.spread)),
            shown(each.equal, "share"),
            shown(each.gold_agreement, "share"),
            f"{each.gold:,}",
        )
        for name, each in found.items()
    ]


def _measured(name: str, title: str, meaning: str, rate: Rate, before: float | None) -> Measured:
    plain = name == _INDEX
    unit: Unit = "number" if plain else "share"
    low, high = shown(rate.low, unit), shown(rate.high, unit)
    negative = rate.low is not None and rate.low < 0
    return Measured(
        name=name,
        title=title,
        meaning=meaning,
        value=shown(rate.value, unit),
        interval="" if rate.low is None else f"{low} to {high}",
        n=f"{rate.n:,}",
        before=shown(before, unit),
        point=None if rate.value is None or negative or plain else charts.rate_point(title, rate),
    )


def _checks(records: Records) -> list[dict[str, Any]]:
    """The gate's checks, those that failed first."""
    gate = records.manifest.gate if records.manifest else None
    checks: Sequence[Mapping[str, Any]] = (gate or {}).get("checks", ())
    found = []
    for check in sorted(checks, key=lambda check: bool(check["passed"])):
        unit: Unit = "number" if check["metric"] == _INDEX else "share"
        name = check["metric"]
        title = RATES.get(name) or DRIFT.get(name) or name
        point = Point(title, *(check[part] for part in ("value", "low", "high")))
        low, high = shown(point.low, unit), shown(point.high, unit)
        found.append(
            {
                **check,
                "title": title,
                "value": shown(point.value, unit),
                "interval": "" if point.low is None else f"{low} to {high}",
                "rule": f"{_RULES[check['rule']]} {shown(check['threshold'], unit)}",
                "point": None if point.value is None else point,
            }
        )
    return found


def _agreements(records: Records) -> list[dict[str, Any]]:
    """Of the corpus' gold and of the canaries': confusion and calibration."""
    if (quality := records.quality) is None:
        return []
    named = (("gold", "Gold of the corpus", quality.gold), ("canary", "Canaries", quality.canary))
    return [
        {
            "title": title,
            "source": agreement.source,
            "pairs": agreement.pairs,
            "confusion": _confusion(agreement),
            "labels": [*AGREEMENT_LABELS],
            "calibration": charts.calibration_chart(quality, name),
        }
        for name, title, agreement in named
        if agreement is not None
    ]


def _confusion(agreement: Agreement) -> list[dict[str, Any]]:
    """Rows of the table: cells with their count, shade, and whether the label is right."""
    if agreement.confusion is None:
        return []
    most = max(map(max, agreement.confusion)) or 1
    return [
        {
            "gold": gold,
            "cells": [
                {
                    "count": count,
                    "shade": -(-_SHADES * count // most),
                    "right": label == gold,
                }
                for label, count in zip(AGREEMENT_LABELS, counts, strict=True)
            ],
            "total": sum(counts),
        }
        for gold, counts in zip(GOLD_VALUES, agreement.confusion, strict=True)
    ]
