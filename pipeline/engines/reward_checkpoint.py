"""A reward model's checkpoint: how vLLM is to load it, and whether it scores as it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.engines.chat_layout import ChatRenderer
from pipeline.engines.engine import Chat, Scalar
from pipeline.engines.scalar_head import (
    head_weights,
    model_folder,
    pooling_overrides,
    token_ids,
)
from pipeline.judging.judge_config import ModelConfig
from pipeline.runtime.errors import EngineStartError

_PROBES = (
    ("Which colour is the sky by day?", "The sky is blue."),
    ("Which colour is the sky by day?", "The sky is a kind of cheese."),
    ("Name an animal that can fly.", "An eagle."),
)


class RewardCheckpoint:
    """One reward model's files.

    Attributes:
        head: its head; None of made-up weights, as benchmarks load them: these score anything.
    """

    def __init__(self, model: ModelConfig, scalar: Scalar) -> None:
        """Reads the head.

        Raises:
            EngineStartError: the checkpoint has no head that vLLM would load.
        """
        from transformers import AutoConfig, AutoTokenizer

        self._folder, self._model = model_folder(model), model
        try:
            self._config: Any = AutoConfig.from_pretrained(self._folder, trust_remote_code=False)
            tokenizer: Any = AutoTokenizer.from_pretrained(self._folder, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise EngineStartError(f"judge.model.name {model.name!r}: {error}") from error
        ids = token_ids(tokenizer, scalar)
        made_up = model.args.get("load_format") == "dummy"
        self.head = None if made_up else head_weights(self._folder, self._config, ids)
        named = None if ids is None else tokenizer.convert_ids_to_tokens(list(ids))
        self._tokens = None if named is None else (str(named[0]), str(named[1]))

    def engine_arguments(self, free: dict[str, Any]) -> dict[str, Any]:
        """The engine arguments of a configuration, and those that make vLLM score.

        Args:
            free: ``engine.args`` and ``judge.model.args``; they win.
        """
        overrides = pooling_overrides(self._config, self._tokens)
        return {
            "runner": "pooling",
            "enable_prefix_caching": True,  # not by default for every pooling model
            **free,
            "hf_overrides": overrides | free.get("hf_overrides", {}),
        }

    def probes(self, layout: ChatRenderer) -> list[list[int]]:
        """Token ids of the prompts whose scores are checked."""
        chats = [Chat(None, (question,), answer=answer) for question, answer in _PROBES]
        return [list(layout.render(chat).token_ids) for chat in chats]

    def check(self, scores: Sequence[float], probes: Sequence[Sequence[int]]) -> None:
        """Compares an engine's scores of the probes with those of transformers.

        Raises:
            EngineStartError: they differ.
        """
        if self.head is None:
            return
        from pipeline.engines.probe_scores import check_scores

        check_scores(scores, probes, self._folder, self.head, self._model.dtype)
