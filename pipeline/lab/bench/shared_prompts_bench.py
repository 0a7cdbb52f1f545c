"""What pairs of one prompt save: shuffled, judged as they come and those of a prompt together."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from pipeline.engines.engine import Chat, Engine, Rendered, Reply, Sampling, model_path
from pipeline.engines.engine_registry import start_engine
from pipeline.lab.bench.dummy_pairs import dummy_text, noise_jpeg
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.flow_size import units_in_flight
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.pair_turns import PairTurns
from pipeline.labeling.planning.plan import plan_shards
from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.media.media_store import MediaStore
from pipeline.pairs.contents import asked_by_user, media_part, pair_row, text_part
from pipeline.pairs.shards import open_input
from pipeline.runtime.config_file import load_config
from pipeline.runtime.phases import phase
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2

AS_THEY_COME, TOGETHER = "as they come", "together"
_CANDIDATES = 4  # of a prompt, so six pairs
_QUESTION_WORDS = 30
_BLOCK = 16  # tokens that vLLM's prefix cache keeps or drops together; on a CPU 128
_WARM_UP = 4  # prompts, so 24 pairs
_SHARE = 0.8  # of the replies, up to which the rate is taken: the last ones leave slots empty
_PLACEHOLDER = "<|image_pad|>"
Size = tuple[int, int]


def bench_shared_prompts(
    config_path: str,
    overrides: Sequence[str],
    folder: Path,
    pictures: Sequence[Size],
    prompts: int,
    words: int,
    repeats: int,
) -> dict[str, Any]:
    """Judges shuffled pairs, six of each prompt, in one engine: both ways by turns.

    Every run has pictures of its own, so that it finds nothing of the runs before it in the cache,
    and the same texts, so that forced replies are as long.

    Args:
        config_path: of the job's configuration.
        overrides: of it.
        folder: for the pairs and pictures.
        pictures: their sizes in pixels; each is a mix.
        prompts: of a mix, each with a picture of its own.
        words: of an answer, about.
        repeats: runs of each way and mix.
    """
    sizes = (list(pictures), prompts, words, repeats)
    measured = in_fresh_process(_measure, config_path, list(overrides), folder, *sizes)
    runs: list[dict[str, Any]] = measured["runs"]
    rows: list[dict[str, Any]] = []
    reached, gains = {}, {}
    for size in dict.fromkeys(run["picture"] for run in runs):
        ways = {way: _middle(runs, size, way) for way in (AS_THEY_COME, TOGETHER)}
        rows += ways.values()
        together, chance = ways[TOGETHER], ways[AS_THEY_COME]
        reached[size] = round(together["cached_share"] / together["possible_share"], 3)
        gains[size] = round(together["judgments_per_s"] / chance["judgments_per_s"], 3)
    return {
        "benchmark": "shared-prompts",
        "rows": rows,
        "runs": runs,
        "reached": reached,
        "judgments_ratio": gains,
        "engine_start_s": measured["engine_start_s"],
        "units_in_flight": measured["units_in_flight"],
        "prompts": prompts,
        "repeats": repeats,
        "notes": [
            "cached_share: prompt tokens that the engine had in its prefix cache; possible_share: "
            "those with which an earlier request of the run began, in whole blocks of "
            f"engine.args.block_size, or {_BLOCK} (say so on a CPU, where vLLM has 128)",
            "reached: of what is possible, together; judgments_ratio: together over as they come",
            f"judgments_per_s: up to {100 * _SHARE:.0f} % of the replies; medians",
            "as they come is only worse where pairs of a prompt lie further apart than the engine "
            "has pairs in flight, or in its cache: give more prompts, or engine.max_num_seqs",
        ],
    }


def write_shared_prompts(
    folder: Path, size: Size, prompts: int, words: int, pictures_seed: int
) -> Path:
    """Writes one shard of shuffled pairs, six a prompt, and the pictures that it names.

    Args:
        folder: for the shard and the pictures, which replace those there.
        size: of the pictures, pixels.
        prompts: how many.
        words: of an answer, about.
        pictures_seed: pictures alone depend on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    rows = []
    for prompt in range(prompts):
        name = f"picture-{prompt}.jpg"
        (folder / name).write_bytes(noise_jpeg(size, pictures_seed * prompts + prompt, grain=8))
        picture = media_part("image", {"bytes": None, "path": name})
        asked = asked_by_user(picture, text_part(dummy_text(rng, _QUESTION_WORDS)))
        lengths = [round(rng.lognormvariate(0, 0.3) * words) for _ in range(_CANDIDATES)]
        answers = [[text_part(dummy_text(rng, max(1, length)))] for length in lengths]
        for first, second in itertools.combinations(range(_CANDIDATES), 2):
            pair_id = f"{prompt}-{first}{second}"
            rows.append(pair_row(pair_id, asked, [answers[first], answers[second]]))
    rng.shuffle(rows)
    pq.write_table(table_of(rows, PAIRS_V2), folder / "pairs.parquet", row_group_size=512)
    return folder


def possible_share(prompts: Sequence[Sequence[Any]], size: int = _BLOCK) -> float:
    """The share of tokens with which an earlier prompt began, in whole blocks.

    Args:
        prompts: tokens of each, those of a picture told apart from those of others.
        size: tokens of a block.
    """
    seen: set[int] = set()
    found = 0
    for tokens in prompts:
        before, known = 0, True
        for block in range((len(tokens) - 1) // size):  # the last token is always computed
            before = hash((before, *tokens[block * size : (block + 1) * size]))
            known = known and before in seen
            found += size * known
            seen.add(before)
    return found / sum(map(len, prompts))


class _AsTheyCome(PairTurns):
    """Turns that know no prompts in common."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncIterator[None]:
        async with super().turn(b"%d" % next(self._numbers)):
            yield


class _Counting:
    """An engine, and what it was asked and replied.

    Attributes:
        asked: the prompts' tokens, how long they are, and what tells their picture from others.
        replies: to them.
        ended: when each reply ended.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.at_once = engine.at_once
        self.asked: list[tuple[Sequence[int], int, int]] = []
        self.replies: list[Reply] = []
        self.ended: list[float] = []

    def render(self, chat: Chat) -> Rendered:
        return self._engine.render(chat)

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        reply = await self._engine.reply(request_id, prompt, sampling)
        self.ended.append(time.monotonic())
        self.replies.append(reply)
        (picture,) = prompt.chat.images
        shown = hash(picture.crop((0, 0, 16, 16)).tobytes())  # noise: no two are alike
        self.asked.append((prompt.token_ids, prompt.length, shown))
        return reply

    def close(self) -> None:
        self._engine.close()


def _measure(
    config_path: str,
    overrides: list[str],
    folder: Path,
    pictures: list[Size],
    prompts: int,
    words: int,
    repeats: int,
) -> dict[str, Any]:
    config = load_config(LabelConfig, config_path, overrides, own_sections=True)
    began = time.monotonic()
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_engine(config.judge, config.engine)
    start_s = round(time.monotonic() - began, 1)
    tasks = tasks_of(config, write_shared_prompts(folder / "warm", pictures[0], _WARM_UP, words, 0))
    in_flight = 0

    async def all_runs() -> list[dict[str, Any]]:
        nonlocal in_flight
        await run_way(engine, config, folder / "warm", tasks, AS_THEY_COME, 1)
        runs, seed = [], itertools.count(1)
        for size, _, way in itertools.product(pictures, range(repeats), (AS_THEY_COME, TOGETHER)):
            here = folder / f"{size[0]}x{size[1]}"
            await asyncio.to_thread(write_shared_prompts, here, size, prompts, words, next(seed))
            todo = tasks_of(config, here)
            node = {"GPU": max(1, config.workers.gpus), "object_store_memory": 2**34}
            in_flight = units_in_flight(todo, config, [{"Resources": node}]).judged
            run = await run_way(engine, config, here, todo, way, in_flight)
            runs.append({"picture": here.name, "order": way, **run})
            report_run(way, runs[-1])
        return runs

    try:
        runs = asyncio.run(all_runs())
    finally:
        engine.close()
    return {"runs": runs, "engine_start_s": start_s, "units_in_flight": in_flight}


def tasks_of(config: LabelConfig, folder: Path) -> Sequence[ShardTask]:
    """The shard of a folder, cut into units."""
    source, prefix = open_input(str(folder))
    nothing = Store("/nonexistent")
    return plan_shards(source, prefix, nothing, config.input, config.judge, "shared").tasks


async def run_way(
    engine: Engine,
    config: LabelConfig,
    folder: Path,
    tasks: Sequence[ShardTask],
    way: str,
    in_flight: int,
) -> dict[str, Any]:
    """Judges the units of a shard as a worker does: some at once, the next when one is done."""
    counting, media = _Counting(engine), MediaStore([str(folder)], config.judge.media.max_bytes)
    turns = PairTurns if way == TOGETHER else _AsTheyCome
    judge = Judge(counting, config.judge, config.engine, media, turns=turns)
    units, source = asyncio.Semaphore(in_flight), Store(str(folder))
    how = (config.input.mapping(), config.input.unit_bytes, config.input.read_seconds)
    tables = [table for task in tasks for table in read_units(source, task, *how)]

    async def one(table: Any) -> list[dict[str, Any]]:
        async with units:
            unit, pairs = unit_of(table)
            return await judge.judge_unit(unit, pairs, {"judge_id": "", "run_id": ""})

    began = time.monotonic()
    rows = await asyncio.gather(*(one(table) for table in tables))
    return _figures(config, counting, began) | {"pairs": sum(map(len, rows))}


def _figures(config: LabelConfig, counting: _Counting, began: float) -> dict[str, Any]:
    replies, ended = counting.replies, counting.ended
    tokens = sum(reply.prompt_tokens for reply in replies)
    counted = max(1, round(_SHARE * len(ended)))
    size = int(config.engine.args.get("block_size", _BLOCK))
    expanded = _expanded(config.judge.model.name, counting.asked)
    return {
        "cached_share": round(sum(reply.cached_tokens for reply in replies) / tokens, 4),
        "possible_share": round(possible_share(expanded, size), 4),
        "judgments_per_s": round(counted / (sorted(ended)[counted - 1] - began), 2),
        "prompt_tokens_a_judgment": round(tokens / len(replies), 1),
        "output_tokens_a_judgment": round(sum(r.output_tokens for r in replies) / len(replies), 1),
        "seconds": round(max(ended) - began, 1),
    }


def _expanded(model: str, asked: Sequence[tuple[Sequence[int], int, int]]) -> list[list[Any]]:
    """Tokens of prompts of one picture, which stands for as many tokens as it takes."""
    from transformers import AutoTokenizer  # takes seconds

    tokenizer: Any = AutoTokenizer.from_pretrained(model_path(model))
    placeholder = tokenizer.convert_tokens_to_ids(_PLACEHOLDER)
    whole = []
    for ids, length, shown in asked:
        place, picture = ids.index(placeholder), (shown, shown)
        expanded = [picture] * (1 + length - len(ids))
        whole.append([*ids[:place], *expanded, *ids[place + 1 :]])
    return whole


def _middle(runs: Sequence[dict[str, Any]], size: str, way: str) -> dict[str, Any]:
    some = [run for run in runs if run["picture"] == size and run["order"] == way]
    numbers = [name for name, value in some[0].items() if not isinstance(value, str)]
    return {"picture": size, "order": way} | {
        name: round(median(run[name] for run in some), 4) for name in numbers
    }
