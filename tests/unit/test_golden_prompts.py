"""Golden prompts: random rows of pairs v1 are shown, and hashed, as they were before pairs v2.

The digests are those of commit d141aeb, which knew no parts: a row's media stood before its texts.
Texts have no placeholders of media, which became media then.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any, cast

import pyarrow as pa
import pytest

from pipeline.engines.engine import Chat, Layout, Rendered
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.prompting import Prompting
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_store import MediaStore
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping
from schemas.pairs import PAIRS

WORDS = ("Why?", "ein Wort", "\n", "\n\n", "{question}", "<b>", "Human:", "世界", " ", "1.", "…")
ROWS = 150
GOLDEN = {
    "pairwise_scores": "76f834e5dd63572ba921eef4391080c0caec8e322bbc576594eaf353c156458d",
    "single_score": "3c364ac163dfa1793914c2836ee25733bb668e2ed44a24c46b09191d0ff8b175",
    "batch_ranking": "ec3eed5ce4f8178adccd24c210a3136534529866fd50fe17c720008345a7a065",
}


def texts(rng: random.Random, most: int = 6) -> str:
    """Words, of which one is no space."""
    return "x" + "".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def media(rng: random.Random, most: int = 2) -> list[dict[str, Any]] | None:
    found = [{"bytes": rng.randbytes(9), "path": None} for _ in range(rng.randint(0, most))]
    return found or None


def answer(rng: random.Random) -> dict[str, Any]:
    return {"text": texts(rng), "images": None, "videos": None, "model": rng.choice((None, "m"))}


def row_of(rng: random.Random, number: int, candidates: int) -> dict[str, Any]:
    """A row of pairs v1: a prompt or a conversation, with pictures or without."""
    row: dict[str, Any] = {**dict.fromkeys(PAIRS.names), "pair_id": f"p{number}"}
    row["images"] = media(rng)
    if rng.random() < 0.5:
        row["prompt"] = texts(rng)
    else:
        roles = ["system"] * rng.randint(0, 1) + ["user", "assistant"] * rng.randint(0, 2)
        row["messages"] = [{"role": each, "content": texts(rng)} for each in (*roles, "user")]
    answers = [answer(rng) for _ in range(candidates)]
    for place, each in enumerate(answers):
        each["text"] += str(place)  # no two are equal
    if candidates == 2:
        return row | {"response_a": answers[0], "response_b": answers[1]}
    return row | {"candidates": answers}


class Shown:
    """Lays a chat out as it is; a picture is its bytes in hexadecimal digits."""

    def render(self, chat: Chat) -> Rendered:
        return Rendered((), 1, chat)

    def image(self, data: bytes) -> str:
        return f"[{data.hex()}]"


@pytest.mark.parametrize("name", GOLDEN)
def test_prompts_and_hashes_are_as_they_were(name: str) -> None:
    count = {"pairwise_scores": 2, "single_score": 1}.get(name)
    rng = random.Random(name)
    judge = JudgeConfig.model_validate({"format": name})
    shown = Shown()
    prompting = Prompting(
        cast(Layout, shown), judge, MediaStore([], 10**6), cast(MediaDecoder, shown)
    )
    rows = [row_of(rng, n, count or rng.randint(3, 5)) for n in range(ROWS)]
    digest = hashlib.sha256()
    for pair in to_pairs(PairMapping(), pa.Table.from_pylist(rows, PAIRS)).to_pylist():
        row = prompting.identify(pair)
        prepared = prompting.prepare(row)
        digest.update(row.pair_hash.encode())
        for order in judge.declared_format.orders(len(row.candidates), 0, row.pair_hash):
            chat = prompting.prompt(prepared, order).chat
            digest.update(f"{chat.system}\0{''.join(map(str, chat.parts))}\0".encode())
    assert digest.hexdigest() == GOLDEN[name]
