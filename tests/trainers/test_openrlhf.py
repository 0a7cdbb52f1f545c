"""OpenRLHF's own data set reads our exports as its DPO and reward trainers do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.exporting import Corpus
from tests.trainers.conftest import WEIGHTS, exported

pytest.importorskip("openrlhf")
from transformers import AutoTokenizer  # behind the skip: it takes seconds

_KEYS = {"prompt_key": "prompt", "chosen_key": "chosen", "rejected_key": "rejected"}


class _Strategy:
    """What the data set asks its trainer for: the arguments of the card's command line."""

    args = SimpleNamespace(data=SimpleNamespace(**_KEYS, apply_chat_template=True), use_ms=False)

    def print(self, *text: object) -> None:
        """Prints nothing."""

    def is_rank_0(self) -> bool:
        """Says no, so that nothing else is printed."""
        return False


def test_pairs_of_text(talks: Corpus, shared_ray: str) -> None:
    from openrlhf.datasets import RewardDataset
    from openrlhf.datasets.utils import blending_datasets

    folder, strategy = exported(talks, "openrlhf", validation=0), _Strategy()
    rows = blending_datasets(str(folder), strategy=strategy)
    tokenizer: Any = AutoTokenizer.from_pretrained(WEIGHTS)
    for_dpo = RewardDataset(rows, tokenizer, 4_096, strategy, is_dpo=True, num_processors=1)
    assert len(for_dpo) == 56
    whole = 0
    columns = (for_dpo.prompts, for_dpo.chosens, for_dpo.rejects, for_dpo.extras)
    for prompt, chosen, rejected, length in zip(*columns, strict=True):
        assert chosen.startswith("Certainly: ")
        assert rejected.startswith("No idea, ")
        assert length == len(tokenizer(prompt)["input_ids"])
        whole += all(text in prompt for text in ("Be brief.", "A?", "B.", "C?"))
    assert whole == 1
    for_rewards = RewardDataset(rows, tokenizer, 4_096, strategy, num_processors=1)
    assert set(for_rewards.extras) <= {5.0, 7.0}
