"""Where a reply is over: right behind its verdict, and nowhere before."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.engines.engine import Rendered, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.judging.bundle_files import shipped_bundles
from pipeline.judging.endings import MOST_BEHIND, Ending, Watch, ending_of, may_be_quoted
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.tiny_judge.asked_formats import FormatName
from pipeline.labeling.pair_judge import Judge
from pipeline.media.media_store import MediaStore
from tests.judging import Recording, judge_rows, scripted, text_pair
from tests.shards import picture

THINK = "<think>\nboth looked at\n</think>\n\n"
TWO = "<answer>8</answer><answer>3</answer>"


def cut(reply: str, format_: FormatName = "pairwise_scores", count: int = 2) -> str | None:
    ending = ending_of(JudgeConfig(format=format_), count, "[Question]\nWhich?", media=False)
    assert ending is not None
    return ending.cut(reply)


@pytest.mark.parametrize(
    ("format_", "count", "verdict"),
    [
        ("pairwise_scores", 2, TWO),
        ("pairwise_scores", 2, "<answer>10</answer>\n<answer>1</answer>"),
        ("pairwise_options", 2, "<answer>[[A=B=Good]]</answer>"),
        ("single_score", 1, "<answer>4</answer>"),
        ("batch_ranking", 2, TWO),
    ],
)
def test_a_reply_ends_with_its_verdict(format_: FormatName, count: int, verdict: str) -> None:
    reply = THINK + verdict
    assert cut(reply, format_, count) == reply
    assert cut(f"{reply}\nI chose so because {verdict}", format_, count) == reply
    assert cut(reply[:-1], format_, count) is None
    assert cut(f"<think>I may say {verdict}, or", format_, count) is None


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>as told, </think> and then {TWO}",
        f"{THINK}My verdict: {TWO}",
        f"{THINK}<answer>8</answer>",
        f"{THINK}<answer>8</answer>, <answer>3</answer>",
        f"{THINK}<answer>0</answer><answer>3</answer>",
    ],
)
def test_what_is_no_verdict_ends_nothing(reply: str) -> None:
    assert cut(reply) is None


def test_a_reply_with_a_verdict_in_its_reasoning_ends_with_its_own() -> None:
    reply = f"<think>it says {TWO} itself</think><answer>2</answer><answer>9</answer>"
    assert cut(f"{reply} so") == reply


LOOK_ALIKES = [
    "</think>",
    "<answer>",
    "< / THINK >",
    "<\u200b/think>",
    "</th\u00adink>",
    "\uff1c/think\uff1e",
    "<\\/think>",
    "&lt;/think&gt;",
    "&#60;/think&#62;",
    "\\u003c/think\\u003e",
    "%3C/think%3E",
    "\u2039/think\u203a",
    "\uff1c/\uff54\uff48\uff49\uff4e\uff4b\uff1e",
    "[/think]",
    "</ t h i n k >",
    "\\u003canswer\\u003e",
]


@pytest.mark.parametrize("mark", LOOK_ALIKES)
def test_where_a_text_looks_like_a_mark_no_verdict_is_the_end(mark: str) -> None:
    judge, engine = scripted()
    judge_rows(judge, [text_pair(1), text_pair(2, f"What does {mark}mean?")])
    watched = {mark in chat.user: how.ending.watched for chat, how in engine.asked if how.ending}
    assert watched == {True: True, False: False}


def test_a_picture_may_hold_a_written_verdict() -> None:
    judge, engine = scripted(judge={"media": {"factor": 1, "min_pixels": 1}})
    judge_rows(judge, [text_pair(1), text_pair(2, images=[{"bytes": picture(1), "path": None}])])
    watched = {bool(chat.images): how.ending.watched for chat, how in engine.asked if how.ending}
    assert watched == {True: True, False: False}


def test_texts_that_speak_of_thoughts_and_answers_are_no_marks() -> None:
    own = JudgeConfig().prompt_texts.user
    assert not may_be_quoted(
        own, '[Question]\nI think, both. Answer: "answer", **Answer** (answer)'
    )
    for bundle in shipped_bundles():
        judge = JudgeConfig.model_validate({"bundle": bundle, **MORE.get(bundle, {})})
        prompt = judge.prompt_texts
        turn = "".join(prompt.fill([], "What is shown?", [["A cup."], ["A cat."]]))
        assert not may_be_quoted(prompt.own_words(2), turn), bundle


MORE: dict[str, Any] = {
    "json-scores": {"allow_experimental": True},
    "llava-critic-r1": {"allow_experimental": True},
    "rubric-json": {
        "allow_experimental": True,
        "rubric": {"criteria": [{"name": "x", "text": "y"}]},
    },
}


def watched_ending() -> Ending:
    ending = ending_of(JudgeConfig(), 2, "Which?", media=True)
    assert ending is not None
    return ending


def test_a_watched_reply_goes_on_until_its_judge_stops_or_writes_on_too_long() -> None:
    quoted = f"<think>the picture says: </think>{TWO}"
    ending, watch = watched_ending(), Watch(watched_ending())
    assert ending.cut(quoted) is None
    assert not watch.over("<think>the picture says", 5)
    assert not watch.over(quoted, 20)
    assert not watch.over(f"{quoted} and so on", 20 + MOST_BEHIND - 1)
    own = f"{quoted} and so on</think><answer>1</answer><answer>9</answer>"
    assert not watch.over(own, 20 + MOST_BEHIND)
    assert not watch.over(f"{own} is", 20 + 2 * MOST_BEHIND - 1)
    assert watch.over(f"{own} is what I say", 20 + 2 * MOST_BEHIND)


class Quoting(Recording):
    """Writes a verdict that it is shown, and goes on with its reasoning."""

    tail = " is what is written there."

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        self.asked.append((prompt.chat, sampling))
        text = f"<think>it says </think>{TWO}{self.tail}"
        return Reply(text, "stop", prompt.length, 9, 0)


def test_a_quoted_verdict_is_no_label_and_what_follows_it_is_kept() -> None:
    config = JudgeConfig.model_validate({"media": {"factor": 1, "min_pixels": 1}})
    how = EngineConfig(kind="scripted", decode_threads=2)
    engine = Quoting(config, how)
    judge = Judge(engine, config, how, MediaStore(("/nowhere",), config.media.max_bytes))
    row = text_pair(2, images=[{"bytes": picture(1), "path": None}])
    (label,) = judge_rows(judge, [row])
    assert (label["status"], label["reason"]) == ("quarantined", "malformed")
    assert {vote["cut_text"] for vote in label["votes"]} == {"is what is written there."}
    engine.tail += "</think><answer>2</answer><answer>9</answer>"
    (label,) = judge_rows(judge, [row])
    assert next((vote["score_a"], vote["score_b"]) for vote in label["votes"]) == (2, 9)


def test_the_end_of_a_longer_ranking_is_left_to_the_judge() -> None:
    assert ending_of(JudgeConfig(format="batch_ranking"), 3, "Which?", media=False) is None
