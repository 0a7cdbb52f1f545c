"""The scripted engine keeps to its script: tests of everything above it rely on that."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from pipeline.engines.engine import Chat, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import start_engine
from pipeline.engines.scripted_engine import ScriptedEngine
from pipeline.judging.judge_config import JudgeConfig
from pipeline.runtime.errors import EngineDeadError, EngineStartError
from tests.judging import Row

HOW = Sampling(temperature=0, top_p=1, max_tokens=99, seed=0)


def engine(**script: object) -> ScriptedEngine:
    started = start_engine(JudgeConfig(), EngineConfig(kind="scripted", script=script))
    assert isinstance(started, ScriptedEngine)
    return started


def ask(scripted: ScriptedEngine, first: str, second: str, question: str = "Why?") -> Reply:
    user = (
        f"[Question]\n{question}\n\n[Assistant 1's Answer]\n{first}\n\n"
        f"[Assistant 2's Answer]\n{second}"
    )
    return asyncio.run(scripted.reply("id", scripted.render(Chat("s", (user,))), HOW))


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ("x score=9", "y score=2", "<answer>9</answer><answer>2</answer>"),
        ("score=1 score=7", "score=10", "<answer>1</answer><answer>10</answer>"),
        ("one\n\ntwo score=4", "score=4", "<answer>4</answer><answer>4</answer>"),
    ],
)
def test_stated_scores(first: str, second: str, verdict: str) -> None:
    reply = ask(engine(), first, second)
    assert reply.text.endswith(f"</think>\n\n{verdict}")
    assert reply.finish_reason == "stop"


def test_unstated_scores_depend_on_the_text_alone() -> None:
    texts = {ask(engine(), "some answer", "another", question).text for question in "ab"}
    assert len(texts) == 1


def test_faults_heal_after_as_many_replies_to_their_marker() -> None:
    scripted = engine(faults={"MARK": "refused", "OTHER": "truncated"}, heal_after=2)
    replies = [ask(scripted, "score=9", "score=2", "MARK").text for _ in range(4)]
    assert [text.startswith("I'm sorry") for text in replies] == [True, True, False, False]
    assert ask(scripted, "score=9", "score=2", "OTHER").finish_reason == "length"
    assert ask(scripted, "score=9", "score=2").text == replies[-1]


def test_death_is_reported() -> None:
    with pytest.raises(EngineDeadError):
        ask(engine(faults={"MARK": "die"}), "a", "MARK")


KILLED = """
from tests.unit.test_engines_scripted import ask, engine
print("asked", flush=True)
ask(engine(faults={"MARK": "kill"}), "a", "MARK")
print("replied", flush=True)
"""


def test_a_kill_is_a_real_sigkill() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-9, "asked\n")


@pytest.mark.parametrize(
    "script", [{"faults": {"x": "sneeze"}}, {"speed": 3}, {"start_fault": "refuse"}]
)
def test_a_script_that_cannot_start(script: Row) -> None:
    with pytest.raises(EngineStartError):
        engine(**script)
