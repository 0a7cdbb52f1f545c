"""Starts the engine that the configuration names; only that engine's libraries are imported."""

from __future__ import annotations

from pipeline.engines.engine import Engine, Layout
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.forced_lengths import ForcedLengths
from pipeline.judging.judge_config import JudgeConfig
from pipeline.runtime.errors import ConfigError


def start_engine(judge: JudgeConfig, engine: EngineConfig) -> Engine:
    """Starts the configured engine.

    A real engine takes from ``engine.script`` only ``reply_tokens``, which benchmarks set: the
    mean of reply lengths that are forced (see :mod:`pipeline.engines.forced_lengths`).

    Raises:
        EngineStartError: it cannot be started; the message says what to change.
    """
    if engine.kind == "scripted" or not engine.script:
        return _start(judge, engine)
    mean = engine.script.get("reply_tokens")
    if engine.script.keys() != {"reply_tokens"} or not isinstance(mean, int) or mean < 1:
        raise ConfigError(
            f"engine.script {engine.script}: engine.kind {engine.kind!r} takes nothing but "
            "reply_tokens, a positive number; the rest is the scripted engine's"
        )
    return ForcedLengths(_start(judge, engine), mean)


def layout_of(judge: JudgeConfig, engine: EngineConfig) -> Layout:
    """What lays prompts out as the configured engine would, without starting it.

    Raises:
        EngineStartError: the model's tokenizer cannot be loaded.
    """
    if engine.kind == "scripted":
        return _start(judge, engine)
    from pipeline.engines.chat_layout import ChatRenderer

    return ChatRenderer(judge)


def _start(judge: JudgeConfig, engine: EngineConfig) -> Engine:
    if engine.kind == "vllm":
        from pipeline.engines.vllm_engine import VllmEngine

        return VllmEngine(judge, engine)
    if engine.kind == "transformers":
        from pipeline.engines.transformers_engine import TransformersEngine

        return TransformersEngine(judge, engine)
    if engine.kind == "scripted":
        from pipeline.engines.scripted_engine import ScriptedEngine

        return ScriptedEngine(judge, engine)
    raise ConfigError(f"engine.kind {engine.kind!r}: expected vllm, transformers or scripted")
