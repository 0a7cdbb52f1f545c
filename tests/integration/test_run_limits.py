"""A run that judges a sample, and one that may spend so much: what is left, and who does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import publish as publish_job
from pipeline.aggregation.vote_price import Offers
from pipeline.labeling.carried_price import VotePrices
from pipeline.labeling.planning.sample_plan import Sample
from pipeline.store.object_store import Store
from tests.labeling import (
    Row,
    assert_exact,
    contents,
    forbid_ray,
    label_arguments,
    run_job,
    run_label,
    verdict_of,
    write_config,
)
from tests.shards import labels_of, pair, write_shard
from tests.without_ray import label_here

ROWS = [pair(number, images=None) for number in range(60)]


@pytest.fixture
def config(tmp_path: Path, model: Path) -> Path:
    write_shard(tmp_path / "in" / "a.parquet", ROWS[:40], 15)
    write_shard(tmp_path / "in" / "b.parquet", ROWS[40:])
    return write_config(tmp_path / "label.yaml", model)


@pytest.mark.usefixtures("without_ray")
def test_a_sample_is_the_first_part_of_a_whole_run(tmp_path: Path, config: Path) -> None:
    where = (config, tmp_path / "in", tmp_path / "out")
    sampled = run_label(*where, "--sample", "12")
    assert (sampled.exit_code, sampled.error) == (0, "")
    assert sampled.event("plan")["pairs_left_out"] == 48
    assert sampled.event("done")["pairs"] == 12
    assert sampled.notes[-1].startswith("48 pairs are left: hours and dollars are unknown")
    rows = [label["row"] + 40 * (label["shard"] == "b.parquet") for label in labels_of(where[2])]
    assert rows == Sample(12).numbers(60)
    before = contents(where[2], "parts")

    again = run_label(*where, "--sample", "12")
    assert (again.exit_code, again.event("done")["pairs"]) == (0, 0)
    published = run_job(publish_job.main, label_arguments(*where))
    assert published.exit_code == 1
    assert "or only a sample of them labelled" in published.error

    whole = run_label(*where)
    assert whole.event("done")["pairs"] == 48
    assert_exact(where[2], {"a.parquet": ROWS[:40], "b.parquet": ROWS[40:]})
    after = contents(where[2], "parts")
    assert {key: after[key] for key in before} == before
    assert run_job(publish_job.main, label_arguments(*where)).exit_code == 0


@pytest.mark.usefixtures("shared_ray")
def test_a_run_ends_with_its_budget_and_the_next_goes_on(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = (config, tmp_path / "in", tmp_path / "out")
    first = run_label(*where, "--max-judgments", "50")
    assert first.exit_code == 6
    stopped = first.event("stopped")
    # Two votes decide each of these pairs.
    assert (stopped["judgments"], stopped["pairs"]) == (50, 25)
    assert first.error == (
        "the budget is spent (budget.max_judgments 50): 25 of 60 pairs to do are labelled and "
        "committed; the same command goes on from there\n"
    )
    assert len(labels_of(where[2])) == 25
    label_here(monkeypatch)
    second = run_label(*where, "--max-judgments", "70")
    assert (second.exit_code, second.event("done")["pairs"]) == (0, 35)
    assert_exact(where[2], {"a.parquet": ROWS[:40], "b.parquet": ROWS[40:]})


def test_what_a_plan_will_cost_is_said(tmp_path: Path, config: Path) -> None:
    where = (config, tmp_path / "in", tmp_path / "out")
    unknown = run_label(*where, "--dry-run")
    assert unknown.notes[-2].startswith("hours and dollars are unknown, since nothing says how")
    assert unknown.notes[-1].startswith(
        "the first pair, a.parquet, row 0, reads:\n[Question]\nWhat is in picture 0?"
    )
    prices = ["--report.judgments_per_s", "0.1", "--report.gpu_usd_per_hour", "2.5"]
    known = run_label(*where, "--dry-run", *prices, "--report.gpus", "2")
    assert known.notes[-2] == (
        "0.17 to 0.67 hours at 0.2 judgments/s (report.judgments_per_s; report.gpus 2), starts of "
        "engines not included; $0.83 to $3.33 at $6.94 per 1,000 judgments"
    )
    assert run_label(*where, "--max-usd", "3").exit_code == 2
    assert not (tmp_path / "out" / "parts").exists()


@pytest.mark.usefixtures("without_ray")
def test_a_budget_of_votes_sets_the_price_of_later_runs(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "new", tmp_path / "priced"
    votes: Row = {"stop": "gain", "budget_per_pair": 2.5}
    config = write_config(tmp_path / "priced.yaml", model, {"judge": {"votes": votes}})
    write_shard(source / "a.parquet", ROWS[:20])
    first = run_label(config, source, output)
    ties = [verdict_of(row)[0] for row in ROWS[:20]].count("tie")
    assert 0 < ties < 20
    done = first.event("done")  # ties alone gain more than 0.05, up to the most votes
    assert (done["vote_price"], done["judgments"]) == (0.05, 8 * ties + 2 * (20 - ties))
    store, key = Store(str(output)), f"prices/{first.event('plan')['judge_id']}.json"
    assert VotePrices.parse(store.read(key), key).offers.pairs == 20
    before = contents(output, "parts")

    dearer = VotePrices(0.05, Offers(200, 460, ((0.1, 300), (0.175, 40))))
    store.put(key, dearer.to_json())
    write_shard(source / "b.parquet", ROWS[20:40])
    second = run_label(config, source, output).event("done")
    assert (second["vote_price"], second["pairs"], second["judgments"]) == (0.175, 20, 40)
    known = VotePrices.parse(store.read(key), key)
    assert (known.highest, known.offers.pairs) == (0.175, 220)
    after = contents(output, "parts")
    assert {name: after[name] for name in before} == before
    assert_exact(output, {"a.parquet": ROWS[:20], "b.parquet": ROWS[20:40]})

    cheaper = VotePrices(0.175, Offers(200, 400, ((0.1, 20), (0.175, 40))))
    store.put(key, cheaper.to_json())
    more_votes = {"judge": {"votes": votes | {"max_votes": 10}}}
    more = write_config(tmp_path / "more.yaml", model, more_votes)
    forbid_ray(monkeypatch)  # parts are looked into for the budget; no row of theirs is open
    third = run_label(more, source, output).event("done")
    assert (third["vote_price"], third["pairs"], contents(output, "parts")) == (0.1, 0, after)
