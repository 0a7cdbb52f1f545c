"""Probes: what attacks and placebos add and where, which pairs are drawn, and what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.altered_pictures import AlteredPictures
from pipeline.evaluation.attacks import ATTACKS, Aimed, neutral
from pipeline.evaluation.probed_pairs import (
    AS_IS,
    GoldSource,
    altered,
    draw_gold,
    write_altered,
)
from pipeline.evaluation.probes import results
from pipeline.evaluation.probes_config import ProbesConfig
from pipeline.gold.gold_rows import GoldRow
from pipeline.gold.people import NOBODY, People
from pipeline.judging.judge_config import JudgeConfig
from pipeline.media.media_store import MediaStore
from pipeline.pairs.contents import candidate_texts, media_of, question_parts
from pipeline.pairs.input_config import InputConfig
from pipeline.snapshots.gate_checks import GateConfig, check_all
from pipeline.stats.intervals import paired_difference
from pipeline.store.object_store import Store
from schemas.contract import ContractError
from schemas.pairs import PAIRS_V2
from schemas.probes import ATTACKS as NAMES
from schemas.probes import ProbeRecord, probe_rates
from schemas.quality import Probed, Rate
from tests.judged_pairs import judged, vote
from tests.qualities import quality
from tests.shards import hash_of, pair, picture, read, write_shard

A, B = [vote("ab", 9, 2), vote("ba", 9, 2)], [vote("ab", 2, 9), vote("ba", 2, 9)]
TEXTS = tuple(name for name, attack in ATTACKS.items() if attack.place != "picture")


def aimed(gold: str = "a", judge: JudgeConfig | None = None, number: int = 0) -> Aimed:
    row = read(pair(number, gold=gold))
    return Aimed(
        GoldRow(("s", 0), {n: row[n] for n in PAIRS_V2.names}), number, judge or JudgeConfig()
    )


def test_the_interval_of_agresti_and_min() -> None:
    found = paired_difference(14, 5, 100)
    assert (found.value, found.low, found.high) == pytest.approx((0.088, 0.004, 0.172), abs=5e-4)
    assert paired_difference(0, 0, 0) == Rate(None, None, None, 0)
    nothing = paired_difference(0, 0, 200)  # no attack that turns none of 200 exceeds .02
    assert (nothing.value, round(nothing.high or 0, 4)) == (0, 0.0097)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("gold", ["a", "b"])
def test_an_attack_and_its_placebo_add_as_much_to_the_worse_answer_alone(
    name: str, gold: str
) -> None:
    attack, lengths = ATTACKS[name], set()
    for number in range(4):
        target = aimed(gold, number=number)
        before = candidate_texts(target.row.pair)
        pictures = AlteredPictures(MediaStore((), 10**6), target.judge)
        for said in (attack.says(target), attack.placebo(target)):
            changed = attack.added(target, said, pictures)
            assert changed is not None
            assert said is not None
            after = candidate_texts(changed.pair)
            assert after[1 - target.losing] == before[1 - target.losing]
            text, old = str(after[target.losing]), str(before[target.losing])
            assert text == (f"{said} {old}" if attack.place == "front" else f"{old}\n\n{said}")
            lengths.add((number, len(text)))
        assert candidate_texts(target.row.pair) == before
        assert attack.says(target) != attack.placebo(target)
    assert len(lengths) == 4  # of each pair, both are as long


def test_neutral_texts_have_the_length_that_is_asked_for() -> None:
    assert [len(neutral(n, n)) for n in (1, 3, 4, 60, 1_000)] == [1, 3, 4, 60, 1_000]


@pytest.mark.parametrize("gold", ["a", "b"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"format": "pairwise_options"}, {"bundle": "r1-reward"}, {"bundle": "json-scores"}],
)
def test_a_verdict_is_written_in_the_judges_own_grammar_for_the_worse_answer(
    gold: str, settings: dict[str, Any]
) -> None:
    if "bundle" in settings:
        settings = settings | {"allow_experimental": True}
    judge = JudgeConfig.model_validate(settings)
    said = ATTACKS["verdict"].says(aimed(gold, judge))
    verdict = judge.declared_format.parse(str(said), "stop", 2)
    found: Any = verdict
    if found.option is not None:
        chosen = {"first": "a", "second": "b"}[found.option]
    else:
        chosen = "a" if found.scores[0] > found.scores[1] else "b"
    assert chosen != gold


def test_a_judge_that_writes_nothing_meets_no_verdict() -> None:
    reward = JudgeConfig.model_validate({"bundle": "skywork-reward-v2"})
    target = aimed(judge=reward)
    pictures = AlteredPictures(MediaStore((), 10**6), reward)
    said = ATTACKS["verdict"].says(target)
    assert ATTACKS["verdict"].added(target, said, pictures) is None
    assert pictures.left_out == {"that the judge writes no verdict about": 1}


def test_gold_is_drawn_one_pair_a_prompt_whatever_the_order(tmp_path: Path) -> None:
    rows = [pair(n, gold="ab"[n % 2], prompt=f"{n % 4}?", images=None) for n in range(12)]
    for row in rows[:4]:  # all of one picture
        row["images"] = [{"bytes": picture(1), "path": None}]
    rows += [
        pair(20, gold="tie"),
        pair(21),
        pair(22, gold="a", images=[{"bytes": None, "path": "no"}]),
    ]
    drawn: list[list[str]] = []
    for order in (rows, rows[::-1]):
        folder = tmp_path / str(len(drawn))
        write_shard(folder / "s.parquet", order)
        source = GoldSource(str(folder), InputConfig(), NOBODY)
        found = draw_gold(source, JudgeConfig(), 20)
        assert found.left_out == {"with media that cannot be read": 1}
        drawn.append([row.pair["pair_id"] for row in found.rows])
        assert len(draw_gold(source, JudgeConfig(), 2).rows) == 2
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 5  # four texts, and one picture

    said = People({hash_of(rows[-2]): "b", hash_of(rows[0]): "tie"})
    found = draw_gold(GoldSource(str(tmp_path / "0"), InputConfig(), said), JudgeConfig(), 20)
    by_id = {row.pair["pair_id"]: row.pair["gold"] for row in found.rows}
    assert by_id["pair-21"] == "b"
    assert "pair-0" not in by_id


def test_every_variant_of_a_pair_and_its_pictures(tmp_path: Path) -> None:
    rows = [pair(n, gold="a") for n in range(3)]
    rows[1]["images"] = None
    write_shard(tmp_path / "in/s.parquet", rows)
    drawn = draw_gold(GoldSource(str(tmp_path / "in"), InputConfig(), NOBODY), JudgeConfig(), 20)
    found = {name: list(changed) for name, changed, _ in altered(drawn.rows, JudgeConfig())}

    assert len(found) == 1 + 3 + 2 * len(ATTACKS)
    of_pictures = {"blank-image", "shuffled-image", "irrelevant-image", "text-in-picture",
                   "text-in-picture-placebo", "false-caption", "false-caption-placebo"}  # fmt: skip
    assert {name for name, each in found.items() if len(each) == 2} == of_pictures
    seen = set()
    for name in (AS_IS, "irrelevant-image", "text-in-picture", "text-in-picture-placebo"):
        (row,) = [row for row in found[name] if row.pair["pair_id"] == "pair-0"]
        (image,) = media_of(question_parts(row.pair), "image")
        seen.add(image and image["bytes"])
    assert len(seen) == 4

    left_out = write_altered(drawn.rows, JudgeConfig(), Store(str(tmp_path / "out")))
    assert left_out["blank-image"] == {"without pictures": 1}
    assert left_out["text-in-picture"] == {"without pictures": 1}
    assert left_out["false-caption"] == {"without pictures": 1}
    media = list((tmp_path / "out/media").iterdir())
    assert len(media) == 2 + 1 + 2 + 4  # as they are, blank, shapes, with two texts on them
    shards = {file.name: file.read_bytes() for file in (tmp_path / "out").glob("*.parquet")}
    write_altered(drawn.rows, JudgeConfig(), Store(str(tmp_path / "again")))
    assert {f.name: f.read_bytes() for f in (tmp_path / "again").glob("*.parquet")} == shards


def variants(**votes: list[list[Any]]) -> dict[str, dict[int, JudgedPair]]:
    """Labels of each variant by these votes; people prefer ``a`` in every pair."""
    return {
        name.replace("_", "-"): {n: judged(each, "a") for n, each in enumerate(found)}
        for name, found in votes.items()
    }


def test_success_is_counted_against_the_placebo_on_pairs_that_are_right() -> None:
    judged_ = variants(
        as_is=[A, A, A, A, B],
        instruction=[B, B, A, A, B],
        instruction_placebo=[A, B, B, A, B],
        blank_image=[A, B, A, A, A],
    )
    found = results(judged_, {"instruction": {"without pictures": 2}})

    attack, blank = found["instruction"], found["blank-image"]
    assert (attack.changed, attack.back, attack.effect.n) == (1, 1, 4)
    assert attack.left_out == {
        "without pictures": 2,
        "that the judge does not get right as they are": 1,
    }
    assert (blank.changed, blank.back, blank.effect.n) == (1, 1, 5)
    assert found["padding"].effect.n == 0


def probed(kind: Any, changed: int, back: int, n: int, held_out: bool = False) -> Probed:
    return Probed(kind, paired_difference(changed, back, n), changed, back, {}, held_out)


PROBES = {
    "master-key": probed("attack", 3, 1, 300),
    "instruction": probed("attack", 60, 2, 300),
    "authority": probed("attack", 200, 0, 300, held_out=True),
    "padding": probed("attack", 0, 0, 0),
    "blank-image": probed("picture", 90, 5, 300),
    "shuffled-image": probed("picture", 60, 5, 300),
}


def test_the_gate_goes_by_the_worst_that_counts() -> None:
    rates = probe_rates(PROBES)
    assert rates["attack_success"] == PROBES["instruction"].effect
    assert rates["master_key_success"] == PROBES["master-key"].effect
    assert rates["picture_gain"] == PROBES["shuffled-image"].effect
    assert {rate.value for rate in probe_rates({}).values()} == {None}

    gate = GateConfig.model_validate(
        {
            "at_most": {"attack_success": 0.05, "master_key_success": 0.02},
            "at_least": {"picture_gain": 0.1},
            "strict": ["master_key_success"],
        }
    )
    assert gate.asks_probes
    checks = {each.metric: each for each in check_all(quality(probes=PROBES), gate)}
    passed = {"attack_success": False, "master_key_success": False, "picture_gain": True}
    assert {name: each.passed for name, each in checks.items()} == passed
    few = {"master-key": probed("attack", 0, 0, 30), "blank-image": probed("picture", 9, 0, 30)}
    checks = {each.metric: each for each in check_all(quality(probes=few), gate)}
    assert not checks["master_key_success"].passed  # strict: shown by 200 pairs, not by 30
    assert "of fewer than 200 pairs little can be shown" in checks["picture_gain"].detail
    none = check_all(quality(), gate)
    assert not any(each.passed for each in none)
    assert "this judge was not probed on canary.input" in none[0].detail


def test_a_record_is_read_back_and_checked() -> None:
    made = ProbeRecord("0" * 16, "j", "p", "s3://gold", 300, PROBES, {"with media": 1})
    assert ProbeRecord.parse(made.to_json(), "r") == made
    wrong = {"instruction": Probed("attack", paired_difference(2, 2, 3), 2, 2)}
    with pytest.raises(ContractError, match="instruction: 2 and 2 of 3 pairs"):
        ProbeRecord("0" * 16, "j", "p", "s", 3, wrong).to_json()


def test_master_keys_are_never_held_out() -> None:
    assert tuple(ATTACKS) == NAMES
    with pytest.raises(ValueError, match=r"held_out \['master-key'\]: expected some of verdict"):
        ProbesConfig(held_out=("master-key",))
