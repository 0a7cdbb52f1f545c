"""The gate on real snapshots: every threshold blocks and lets pass, and readers never notice."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.pairs.input_config import InputConfig
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import AUDIT, DRIFT, METRICS, GateConfig
from pipeline.snapshots.manifests import read_manifest
from pipeline.snapshots.quality.measure_snapshot import measure, read_quality
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from schemas.manifest import Manifest
from schemas.probes import PROBE_METRICS
from tests.measuring import Corpus, random_pairs, random_votes
from tests.publishing import Outcome, latest_of, run_publish, stored_files

SIZES = ("--set", "publish.file_mb=0.03", "--set", "publish.row_group_mb=0.03")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A live snapshot, and labels of which the next one is to be made, which differ a lot."""
    made, rng = Corpus.at(str(tmp_path_factory.mktemp("gate"))), random.Random(3)
    made.write("a.parquet", random_pairs(rng, 400), random_votes(rng, 400, favour=0.2))
    assert job(made).exit_code == 0
    made.write("a.parquet", random_pairs(rng, 420), random_votes(rng, 420, favour=0.9))
    return made


@pytest.fixture
def corpus(original: Corpus, tmp_path: Path) -> Corpus:
    return original.copied(str(tmp_path))


def job(corpus: Corpus, gate: dict[str, Any] | None = None, *more: str) -> Outcome:
    """``jobs.publish`` with these thresholds in its configuration."""
    config = Path(corpus.output.uri).parent / "labeled.yaml"
    config.write_text(json.dumps({"gate": gate or {}}))
    arguments = ("--input", corpus.source.uri, "--config", str(config), *SIZES, *more)
    return run_publish(corpus.output, *arguments)


def bounds_of(corpus: Corpus) -> dict[str, tuple[float, float, float]]:
    """Low, value and high of every metric of the candidate that needs no canaries."""
    blocked = job(corpus, {"at_most": {"tie": 0.0}})
    quality = read_quality(corpus.output, blocked.event("blocked")["snapshot"])
    assert quality is not None
    rates = dict(quality.rates) | {"p_a_psi": quality.drift.p_a_psi}
    change = quality.drift.preference_a_change
    assert change.low is not None
    assert change.low > 0  # more labels prefer a than before: its size is itself
    found = {}
    for name, rate in (rates | {"preference_a_change": change}).items():
        if not name.startswith("canary"):
            assert None not in (rate.low, rate.value, rate.high)
            found[name] = (rate.low or 0.0, rate.value or 0.0, rate.high or 0.0)
    return found


def test_every_threshold_blocks_alone_and_all_let_pass_together(corpus: Corpus) -> None:
    live = latest_of(corpus.output)
    before = stored_files(corpus.output)
    bounds = bounds_of(corpus)
    of_others = ("canary", AUDIT, *PROBE_METRICS)  # of a run, a gold set, a judge
    assert bounds.keys() == {name for name in METRICS if not name.startswith(of_others)}
    # Each lies between the interval's ends: neither way of asking it can block.
    passing: dict[str, Any] = {
        "at_least": {name: value for name, (_, value, _) in bounds.items() if name not in DRIFT},
        "at_most": {name: value for name, (_, value, _) in bounds.items()},
    }
    for rule, thresholds in passing.items():
        for metric in thresholds:
            low, value, high = bounds[metric]
            beyond = min(1.0, high + 1e-6) if rule == "at_least" else low - 1e-6
            assert 0 <= beyond <= 1
            gate = passing | {rule: thresholds | {metric: beyond}}
            outcome = job(corpus, gate)
            assert outcome.exit_code == 3
            (line,) = (line for line in outcome.error.splitlines() if line.startswith("  "))
            words = "at least" if rule == "at_least" else "at most"
            assert line.startswith(f"  {metric}: got {value:.4g} (95 % interval {low:.4g} to ")
            assert f"), expected {words} {beyond:g}: the " in line
            assert latest_of(corpus.output) == live
            candidate = outcome.event("blocked")["snapshot"]
            said = read_manifest(corpus.output, candidate).gate
            assert said is not None
            assert (said["passed"], said["against"]) == (False, live["snapshot_id"])
            failed = [each["metric"] for each in said["checks"] if not each["passed"]]
            assert failed == [metric]
    outcome = job(corpus, passing)
    assert outcome.exit_code == 0
    assert outcome.events[-1]["event"] == "note"
    assert outcome.events[-1]["text"].endswith(" checks passed")
    assert latest_of(corpus.output)["snapshot_id"] == candidate
    said = read_manifest(corpus.output, candidate).gate
    assert said is not None
    assert (said["passed"], said["against"]) == (True, live["snapshot_id"])
    assert [check["passed"] for check in said["checks"]] == [True] * (2 * len(bounds) - len(DRIFT))
    after = stored_files(corpus.output)
    assert {key: after[key] for key in before} == before


def test_what_a_blocked_run_says(corpus: Corpus) -> None:
    outcome = job(corpus, {"at_least": {"canary_agreement": 0.8}, "at_most": {"tie": 0.01}})
    candidate = outcome.event("blocked")["snapshot"]
    low, value, high = bounds_of(corpus)["tie"]
    quality = read_quality(corpus.output, candidate)
    assert quality is not None
    assert outcome.error == (
        f"gate: snapshot {candidate} is blocked, 2 of 2 checks failed:\n"
        "  canary_agreement: not measured, expected at least 0.8: there is nothing to measure it "
        "on; no canaries of this run are known\n"
        f"  tie: got {value:.4g} (95 % interval {low:.4g} to {high:.4g}, n = "
        f"{quality.rates['tie'].n}), expected at most 0.01: the lower end of the interval fails "
        "it\n"
        "it is kept as a candidate, and readers still get what was live before; if it is right "
        "nevertheless, change the thresholds (gate.at_least, gate.at_most) and publish again\n"
    )


def test_a_blocked_snapshot_stays_blocked_without_thresholds_and_passes_by_others(
    corpus: Corpus,
) -> None:
    live = latest_of(corpus.output)
    assert job(corpus, {"at_most": {"tie": 0.0}}).exit_code == 3
    again = job(corpus)
    assert again.exit_code == 3
    assert "  tie: got " in again.error
    assert latest_of(corpus.output) == live
    assert job(corpus, {"at_most": {"tie": 0.9}}).exit_code == 0


def test_the_first_snapshot_passes_drift_and_the_job_measures_without_a_gate(
    tmp_path: Path,
) -> None:
    made, rng = Corpus.at(str(tmp_path)), random.Random(4)
    made.write("a.parquet", random_pairs(rng, 30), random_votes(rng, 30))
    strict = {"at_most": {"p_a_psi": 0.0, "preference_a_change": 0.0}, "strict": list(DRIFT)}
    first = job(made, strict)
    assert first.exit_code == 0
    made.write("b.parquet", random_pairs(rng, 30), random_votes(rng, 30))
    second = job(made)
    quality = read_quality(made.output, second.event("published")["snapshot"])
    assert quality is not None
    assert quality.drift.against == first.event("published")["snapshot"]
    assert quality.drift.p_a_psi.value is not None


def test_a_live_snapshot_that_was_never_measured_blocks_drift_until_it_is(corpus: Corpus) -> None:
    live = latest_of(corpus.output)["snapshot_id"]
    corpus.output.delete(f"snapshots/{live}/quality.json")
    gate = {"at_most": {"p_a_psi": 9.0}}
    outcome = job(corpus, gate)
    assert outcome.exit_code == 3
    assert f"pairmill publish --measure {live} does it" in outcome.error
    # It is about labels whose input is gone by now: its gold is a note, its drift is whole.
    assert run_publish(corpus.output, "--measure", live).exit_code == 0
    assert job(corpus, gate).exit_code == 0


def test_canaries_of_the_run_pass_and_block(corpus: Corpus) -> None:
    rng = random.Random(5)
    live = latest_of(corpus.output)
    canary = corpus.canary("run-9", random_pairs(rng, 120), random_votes(rng, 120))
    config = {"at_least": {"canary_agreement": 0.9}}
    blocked = publish_through(corpus, config, canary)
    assert (blocked.blocked, latest_of(corpus.output)) == (True, live)
    assert blocked.gate is not None
    (check,) = blocked.gate["checks"]
    quality = measure(
        corpus.output,
        blocked,
        QualityConfig(),
        InputConfig(),
        against=live["snapshot_id"],
        canary=canary,
    )
    rate = quality.rates["canary_agreement"]
    assert (check["value"], check["low"], check["high"], check["n"]) == (
        rate.value,
        rate.low,
        rate.high,
        rate.n,
    )
    passed = publish_through(corpus, {"at_least": {"canary_agreement": 0.2}}, canary)
    assert (passed.blocked, latest_of(corpus.output)["snapshot_id"]) == (False, blocked.snapshot_id)


def test_the_job_asks_the_canaries_of_the_last_run(corpus: Corpus) -> None:
    rng = random.Random(5)
    pairs = random_pairs(rng, 40)
    corpus.canary("run-1", pairs, [None] * 40)
    canary = corpus.canary("run-2", pairs, random_votes(rng, 40))
    asked = ("--set", f"canary.input={canary.input_uri}")
    outcome = job(corpus, {"at_least": {"canary_agreement_all": 1.0}}, *asked)
    assert outcome.exit_code == 3
    quality = read_quality(corpus.output, outcome.event("blocked")["snapshot"])
    assert quality is not None
    rate = quality.rates["canary_agreement_all"]
    assert rate.value
    assert f"  canary_agreement_all: got {rate.value:.4g} (95 % interval " in outcome.error


def publish_through(corpus: Corpus, config: dict[str, Any], canary: Any) -> Manifest:
    gate = gate_for(GateConfig.model_validate(config), QualityConfig(), InputConfig(), canary)
    return corpus.publish(gate=gate).manifest


@pytest.mark.parametrize("votes", [[], [None] * 20])
def test_nothing_to_measure_blocks_what_asks_for_it(tmp_path: Path, votes: list[None]) -> None:
    made = Corpus.at(str(tmp_path))
    made.write("a.parquet", random_pairs(random.Random(6), len(votes)), votes)
    outcome = job(made, {"at_most": {"tie": 0.5, "quarantine": 0.9}, "strict": ["quarantine"]})
    assert outcome.exit_code == 3
    listed = [line.split(":")[0].strip() for line in outcome.error.splitlines() if line[0] == " "]
    assert listed == ["tie", "quarantine"]
    (said,) = {line for line in outcome.error.splitlines() if line.startswith("  tie")}
    assert said == "  tie: not measured, expected at most 0.5: there is nothing to measure it on"
    assert not (Path(made.output.uri) / "snapshots" / "LATEST.json").exists()
