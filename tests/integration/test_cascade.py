"""Cascades night after night: what a rule or a shard opens, and what is published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobs import export
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.object_store import Store
from tests.calibrations import calibration
from tests.cascades import cascade_config
from tests.labeling import Outcome, Row, forbid_ray, run_job, run_label, run_records, write_config
from tests.nights import run_nightly
from tests.publishing import latest_of, live_rows
from tests.reporting import newest_report
from tests.shards import labels_of, pair, write_shard
from tests.without_ray import label_here

pytestmark = pytest.mark.usefixtures("without_charts")

ROWS = 30
HARD = {4, 9, 22}


def _rows(count: int = ROWS) -> list[Row]:
    marks = dict.fromkeys(HARD, "HARD")
    rows = [pair(n, prompt=f"Question {n}? {marks.get(n, '')}") for n in range(count)]
    rows[1] |= {"gold": "b"}
    return rows


def _judges(output: Path) -> tuple[str, str]:
    """The ids of both judges, the first one first."""
    of_both = {row["judge_id"]: 0 for row in labels_of(output)}
    for row in labels_of(output):
        of_both[row["judge_id"]] += row["status"] == "not_asked"
    first, last = sorted(of_both, key=lambda judge: of_both[judge])
    return first, last


def _asked(outcome: Outcome) -> list[int]:
    """Judgments of each judge in a run."""
    return [event["judgments"] for event in outcome.events if event["event"] == "done"]


def _by(output: Path) -> dict[int, str]:
    return {row["row"]: row["decided_by"] for row in live_rows(Store(str(output)))}


@pytest.mark.usefixtures("without_ray")
def test_night_after_night(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_shard(source / "a.parquet", _rows())
    write_shard(tmp_path / "gold/g.parquet", [pair(n, gold="a") for n in range(2)])
    more: dict[str, Any] = {"canary": {"input": str(tmp_path / "gold")}}
    config = cascade_config(tmp_path / "config.yaml", model, **more)

    planned = run_label(config, source, output, "--dry-run")
    assert planned.exit_code == 0
    said = [note for note in planned.notes if note.startswith("judge ")]
    assert [note.partition(":")[0].partition("), ")[2] for note in said] == [
        "30 of 30 pairs",
        "30 of 30 pairs at most (no run has measured which share the judges before leave open",
    ]

    first = run_nightly(config, source, output)
    assert (first.exit_code, first.error) == (0, "")
    assert _asked(first) == [2 * ROWS, 2 * (len(HARD) + 1)]
    cheap, dear = _judges(output)
    assert _by(output) == {n: dear if n in HARD else cheap for n in range(ROWS)}
    store = Store(str(output))
    quality = read_quality(store, latest_of(store)["snapshot_id"])
    assert quality is not None
    assert quality.decided_by == {cheap: ROWS - len(HARD), dear: len(HARD)}
    page = newest_report(store)[0].read_text(encoding="utf-8")
    table = page.partition("<caption><span>Who decided")[2].partition("</table>")[0]
    counts = re.findall(r'scope="row">[^<]*\(([0-9a-f]+)\)</th><td[^>]*>(\d+)</td>', table)
    assert counts == [(cheap[:16], str(ROWS - len(HARD))), (dear[:16], str(len(HARD)))]
    votes = [(row["row"], row["judge_id"]) for row in live_rows(Store(str(output)), "votes")]
    both = {*HARD, 1}
    expected = [(n, judge) for n in range(ROWS) for judge in (cheap, dear)]
    assert set(votes) == {each for each in expected if each[1] == cheap or each[0] in both}
    records = run_records(output)
    assert [(each["tier"], each["tiers"]) for each in records] == [(2, 2), (1, 2)]
    assert [each["canaries"] for each in records] == [2, 2]

    # The same again judges nothing, and starts nothing.
    with monkeypatch.context() as quiet:
        forbid_ray(quiet)
        again = run_nightly(config, source, output)
        assert (_asked(again), again.event("night")["state"]) == ([0, 0], "unchanged")

    # A changed shard: its new pairs alone are asked, the rest keep their votes in both parts.
    rows = [*_rows()[2:], *_rows(40)[ROWS:]]
    write_shard(source / "a.parquet", rows)
    planned = run_label(config, source, output, "--dry-run")
    (_, said_of_last) = [note for note in planned.notes if note.startswith("judge ")]
    assert f"5 of 38 pairs ({4 / 30:.1%} of new ones: run {records[0]['run_id']})" in said_of_last
    changed = run_nightly(config, source, output)
    assert (changed.exit_code, changed.error) == (0, "")
    assert _asked(changed) == [2 * 10, 0]
    numbers = range(2, 40)  # of the pairs, by row
    assert _by(output) == {n - 2: dear if n in HARD else cheap for n in numbers}

    # A calibration of the first judge by which no preference of its suffices opens all of them.
    put_calibration(Store(str(output)), calibration(cheap, (0.0, 0.0, 0.0)))
    opened = {n for n in numbers if n % 3 != 2}
    stricter = run_nightly(config, source, output)
    assert (stricter.exit_code, stricter.error) == (0, "")
    assert _asked(stricter) == [0, 2 * len(opened - HARD)]
    assert _by(output) == {n - 2: dear if n in opened else cheap for n in numbers}

    # A rule that accepts them again asks nobody, and decides as before.
    looser = cascade_config(tmp_path / "looser.yaml", model, accepts=0.4, **more)
    with monkeypatch.context() as quiet:
        forbid_ray(quiet)
        back = run_nightly(looser, source, output)
        assert (back.exit_code, _asked(back)) == (0, [0, 0])
    assert _by(output) == {n - 2: dear if n in HARD else cheap for n in numbers}

    exported = run_job(
        export.main,
        ["--config", str(looser), "--input", str(source), "--output", str(output)],
    )
    assert (exported.exit_code, exported.error) == (0, "")


def _facts(output: Path) -> list[dict[str, Any]]:
    """Every row of every judge, without what names runs and times."""
    gone = {"run_id", "judged_at", "epoch"}
    return [
        {name: value for name, value in row.items() if name not in gone}
        | {"votes": [vote | {"run_id": None} for vote in row["votes"]]}
        for row in sorted(labels_of(output), key=lambda row: (row["judge_id"], row["row"]))
    ]


@pytest.mark.usefixtures("shared_ray")
def test_side_by_side_is_as_one_after_the_other(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in"
    write_shard(source / "a.parquet", _rows())
    outputs = [tmp_path / "one-by-one", tmp_path / "together"]
    small: dict[str, Any] = {"input": {"unit_rows": 4}}

    def labelled(config: Path, together: int, output: Path) -> Outcome:
        with monkeypatch.context() as patch:
            if not together:
                label_here(patch)
            how = ("--set", f"cascade.side_by_side={bool(together)}")
            return run_label(config, source, output, *how)

    for rows in (_rows(), [*_rows()[2:], *_rows(40)[ROWS:]]):
        write_shard(source / "a.parquet", rows)
        for together, output in enumerate(outputs):
            config = cascade_config(tmp_path / "config.yaml", model, **small)
            done = labelled(config, together, output)
            assert (done.exit_code, done.error) == (0, "")
        assert _facts(outputs[0]) == _facts(outputs[1])
    # A calibration that settles no preference opens all of them, in parts that exist.
    for together, output in enumerate(outputs):
        cheap, _ = _judges(output)
        put_calibration(Store(str(output)), calibration(cheap, (0.0, 0.0, 0.0)))
        assert labelled(config, together, output).exit_code == 0
    assert _facts(outputs[0]) == _facts(outputs[1])


@pytest.mark.usefixtures("shared_ray")
def test_a_row_kills_the_worker_of_the_last_judge_beside_the_first(
    tmp_path: Path, model: Path
) -> None:
    rows, source, output = _rows(16), tmp_path / "in", tmp_path / "out"
    rows[9]["prompt"] += " DEADLY"
    write_shard(source / "a.parquet", rows)
    more: dict[str, Any] = {
        "engine": {"script": {"faults": {"DEADLY": "kill"}}},
        "workers": {"max_deaths": 1},
        "input": {"unit_rows": 4},
        "quarantine": {"max_fraction": 1},
    }
    config = cascade_config(tmp_path / "config.yaml", model, **more)
    done = run_label(config, source, output, "--set", "cascade.side_by_side=true")
    assert done.exit_code == 0, done.error  # in which Ray speaks of the death
    labels = labels_of(output)
    assert len({(row["judge_id"], row["row"]) for row in labels}) == len(labels) == 2 * 16
    killed = [row["row"] for row in labels if row["reason"] == "engine_killed"]
    assert killed == [9]
    assert sorted(row["row"] for row in labels if row["n_votes"] == 2) == sorted([*range(16), 1, 4])


@pytest.mark.usefixtures("shared_ray")
def test_a_budget_is_of_all_judges_together(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_shard(source / "a.parquet", _rows())
    config = cascade_config(tmp_path / "config.yaml", model)
    spent = run_label(config, source, output, "--max-judgments", str(2 * ROWS + 4))
    assert (spent.exit_code, "the budget is spent" in spent.error) == (6, True)
    label_here(monkeypatch)
    rest = run_label(config, source, output)
    assert (rest.exit_code, _asked(rest)) == (0, [0, 2 * (len(HARD) + 1) - 4])


def test_cascades_that_cannot_work_are_refused(tmp_path: Path, model: Path) -> None:
    write_shard(tmp_path / "in/a.parquet", _rows(3))

    def refusal(tier: dict[str, Any], **more: Any) -> str:
        tier = {"judge": {"model": {"name": str(model)}}, "engine": {"kind": "scripted"}, **tier}
        for section, own in more.items():
            tier[section] = tier.get(section, {}) | own
        changes = {"cascade": [tier]}
        config = write_config(tmp_path / "config.yaml", model, changes)
        done = run_label(config, tmp_path / "in", tmp_path / "out", "--dry-run")
        assert done.exit_code == 2
        return done.error

    reward = {"judge": {"bundle": "skywork-vl-reward", "model": {"name": str(model)}}}
    assert "a reward model that is not calibrated settles no pair" in refusal(reward)
    assert "judge 2" in (said := refusal({}))
    assert "expected each judge once" in said
    other = {"sampling": {"temperature": 0.9}}
    bounded = refusal({"policy": {"max_error": 0.05}}, judge=other)
    assert "policy.max_error is of the labels of all judges" in bounded
    assert "workers.local_cpus is of the whole job" in refusal({"workers": {"local_cpus": 1}})
    unreachable = refusal({"policy": {"min_confidence": 0.999}}, judge=other)
    assert "no pair would get a preference" in unreachable
