"""quality/v1: what is written is read back, and what contradicts itself is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.contract import ContractError
from schemas.quality import HISTOGRAMS, RATES, Agreement, Histogram, Quality, Rate
from tests.qualities import quality


def test_read_back() -> None:
    made = quality()
    assert Quality.parse(made.to_json(), "q") == made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 11}, "counts: they sum to 10, expected 11"),
        ({"votes": 19}, "votes_by_outcome: they sum to 20, expected 19"),
        ({"quarantined_by_reason": {}}, "quarantined_by_reason: they sum to 0, expected 2"),
        ({"rates": {}}, "rates are []"),
        (
            {"rates": dict.fromkeys(RATES, Rate(0.5, 0.6, 0.7, 1))},
            "tie: low, value, high and n are Rate(value=0.5, low=0.6, high=0.7, n=1)",
        ),
        (
            {"rates": dict.fromkeys(RATES, Rate(None, None, None, 3))},
            "tie: low, value, high and n are Rate(value=None, low=None, high=None, n=3)",
        ),
        (
            {"histograms": dict.fromkeys(HISTOGRAMS, Histogram((0.0,), (1,)))},
            "histogram margin: 1 edges, 1 counts",
        ),
        (
            {"gold": Agreement("/gold", 1, ((1,),))},
            "gold: the confusion has rows of [1] columns",
        ),
    ],
)
def test_contradictions_are_never_written(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError) as error:
        quality(**changes).to_json()
    assert message in str(error.value)


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *parents, last = path.split(".")

    def change(stored: dict[str, Any]) -> None:
        for parent in parents:
            stored = stored[parent]
        stored[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", "quality/v2"), "version: got 'quality/v2', expected 'quality/v1'"),
        (_set("rows", "10"), "rows: got '10', expected a valid integer"),
        (_set("rows", True), "rows: got True, expected a valid integer"),
        (_set("rates.tie.n", 1.5), "rates.tie.n: got 1.5, expected a valid integer"),
        (
            _set("rates.tie.value", float("nan")),
            "rates.tie.value: got nan, expected a finite number",
        ),
        (_set("rates.tie", {}), "rates.tie.high: missing"),
        (_set("more", 1), "more: got 1, expected no such field"),
        (
            _set("canary.confusion", [["a"]]),
            "canary.confusion.0.0: got 'a', expected a valid integer",
        ),
        (_set("rows", 9), "counts: they sum to 10, expected 9"),
    ],
)
def test_what_does_not_keep_to_it_is_refused(
    change: Callable[[dict[str, Any]], None], message: str
) -> None:
    stored = json.loads(quality().to_json())
    change(stored)
    with pytest.raises(ContractError) as error:
        Quality.parse(json.dumps(stored).encode(), "/out/quality.json")
    assert str(error.value).startswith("/out/quality.json: ")
    assert message in str(error.value)


@pytest.mark.parametrize("data", [b"", b"[1]", b"{"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        Quality.parse(data, "q")
