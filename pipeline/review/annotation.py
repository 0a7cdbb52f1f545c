"""Who is asked about which pair of a gold set, and what they have answered.

An annotator is asked about pairs in an order of their own, about each that still needs an answer:
one, or two of the share that is answered twice. An adjudicator is asked about pairs on which others
differ. Each answer is stored at once, as an object of its own (``pipeline.gold.answers``): a killed
server or browser loses nothing, and another server on the same set is noticed.
"""

from __future__ import annotations

import datetime
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.gold.answers import Given, give_answer, read_answers, undo
from pipeline.gold.gold_sets import read_set
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.gold import ANSWERS, CANNOT_SAY, Answer, DrawnPair, GoldSet

Order = Literal["ab", "ba"]
_READ_AGAIN_S = 20  # other servers may serve the same set
_HELD_S = 600  # for so long a pair that somebody is looking at is not given to another
_TOOL = "review"
Key = tuple[str, str]  # annotator and pair hash


@dataclass(frozen=True)
class Asked:
    """A pair that somebody is asked about.

    Attributes:
        order: which candidate is shown first.
        given: what they have said about it.
    """

    pair: DrawnPair
    order: Order
    given: Given


@dataclass(frozen=True)
class Work:
    """What one annotator has done, and what is left for them.

    Attributes:
        last_hour: answers that stand and were given within the last hour.
        seconds: the median time from one answer to the next, breaks left out; None of few.
    """

    annotator: str
    answered: int
    left: int
    last_hour: int
    seconds: float | None


class Annotation:
    """One gold set as it is being answered; any thread may ask."""

    def __init__(self, output: Store, name: str, now: Callable[[], float] = time.monotonic) -> None:
        """Reads the set and all answers.

        Raises:
            InputError: there is no such set, or an object of it is damaged.
            StorageError: the store fails.
        """
        self._output, self._now = output, now
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, float]] = {}  # by pair, who looks at it and since when
        self.set = read_set(output, name)
        self._given: dict[Key, Given] = {}
        self._read_at = -float(_READ_AGAIN_S)
        self._refresh(read_set_too=False)

    @property
    def given(self) -> list[Given]:
        """The newest answer of everybody about every pair."""
        with self._lock:
            self._refresh()
            return list(self._given.values())

    def next(self, annotator: str) -> Asked | None:
        """The next pair that an annotator is asked about; None if nothing is left for them."""
        with self._lock:
            self._refresh()
            pair_hash = next(self._open(annotator), None)
            if pair_hash is None:
                return None
            self._held[pair_hash] = annotator, self._now()
            return self._asked(annotator, pair_hash)

    def asked(self, annotator: str, pair_hash: str) -> Asked:
        """A pair of the set, whether it is answered or not.

        Raises:
            InputError: the set has no such pair.
        """
        with self._lock:
            self._check(pair_hash)
            return self._asked(annotator, pair_hash)

    def answer(self, annotator: str, pair_hash: str, chosen: str, note: str, after: int) -> Given:
        """Stores an answer.

        Args:
            annotator: who answers.
            pair_hash: about which pair.
            chosen: ``1`` for the candidate that was shown first, ``2`` for the other, ``3`` for a
                tie, ``4`` for cannot say.
            note: in their words.
            after: the revision that they had before them.

        Returns:
            What is stored now; not ``mine`` if another answer of theirs was first.

        Raises:
            InputError: the set has no such pair, or ``chosen`` is none of the four.
            StorageError: the store fails; nothing is known of this answer.
        """
        self._check(pair_hash)
        order = shown_order(annotator, pair_hash)
        said = dict(zip("1234", (*order, "tie", CANNOT_SAY), strict=True)).get(chosen)
        if said not in ANSWERS:
            raise InputError(f"answer: got {chosen!r}, expected 1, 2, 3 or 4")
        answer = Answer(
            answer=said, answered_at=self._time(), given_in=_TOOL, note=note.strip(), shown=order
        )
        return self._stored(
            give_answer(self._output, self.set.name, annotator, pair_hash, answer, after)
        )

    def undo(self, annotator: str) -> Given | None:
        """Takes an annotator's last answer back; None if there is nothing to take back."""
        with self._lock:
            self._refresh()
            own = [each for each in self._given.values() if each.annotator == annotator]
        standing = [each for each in own if each.said is not None and each.answer]
        # Of two within the clock's resolution, the one that was stored later here.
        standing.reverse()
        last = max(standing, key=_time_of, default=None)
        if last is None:
            return None
        return self._stored(
            undo(self._output, self.set.name, annotator, last.pair_hash, self._time())
        )

    def work(self, annotator: str) -> Work:
        """What somebody has done, and what is left."""
        with self._lock:
            self._refresh()
            left = sum(1 for _ in self._open(annotator))
            own = [g for g in self._given.values() if g.annotator == annotator and g.said]
        times = sorted(_time_of(each) for each in own)
        between = (later - earlier for earlier, later in itertools.pairwise(times))
        gaps = sorted(gap for gap in between if 0 < gap < _HELD_S)
        hour_ago = self._output.host.now().timestamp() - 3_600
        recent = sum(each > hour_ago for each in times)
        pace = gaps[len(gaps) // 2] if len(gaps) > 4 else None
        return Work(annotator, len(own), left, recent, pace)

    def annotators(self) -> list[str]:
        """Everybody who has answered, and the adjudicators."""
        with self._lock:
            self._refresh()
            return sorted({each.annotator for each in self._given.values()}
                          | {*self.set.adjudicators})  # fmt: skip

    def _open(self, annotator: str) -> Iterator[str]:
        """The pairs that somebody is still to be asked about, in their order."""
        said: dict[str, dict[str, str]] = defaultdict(dict)
        for each in self._given.values():
            if each.said is not None:
                said[each.pair_hash][each.annotator] = each.said
        adjudicates = annotator in self.set.adjudicators
        for pair_hash in sorted(self.set.pairs, key=lambda h: digest(annotator, h)):
            about = said[pair_hash]
            others = {w: s for w, s in about.items() if w not in self.set.adjudicators}
            if adjudicates:
                wanted = len({*others.values()} - {CANNOT_SAY}) > 1
            else:
                busy = self._held_by_other(pair_hash, annotator, others)
                wanted = len(others) + busy < answers_needed(self.set, pair_hash)
            if wanted and annotator not in about:
                yield pair_hash

    def _held_by_other(self, pair_hash: str, annotator: str, others: dict[str, str]) -> int:
        who, since = self._held.get(pair_hash, ("", 0.0))
        alive = self._now() - since < _HELD_S
        return int(bool(who) and alive and who != annotator and who not in others)

    def _asked(self, annotator: str, pair_hash: str) -> Asked:
        nothing = Given(annotator, pair_hash, 0, None)
        given = self._given.get((annotator, pair_hash), nothing)
        return Asked(self.set.pairs[pair_hash], shown_order(annotator, pair_hash), given)

    def _stored(self, given: Given) -> Given:
        with self._lock:
            known = self._given.get((given.annotator, given.pair_hash))
            if known is None or known.revision <= given.revision:
                self._given[given.annotator, given.pair_hash] = given
        return given

    def _check(self, pair_hash: str) -> None:
        if pair_hash not in self.set.pairs:
            raise InputError(f"the gold set {self.set.name} has no pair {pair_hash[:16]!r}")

    def _time(self) -> str:
        return self._output.host.now().isoformat(timespec="microseconds")

    def _refresh(self, *, read_set_too: bool = True) -> None:
        """Reads what others have stored since."""
        if self._now() - self._read_at < _READ_AGAIN_S:
            return
        self._read_at = self._now()
        if read_set_too:
            self.set = read_set(self._output, self.set.name)
        read = read_answers(self._output, self.set.name, known=self._given.values())
        self._given = {(each.annotator, each.pair_hash): each for each in read}


def shown_order(annotator: str, pair_hash: str) -> Order:
    """Which candidate somebody sees first: by chance, and the same each time."""
    orders: Sequence[Order] = get_args(Order)
    return orders[int(digest("shown", annotator, pair_hash)[:8], 16) % 2]


def answers_needed(gold: GoldSet, pair_hash: str) -> int:
    """How many people answer a pair: two of the share ``gold.twice``."""
    drawn = int(digest("twice", gold.name, pair_hash)[:8], 16) / 2**32
    return 2 if drawn < gold.twice else 1


def _time_of(given: Given) -> float:
    stated = given.answer.answered_at if given.answer else ""
    return datetime.datetime.fromisoformat(stated).timestamp()
