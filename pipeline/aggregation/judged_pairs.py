"""Gold pairs beside the labels that a judge gave them; gold sets fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.relabel import Relabeler
from pipeline.gold.people import NOBODY, People
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import open_groups, readable_shards
from pipeline.pairs.shards import open_input, shard_key
from pipeline.parts.commit import shard_parts
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from schemas.contract import table_of
from schemas.labels import BY_GOLD, LABELS
from schemas.pairs import PAIRS_V2


@dataclass(frozen=True)
class JudgedPair:
    """A row of pairs v2 without the bytes of its media, and its row of labels v1."""

    pair: Mapping[str, Any]
    label: Mapping[str, Any]


def read_judged(
    input_uri: str,
    config: InputConfig,
    output: Store,
    judge_id: str,
    hashes: Store | None = None,
    people: People = NOBODY,
) -> list[JudgedPair]:
    """Every row of the input that has a gold value and a label of this judge, in input order.

    A label that is the gold value itself, since there was nothing to judge, measures no judge.
    Shards that cannot be read have no labels, and the run that should have made them names them.

    Args:
        input_uri: gold pairs, a folder of shards or one shard.
        config: how the input is read.
        output: the output root that the judge's parts are under.
        judge_id: whose labels.
        hashes: keeps the hashes of local files; the output by default.
        people: answers that count as gold of their pairs, in place of the input's.

    Raises:
        InputError: no row has both, or people answered about none of these pairs.
        StorageError: the store fails.
    """
    source, prefix = open_input(input_uri)
    contents = ContentKeys(source, hashes or output)
    judged: list[JudgedPair] = []
    rows = gold = answered = 0
    for entry in readable_shards(source, prefix, config.read_seconds):
        key = shard_key(entry.key, entry.size, contents.of(entry))
        labels = {row["row"]: row for row in read_labels(output, judge_id, key)}
        for number, pair in enumerate(_pairs(source, entry, config)):
            rows += 1
            said = people.gold.get(str(labels[number]["pair_hash"])) if number in labels else None
            if said is not None:
                answered += 1
                pair = {**pair, "gold": said}
            if pair["gold"] is not None or pair["gold_scores"] is not None:
                gold += 1
                if number in labels and labels[number]["decided_by"] != BY_GOLD:
                    judged.append(JudgedPair(pair, labels[number]))
    if people.set is not None and not answered:
        raise InputError(
            f"gold.set {people.set.name}: people have decided {len(people.gold)} of its "
            f"{len(people.set.pairs)} pairs, and none of the {rows} rows of {source.path(prefix)} "
            f"with a label of judge {judge_id[:16]} is one of them; expected the input that the "
            "pairs were drawn from, as it was then"
        )
    if not judged:
        raise InputError(
            f"{source.path(prefix)}: {rows} rows, {gold} of them with gold, none with a label of "
            f"judge {judge_id[:16]} under {output.uri}; expected gold pairs that this judge has "
            "labelled: map gold under input.map, and run pairmill label on them first"
        )
    return judged


def relabeled(rows: Sequence[JudgedPair], labeler: Labeler) -> list[JudgedPair]:
    """The same rows with the labels of one labeler."""
    if all(row.label["policy_id"] == labeler.policy_id for row in rows):
        return list(rows)
    table = Relabeler(labeler).table(table_of([dict(row.label) for row in rows], LABELS))
    labels = table.to_pylist()
    return [JudgedPair(row.pair, new) for row, new in zip(rows, labels, strict=True)]


def read_labels(output: Store, judge_id: str, shard_key_: str) -> Iterator[dict[str, Any]]:
    """The rows of labels v1 of one version of a shard, part by part."""
    for part in shard_parts(output, judge_id, shard_key_).parts:
        yield from read_part(output, part.key).to_pylist()


def _pairs(source: Store, entry: Entry, config: InputConfig) -> Iterator[dict[str, Any]]:
    mapping = config.mapping().narrowed(PAIRS_V2.names)
    groups = open_groups(source, entry.key, entry.size, mapping, config.read_seconds)
    for group in range(groups.count):
        for table in groups.read(group):
            yield from table.to_pylist()
