"""Makes pair shards for tests: rows of pairs v1 with real pictures in them."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.pairs.contents import KINDS, leading, media_of, shown_text, text_part
from pipeline.pairs.mapped_rows import pair_of
from pipeline.pairs.pair_hash import Piece, pair_hash, v1_question
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.parts.part_keys import ShardParts
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS, PAIRS_V2


@functools.lru_cache(maxsize=1_024)
def picture(seed: int = 0, size: tuple[int, int] = (56, 56), kind: str = "PNG") -> bytes:
    """An encoded picture whose pixels depend on ``seed``.

    By default of a size that needs no resizing, so that processes without an engine need no torch.
    """
    noise = random.Random(seed).randbytes(3 * size[0] * size[1])
    image = Image.frombytes("RGB", size, noise)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def response(text: str | None, **more: Any) -> dict[str, Any]:
    """A response of pairs v1."""
    return {"text": text, "images": None, "videos": None, "model": None} | more


def pair(number: int, **more: Any) -> dict[str, Any]:
    """Row ``number`` of pairs v1; the scripted engine prefers a, b or a tie, in turn."""
    score_a, score_b = [(9, 2), (3, 8), (5, 5)][number % 3]
    row: dict[str, Any] = dict.fromkeys(PAIRS.names)
    row |= {
        "pair_id": f"pair-{number}",
        "prompt": f"What is in picture {number}?",
        "response_a": response(f"Answer {number}, score={score_a}"),
        "response_b": response(f"Reply {number}, score={score_b}"),
        "source": "tests",
    }
    if "images" not in more:
        row["images"] = [{"bytes": picture(number), "path": None}]
    return row | more


def shard_bytes(
    rows: list[dict[str, Any]], group_rows: int | Sequence[int] = 16, **options: Any
) -> bytes:
    """A shard of pairs v1 or v2, with row groups of ``group_rows`` or of exactly these sizes."""
    buffer = pa.BufferOutputStream()
    schema = PAIRS if not rows or "prompt" in rows[0] else PAIRS_V2
    table = pa.Table.from_pylist(rows, schema=schema)
    if isinstance(group_rows, int):
        pq.write_table(table, buffer, row_group_size=group_rows, **options)
        return bytes(buffer.getvalue())
    if sum(group_rows) != len(rows):
        raise ValueError(f"row groups of {group_rows} do not make {len(rows)} rows")
    with pq.ParquetWriter(buffer, schema, **options) as writer:
        start = 0
        for size in group_rows:
            writer.write_table(table.slice(start, size), row_group_size=max(1, size))
            start += size
    return bytes(buffer.getvalue())


def write_shard(
    path: Path, rows: list[dict[str, Any]], group_rows: int | Sequence[int] = 16
) -> None:
    """Writes a pair shard to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(shard_bytes(rows, group_rows))


def labels_of(output: str | Path) -> list[dict[str, Any]]:
    """Every row of every part that counts under an output root, sorted by shard and row."""
    store = Store(str(output))
    folders: dict[str, list[str]] = {}
    for entry in store.list("parts"):
        folders.setdefault(entry.key.rpartition("/")[0], []).append(entry.key)
    parts = [part for keys in folders.values() for part in ShardParts.of(keys).parts]
    rows: list[dict[str, Any]] = []
    for part in parts:
        rows += pq.read_table(pa.BufferReader(store.read(part.key))).to_pylist()
    return sorted(rows, key=lambda row: (row["shard"], row["row"], row["judge_id"]))


def read(row: dict[str, Any]) -> dict[str, Any]:
    """A row of pairs v1 as it is in memory once it is read."""
    found, problems = pair_of(PairMapping(), row)
    return found | {"defect": row.get("defect") or "; ".join(problems) or None}


def asking(row: dict[str, Any], text: str) -> dict[str, Any]:
    """A row of pairs v2 with another text of its question, beneath the same media."""
    *before, last = row["messages"]
    media, _ = leading(last["content"])
    return row | {"messages": [*before, last | {"content": [*media, text_part(text)]}]}


def pieces(content: Sequence[dict[str, Any]], root: Path = Path()) -> list[Piece]:
    """A content with the bytes of its media; paths are relative to ``root``."""
    return [
        (part["type"], part["text"] or "" if part["type"] == "text" else _bytes(part, root))
        for part in content
    ]


def hash_of(row: dict[str, Any], root: Path = Path()) -> str:
    """The pair hash of a row of pairs v1 or v2."""
    held = read(row) if "prompt" in row else row
    asked = [pieces(each["content"], root) for each in held["messages"]]
    answers = [pieces(each["content"], root) for each in held["candidates"]]
    return pair_hash(held, asked, answers)


def _bytes(part: dict[str, Any], root: Path) -> bytes:
    medium = part[part["type"]]
    return bytes(medium["bytes"] or (root / medium["path"]).read_bytes())


def as_v1(row: dict[str, Any]) -> dict[str, Any]:
    """A row of pairs v2 as a person would write it in pairs v1, media in texts as ``<image>``."""
    said = row["messages"] or []
    plain = v1_question(said) is not None
    texts = [_text(each["content"], plain) for each in said]
    alone = len(said) == 1 and said[0]["role"] == "user"
    turns = [
        {"role": each["role"], "content": text} for each, text in zip(said, texts, strict=True)
    ]
    found = [
        each
        and {
            "text": _text(each["content"], leads(each["content"])) or None,
            "model": each["model"],
            **_media_of(each["content"]),
        }
        for each in row["candidates"] or ()
    ]
    pair_ = dict(zip(("response_a", "response_b"), found, strict=True)) if len(found) == 2 else {}
    return {
        **{name: row[name] for name in ("pair_id", "gold", "gold_scores", "source", "metadata")},
        "defect": row.get("defect"),
        "prompt": texts[0] if alone else None,
        "messages": None if alone else turns or None,
        **_media_of([part for each in said for part in each["content"]]),
        "response_a": pair_.get("response_a"),
        "response_b": pair_.get("response_b"),
        "candidates": found if len(found) not in (0, 2) else None,
    }


def leads(content: Sequence[dict[str, Any]]) -> bool:
    """Whether all media of a content begin it."""
    return all(part["type"] == "text" for part in leading(content)[1])


def _media_of(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {f"{kind}s": media_of(parts, kind) or None for kind in KINDS}


def _text(content: Sequence[dict[str, Any]], plain: bool) -> str:
    first, rest = leading(content)
    return shown_text(rest if plain else [*first, *rest])
