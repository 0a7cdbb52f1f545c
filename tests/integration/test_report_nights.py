"""The report of real runs: of nightly runs, and of each way in which a run can end."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from tests.labeling import forbid_ray, run_label, write_config
from tests.measuring import random_corpus
from tests.nights import nights, run_nightly, steps_of
from tests.publishing import latest_of, run_publish
from tests.reporting import newest_report, run_report
from tests.s3_server import BUCKET, JOB, S3Server
from tests.shards import pair, write_shard

STRICT = ("--set", "gate.at_most.tie=0.05")


def words(page: Path) -> str:
    """The text of a page, without its tags."""
    plain = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", page.read_text("utf-8"), flags=re.S)
    return " ".join(html.unescape(plain).split())


def newest(output: Path) -> tuple[str, str, dict[str, Any]]:
    """Markup, text and metrics of the newest report."""
    page, metrics = newest_report(Store(str(output)))
    return page.read_text("utf-8"), words(page), metrics


@pytest.mark.usefixtures("without_ray")
def test_every_nightly_run_is_reported_and_trends_grow(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    price = {"report": {"gpu_usd_per_hour": 36.0}}
    config = write_config(tmp_path / "night.yaml", model, price)
    write_shard(source / "a.parquet", [pair(n, gold="a") for n in range(30)])
    assert run_nightly(config, source, output).exit_code == 0
    markup, text, metrics = newest(output)
    assert (metrics["state"], metrics["rows"], metrics["run_pairs"]) == ("published", 30, 30)
    assert (metrics["rate_gold_agreement"], metrics["rate_gold_agreement_n"]) == (0.5, 20)
    usd = metrics["run_seconds"] / 3_600 * 36
    assert metrics["cost_usd_per_1000_labels"] == pytest.approx(usd / 30 * 1_000)
    assert "30 input rows = 20 labelled 66.7 % + 10 ties 33.3 % + 0 abstained" in text
    assert "trends begin with the second" in text
    assert markup.count("<article ") == 30

    write_shard(source / "b.parquet", [pair(n, gold="b") for n in range(30, 42)])
    assert run_nightly(config, source, output).exit_code == 0
    markup, text, metrics = newest(output)
    assert (metrics["rows"], metrics["run_pairs"]) == (42, 12)
    assert "ties over 2 runs: 33.3 %" in markup
    assert "rows committed by the run over 2 runs: 30 on" in markup
    assert "made when" in text
    assert steps_of(nights(output)[-1])["report"] == "done"

    forbid_ray(monkeypatch)
    assert run_nightly(config, source, output).exit_code == 0
    markup, text, metrics = newest(output)
    assert (metrics["state"], metrics["run_pairs"], metrics["rows"]) == ("nothing_to_do", 0, 42)
    assert "Nothing to do Every row is labelled by this judge already" in text
    assert "ties over 3 runs" in markup
    assert "Nothing was judged: no GPU time, no cost." in text


@pytest.mark.usefixtures("without_ray")
def test_runs_that_end_badly_are_reported_too(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    script = {"engine": {"script": {"faults": {"<no>": "refused"}}}}
    config = write_config(tmp_path / "night.yaml", model, script)
    rows = [pair(n) for n in range(18)] + [pair(n, prompt=f"<no> {n}") for n in range(18, 20)]
    write_shard(source / "a.parquet", rows)
    assert run_nightly(config, source, output).exit_code == 4
    markup, text, metrics = newest(output)
    assert (metrics["state"], metrics["exit_code"]) == ("failed", 4)
    assert "Failed: step label Nothing is published yet." in text
    assert "2 of 20 rows are quarantined (refused 2)" in text
    assert "20 rows = 12 labelled 60.0 % + 6 ties 30.0 % + 0 abstained + 2 quarantined" in text
    assert markup.count("<article ") == 20  # out of the parts, to see what is wrong

    forbid_ray(monkeypatch)
    allowed = ("--set", "quarantine.max_fraction=0.5")
    assert run_nightly(config, source, output, *allowed, *STRICT).exit_code == 3
    markup, text, metrics = newest(output)
    assert (metrics["state"], metrics["gate_failed"]) == ("blocked", 1)
    assert "Blocked by the gate 1 of 1 checks failed: tie." in text
    assert "What to do: Look at the checks" in text
    assert "at most 5.0 %" in text


@pytest.mark.usefixtures("without_ray")
def test_a_run_of_labeling_alone(tmp_path: Path, model: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    config = write_config(tmp_path / "night.yaml", model)
    write_shard(source / "a.parquet", [pair(n) for n in range(9)])
    assert run_label(config, source, output).exit_code == 0
    outcome = run_report(output)
    assert outcome.exit_code == 0
    event = outcome.event("report")
    assert (event["state"], event["pairs_shown"]) == ("labeled", 9)
    text = words(Path(event["report"]))
    assert "Labelled, not published" in text
    assert "Quality is measured when a snapshot is made." in text
    assert "9 rows = 6 labelled 66.7 % + 3 ties" in text


def test_no_run_is_an_error_that_says_what_there_is(tmp_path: Path) -> None:
    outcome = run_report(tmp_path)
    assert outcome.exit_code == 2
    assert f"error: {tmp_path}/runs: no run has left a record there" in outcome.error
    Store(str(tmp_path)).put("runs/one/run.json", json.dumps({"pairs": 0}).encode())
    outcome = run_report(tmp_path, "--run", "two")
    assert outcome.exit_code == 2
    assert "there is no record of run 'two'; there are one" in outcome.error


@pytest.mark.s3
@pytest.mark.usefixtures("without_charts")
def test_on_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment(JOB).items():
        monkeypatch.setenv(name, value)
    Objects.clear_instance_cache()  # it remembers the key before
    corpus = random_corpus(f"s3://{BUCKET}/out/test_report")
    assert run_publish(corpus.output, "--input", corpus.source.uri).exit_code == 0
    run_id = str(latest_of(corpus.output)["published_by"])
    assert run_report(corpus.output.uri, "--run", run_id).exit_code == 0
    page = corpus.output.read(f"runs/{run_id}/report.html").decode()
    assert page.count("<article ") == 56
    assert "What is in picture" in page
    metrics = json.loads(corpus.output.read(f"runs/{run_id}/metrics.json"))
    assert (metrics["state"], metrics["rows"]) == ("published", 154)
    Objects.clear_instance_cache()
