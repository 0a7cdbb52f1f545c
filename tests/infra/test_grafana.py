"""The dashboard: every query is PromQL over metrics that exist, and no metric is forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.labeling.prometheus_metrics import METRICS
from tests.infra.manifests import ROOT
from tests.infra.promql import RAY_OWN, RAY_OWN_OF_GPUS, names_of, unknown

BOARD: dict[str, Any] = json.loads(
    (ROOT / "infra" / "grafana" / "pairmill.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def queries(panel: dict[str, Any]) -> list[str]:
    """A panel's expressions with Grafana's variables filled in."""
    filled = [target["expr"].replace("$__rate_interval", "1m") for target in panel["targets"]]
    return [expression.replace("$judge", "abc|def") for expression in filled]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_reads_what_is_exported(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    for query in queries(panel):
        assert unknown(query, RAY_OWN | RAY_OWN_OF_GPUS) == set()
    for target in panel["targets"]:
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if "ray_pairmill" in target["expr"]:
            assert 'judge=~"$judge"' in target["expr"]


def test_every_metric_is_shown() -> None:
    shown = {name for panel in PANELS for query in queries(panel) for name in names_of(query)}
    assert [metric.name for metric in METRICS if shown.isdisjoint(metric.exported)] == []
    assert shown >= RAY_OWN | RAY_OWN_OF_GPUS


def test_panels_have_distinct_ids_and_do_not_overlap() -> None:
    everything = BOARD["panels"]
    for key in ("id", "title"):
        assert len({panel[key] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken
        taken |= cells
    (judge,) = (v for v in BOARD["templating"]["list"] if v["name"] == "judge")
    assert judge["query"]["query"] == "label_values(ray_pairmill_run_pairs, judge)"


def test_a_slip_of_the_pen_is_noticed() -> None:
    assert unknown("sum(ray_pairmill_pair_total)", set()) == {"ray_pairmill_pair_total"}
    assert unknown('ray_pairmill_pairs_total{outcom="tie"}', set()) == {
        "ray_pairmill_pairs_total{outcom}"
    }
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        unknown("sum(rate(ray_pairmill_pairs_total[5m])", set())
