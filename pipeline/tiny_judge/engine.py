"""Greedy replies of a tiny judge through vLLM on a CPU, for its evaluation only.

The product has an engine of its own; this one exists so that the weights can be accepted
without it. vLLM is imported when used, because training machines need not have it.
"""

import os
from pathlib import Path
from typing import Any, Final

from PIL import Image

from pipeline.tiny_judge.layout import Layout
from pipeline.tiny_judge.pairs import Order, ScenePair

_LENGTH: Final = 1_024
_REPLY: Final = 192


def greedy_replies(folder: Path, prompts: list[tuple[ScenePair, Order, Image.Image]]) -> list[str]:
    """Reply to every prompt, greedily and in float32.

    Args:
        folder: The judge's Hugging Face folder.
        prompts: Pairs, the order to show their answers in, and pictures already resized.

    Returns:
        The texts, without the end-of-turn token.
    """
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    from vllm import LLM, SamplingParams

    layout = Layout.load(folder)
    front = [*layout.prefix(), layout.special("<|image_pad|>")]
    llm = LLM(
        model=str(folder),
        dtype="float32",
        enforce_eager=True,
        max_model_len=_LENGTH,
        max_num_seqs=64,
        # Chunked prefill is off: it rewinds seeded generators, which kills vLLM's CPU engine.
        enable_chunked_prefill=False,
        max_num_batched_tokens=8 * _LENGTH,
        limit_mm_per_prompt={"image": 1, "video": 0},
    )
    requests: list[Any] = [
        {
            "prompt_token_ids": front + layout.suffix(pair.question, *pair.answers(order)),
            "multi_modal_data": {"image": picture},
        }
        for pair, order, picture in prompts
    ]
    sampling = SamplingParams(temperature=0.0, max_tokens=_REPLY)
    return [output.outputs[0].text for output in llm.generate(requests, sampling)]
