"""The kinds of engines, what each can do, and how one is started or asked for its layout.

Only the libraries of the kind that is used are imported. A package beside this one adds a kind by
an entry point of the group ``pairmill.engines``, whose name is the kind and whose object is an
:class:`EngineKind`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

from pipeline.engines.engine import Engine, Layout, Scalar, Scorer
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.forced_lengths import ForcedLengths
from pipeline.judging.judge_config import JudgeConfig
from pipeline.runtime.errors import ConfigError

GROUP = "pairmill.engines"


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """A kind of engine.

    Attributes:
        engine: ``module:class``; called with the sections ``judge`` and ``engine``.
        layout: the same of what lays its prompts out without an engine; called likewise.
        weights: where the judge's weights lie: in files that we can read, or at a server.
        clips: whether a prompt may show clips.
        seeds: whether replies are sampled with a seed of their own.
        gpu: whether it fills a GPU.
        scores: whether it runs reward models: ``engine`` is called with a third argument then.
        logprobs: whether it gives log-probabilities of what a reply could have been.
        constrains: whether it can hold a verdict to its grammar.
    """

    engine: str
    layout: str
    weights: Literal["files", "server"] = "files"
    clips: bool = True
    seeds: bool = True
    gpu: bool = True
    scores: bool = False
    logprobs: bool = False
    constrains: bool = False


_LOCAL = "pipeline.engines.chat_layout:layout_of_model"
_OURS: Mapping[str, EngineKind] = {
    "vllm": EngineKind(
        engine="pipeline.engines.vllm_engine:VllmEngine",
        layout=_LOCAL,
        scores=True,
        logprobs=True,
        constrains=True,
    ),
    "transformers": EngineKind(
        engine="pipeline.engines.transformers_engine:TransformersEngine",
        layout=_LOCAL,
        scores=True,
        logprobs=True,
    ),
    "openai": EngineKind(
        engine="pipeline.engines.openai_engine:OpenAIEngine",
        layout="pipeline.engines.openai_engine:ChatRequests",
        weights="server",
        gpu=False,
        logprobs=True,
    ),
    "scripted": EngineKind(
        engine="pipeline.engines.scripted_engine:ScriptedEngine",
        layout="pipeline.engines.scripted_engine:ScriptedEngine",
        scores=True,
        logprobs=True,
    ),
}


def engine_kind(name: str) -> EngineKind:
    """The kind of engine with a name.

    Raises:
        ConfigError: there is none.
    """
    if name in _OURS:
        return _OURS[name]
    others = {point.name: point for point in entry_points(group=GROUP)}
    if name not in others:
        known = ", ".join(sorted((*_OURS, *others)))
        raise ConfigError(f"engine.kind {name!r}: expected one of {known}")
    kind = others[name].load()
    if not isinstance(kind, EngineKind):
        raise ConfigError(f"engine.kind {name!r}: {others[name].value} is no EngineKind")
    return kind


def check_engine(judge: JudgeConfig, engine: EngineConfig) -> None:
    """Checks, before anything is started, that the engine can do what the judge needs.

    Raises:
        ConfigError: it cannot, or a real engine is given a script.
    """
    kind = engine_kind(engine.kind)
    if judge.media.video.max_videos and not kind.clips:
        raise ConfigError(
            f"engine.kind {engine.kind!r} shows no clips: set judge.media.video.max_videos to 0"
        )
    if judge.declared_format.family == "reward" and not kind.scores:
        raise ConfigError(
            f"engine.kind {engine.kind!r} runs no reward models, and this judge's format "
            f"{judge.format} is of the family reward; expected a kind that scores, such as vllm"
        )
    if judge.sampling.constrained and not kind.constrains:
        raise ConfigError(
            f"engine.kind {engine.kind!r} holds no verdict to a grammar, which "
            "judge.sampling.constrained needs: set it to false, or take a kind that does, such as "
            "vllm"
        )
    if judge.sampling.soft_votes and not kind.logprobs:
        raise ConfigError(
            f"engine.kind {engine.kind!r} gives no log-probabilities, which "
            "judge.sampling.soft_votes needs: set it to false, or take a kind that does, such as "
            "vllm"
        )
    if judge.sampling.soft_votes and engine.kind == "openai" and not engine.endpoint.logprobs:
        raise ConfigError(
            "judge.sampling.soft_votes needs a server that gives log-probabilities with its "
            "replies: set engine.endpoint.logprobs if it does (vLLM and SGLang), or soft_votes to "
            "false"
        )
    if engine.kind != "scripted" and engine.script:
        mean = engine.script.get("reply_tokens")
        if engine.script.keys() != {"reply_tokens"} or not isinstance(mean, int) or mean < 1:
            raise ConfigError(
                f"engine.script {engine.script}: engine.kind {engine.kind!r} takes nothing but "
                "reply_tokens, a positive number; the rest is the scripted engine's"
            )


def start_engine(judge: JudgeConfig, engine: EngineConfig) -> Engine:
    """Starts the configured engine.

    A real engine takes from ``engine.script`` only ``reply_tokens``, which benchmarks set: the
    mean of reply lengths that are forced (see :mod:`pipeline.engines.forced_lengths`).

    Raises:
        EngineStartError: it cannot be started; the message says what to change.
        ConfigError: it cannot do what the judge needs.
    """
    check_engine(judge, engine)
    started: Engine = _load(engine_kind(engine.kind).engine)(judge, engine)
    if engine.kind == "scripted" or not engine.script:
        return started
    return ForcedLengths(started, engine.script["reply_tokens"])


def start_scorer(judge: JudgeConfig, engine: EngineConfig) -> Scorer:
    """Starts the configured engine with a judge that is a reward model.

    Raises:
        EngineStartError: it cannot be started; the message says what to change.
        ConfigError: it cannot do what the judge needs.
    """
    check_engine(judge, engine)
    scalar = Scalar(judge.declared_format.declared.head_tokens)
    started: Scorer = _load(engine_kind(engine.kind).engine)(judge, engine, scalar)
    return started


def layout_of(judge: JudgeConfig, engine: EngineConfig) -> Layout:
    """What lays prompts out as the configured engine would, without starting it.

    Raises:
        EngineStartError: the model's tokenizer cannot be loaded.
    """
    layout: Layout = _load(engine_kind(engine.kind).layout)(judge, engine)
    return layout


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
