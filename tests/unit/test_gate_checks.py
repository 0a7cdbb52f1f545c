"""Which end of an interval decides, and what a metric without a figure means."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from pipeline.snapshots.gate_checks import METRICS, Check, GateConfig, check_all
from pipeline.stats.intervals import NOTHING, share
from schemas.quality import Drift, Quality, Rate
from tests.qualities import quality


def check(measured: Quality, **config: Any) -> Check:
    (found,) = check_all(measured, GateConfig.model_validate(config))
    return found


def with_rate(name: str, rate: Rate) -> Quality:
    made = quality()
    return replace(made, rates={**made.rates, name: rate})


def with_change(low: float, value: float, high: float, **drift: Any) -> Quality:
    made = Drift("before", "", False, Rate(0.4, 0.3, 0.5, 90), Rate(value, low, high, 90))
    return quality(drift=replace(made, **drift))


AROUND = Rate(0.6, 0.5, 0.7, 90)


@pytest.mark.parametrize(
    ("rule", "threshold", "strict", "passed"),
    [
        ("at_least", 0.71, False, False),  # all of it is below
        ("at_least", 0.70, False, True),
        ("at_least", 0.65, False, True),  # the figure is below, by chance perhaps
        ("at_least", 0.65, True, False),
        ("at_least", 0.51, True, False),
        ("at_least", 0.50, True, True),  # all of it is above
        ("at_most", 0.49, False, False),
        ("at_most", 0.50, False, True),
        ("at_most", 0.55, False, True),
        ("at_most", 0.55, True, False),
        ("at_most", 0.69, True, False),
        ("at_most", 0.70, True, True),
    ],
)
def test_the_end_that_decides(rule: str, threshold: float, strict: bool, passed: bool) -> None:
    config: dict[str, Any] = {rule: {"preference_a": threshold}}
    if strict:
        config["strict"] = ["preference_a"]
    found = check(with_rate("preference_a", AROUND), **config)
    assert (found.rule, found.threshold, found.passed) == (rule, threshold, passed)
    assert (found.value, found.low, found.high, found.n) == (0.6, 0.5, 0.7, 90)


def test_few_pairs_do_not_block_by_chance_and_do_by_a_clear_failure() -> None:
    def blocked(right: int, pairs: int) -> bool:
        measured = with_rate("gold_agreement", share(right, pairs))
        return not check(measured, at_least={"gold_agreement": 0.7}).passed

    assert [blocked(right, 10) for right in (6, 5, 4, 3, 2)] == [False, False, True, True, True]
    assert [blocked(right, 1_000) for right in (700, 672, 670)] == [False, False, True]


def test_the_sentence_names_metric_value_bounds_and_threshold() -> None:
    found = check(with_rate("tie", Rate(0.5, 0.4512, 0.5488, 1_234)), at_most={"tie": 0.3})
    assert found.sentence == (
        "tie: got 0.5 (95 % interval 0.4512 to 0.5488, n = 1,234), expected at most 0.3: the lower "
        "end of the interval fails it"
    )


def test_what_cannot_be_measured_blocks() -> None:
    found = check(quality(canary=None), at_least={"canary_agreement": 0.5})
    assert (found.passed, found.n) == (False, 0)
    assert found.sentence == (
        "canary_agreement: not measured, expected at least 0.5: there is nothing to measure it on; "
        "no canaries of this run are known; no gold"  # the last is what the measuring noted
    )
    few = check(with_rate("tie", AROUND), at_most={"tie": 0.9}, min_n=91)
    assert (few.passed, few.value) == (False, 0.6)
    assert few.detail == "n = 90 is too little to measure it on, gate.min_n is 91"
    alike = check(
        with_rate("gold_agreement", Rate(0.9, None, None, 45)), at_least={"gold_agreement": 0.5}
    )
    assert (alike.passed, alike.value, alike.low) == (False, 0.9, None)
    assert alike.sentence == (
        "gold_agreement: got 0.9 (no interval, n = 45), expected at least 0.5: not measured, since "
        "its 45 pairs are of fewer than 5 different prompts; add pairs of other prompts, or leave "
        "this threshold out"
    )


@pytest.mark.parametrize(
    ("low", "value", "high", "strict", "passed"),
    [
        (0.06, 0.08, 0.1, False, False),
        (-0.1, -0.08, -0.06, False, False),
        (0.04, 0.08, 0.12, False, True),
        (-0.09, -0.08, 0.01, False, True),
        (-0.06, -0.01, 0.02, True, False),
        (-0.04, -0.01, 0.02, True, True),
    ],
)
def test_a_share_may_drift_neither_way(
    low: float, value: float, high: float, strict: bool, passed: bool
) -> None:
    config = {"at_most": {"preference_a_change": 0.05}}
    strictly = {"strict": ["preference_a_change"]} if strict else {}
    found = check(with_change(low, value, high), **config, **strictly)
    assert (found.passed, found.value) == (passed, abs(value))
    assert found.low == (0.0 if low < 0 < high else min(abs(low), abs(high)))
    assert found.high == max(abs(low), abs(high))


def test_a_change_of_judge_is_reported_and_drift_is_compared_all_the_same() -> None:
    said = "the judge is another one (0123456789abcdef before)"
    found = check(with_change(0, 0, 0, detail=said), at_most={"p_a_psi": 0.25})
    assert (found.passed, found.value) == (False, 0.4)
    assert found.detail == f"the lower end of the interval fails it; {said}"


def test_the_first_snapshot_has_not_drifted_and_one_that_was_not_measured_blocks() -> None:
    bounds = {"at_most": {"p_a_psi": 0.25}}
    nothing = {"p_a_psi": NOTHING, "preference_a_change": NOTHING}
    first = with_change(0, 0, 0, against=None, detail="this is the first", **nothing)
    assert (check(first, **bounds).passed, check(first, **bounds).detail) == (
        True,
        "this is the first",
    )
    lost = with_change(0, 0, 0, detail="quality.json is gone", **nothing)
    assert check(lost, **bounds).passed is False
    assert "quality.json is gone" in check(lost, **bounds).sentence


def test_every_threshold_is_checked_and_nothing_else() -> None:
    config = GateConfig(
        at_least=dict.fromkeys(METRICS[:-2], 0.0), at_most=dict.fromkeys(METRICS, 1.0)
    )
    found = check_all(quality(), config)
    assert [(each.metric, each.rule) for each in found] == [
        *((name, "at_least") for name in METRICS[:-2]),
        *((name, "at_most") for name in METRICS),
    ]
    assert check_all(quality(), GateConfig()) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"at_least": {"accuracy": 0.5}}, "'accuracy': expected one of tie, abstain"),
        ({"at_most": {"tie": 30}}, "tie: got 30, expected a share between 0 and 1"),
        ({"at_most": {"tie": -0.1}}, "tie: got -0.1, expected"),
        ({"at_most": {"p_a_psi": float("nan")}}, "p_a_psi: got nan, expected"),
        ({"at_least": {"p_a_psi": 0.1}}, "p_a_psi: drift is bounded by at_most"),
        ({"strict": ["tie"]}, "strict: tie has no threshold"),
        ({"at_most": {"tie": None}}, "at_most.tie"),
        ({"tie": 0.3}, "Extra inputs"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        GateConfig.model_validate(config)
    assert message in str(error.value)


def test_the_documented_example_is_a_configuration(tmp_path: Path) -> None:
    documented = inspect.getdoc(GateConfig) or ""
    example = tmp_path / "gate.yaml"
    example.write_text(documented.split("::\n")[1].split("\n\nA metric")[0])
    config = load_config(PipelineConfig, str(example), []).gate
    assert config.at_least["gold_agreement"] == 0.7
    assert config.at_most["preference_a_change"] == 0.05
