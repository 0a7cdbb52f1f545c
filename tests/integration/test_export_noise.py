"""What an export states about wrong labels: by people's labels of the same rows, else nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import t

from pipeline.aggregation.calibration import fold_of
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import create_set
from pipeline.pairs.contents import asked_by_user, text_part
from pipeline.pairs.prompts import cluster_key
from pipeline.stats.wilson import wilson
from schemas.gold import Answer, Draw, DrawnPair, GoldSet
from tests.calibrations import calibration
from tests.exporting import (
    FOR_A,
    FOR_B,
    TIE,
    Corpus,
    Row,
    Votes,
    export_rows,
    folder_of,
    run_export,
    settings,
    texts,
)
from tests.shards import response

NOW = "2026-11-30T00:00:00Z"
# Of every ten prompts, how many of their five labels people share.
RIGHT = (5, 5, 0, 5, 3, 5, 4, 5, 5, 2)
CHECKED = {
    f"checked_{name}": value
    for name, value in {
        "pairs": 400,
        "prompts": 80,
        "wrong": 40,
        "gap": 0.02,
        "variance": 4e-4,
    }.items()
}


def corpus(
    root: Path, prompts: int, *, gold: bool = True, figures: Mapping[str, float] = {}
) -> Corpus:
    """Five labels for each prompt, every other one for b; then rows that no ε is about."""
    made = Corpus.at(root)
    rows: list[Row] = []
    votes: list[Votes] = []
    for number in range(5 * prompts):
        prompt, place = divmod(number, 5)
        label = "ab"[number % 2]
        shared = place < RIGHT[prompt % 10]
        # A tie for people is a wrong label, too.
        human = label if shared else ("ba"[number % 2], "tie")[place % 2]
        rows.append(texts(number, prompt=f"{prompt}?", gold=human if gold else None))
        votes.append(FOR_A if label == "a" else FOR_B)
    for number, cast in enumerate((FOR_A, TIE, None)):
        rows.append(texts(10_000 + number, prompt="Other?", gold=None if cast else "b"))
        votes.append(cast)
    made.shard("a.parquet", rows, votes)
    if figures:
        put_calibration(made.output, calibration(made.made.judge_id, figures=dict(figures)))
    made.publish()
    return made


def exported(made: Corpus, *arguments: str, file_rows: int = 60) -> tuple[dict[str, Any], str]:
    """The record and the card of an export in several parts."""
    done = run_export(made.output, *arguments, *settings(file_rows=file_rows))
    folder = folder_of(done, made.output)
    card = made.output.read(f"{folder}/README.md").decode()
    return json.loads(made.output.read(f"{folder}/export.json")), card


def test_people_who_labelled_the_same_rows_say_how_many_are_wrong(tmp_path: Path) -> None:
    record, card = exported(corpus(tmp_path, 20))
    # 22 of 100 labels; twice the ten prompts of which 14.353 labels are independent, G / (G - 1)
    # being 20 / 19 in place of 10 / 9.
    low, high = wilson(0.22, 2 * 14.353 * (10 / 9) / (20 / 19), t.ppf(0.975, 19))
    assert record["epsilon"] == pytest.approx(0.22)
    assert (record["epsilon_low"], record["epsilon_high"]) == pytest.approx((low, high), abs=1e-4)
    assert record["epsilon_basis"] == "100 of these rows that people have labelled, of 20 prompts"
    assert record["label_smoothing"] is None  # too uncertain
    assert f"**ε = 0.22** (95 % interval {record['epsilon_low']:g} to" in card
    assert "It is no label smoothing to train with: that takes an interval of ±0.03" in card
    assert "label_smoothing=" not in card


def test_enough_of_them_give_a_label_smoothing(tmp_path: Path) -> None:
    made = corpus(tmp_path, 500)
    record, card = exported(made, file_rows=1_000)
    assert record["epsilon"] == pytest.approx(0.22)
    assert (record["epsilon_high"] - record["epsilon_low"]) / 2 < 0.03
    assert record["label_smoothing"] == record["epsilon"]
    assert 'args = DPOConfig(loss_type="robust", label_smoothing=0.22, …)' in card
    assert "It is the label smoothing to train with." in card
    _, card = exported(made, "--format", "llama-factory", file_rows=1_000)
    assert "pref_loss: sigmoid\ndpo_label_smoothing: 0.22\n" in card
    _, card = exported(made, "--format", "ms-swift", file_rows=1_000)
    assert "--rlhf_type dpo --loss_type robust --label_smoothing 0.22 \\\n" in card
    # Of a selection, ε is that of the rows that are selected.
    capped, _ = exported(made, *settings(selection__max_per_prompt=2), file_rows=1_000)
    assert capped["epsilon_basis"].startswith("1,000 of these rows")


def test_fewer_than_twenty_prompts_tell_nothing(tmp_path: Path) -> None:
    record, card = exported(corpus(tmp_path, 19))
    assert (record["epsilon"], record["epsilon_low"], record["label_smoothing"]) == (None,) * 3
    assert record["epsilon_basis"] == (
        "95 of these rows, of 19 prompts, have labels by people, expected rows of 20 prompts or "
        "more, or a calibration"
    )
    assert (
        f"How many of these labels are wrong (ε) is not known: {record['epsilon_basis']}." in card
    )
    assert "args = DPOConfig(…)" in card


def test_a_calibration_is_corrected_by_people(tmp_path: Path) -> None:
    made = corpus(tmp_path, 40, figures={"ece": 0.1})
    record, _ = exported(made)
    # By its weights (margin .25, share .5, net .125) a lead of 7 is 2.5 log-odds, one of 5 is 2.
    likely = {7.0: 1 / (1 + 2.718281828**-2.5), 5.0: 1 / (1 + 2.718281828**-2)}
    rows = [(row, label) for row, label in made.labelled() if label["preference"]]
    stated = [1 - likely[abs(label["margin"])] for _, label in rows]
    known = [place for place, (row, _) in enumerate(rows) if row["gold"] is not None]
    gaps = [(rows[k][0]["gold"] != rows[k][1]["preference"]) - stated[k] for k in known]
    expected = sum(stated) / len(stated) + sum(gaps) / len(gaps)
    assert (len(rows), len(known)) == (201, 200)
    assert record["epsilon"] == pytest.approx(expected, abs=2e-6)
    assert record["epsilon_low"] < record["epsilon"] < record["epsilon_high"]
    assert record["epsilon_basis"].endswith("of 40 prompts, and the calibration of the others")


def test_without_people_it_is_the_calibrations_own_check_of_the_same_selection(
    tmp_path: Path,
) -> None:
    made = corpus(tmp_path, 40, gold=False, figures=CHECKED)
    record, card = exported(made)
    rows = export_rows(made.output, folder_of(run_export(made.output), made.output))
    stated = sum(1 - row["confidence"] for row in rows) / len(rows)
    rate = stated + 0.02
    low, high = wilson(rate, min(400, rate * (1 - rate) / 4e-4), t.ppf(0.975, 79))
    assert record["epsilon"] == pytest.approx(rate, abs=2e-6), record["epsilon_basis"]
    assert (record["epsilon_low"], record["epsilon_high"]) == pytest.approx((low, high), abs=2e-6)
    assert "the judge's calibration, checked on 400 labels of 80 prompts of `/gold`" in card

    selected, card = exported(made, *settings(selection__min_confidence=0.5))
    assert selected["epsilon"] is None
    assert "the calibration was checked on all labels, and these are selected" in card


def test_a_calibration_without_a_check_states_nothing(tmp_path: Path) -> None:
    record, _ = exported(corpus(tmp_path, 40, gold=False, figures={"ece": 0.1}))
    assert record["epsilon"] is None
    assert record["epsilon_basis"].endswith("of an earlier version, has no check of it")


@pytest.mark.parametrize("name", ["trl-dpo", "trl-reward", "jsonl"])
def test_soft_labels(tmp_path: Path, name: str) -> None:
    made = corpus(tmp_path, 20, figures={"ece": 0.1})
    soft = settings(soft_labels=True, **({"selection__ties": "keep"} if name == "jsonl" else {}))
    done = run_export(made.output, "--format", name, *soft)
    found = {
        r["pair_id"]: r["p_chosen"] for r in export_rows(made.output, folder_of(done, made.output))
    }
    expected = {
        row["pair_id"]: 1 / (1 + 2.718281828 ** -(2.5 if abs(label["margin"]) == 7 else 2))
        for row, label in made.labelled()
    }
    ties = {row["pair_id"]: None for row, _ in made.labelled("tie")} if name == "jsonl" else {}
    assert found == pytest.approx(expected | ties)
    rows = export_rows(made.output, folder_of(done, made.output))
    if name == "jsonl":
        with_gold = {row["pair_id"]: row["gold"] is not None for row in made.pairs["a.parquet"]}
        assert {r["pair_id"]: r["p_of_own_gold"] for r in rows} == {
            row["pair_id"]: with_gold[row["pair_id"]] for row in rows
        }
    else:
        assert "p_of_own_gold" not in rows[0]
    beside = f"{folder_of(done, made.output)}/soft_dpo.py"
    assert (made.output.size(beside) is not None) == (name == "trl-dpo")
    hard = run_export(made.output, "--format", name)
    assert hard.event()["folder"] != done.event()["folder"]
    assert "p_chosen" not in export_rows(made.output, folder_of(hard, made.output))[0]


def test_soft_labels_of_pairs_with_gold_are_by_fits_that_have_not_seen_it(tmp_path: Path) -> None:
    made = Corpus.at(tmp_path)
    rows = [
        texts(number, prompt=f"{number}?", gold="a" if number % 2 else None) for number in range(40)
    ]
    prompts = {row["pair_id"]: f"{number}?" for number, row in enumerate(rows)}
    cast = [FOR_A if number % 3 else FOR_B for number in range(40)]
    made.shard("a.parquet", rows, cast)
    folds = [{"weights": (0.0, 0.0, 0.1 * (number + 1))} for number in range(5)]
    made_up = calibration(made.made.judge_id, figures={"ece": 0.1}, folds=folds)
    put_calibration(made.output, made_up)
    made.publish()
    done = run_export(made.output, "--format", "jsonl", *settings(soft_labels=True))
    found = {r["pair_id"]: r for r in export_rows(made.output, folder_of(done, made.output))}
    assert len(found) == 40
    seen = set()
    for row, label in made.labelled():
        line = found[row["pair_id"]]
        assert line["p_of_own_gold"] is False
        odds = whole = 2.5 if abs(label["margin"]) == 7 else 2.0
        if row["gold"] is not None:
            prompt = asked_by_user(text_part(prompts[row["pair_id"]]))
            fold = fold_of(cluster_key(label["cluster"], prompt), 5)
            seen.add(fold)
            odds = 0.2 * (fold + 1)
        assert line["p_chosen"] == pytest.approx(1 / (1 + math.exp(-odds)))
        assert line["confidence"] == pytest.approx(1 / (1 + math.exp(-whole)))  # the label's
    assert seen == set(range(5))


def test_answers_of_a_gold_set_that_is_exported_mark_their_pairs(tmp_path: Path) -> None:
    made = corpus(tmp_path, 4, gold=False, figures={"ece": 0.1})
    asked = [DrawnPair(each["pair_hash"]) for each in made.labels["a.parquet"][:3]]
    draw = Draw(NOW, "run", "imported", tuple(asked))
    create_set(made.output, GoldSet("people", NOW, "run", draws=(draw,)))
    said = asked[1].pair_hash
    give_all(made.output, "people", [("ann", said, Answer("a", NOW, "test"))])
    done = run_export(
        made.output,
        "--format",
        "jsonl",
        *settings(soft_labels=True, selection__hold_out_gold=False),
    )
    rows = export_rows(made.output, folder_of(done, made.output))
    marked = [row["pair_id"] for row in rows if row["p_of_own_gold"]]
    assert marked == [made.pairs["a.parquet"][1]["pair_id"]]


def test_soft_labels_need_a_calibration_and_a_format(tmp_path: Path) -> None:
    made = corpus(tmp_path, 20)
    done = run_export(made.output, *settings(soft_labels=True))
    assert done.exit_code == 2
    assert "have no calibrated probability" in done.error
    assert "(pairmill calibrate), publish again (pairmill publish)" in done.error
    done = run_export(made.output, "--format", "verl-rl", *settings(soft_labels=True))
    assert done.exit_code == 2
    assert "formats that have one: trl-dpo, trl-reward, jsonl" in done.error


def test_the_least_confidence_holds_for_ties_too(tmp_path: Path) -> None:
    made = corpus(tmp_path, 20)
    (tie,) = made.labelled("tie")
    assert tie[1]["confidence"] == pytest.approx(31 / 32)  # four votes of four
    keep = ("--format", "jsonl", *settings(selection__ties="keep"))
    for least, ties in ((0.96, 1), (0.97, 0)):
        done = run_export(made.output, *keep, *settings(selection__min_confidence=least))
        if ties:
            assert done.event()["kept"] == 1  # 7/8 is the confidence of the others
        else:
            assert "101 low_confidence" not in done.error
            assert "102 low_confidence" in done.error


def test_what_people_decided_is_exported_and_measures_no_judge(tmp_path: Path) -> None:
    """Rows of which nothing could be compared, beside others with a calibration."""
    made = Corpus.at(tmp_path)
    rows = [texts(number, prompt=f"{number}?", gold="a") for number in range(25)]
    empty = response("")
    rows += [texts(30, gold="a", response_b=empty), texts(31, gold="tie", response_b=empty)]
    rows += [texts(32, gold="b", response_a=response("same"), response_b=response("same"))]
    made.shard("a.parquet", rows, [FOR_A] * 25 + ["gold"] * 3)
    put_calibration(made.output, calibration(made.made.judge_id, figures={"ece": 0.1}))
    made.publish()
    arguments = ["--format", "trl-reward", *settings(soft_labels=True, validation=0)]
    done = run_export(made.output, *arguments, *settings(selection__min_confidence=0.5))
    folder = folder_of(done, made.output)
    record = json.loads(made.output.read(f"{folder}/export.json"))
    assert (record["kept"], record["dropped"]) == ({"/train": 26}, {"near_identical": 1, "tie": 1})
    assert record["decided_by"] == {made.made.judge_id: 25, "gold": 1}
    card = made.output.read(f"{folder}/README.md").decode()
    assert "| people themselves | 1 | 3.8% |" in card
    (row,) = [row for row in export_rows(made.output, folder) if row["pair_id"] == "pair-30"]
    assert (row["p_chosen"], row["margin"], row["confidence"]) == (1.0, 0.0, None)
    assert row["rejected"][-1]["content"] == ""
    assert record["epsilon_basis"].startswith("25 of these rows that people have labelled")
    kept = run_export(made.output, "--format", "jsonl", *settings(selection__ties="keep"))
    assert kept.event()["kept"] == 28
