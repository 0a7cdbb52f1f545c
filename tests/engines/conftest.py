"""One real engine for the whole session: the tiny judge in vLLM on the CPU."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobs.demo import CONFIG
from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import Chat, Engine, Rendered, Reply, Sampling, Scorer
from pipeline.engines.engine_registry import start_engine, start_scorer
from pipeline.judging.endings import Ending, ending_of
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.media.media_store import MediaStore
from pipeline.runtime.config_file import load_config

Result = TypeVar("Result")
GREEDY = Sampling(temperature=0, top_p=1, max_tokens=192, seed=0)
BEGINNING = replace(GREEDY, max_tokens=48)  # of what is no verdict, and would go on for long


class TinyJudge:
    """The tiny judge on one engine, with an event loop of its own."""

    def __init__(self, config: LabelConfig, folder: Path) -> None:
        self.config = config
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        media = MediaStore([str(folder)], config.judge.media.max_bytes)
        if config.judge.declared_format.family == "reward":
            self.scorer: Scorer = start_scorer(config.judge, config.engine)
            labeler = Labeler.of(config.judge, config.policy)
            self.judge = Judge(self.scorer, config.judge, config.engine, media, labeler)
            return
        self.engine: Engine = start_engine(config.judge, config.engine)
        self.judge = Judge(self.engine, config.judge, config.engine, media)

    def close(self) -> None:
        """Ends the engine."""
        (self.scorer if hasattr(self, "scorer") else self.engine).close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def labels(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Judges rows of pairs v1, many at once."""
        where = {"shard": "s", "unit": "u", "judge_id": "j", "run_id": "r", "row": 0}

        async def all_rows() -> list[dict[str, Any]]:
            pairs = [row | {"defect": None} for row in rows]
            return await asyncio.gather(*(self.judge.judge_pair(p, where) for p in pairs))

        return self.run(all_rows())

    def answers(self, chats: Iterable[Chat]) -> list[Reply]:
        """The beginnings of greedy replies to chats, one after the other.

        The prompt's length must be as it was computed.
        """
        replies = []
        for number, chat in enumerate(chats):
            prompt = self.engine.render(chat)
            replies.append(self.run(self.engine.reply(f"c{number}", prompt, BEGINNING)))
            assert replies[-1].prompt_tokens == prompt.length
        return replies

    def ending_of(self, chat: Chat) -> Ending | None:
        """The ending of replies to a chat, as the job has it."""
        media = bool(chat.images or chat.clips)
        return ending_of(self.config.judge, 2, chat.user, media=media)

    def replies(self, rows: list[dict[str, Any]]) -> list[Reply]:
        """Greedy replies to both orders of each row, ended as the job ends them."""
        prepared = [self.judge.prepare(row | {"defect": None}) for row in rows]
        prompts = [prompt for pair in prepared for prompt in pair.prompts.values()]

        def how(prompt: Rendered) -> Sampling:
            return replace(GREEDY, ending=self.ending_of(prompt.chat))

        async def all_prompts() -> list[Reply]:
            asked = [self.engine.reply(f"r{i}", p, how(p)) for i, p in enumerate(prompts)]
            return await asyncio.gather(*asked)

        return self.run(all_prompts())


# More media a row than the demo's judge is asked about.
MEDIA = ("judge.media.max_images=4", "judge.media.video.max_videos=3")


def start_tiny(folder: Path, *overrides: str) -> TinyJudge:
    """Starts the tiny judge as the demo configures it, with room for more media."""
    return TinyJudge(load_config(LabelConfig, str(CONFIG), [*MEDIA, *overrides]), folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyJudge]:
    """The tiny judge in vLLM."""
    judge = start_tiny(tmp_path_factory.mktemp("media"))
    yield judge
    judge.engine.close()
