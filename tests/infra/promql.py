"""PromQL, parsed: which metrics an expression reads, and by which of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.labeling.prometheus_metrics import METRICS

if TYPE_CHECKING:
    from promql_parser import VectorSelector

# What Ray exports by itself and is used here; a real node is asked in test_metrics_endpoint.
RAY_OWN = {
    "ray_node_mem_used",
    "ray_node_mem_total",
    "ray_object_store_memory",
    "ray_spill_manager_objects_bytes",
}
RAY_OWN_OF_GPUS = {"ray_node_gpus_utilization"}  # not there on nodes without
_LABELS = {
    name: {"judge", "le", *metric.labels} if metric.by_ray else set[str]()
    for metric in METRICS
    for name in metric.exported
}


def selectors(expression: str) -> list[VectorSelector]:
    """Every selector of an expression.

    Raises:
        ValueError: it is no PromQL.
    """
    # Here, because the names above are also read where the extra `infra` is not installed.
    import promql_parser

    found: list[VectorSelector] = []

    def look(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), look)
    return found


def names_of(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    return {str(selector.name) for selector in selectors(expression)}


def unknown(expression: str, more: set[str]) -> set[str]:
    """Metrics, and labels that are selected by, which nothing exports; ``more`` exist too."""
    wrong = set()
    for selector in selectors(expression):
        name = str(selector.name)
        if name in _LABELS:
            matched = {matcher.name for matcher in selector.matchers.matchers}
            wrong |= {f"{name}{{{label}}}" for label in matched - _LABELS[name]}
        elif name not in more:
            wrong.add(name)
    return wrong
