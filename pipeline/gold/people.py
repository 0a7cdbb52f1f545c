"""What people say about the pairs of an output: of the gold set that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from pipeline.gold.answers import Given, read_answers
from pipeline.gold.consensus import Consensus, consensus_of
from pipeline.gold.gold_sets import read_set
from pipeline.runtime.config_file import Frozen
from pipeline.store.object_store import Store
from schemas.gold import GoldSet


class GoldConfig(Frozen):
    """People's answers that are kept with the labels, beside those in the input."""

    set: str | None = Field(default=None, min_length=1)
    """A set under ``<output>/gold``, made by ``pairmill gold import`` or ``pairmill audit``. Its
    answers count as ``gold`` of their pairs, wherever these are in the input, and take the place of
    what the input has there.
    """


@dataclass(frozen=True)
class People:
    """Answers of people by pair hash.

    Attributes:
        gold: ``a``, ``b`` or ``tie``.
        set: the set that they are of; None of nobody's.
        consensus: how they came together.
        given: each person's newest answers.
    """

    gold: Mapping[str, str] = field(default_factory=dict)
    set: GoldSet | None = None
    consensus: Consensus | None = None
    given: Sequence[Given] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.gold)


NOBODY = People()


def read_people(output: Store, config: GoldConfig) -> People:
    """What people say, by the set that is configured; nobody's answers without one.

    Raises:
        InputError: there is no such set, or an object of it is damaged.
        StorageError: the store fails.
    """
    if config.set is None:
        return NOBODY
    gold = read_set(output, config.set)
    given = read_answers(output, config.set)
    found = consensus_of(given, gold.adjudicators)
    return People(found.gold, gold, found, given)
