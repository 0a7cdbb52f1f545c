"""Answers: ``gold/<set>/answers/<annotator>/<pair_hash>/<revision>.json``, created, never replaced.

Whoever answers says which revision they have seen. Of two that answer at once, in two tabs or by a
double click, one creates the next revision and the other gets what is there: one answer, and
nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from pipeline.gold.gold_sets import GOLD, checked_name, set_folder
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.map_ahead import map_ahead
from pipeline.store.object_store import Entry, Store
from pipeline.store.stored_records import parse_record
from schemas.gold import Answer

_THREADS = 16
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(rf"{GOLD}/([^/]+)/answers/([^/]+)/([0-9a-f]{{64}})/(\d{{6}})\.json")


@dataclass(frozen=True)
class Given:
    """An answer as it is stored.

    Attributes:
        revision: from 1; 0 where nothing was ever answered.
        answer: None at revision 0.
        mine: whether it is the one that this call wanted stored.
    """

    annotator: str
    pair_hash: str
    revision: int
    answer: Answer | None
    mine: bool = True

    @property
    def said(self) -> str | None:
        """What the person says; None where nothing was said, or it was taken back."""
        return self.answer.answer if self.answer else None


def give_answer(
    output: Store, name: str, annotator: str, pair_hash: str, answer: Answer, after: int
) -> Given:
    """Stores an answer as the next revision.

    Args:
        output: the output root.
        name: of the set.
        annotator: who answers.
        pair_hash: about which pair.
        answer: what they say.
        after: the revision that they have seen, 0 of none.

    Returns:
        What is stored under the next revision: ``mine`` is False where somebody else's answer, or
        another one of the same person, was first.

    Raises:
        ConfigError: the annotator's name cannot be one, or the hash is none.
        StorageError: the store fails: nothing is known of this answer, and giving it again with
            the same ``after`` is safe.
    """
    revision = after + 1
    key = _key(name, annotator, pair_hash, revision)
    if output.create(key, answer.to_json()):
        return Given(annotator, pair_hash, revision, answer)
    stored = parse_record(output.read(key), output.path(key), Answer)
    return Given(annotator, pair_hash, revision, stored, mine=stored.same_as(answer))


def undo(output: Store, name: str, annotator: str, pair_hash: str, answered_at: str) -> Given:
    """Takes back the newest answer that stands, by one more revision with what stood before it.

    Returns:
        What stands now; ``mine`` is False where there was nothing to take back, or where another
        call was first.

    Raises:
        ConfigError, StorageError: as of :func:`give_answer`.
    """
    before = revisions(output, name, annotator, pair_hash)
    standing = [0]  # numbers of the revisions that stand, the newest last
    for given in before:
        if given.answer is not None and given.answer.undoes is not None:
            standing.pop()
        else:
            standing.append(given.revision)
    last = before[-1] if before else Given(annotator, pair_hash, 0, None)
    if len(standing) == 1:
        return Given(annotator, pair_hash, last.revision, last.answer, mine=False)
    restored = before[standing[-2] - 1].answer if standing[-2] else None
    answer = Answer(
        answer=restored.answer if restored else None,
        answered_at=answered_at,
        given_in="undo",
        note=restored.note if restored else "",
        shown=restored.shown if restored else None,
        undoes=standing[-1],
    )
    return give_answer(output, name, annotator, pair_hash, answer, last.revision)


def revisions(output: Store, name: str, annotator: str, pair_hash: str) -> list[Given]:
    """All that a person said about a pair, oldest first."""
    folder = _key(name, annotator, pair_hash, 1).rpartition("/")[0]
    return [
        _read(output, key) for entry in output.list(folder) if (key := _KEY.fullmatch(entry.key))
    ]


def read_answers(
    output: Store, name: str, annotator: str | None = None, known: Iterable[Given] = ()
) -> list[Given]:
    """The newest answer of every annotator about every pair: one listing, and parallel reads.

    Args:
        output: the output root.
        name: of the set.
        annotator: only theirs; everybody's by default.
        known: answers that were read before: of these only what is newer is read.

    Raises:
        InputError: an answer is damaged.
        StorageError: the store fails.
    """
    folder = f"{set_folder(name)}/answers"
    if annotator is not None:
        folder = f"{folder}/{checked_name(annotator, 'annotator')}"
    newest: dict[tuple[str, str], re.Match[str]] = {}
    for entry in output.list(folder):  # sorted, so that later revisions come later
        if key := _KEY.fullmatch(entry.key):
            newest[key[2], key[3]] = key
    before = {(each.annotator, each.pair_hash, each.revision): each for each in known}

    def read(key: re.Match[str]) -> Given:
        return before.get((key[2], key[3], int(key[4]))) or _read(output, key)

    return list(map_ahead(output.host.pool(_THREADS), read, newest.values(), 2 * _THREADS))


def answers_about(output: Store, pair_hashes: Container[str]) -> Iterator[Entry]:
    """The objects of all sets that hold answers about some pairs, every revision of them."""
    for entry in output.list(GOLD):
        key = _KEY.fullmatch(entry.key)
        if key is not None and key[3] in pair_hashes:
            yield entry


def give_all(
    output: Store, name: str, answers: Iterable[tuple[str, str, Answer]]
) -> dict[str, int]:
    """Stores many answers, each as the next revision unless the newest one says the same.

    Args:
        output: the output root.
        name: of the set.
        answers: annotator, pair hash and answer; the last one of a person about a pair counts.

    Returns:
        How many were ``stored``, were ``known`` before, and were ``overtaken``, since the person
        answered elsewhere meanwhile.
    """
    known = {(each.annotator, each.pair_hash): each for each in read_answers(output, name)}
    wanted = {(who, about): answer for who, about, answer in answers}
    counts = {"stored": 0, "known": 0, "overtaken": 0}

    def give(item: tuple[tuple[str, str], Answer]) -> str:
        (who, about), answer = item
        before = known.get((who, about))
        stands = before.answer if before else None
        if stands is not None and (stands.answer, stands.note) == (answer.answer, answer.note):
            return "known"
        after = before.revision if before else 0
        done = give_answer(output, name, who, about, answer, after)
        return "stored" if done.mine else "overtaken"

    pool = output.host.pool(_THREADS)
    for outcome in map_ahead(pool, give, wanted.items(), 2 * _THREADS):
        counts[outcome] += 1
    return counts


def _read(output: Store, key: re.Match[str]) -> Given:
    answer = parse_record(output.read(key[0]), output.path(key[0]), Answer)
    return Given(key[2], key[3], int(key[4]), answer)


def _key(name: str, annotator: str, pair_hash: str, revision: int) -> str:
    if not _HASH.fullmatch(pair_hash):
        raise ConfigError(f"pair_hash: got {pair_hash!r}, expected 64 hexadecimal digits")
    who = checked_name(annotator, "annotator")
    return f"{set_folder(name)}/answers/{who}/{pair_hash}/{revision:06d}.json"
