"""Cases of the tiny judge: right by construction, mute about the truth in text, well formed."""

import io
import random
from collections import Counter
from typing import get_args

import pytest
from PIL import Image

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.parsing import Verdict
from pipeline.judging.row_checks import check_candidates, check_question, question_of
from pipeline.lab.tiny_judge.asked_formats import format_of
from pipeline.lab.tiny_judge.blind_controls import CONTROLS
from pipeline.lab.tiny_judge.judging_cases import SCORES, SINGLE_SCORES, Case
from pipeline.lab.tiny_judge.judging_tasks import TASKS, Task, named
from pipeline.lab.tiny_judge.media_cases import media_case
from pipeline.lab.tiny_judge.scene_corpus import ONE_PICTURE, scene_cases, scene_rows
from pipeline.lab.tiny_judge.scene_questions import SceneKind
from pipeline.lab.tiny_judge.text_cases import text_case
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2
from tests.shards import as_v1, pieces

KINDS: tuple[SceneKind, ...] = get_args(SceneKind)
IDS = [task.name for task in TASKS]
PAIRWISE = [task for task in TASKS if task.format == "pairwise_scores"]
MEDIA = {"max_images": 4, "video": {"max_videos": 3}}


def _pair(rng: random.Random, kind: SceneKind) -> Case:
    return text_case(rng, "pairwise_scores", "picture", kind=kind)


def _claim(case: Case, number: int) -> str:
    says = case.candidates[number].verdict
    return says.removeprefix("says ").partition(", which")[0]


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_a_perfect_reply_reads_as_the_scores_that_are_true(task: Task) -> None:
    rng = random.Random(8)
    for _ in range(20):
        case = task.sample(rng)
        for order in (case.order, case.order[::-1]):
            reply = case.reply(order)
            read = format_of(task.format).parse(reply, "stop", len(order))
            assert isinstance(read, Verdict)
            if task.format == "pairwise_options":
                gold = {"a": "first", "b": "second"}.get(case.gold)
                if order == "ba" and gold:
                    gold = "second" if gold == "first" else "first"
                grades = {candidate.grade for candidate in case.candidates}
                tie = "both_good" if grades == {"right"} else "both_bad"
                assert read.option == (gold or tie)
            else:
                shown = dict(zip(order, read.scores, strict=True))
                assert tuple(shown[letter] for letter in case.order) == case.scores
            assert "<answer>" not in reply.split("</think>")[0]


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_rows_are_what_their_format_takes_and_ask_what_the_case_asks(task: Task) -> None:
    judge = JudgeConfig.model_validate(
        {"format": task.format, "candidates": task.made_of, "media": MEDIA}
    )
    cases = scene_cases(4, 1, task.name)
    table_of([row for _, row in cases], PAIRS_V2)  # raises where a row breaks the contract
    for case, row in cases:
        check_question(row)
        check_candidates(row, judge)
        assert len(row["candidates"]) == len(case.candidates)
        _, rest = question_of(row, [pieces(each["content"]) for each in row["messages"]])
        assert "".join(text for _, text in rest) == case.question
        pairwise = task.format.startswith("pairwise")
        assert row["gold"] == (case.gold if pairwise else None)
        assert row["gold_scores"] == (None if pairwise else list(case.scores))


def test_rows_about_one_picture_are_the_default() -> None:
    for row in scene_rows(8, seed=3):
        found = as_v1(row)
        assert len(found["images"]) == 1
        assert found["candidates"] is None
        assert Image.open(io.BytesIO(found["images"][0]["bytes"])).mode == "RGB"


@pytest.mark.parametrize("name", [ONE_PICTURE, "pairwise_scores/video", "batch_ranking/text"])
def test_the_same_seed_gives_the_same_rows(name: str) -> None:
    assert scene_rows(5, 4, name) == scene_rows(5, 4, name)
    assert scene_rows(5, 4, name) != scene_rows(5, 5, name)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"unknown task 'pairs'; expected one of .*single_score/video"
    ):
        named("pairs")


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("task", PAIRWISE, ids=lambda task: task.name)
def test_what_is_shown_comes_from_its_split_only(task: Task, held_out: bool) -> None:
    rng = random.Random(1)
    shown = set()
    for _ in range(60):
        case = task.sample(rng, held_out)
        made = (candidate.shown for candidate in case.candidates)
        shown |= {each.held_out for each in (*case.context, *made) if each is not None}
    assert shown == (set() if task.about == "words" else {held_out})


@pytest.mark.parametrize(
    ("count", "off"), [(400, 0.1), pytest.param(2_000, 0.05, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("task", PAIRWISE, ids=lambda task: task.name)
def test_first_slot_wins_as_often_as_the_second(task: Task, count: int, off: float) -> None:
    rng = random.Random(2)
    golds = Counter(task.sample(rng).gold for _ in range(count))
    decided = golds["a"] + golds["b"]
    assert abs(golds["a"] / decided - 0.5) < off


@pytest.mark.parametrize("count", [1_000, pytest.param(8_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
def test_text_alone_does_not_tell_which_answer_is_better(kind: SceneKind, count: int) -> None:
    """For two claims x and y, x beats y as often as y beats x, whatever x and y are."""
    rng = random.Random(3)
    wins: Counter[tuple[str, str]] = Counter()
    for _ in range(count):
        case = _pair(rng, kind)
        if case.gold != "tie":
            better = 0 if case.gold == "a" else 1
            wins[_claim(case, better), _claim(case, 1 - better)] += 1
    unlikely = []
    for (x, y), won in wins.items():
        lost = wins[y, x]
        # Five standard deviations of a fair coin.
        if abs(won - lost) > 5 * (won + lost) ** 0.5:
            unlikely.append((x, y, won, lost))
    assert not unlikely


@pytest.mark.parametrize(
    ("count", "off"), [(1_500, 0.06), pytest.param(6_000, 0.03, marks=pytest.mark.long)]
)
def test_wording_is_independent_of_the_truth(count: int, off: float) -> None:
    rng = random.Random(4)
    short: Counter[bool] = Counter()
    for _ in range(count):
        case = text_case(rng, "pairwise_scores", "picture")
        first, second = (len(str(candidate.text)) for candidate in case.candidates)
        if case.gold != "tie" and first != second:
            short[(first < second) == (case.gold == "a")] += 1
    assert abs(short[True] / short.total() - 0.5) < off


@pytest.mark.parametrize("made_of", ["image", "edit", "video"])
def test_pictures_and_clips_of_every_grade_occur(made_of: str) -> None:
    rng = random.Random(5)
    tasks = [task for task in PAIRWISE if task.made_of == made_of]
    cases = [media_case(rng, "pairwise_scores", tasks[0].made_of) for _ in range(300)]
    grades = {frozenset(c.grade for c in case.candidates) for case in cases}
    assert grades >= {
        frozenset({"right", "partly"}),
        frozenset({"partly", "wrong"}),
        frozenset({"right", "wrong"}),
        frozenset({"right"}),
        frozenset({"wrong"}),
    }


def test_no_two_texts_of_a_case_are_the_same() -> None:
    rng = random.Random(6)
    for task in (task for task in TASKS if task.made_of == "text"):
        for _ in range(200):
            texts = [candidate.text for candidate in task.sample(rng).candidates]
            assert len(set(texts)) == len(texts)


def test_scores_fall_with_the_grade() -> None:
    assert SCORES["right"] > SCORES["partly"] > SCORES["wrong"]
    assert SINGLE_SCORES["right"] > SINGLE_SCORES["partly"] > SINGLE_SCORES["wrong"]


@pytest.mark.parametrize("name", list(CONTROLS))
def test_controls_change_every_picture_and_nothing_else(name: str) -> None:
    rows = scene_rows(9, 7, "pairwise_scores/image")
    changed = CONTROLS[name](rows)
    for before, after in zip(map(as_v1, rows), map(as_v1, changed), strict=True):
        for side in ("response_a", "response_b"):
            assert before[side]["images"] != after[side]["images"]
        assert after["response_a"]["images"] != after["response_b"]["images"]
        assert before["prompt"] == after["prompt"]
