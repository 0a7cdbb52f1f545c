"""What early verdicts would save: a judge's reasoning ended at marks, and the verdict asked for.

A pair's reasoning would end at the second mark in a row at which the verdicts of both orders agree
and are what they were at the mark before. Replies are written to their end here, so that each early
verdict is compared with the one that the same two replies come to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.engines.engine import Engine, Rendered, Sampling
from pipeline.engines.engine_registry import start_engine
from pipeline.judging.endings import ending_of
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.parsing import Verdict
from pipeline.lab.bench.bench_requests import prompts_of
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.phases import phase

_CLOSING = re.compile(r"</think>\s*<answer>")
_VERDICT_TOKENS = 24  # most that a probe writes
_UNREAD = "unread"


@dataclass(frozen=True)
class _Reasoned:
    """A reply with the verdicts that its judge gives at marks.

    Attributes:
        verdict: of the whole reply: a, b, tie or unread.
        tokens: of the whole reply.
        early: the verdict at each mark that lies within the reasoning.
        probed: tokens that each probe writes, and the closing tokens that it is given.
    """

    verdict: str
    tokens: int
    early: tuple[str, ...]
    probed: tuple[int, ...]


def bench_early_verdicts(
    config_path: str, overrides: Sequence[str], input_uri: str, every: Sequence[int]
) -> dict[str, Any]:
    """Asks about every pair in both orders, and again at marks of each reasoning.

    Args:
        config_path: of the job's configuration, whose judge replies within ``<think>`` and
            ``<answer>`` tags.
        overrides: of it.
        input_uri: pair shards.
        every: tokens from one mark to the next; one row for each.
    """
    found = in_fresh_process(_measure, config_path, overrides, input_uri, every)
    return {
        "benchmark": "early-verdicts",
        "rows": [_row(distance, pairs) for distance, pairs in found.items()],
        "notes": [
            "saved: of the tokens that replies have without marks; with_probes: less what the "
            "probes up to the end write, and are given to close the reasoning",
            "changed: pairs that end early whose verdict is then another than without, of all; "
            "their orders agree early, where later they may not",
        ],
    }


def _measure(
    config_path: str, overrides: Sequence[str], input_uri: str, every: Sequence[int]
) -> dict[int, list[tuple[_Reasoned, _Reasoned]]]:
    config = load_config(LabelConfig, config_path, list(overrides), own_sections=True)
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_engine(config.judge, config.engine)
    prompts = prompts_of(config, input_uri, engine)
    found = {}
    for distance in every:
        made = asyncio.run(_ask_all(engine, config.judge, prompts, distance))
        found[distance] = list(zip(made[::2], made[1::2], strict=True))
    engine.close()
    return found


async def _ask_all(
    engine: Engine, judge: JudgeConfig, prompts: Sequence[Rendered], every: int
) -> list[_Reasoned]:
    asked = (_ask(engine, judge, each, n, every) for n, each in enumerate(prompts))
    return list(await asyncio.gather(*asked))


async def _ask(
    engine: Engine, judge: JudgeConfig, prompt: Rendered, number: int, every: int
) -> _Reasoned:
    settings = judge.sampling
    ending = ending_of(judge, 2, prompt.chat.user, media=bool(prompt.chat.images))
    how = Sampling(settings.temperature, settings.top_p, settings.max_tokens, number, ending)
    reply = await engine.reply(f"whole-{every}-{number}", prompt, how)
    flipped = number % 2 == 1  # the second order of a pair shows its candidates the other way round
    verdict = _verdict(judge, reply.text, reply.finish_reason, flipped)
    closing = _CLOSING.search(reply.text)
    if closing is None:
        return _Reasoned(verdict, reply.output_tokens, (), ())
    reasoning = reply.text[: closing.start()]
    greedy = Sampling(0, 1.0, _VERDICT_TOKENS, 0, ending)
    early, probed = list[str](), list[int]()
    for mark, text in enumerate(_cut(engine, prompt, reasoning, every)):
        begun = text + closing.group()
        shown = engine.render(replace(prompt.chat, reply_prefix=judge.reply_prefix + begun))
        probe = await engine.reply(f"mark-{every}-{number}-{mark}", shown, greedy)
        early.append(_verdict(judge, begun + probe.text, probe.finish_reason, flipped))
        given = engine.render(replace(prompt.chat, reply_prefix=judge.reply_prefix + text))
        probed.append(probe.output_tokens + len(shown.token_ids) - len(given.token_ids))
    return _Reasoned(verdict, reply.output_tokens, tuple(early), tuple(probed))


def _cut(engine: Engine, prompt: Rendered, reasoning: str, every: int) -> list[str]:
    """The reasoning up to each mark, at the word behind which it has so many tokens more."""
    cuts: list[str] = []
    empty = len(engine.render(prompt.chat).token_ids)
    for word in re.finditer(r"\S+", reasoning):
        text = reasoning[: word.end()]
        tokens = len(engine.render(replace(prompt.chat, reply_prefix=text)).token_ids) - empty
        if tokens >= every * (len(cuts) + 1):
            cuts.append(text)
    return cuts


def _verdict(judge: JudgeConfig, text: str, finish: str | None, flipped: bool) -> str:
    read = judge.declared_format.parse(judge.reply_prefix + text, finish, 2)
    if not isinstance(read, Verdict) or len(read.scores) != 2:
        return _UNREAD
    first, second = read.scores[::-1] if flipped else read.scores
    return "tie" if first == second else "a" if first > second else "b"


def _row(every: int, pairs: Sequence[tuple[_Reasoned, _Reasoned]]) -> dict[str, Any]:
    whole = early = probes = ended = changed = 0
    for both in pairs:
        whole += sum(each.tokens for each in both)
        stop = _settled(both)
        marks = min(len(each.early) for each in both) if stop is None else stop + 1
        probes += sum(sum(each.probed[:marks]) for each in both)
        if stop is None:
            early += sum(each.tokens for each in both)
            continue
        ended += 1
        early += 2 * every * (stop + 1)
        changed += both[0].early[stop] != _label(both)
    return {
        "every": every,
        "pairs": len(pairs),
        "tokens_a_reply": round(whole / (2 * len(pairs)), 1),
        "ended_early": ended,
        "saved": round(1 - early / whole, 3),
        "with_probes": round(1 - (early + probes) / whole, 3),
        "changed": changed,
        "changed_share": round(changed / len(pairs), 4),
    }


def _settled(both: tuple[_Reasoned, _Reasoned]) -> int | None:
    """The mark at which both orders agree as they did at the mark before; None: at no mark."""
    at = list(zip(both[0].early, both[1].early, strict=False))
    for mark in range(1, len(at)):
        seen = {*at[mark], *at[mark - 1]}
        if len(seen) == 1 and _UNREAD not in seen:
            return mark
    return None


def _label(both: tuple[_Reasoned, _Reasoned]) -> str:
    """What two whole replies come to: a tie where they differ."""
    first, second = (each.verdict for each in both)
    return first if first == second else "tie"
