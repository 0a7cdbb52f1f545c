"""Benchmarks as they run, on what costs little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from scipy.stats import binom

from jobs.bench import main
from pipeline.lab.bench.scaling_bench import write_text_shards
from pipeline.lab.vote_study import study
from pipeline.lab.vote_study.judge_noise import flips, mixed, scores
from pipeline.lab.vote_study.study_command import bench_votes
from pipeline.lab.vote_study.vote_bounds import wald_votes

WAITING = "jobs/configs/bench-scaling.yaml"  # the scripted engine


def test_texts_pictures_and_clips_are_measured(tmp_path: Path) -> None:
    written = tmp_path / "decode.json"
    assert main(["decode", "--seconds", "0", "--json", str(written)]) == 0
    rows = {row["medium"]: row for row in json.loads(written.read_text(encoding="utf-8"))["rows"]}
    clip = "H.264 640x360, 8 of 64 frames"
    assert list(rows) == ["texts", "JPEG 448²", "JPEG 1 MP", "JPEG 4 MP", clip]
    assert rows["texts"]["kilobytes"] == 8  # two prompts of ~330 words and the system text


def test_a_setting_is_measured_in_a_process_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text_shards(tmp_path / "pairs", 8)
    arguments = ["engine", "--input", str(tmp_path / "pairs"), "--repeats", "1"]
    arguments += ["--config", WAITING, "--folder", str(tmp_path)]
    written = tmp_path / "deep" / "engine.json"
    assert main([*arguments, "--json", str(written)]) == 0
    (good,) = json.loads(written.read_text(encoding="utf-8"))["rows"]
    assert (good["setting"], good["against_base"], good["cached_share"]) == ("as configured", 1, 0)
    assert str(written) in capsys.readouterr().out


@pytest.mark.long  # a process each for the corpus, its publish and its export
def test_a_corpus_is_published_and_exported(tmp_path: Path) -> None:
    arguments = ["export", "--rows", "40", "--shard-rows", "20", "--formats", "jsonl"]
    assert main([*arguments, "--folder", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["what"], row["rows"]) for row in rows] == [("publish", 40), ("jsonl", 40)]
    assert 0 < rows[1]["kept"] <= 40


def test_the_vote_study_plots_and_writes_what_it_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [flips(0.1), flips(0.3), mixed(0.136), mixed(0.136, bias=1.0), scores(1, 2), scores(2, 2)]
    monkeypatch.setattr(study, "populations", lambda: few)
    partly_parsed = [flips(0.15).with_unparseable(0.1)]
    monkeypatch.setattr(study, "unparseable_populations", lambda: partly_parsed)
    monkeypatch.setattr(study, "SEEDS", 2)
    results = json.loads(json.dumps(bench_votes(tmp_path, seed=5, pairs=4)))
    assert results["seeds"] == [5, 6]
    methods = {(row["population"], row["strategy"]): row["method"] for row in results["rows"]}
    assert methods["flips 10%", "fixed 8"] == "exact"
    assert methods["scores, noise 2, own error 2", study.DEFAULTS[0].name] == "exact"
    assert methods["scores, noise 2, own error 2", study.curve(8, 1.0)[0].name] == "sampled"
    (typical,) = [bound for bound in results["bounds"] if bound["population"] == "mixed 13.6%"]
    assert typical["best_votes"] == 3.9  # of the exact accuracy, not of the sampled check's
    (flip,) = [bound for bound in results["bounds"] if bound["population"] == "flips 10%"]
    aim = binom.cdf(3, 8, 0.1) + binom.pmf(4, 8, 0.1) / 2
    assert flip["wald_votes"] == pytest.approx(wald_votes(0.1, 1 - aim), abs=0.01)
    with Image.open(tmp_path / "votes_simulated.png") as picture:
        assert min(picture.size) > 800
