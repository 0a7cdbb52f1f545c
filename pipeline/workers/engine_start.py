"""Starts the engine that the configuration names; only that engine's libraries are imported."""

from __future__ import annotations

from pipeline.core.config import EngineConfig, JudgeConfig
from pipeline.core.errors import ConfigError
from pipeline.workers.engine import Engine


def start_engine(judge: JudgeConfig, engine: EngineConfig) -> Engine:
    """Starts the configured engine.

    Raises:
        EngineStartError: it cannot be started; the message says what to change.
    """
    if engine.kind == "vllm":
        from pipeline.workers.vllm_engine import VllmEngine

        return VllmEngine(judge, engine)
    if engine.kind == "transformers":
        from pipeline.workers.transformers_engine import TransformersEngine

        return TransformersEngine(judge, engine)
    if engine.kind == "scripted":
        from pipeline.workers.scripted_engine import ScriptedEngine

        return ScriptedEngine(judge, engine)
    raise ConfigError(f"engine.kind {engine.kind!r}: expected vllm, transformers or scripted")
