"""Brings answers of other tools into a set, and a set's pairs and answers to other tools."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from pipeline.gold import argilla, label_studio
from pipeline.gold.answers import give_all, read_answers
from pipeline.gold.asked_pairs import AskedPair, Hashed, find_asked
from pipeline.gold.consensus import consensus_of
from pipeline.gold.foreign_answers import (
    ForeignAnswer,
    ReadAnswers,
    Words,
    json_list,
    unknown_words,
)
from pipeline.gold.gold_sets import change_set, checked_name, create_set, read_set, set_names
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shard_writer import ShardConfig, ShardWriter, refuse_existing
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, Frame, GoldSet
from schemas.pairs import PAIRS_V2

Format = Literal["pairs", "label-studio", "argilla"]
FORMATS: tuple[Format, ...] = ("pairs", "label-studio", "argilla")
# The labelled pairs with one of some hashes or ids.
FindPairs = Callable[[Iterable[str], Iterable[str]], Sequence[DrawnPair]]


@dataclass(frozen=True)
class Import:
    """What is imported.

    Attributes:
        name: of the set, which is made if it is not there.
        tool: named in the answers.
        found: what was read.
        words: how it is read.
        guideline: what people decided by, if it is stated.
        frame: the snapshot that the pairs are a random sample of, if the user states one.
    """

    name: str
    tool: str
    found: ReadAnswers
    words: Words = field(default_factory=Words)
    guideline: str | None = None
    frame: Frame | None = None


def read_foreign(tool: str, data: bytes, where: str, question: str) -> ReadAnswers:
    """The answers in a file that another tool has exported.

    Raises:
        InputError: it is no JSON of that tool, or has no answer.
    """
    entries = json_list(data, where)
    if tool == argilla.TOOL:
        found = argilla.read_records(entries, where, question)
    else:
        found = label_studio.read_tasks(entries, where)
    if not found.answers:
        why = "; ".join(f"{n} {what}" for what, n in found.unread.most_common() if n)
        raise InputError(f"{where}: {len(entries)} entries and no answer of {tool}: {why}")
    return found


def import_answers(
    output: Store, what: Import, find: FindPairs, now: str, run_id: str
) -> dict[str, Any]:
    """Stores answers as those of a set.

    Pairs are known by their hash, or else by the id that a labelled pair has.

    Args:
        output: the output root.
        what: the answers.
        find: looks pairs up among those that are labelled.
        now: UTC in ISO 8601; of answers whose tool does not say when they were given.
        run_id: of this run.

    Returns:
        What was done, for people: counts.

    Raises:
        InputError: words are not known, ids are of no labelled pair, or pairs that are stated to
            be a sample of a snapshot are not in it; nothing is stored.
        StorageError: the store fails; the same command goes on.
    """
    unknown_words(what.found.answers, what.words)
    pairs, by_id = _pairs_of(what, find)
    answers = []
    for each in what.found.answers:
        answer = what.words.answer(each, what.tool)
        who = checked_name(what.words.annotator(each), "annotator")
        pair_hash = each.pair_hash or by_id.get(str(each.pair_id))
        if answer is not None and pair_hash is not None:
            answers.append((who, pair_hash, replace(answer, answered_at=each.answered_at or now)))
    _add_pairs(output, what, pairs, now, run_id)
    counts = give_all(output, what.name, answers)
    unread = {reason: n for reason, n in what.found.unread.items() if n}
    return {"set": what.name, "pairs": len(pairs), **counts, "unread": unread}


def _pairs_of(what: Import, find: FindPairs) -> tuple[list[DrawnPair], dict[str, str]]:
    """The pairs that are answered, and the hashes of those that are known by id alone."""
    hashes = {each.pair_hash for each in what.found.answers if each.pair_hash}
    ids = {str(each.pair_id) for each in what.found.answers if not each.pair_hash}
    places = {pair.pair_hash: pair for pair in find(hashes, ids)}
    by_id = {str(pair.pair_id): pair.pair_hash for pair in places.values()}
    if missing := sorted(ids - by_id.keys()):
        raise InputError(
            f"{len(missing)} of {len(ids)} pair ids are of no labelled pair, such as "
            f"{missing[0]!r}: the answers are of other pairs, or of pairs that are not published; "
            "publish their labels first, or import by pair_hash"
        )
    wanted = hashes | {by_id[each] for each in ids}
    if what.frame is not None and (outside := wanted - places.keys()):
        raise InputError(
            f"{len(outside)} of {len(wanted)} pairs are not in snapshot {what.frame.snapshot_id}, "
            "so that they are no random sample of it; leave --random-of out"
        )
    return [places.get(each) or DrawnPair(each) for each in sorted(wanted)], by_id


def _add_pairs(
    output: Store, what: Import, pairs: Sequence[DrawnPair], now: str, run_id: str
) -> None:
    """Makes the set, and adds the pairs that it has not."""
    create_set(output, GoldSet(what.name, now, run_id, what.guideline or ""))

    def add(gold: GoldSet) -> GoldSet:
        if what.guideline is not None:
            gold = replace(gold, guideline=what.guideline)
        new = tuple(pair for pair in pairs if pair.pair_hash not in gold.pairs)
        if not new:
            return gold
        if what.frame is None:
            return replace(gold, draws=(*gold.draws, Draw(now, run_id, "imported", new)))
        share = len(new) / max(len(new), what.frame.pairs)
        drawn = tuple(replace(pair, probability=share) for pair in new)
        draw = Draw(now, run_id, "random", drawn, frame=what.frame)
        return replace(gold, draws=(*gold.draws, draw))

    change_set(output, what.name, add)


def export_set(
    output: Store,
    name: str,
    format_: Format,
    target: str,
    input_uri: str,
    config: InputConfig,
    hashed: Hashed,
) -> dict[str, Any]:
    """Writes the pairs of a set, with people's answers, as another tool or ``pairs v2`` has them.

    Args:
        output: the output root.
        name: of the set.
        format_: ``pairs``: those that people have decided, gold in its column; of the others all
            pairs, each with every answer.
        target: a folder for shards, or a file that does not exist.
        input_uri: where the pairs lie.
        config: how they are read.
        hashed: identifies a row.

    Raises:
        InputError: none of the pairs is in the input.
        ConfigError: the folder holds such shards.
        StorageError: a store fails, or the file exists.
    """
    gold, given = read_set(output, name), read_answers(output, name)
    pairs = list(gold.pairs.values())
    found = find_asked(name, pairs, given, input_uri, config, hashed)
    if not found.pairs:
        raise InputError(
            f"gold set {name}: none of its {len(pairs)} pairs is in {input_uri} as it was: give "
            "the input that they were labelled in"
        )
    done = {"set": name, "format": format_, "pairs": len(found.pairs), "gone": len(found.gone)}
    if format_ == "pairs":
        people = consensus_of(given, gold.adjudicators).gold
        return done | {"with_gold": _write_pairs(found.pairs, people, name, target)}
    made = records_in(format_, found.pairs)
    store, file = file_of(target)
    data = json.dumps(made, ensure_ascii=False, indent=1).encode()
    if not store.create(file, data):
        raise InputError(f"{store.path(file)} exists: name another file")
    if format_ == label_studio.TOOL:
        store.create(f"{file}.interface.xml", label_studio.INTERFACE.encode())
    return done


def records_in(format_: Format, pairs: Iterable[AskedPair]) -> list[dict[str, Any]]:
    """Pairs and answers as a tool has them."""
    return argilla.records_of(pairs) if format_ == argilla.TOOL else label_studio.tasks_of(pairs)


def list_gold(output: Store) -> list[dict[str, Any]]:
    """Every set: its pairs, how they were drawn, and how far people have come."""
    listed = []
    for name in set_names(output):
        gold = read_set(output, name)
        found = consensus_of(read_answers(output, name), gold.adjudicators)
        listed.append(
            {
                "set": name,
                "pairs": len(gold.pairs),
                "drawn": dict(Counter(draw.how for draw in gold.draws)),
                "decided": len(found.gold),
                "cannot_say": len(found.cannot_say),
                "disputed": len(found.disputed),
                "twice": found.twice,
                "agreed": found.agreed,
                "answers": found.answers,
            }
        )
    return listed


def _write_pairs(
    pairs: Sequence[AskedPair], people: Mapping[str, str], name: str, target: str
) -> int:
    store = Store(target)
    refuse_existing(store, name)
    rows = [
        {**each.row, "gold": people[each.pair.pair_hash]}
        for each in pairs
        if each.pair.pair_hash in people
    ]
    with ShardWriter(store, name, ShardConfig()) as writer:
        for row in rows:
            writer.add(pa.Table.from_pylist([row], schema=PAIRS_V2))
    return len(rows)


def file_of(target: str) -> tuple[Store, str]:
    """The store of a file's folder, and the file's key in it."""
    folder, _, file = target.rpartition("/")
    if "://" not in target:
        path = Path(target).absolute()
        folder, file = str(path.parent), path.name
    return Store(folder), file


def answers_in_pairs(
    rows: Iterable[tuple[Mapping[str, Any], str]], annotator: str
) -> list[ForeignAnswer]:
    """The gold of rows of pairs v2, each with its hash, as the answers of one annotator."""
    return [
        ForeignAnswer(annotator, str(row["gold"]), "", pair_hash, row["pair_id"])
        for row, pair_hash in rows
    ]
