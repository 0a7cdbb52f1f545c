"""The pairs of a judge's probes: drawn from gold, altered, and written as shards of their own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.evaluation.altered_pictures import AlteredPictures
from pipeline.evaluation.attacks import ATTACKS, Aimed
from pipeline.evaluation.controls import PICTURE_CONTROLS, picture_change
from pipeline.gold.gold_rows import GoldRow
from pipeline.gold.people import People
from pipeline.judging.judge_config import JudgeConfig
from pipeline.media.media_store import MediaStore
from pipeline.media.pair_contents import PairContents
from pipeline.pairs.contents import KINDS, contents_of
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import open_groups, readable_shards
from pipeline.pairs.shard_writer import ShardConfig, ShardWriter
from pipeline.pairs.shards import open_input
from pipeline.parts.forgotten import Forgotten
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import RowRejected
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS_V2

AS_IS, PLACEBO = "as-is", "-placebo"
NUMBER = "pairmill probe"  # the key of the metadata that says which pair an altered one was
_MEDIA = "media"
_KEPT = 4  # times as many pairs as are wanted are kept while they are drawn


@dataclass(frozen=True)
class GoldSource:
    """Gold pairs, how they are read, and what people say about them beside."""

    uri: str
    config: InputConfig
    people: People


@dataclass
class DrawnGold:
    """Gold pairs that are altered.

    Attributes:
        rows: each of another prompt, with ``gold`` of ``a`` or ``b``.
        left_out: gold pairs that are not, by reason.
    """

    rows: list[GoldRow] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def draw_gold(
    source: GoldSource, judge: JudgeConfig, count: int, forgotten: Forgotten | None = None
) -> DrawnGold:
    """Draws pairs with a better answer, one of each prompt: the intervals count on that.

    The same pairs are drawn from the same gold, whatever their order.

    Args:
        source: gold pairs.
        judge: says how large media may be.
        count: how many, at most.
        forgotten: pairs that are not to be judged.

    Raises:
        InputError: the input has no shards.
        StorageError: the store fails.
    """
    drawn = DrawnGold()
    roots = (*source.config.media_roots, open_input(source.uri)[0].uri)
    media = MediaStore(roots, judge.media.max_bytes)
    kept: dict[str, tuple[str, GoldRow]] = {}  # by cluster, hashed: the least hash of its pairs
    for place, row in _rows(source):
        try:
            held = PairContents.of(row, media)
        except RowRejected:
            drawn.left_out["with media that cannot be read"] += 1
            continue
        if forgotten is not None and forgotten.knows(row["pair_id"], held.pair_hash):
            continue
        gold = source.people.gold.get(held.pair_hash, row["gold"])
        if gold not in ("a", "b"):
            continue
        cluster, key = digest("probes", held.cluster), digest("probes", held.pair_hash)
        if cluster in kept and kept[cluster][0] <= key:
            continue
        pair = {name: row[name] for name in PAIRS_V2.names} | {"gold": gold}
        _hold(pair, held)
        kept[cluster] = key, GoldRow(place, pair)
        if len(kept) > _KEPT * count:
            kept = dict(sorted(kept.items())[:count])
    drawn.rows = [row for _, (_, row) in sorted(kept.items())[:count]]
    return drawn


def altered(
    rows: Sequence[GoldRow], judge: JudgeConfig
) -> Iterator[tuple[str, Iterable[GoldRow], Mapping[str, int]]]:
    """Every variant of the pairs: its name, its rows, and what it leaves out, known after these.

    Args:
        rows: of :func:`draw_gold`, media included.
        judge: that is probed.
    """
    numbered = [_numbered(row, number) for number, row in enumerate(rows)]
    yield AS_IS, numbered, {}
    store = MediaStore((), judge.media.max_bytes)  # all media are with the rows
    for control in PICTURE_CONTROLS:
        pictures = AlteredPictures(store, judge)
        yield control, picture_change(control, pictures)(numbered), pictures.left_out
    aimed = [Aimed(row, number, judge) for number, row in enumerate(numbered)]
    for name, attack in ATTACKS.items():
        for variant, says in ((name, attack.says), (f"{name}{PLACEBO}", attack.placebo)):
            pictures = AlteredPictures(store, judge)
            changed = (attack.added(each, says(each), pictures) for each in aimed)
            yield variant, (row for row in changed if row is not None), pictures.left_out


def write_altered(rows: Sequence[GoldRow], judge: JudgeConfig, folder: Store) -> dict[str, Any]:
    """Writes every variant as shards of its name; the same pairs give the same shards.

    Returns:
        Of each variant, the pairs that it leaves out, by reason.

    Raises:
        StorageError: the store fails.
    """
    left_out, stored = {}, set[str]()
    for name, changed, missing in altered(rows, judge):
        with ShardWriter(folder, name, ShardConfig()) as writer:
            for row in changed:
                pair = _apart(row.pair, folder, stored)
                writer.add(pa.Table.from_pylist([pair], schema=PAIRS_V2))
        left_out[name] = dict(missing)
    return left_out


def _rows(source: GoldSource) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """The rows of pairs that may have gold and can be judged."""
    store, prefix = open_input(source.uri)
    for entry in readable_shards(store, prefix, source.config.read_seconds):
        where = (entry.key, entry.size, source.config.mapping(), source.config.read_seconds)
        groups = open_groups(store, *where)
        number = 0
        for group in range(groups.count):
            for table in groups.read(group):
                for row in table.to_pylist():
                    asked = row["gold"] in ("a", "b") or source.people
                    holders = (*(row["messages"] or (None,)), *(row["candidates"] or ()))
                    whole = row["defect"] is None and len(row["candidates"] or ()) == 2
                    if asked and whole and None not in holders:
                        yield (entry.key, number), row
                    number += 1


def _hold(pair: dict[str, Any], held: PairContents) -> None:
    """Puts the fetched media into a pair."""
    pieces = [piece for content in (*held.asked, *held.answers) for piece in content]
    parts = [part for content in contents_of(pair) for part in content]
    for part, (kind, value) in zip(parts, pieces, strict=True):
        if kind in KINDS:
            part[kind] = {"bytes": value, "path": None}


def _numbered(row: GoldRow, number: int) -> GoldRow:
    named = [*(row.pair["metadata"] or ()), {"key": NUMBER, "value": str(number)}]
    return GoldRow(row.place, row.pair | {"metadata": named})


def _apart(pair: Mapping[str, Any], folder: Store, stored: set[str]) -> dict[str, Any]:
    """A pair whose media lie beside the shards, each once: most variants show the same ones."""

    def moved(holder: Mapping[str, Any]) -> dict[str, Any]:
        return {**holder, "content": [_moved(part, folder, stored) for part in holder["content"]]}

    return {
        **pair,
        "messages": [moved(each) for each in pair["messages"]],
        "candidates": [moved(each) for each in pair["candidates"]],
    }


def _moved(part: Mapping[str, Any], folder: Store, stored: set[str]) -> dict[str, Any]:
    kind = part["type"]
    if kind not in KINDS:
        return dict(part)
    data = part[kind]["bytes"]
    path = f"{_MEDIA}/{hashlib.sha256(data).hexdigest()}"
    if path not in stored:
        folder.put(path, data)
        stored.add(path)
    return {**part, kind: {"bytes": None, "path": path}}
