"""What a report says of a run: its state, its metrics, and its texts, made fit for a page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pairs.input_config import InputConfig
from pipeline.report import report_charts as charts
from pipeline.report.gallery import fit
from pipeline.report.gallery_source import draw_sample
from pipeline.report.metrics_json import MEANINGS, make_metrics, metrics_json
from pipeline.report.report_charts import wide_bins
from pipeline.report.report_config import GalleryConfig, ReportConfig
from pipeline.report.report_page import render
from pipeline.report.run_outcome import state_of
from pipeline.report.run_records import Records
from pipeline.snapshots.manifests import Latest, manifest_key
from pipeline.stats.shown_numbers import Unit
from pipeline.store.object_store import Store
from schemas.labels import Status
from schemas.manifest import OUTCOMES
from schemas.quality import HISTOGRAMS, Drift, Histogram, Rate
from tests.qualities import NOTHING, quality
from tests.unit.test_manifest import manifest_of

COUNTS = dict.fromkeys(OUTCOMES, 0) | {"labeled": 8, "quarantined": 2}
CHECK = {"metric": "tie", "passed": True}
RUN: dict[str, Any] = {
    "state": "done",
    "judge_id": "j",
    "input": "/in",
    "seconds": 180.0,
    "judging_s": 50.0,
    "pairs_per_s": 0.2,
    "pairs": 10,
    **{status: COUNTS[status] for status in Status},
    "reused": 3,
    "quarantined_by_reason": {"truncated": 2},
    "judgments": 28,
    "prompt_tokens": 1_000,
    "output_tokens": 400,
    "cached_tokens": 600,
    "canaries": 4,
    "canary_judgments": 8,
    "plan": {"shards": 1, "pairs": 10},
}
NIGHT: dict[str, Any] = {
    "started_at": "2026-01-02T03:04:05+00:00",
    "state": "published",
    "exit_code": 0,
    "judge_id": "j",
    "snapshot_id": "ab12",
    "steps": [{"name": "label", "state": "done", "seconds": 181.0, "detail": {}}],
}

EARLIER = {"run_id": "before", "started_at": "2026-01-01T03:04:05", "judge_id": None}


def latest(snapshot_id: str = "ab12", **more: Any) -> Latest:
    return Latest(snapshot_id, manifest_key(snapshot_id), "2026-01-02", "run", None, **more)


def records(tmp_path: Path, **changes: Any) -> Records:
    """A nightly run that has published."""
    made = Records(
        output=Store(str(tmp_path)),
        run_id="run",
        input_uri="/in",
        run=RUN,
        nightly=NIGHT,
        manifest=manifest_of([COUNTS], {"passed": True, "checks": [CHECK, CHECK]}),
        quality=quality(),
        card={"judge_id": "j"},
        latest=latest(),
        earlier=(),
    )
    return replace(made, **changes)


def metrics_of(made: Records, **config: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        metrics_json(make_metrics(made, state_of(made), ReportConfig(**config)))
    )
    return found


def test_metrics_are_flat_and_each_has_a_meaning(tmp_path: Path) -> None:
    found = metrics_of(records(tmp_path), gpu_usd_per_hour=2.0)
    assert {name: v for name, v in found.items() if isinstance(v, list | dict)} == {}
    patterns = {
        name: re.compile(re.sub(r"<\w+>", r"\\w+", name.replace("_", r"\_"))) for name in MEANINGS
    }
    unknown = [n for n in found if not any(p.fullmatch(n) for p in patterns.values())]
    assert unknown == []
    unused = [n for n, p in patterns.items() if not any(p.fullmatch(key) for key in found)]
    assert unused == []


def test_counts_reconcile(tmp_path: Path) -> None:
    found = metrics_of(records(tmp_path))
    assert found["rows"] == 10 == sum(found[f"rows_{outcome}"] for outcome in OUTCOMES)
    assert found["run_pairs"] == 10 == sum(found[f"run_{status}"] for status in Status)
    assert found["quarantined_truncated"] == found["rows_quarantined"] == 2
    assert found["scope"] == "snapshot"
    alone = metrics_of(records(tmp_path, manifest=None, quality=None, nightly=None))
    assert alone["scope"] == "run"
    assert alone["rows"] == 10 == sum(alone[f"rows_{outcome}"] for outcome in OUTCOMES)


def test_tokens_of_a_server_cost_what_they_are_priced_at(tmp_path: Path) -> None:
    prices = {"prompt": 10, "cached": 1, "output": 100}
    found = metrics_of(records(tmp_path), usd_per_million_tokens=prices)
    assert found["cost_usd"] == pytest.approx((400 * 10 + 600 * 1 + 400 * 100) / 1e6)
    of_gpus = {"gpu_usd_per_hour": 3.0, "gpus": 8}
    both = metrics_of(records(tmp_path), usd_per_million_tokens=prices, **of_gpus)
    assert both["cost_usd"] == pytest.approx(1.2 + found["cost_usd"])


def test_figures_of_speed_and_cost(tmp_path: Path) -> None:
    found = metrics_of(records(tmp_path), gpu_usd_per_hour=3.0, gpus=8)
    assert found["run_output_tokens_per_s"] == 8.0
    assert found["run_votes_per_pair"] == 4.0  # 28 votes of 10 rows, 3 of which were taken over
    assert found["cost_gpu_hours"] == pytest.approx(8 * 180 / 3_600)
    assert found["cost_usd"] == pytest.approx(1.2)
    assert found["cost_usd_per_1000_labels"] == pytest.approx(240)  # of 10 - 2 - 3 labels
    assert metrics_of(records(tmp_path))["cost_usd_per_1000_labels"] is None
    idle = {**RUN, "pairs": 0, "judging_s": 0.0, "reused": 0, "judgments": 0}
    found = metrics_of(records(tmp_path, run=idle), gpu_usd_per_hour=3.0)
    assert (found["cost_usd"], found["cost_usd_per_1000_labels"]) == (0, None)
    assert found["run_pairs_per_s"] is None


BLOCKED = manifest_of([COUNTS], {"passed": False, "checks": [{**CHECK, "passed": False}, CHECK]})
IDLE = {**RUN, "pairs": 0}
OTHERS = replace(manifest_of([COUNTS]), created_by="another")


def _night(state: str, *steps: tuple[str, str]) -> dict[str, Any]:
    made = [{"name": n, "state": s, "seconds": 1, "detail": {"error": f"{n}!"}} for n, s in steps]
    return {**NIGHT, "state": state, "steps": made}


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({}, "published", "Readers get snapshot ab12."),
        ({"nightly": None}, "published", "Readers get snapshot ab12."),
        ({"manifest": OTHERS, "run": IDLE}, "nothing_to_do", "no engine was started"),
        (
            {"manifest": BLOCKED, "latest": latest("old")},
            "blocked",
            "1 of 2 checks failed: tie. Snapshot ab12 is kept as a candidate. Readers still get "
            "snapshot old.",
        ),
        ({"manifest": BLOCKED, "latest": None}, "blocked", "Nothing is published yet."),
        ({"manifest": None, "nightly": None, "latest": None}, "labeled", "/parts"),
        ({"latest": latest("new")}, "not_live", "another one is live"),
        (
            {"latest": replace(latest("old"), previous="ab12", rollback=True)},
            "withdrawn",
            "rolled back from snapshot ab12",
        ),
        ({"nightly": _night("failed", ("plan", "done"), ("label", "failed"))}, "failed", "still"),
        ({"nightly": _night("failed", ("publish", "done"))}, "failed", "Readers still get"),
        ({"nightly": _night("published", ("report", "failed"))}, "published", "Readers get"),
        ({"nightly": _night("stopped"), "manifest": None}, "stopped", "10 rows were committed"),
        (
            {"nightly": None, "run": {**RUN, "state": "stopped"}},
            "stopped",
            "It was stopped;",
        ),
        ({"nightly": _night("running")}, "unfinished", "was killed"),
    ],
)
def test_states(tmp_path: Path, changes: dict[str, Any], name: str, said: str) -> None:
    state = state_of(records(tmp_path, **changes))
    assert state.name == name
    assert said in state.text


def test_a_failed_step_says_why(tmp_path: Path) -> None:
    state = state_of(records(tmp_path, nightly=_night("failed", ("label", "failed"))))
    assert (state.title, state.error) == ("Failed: step label", "label!")
    assert "same command" in state.to_do


@pytest.mark.parametrize("state", ["failed", "running", "stopped"])
def test_a_run_of_which_nothing_is_known_has_a_page(tmp_path: Path, state: str) -> None:
    nothing = dict.fromkeys(("run", "manifest", "quality", "card", "latest", "input_uri"))
    made = records(tmp_path, **nothing, nightly=_night(state), earlier=[{**EARLIER}])
    sample = draw_sample(made, InputConfig(), GalleryConfig())
    page = render(made, state_of(made), metrics_of(made), sample, ReportConfig())
    for said in ("Nothing is published yet.", "The run came to no rows.", "No step has ended."):
        assert said in page
    assert "The run came to no labels." in page


def test_figures_without_anything_to_draw_say_so() -> None:
    empty = quality(
        rows=0,
        counts=dict.fromkeys(OUTCOMES, 0),
        quarantined_by_reason={},
        rates=dict.fromkeys(quality().rates, NOTHING),
        histograms={name: Histogram((0.0, 1.0), (0,)) for name in HISTOGRAMS},
        canary=None,
        drift=Drift(None, "", False, NOTHING, NOTHING),
    )
    drawn = [*charts.distributions(empty), *charts.biases(empty)]
    drawn += [charts.calibration_chart(empty, name) for name in ("gold", "canary")]
    assert [chart.title for chart in drawn if chart.svg is not None] == []
    assert all(chart.text for chart in drawn)


def test_trends_leave_gaps_and_mark_another_judge() -> None:
    runs = [
        {"started_at": f"2026-01-0{day}T03:04:05", "judge_id": judge, "rate_tie": value}
        for day, (judge, value) in enumerate([("j", 0.1), ("j", None), ("k", 0.3)], 1)
    ]
    points = charts.trend_points(runs, "rate_tie")
    assert [(point.label, point.value) for point in points] == [
        ("01-01 03:04", 0.1),
        ("01-02 03:04", None),
        ("01-03 03:04", 0.3),
    ]
    assert charts.changes_of_judge(runs) == [2]
    (chart,) = charts.trends(runs, {"rate_tie": ("ties", "share"), "nobody": ("?", "share")})
    assert "ties over 3 runs: 10.0 % on 01-01 03:04, 30.0 % on 01-03 03:04" in str(chart.svg)


def test_charts_have_hints_and_the_pages_colours_alone() -> None:
    agreement = quality().canary
    assert agreement is not None
    rates = dict.fromkeys(quality().rates, Rate(0.4, 0.3, 0.6, 9))
    histograms = {
        name: Histogram(each.edges, (30, 50)) if name.startswith("length_ratio") else each
        for name, each in quality().histograms.items()
    }
    made = quality(
        rates=rates,
        histograms=histograms,
        canary=replace(agreement, stated=(0.5,), observed=(0.25,)),
    )
    run = {"started_at": "2026-01-01T03:04:05", "judge_id": "j", "rate_tie": 0.5}
    empty = dict.fromkeys(("rate_tie", "rate_tie_low", "rate_tie_high")) | {
        name: run[name] for name in ("started_at", "judge_id")
    }
    run |= {"rate_tie_low": 0.0, "rate_tie_high": 1.0}

    def drawn() -> list[str]:
        found = [*charts.distributions(made), *charts.biases(made)]
        found += [charts.calibration_chart(made, "canary")]
        tie: dict[str, tuple[str, Unit]] = {"rate_tie": ("ties", "share")}
        for runs in ([run, run, run], [run, empty, run], [empty | {"rate_tie": 0.5}], [run]):
            found += charts.trends(runs, tie)
        return [str(chart.svg) for chart in found]

    svgs = drawn()
    assert drawn() == svgs
    for svg in svgs:
        tree = ElementTree.fromstring(svg)
        assert tree.attrib["role"] == "img"
        assert {mark.tag for mark in tree} <= {"path", "circle", "text"}
        assert {name for mark in tree for name in mark.attrib} & {"id", "style", "href"} == set()
        paints = {mark.attrib.get(name, "none") for mark in tree for name in ("fill", "stroke")}
        assert all(re.fullmatch(r"none|var\(--(fill|soft|ink|line|page)\)", p) for p in paints)
    # A lone dot keeps its hint, and is where its value is.
    (dot,) = ElementTree.fromstring(svgs[-5]).iter("circle")
    assert dot.findtext("title") == "stated 50.0 %, observed 25.0 %, 6 pairs"
    assert (dot.attrib["cx"], dot.attrib["cy"]) == ("192.0", "174.0")
    (dot,) = ElementTree.fromstring(svgs[-1]).iter("circle")
    assert dot.findtext("title") == "01-01 03:04: 50.0 % (0.0 % to 100.0 %)"
    # The band of a run without a neighbour has no width: a line is in its place.
    bands = [svg.count('fill-opacity="0.2"') for svg in svgs[-4:]]
    lines = [len(re.findall(r'd="M([\d.]+) 114L\1 8"', svg)) for svg in svgs[-4:]]
    assert (bands, lines) == ([1, 2, 0, 1], [0, 2, 0, 1])


def test_names_in_figures_are_escaped() -> None:
    made = quality(quarantined_by_reason={'"><script>': 2})
    svg = charts.distributions(made)[-1].svg
    assert "<script>" not in str(svg)
    assert str(svg).count("&lt;script&gt;") == 3  # its label, its hint, and the words


def test_texts_are_made_fit() -> None:
    assert fit("", 100) is fit(None, 100) is None
    made = fit("a\0b\u202ec\n\td", 100)
    assert made is not None
    assert (made.text, made.cut) == ("a\ufffdb\ufffdc\n\td", 0)
    made = fit("x" * 101, 100)
    assert made is not None
    assert (made.text, made.cut) == ("x" * 100, 101)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(lambda c: sum(c) >= 30))
def test_bins_are_joined_until_each_holds_enough(counts: list[int]) -> None:
    joined = wide_bins(counts, 30)
    held = [sum(counts[start:stop]) for start, stop in joined]
    assert min(held) >= 30
    assert sum(held) == sum(counts)
    assert [stop for _, stop in joined[:-1]] == [start for start, _ in joined[1:]]
    assert counts[joined[0][0]] > 0
    assert counts[joined[-1][1] - 1] > 0
