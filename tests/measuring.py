"""Labelled pairs with gold, texts and all kinds of votes, to measure snapshots of."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pipeline.aggregation.labeler import Labeler
from pipeline.judging.votes import Vote
from pipeline.labeling.canary_config import canary_root
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.runtime.digest import digest
from pipeline.snapshots.quality.canary_agreement import Canary
from pipeline.snapshots.quality.measure_snapshot import measure, read_quality
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from pipeline.store.object_store import Store
from schemas.labels import VERDICT
from schemas.manifest import Manifest
from schemas.quality import TOKENS, Quality, Rate
from tests.calibrations import scored
from tests.derivations import Row, rows_of
from tests.publishing import LabeledInput
from tests.shards import hash_of, pair, response, shard_bytes

_UNIT_ROWS = 16
ALL = QualityConfig(length_groups=100, threads=3)
Cast = list[Vote] | None


@dataclass
class Corpus(LabeledInput):
    """A labelled input with gold and texts.

    Attributes:
        pairs: the rows of every shard of the input, by name.
    """

    pairs: dict[str, list[Row]] = field(default_factory=dict)

    def copied(self, uri: str) -> Self:
        """A copy below another path."""
        return replace(super().copied(uri), pairs=dict(self.pairs))

    def write(
        self,
        name: str,
        pairs: list[Row],
        votes: Sequence[Cast],
        group_rows: int = 1_000,
        labeler: Labeler | None = None,
        identified: bool = False,
    ) -> None:
        """Writes a shard, in place of its earlier version, and labels its rows by these votes.

        Labels of ``identified`` pairs have the ids, hashes and clusters that a run gives them.
        """
        self.pairs[name] = pairs
        put(self.source, name, pairs, group_rows)
        known = pairs if identified else ()
        self.shards[name] = label(self, self.output, self.source, name, votes, labeler, known)

    def canary(self, run_id: str, pairs: list[Row], votes: Sequence[Cast]) -> Canary:
        """Writes canaries, and what a run has judged them to be."""
        gold = Store(f"{self.source.uri}-canaries")
        put(gold, "gold.parquet", pairs)
        label(self, canary_root(self.output, run_id), gold, "gold.parquet", votes)
        return Canary(run_id, gold.uri, InputConfig())


def random_corpus(uri: str) -> Corpus:
    """Three shards, each of one row group, whose labels take several row groups and files."""
    made, rng = Corpus.at(uri), random.Random(5)
    for name, count in (("a.parquet", 90), ("b/c.parquet", 61), ("d.parquet", 3)):
        made.write(name, random_pairs(rng, count), random_votes(rng, count))
    return made


def put(store: Store, name: str, pairs: list[Row], group_rows: int = 1_000) -> None:
    """Writes a shard of pairs v1."""
    store.put(name, shard_bytes(pairs, group_rows))


def label(
    labeled: LabeledInput,
    output: Store,
    source: Store,
    name: str,
    votes: Sequence[Cast],
    labeler: Labeler | None = None,
    known: Sequence[Row] = (),
) -> list[Row]:
    """Commits the labels of a shard, in units; ``known`` are its pairs, to identify them by."""
    labeler = labeler or Labeler.of(labeled.made.judge)
    (entry,) = source.list(name)
    key = shard_key(name, entry.size, source.content_key(entry))
    rows: list[Row] = []
    for start in range(0, len(votes), _UNIT_ROWS):
        unit = Unit(name, key, start, min(len(votes), start + _UNIT_ROWS))
        cast = votes[start : unit.stop]
        made = rows_of(cast, labeler, labeled.made.judge_id, start, name)
        for row, each in zip(made, known[start:], strict=False):
            row |= {"pair_id": each["pair_id"], "pair_hash": hash_of(each)}
            row |= {"cluster": digest(each["prompt"])}
        assert commit_part(output, labeled.made.judge_id, unit, made)
        rows += made
    return rows


def text_pair(number: int, gold: str | None, a: str | None, b: str | None) -> Row:
    """A pair of texts without pictures."""
    texts = {"response_a": response(a), "response_b": response(b)}
    return pair(number, images=None, gold=gold, **texts)


def random_pairs(rng: random.Random, count: int) -> list[Row]:
    """Pairs of texts of all lengths, most of them with gold."""

    def text() -> str | None:
        return rng.choice((None, "", "ä" * rng.randint(1, 40), "x" * rng.randint(1, 9)))

    golds = ("a", "b", "tie", None)
    return [text_pair(number, rng.choice(golds), text(), text()) for number in range(count)]


def random_votes(rng: random.Random, count: int, favour: float = 0.5) -> list[Cast]:
    """Votes of every kind about pairs; some rows have none, and some none that can be read.

    Args:
        rng: source of chance.
        count: rows.
        favour: how often a row's votes lean to a.
    """

    def vote(order: str, lean: float) -> Vote:
        tokens: dict[str, Any] = {f"{name}_tokens": rng.randint(0, 300) for name in TOKENS}
        if rng.random() < 0.1:
            return Vote(
                order=order, seed=1, outcome=rng.choice(("truncated", "malformed")), **tokens
            )
        sides = [(9.0, 2.0), (2.0, 9.0)] if rng.random() < lean else [(2.0, 9.0), (9.0, 2.0)]
        scores = sides[rng.random() < 0.15] if rng.random() < 0.8 else (5.0, 5.0)
        return Vote(order=order, seed=1, outcome=VERDICT, scores=scores, **tokens)

    def row() -> Cast:
        if rng.random() < 0.1:
            return None
        if rng.random() < 0.2:
            return [scored(order, 5, 5) for order in ("ab", "ba", "ab", "ba")]
        lean = float(rng.random() < favour)
        return [vote(order, lean) for order in ("ab", "ba") * rng.randint(1, 3)]

    return [row() for _ in range(count)]


def ranking(orders: tuple[str, ...], *scores: float) -> list[Vote]:
    """Votes about several candidates that all give the same scores."""
    return [Vote(order=order, seed=1, outcome=VERDICT, scores=scores) for order in orders]


def every_pair(corpus: Corpus) -> list[tuple[Row, Row]]:
    """Each pair of the input beside its row of labels v1."""
    names = sorted(corpus.shards)
    return list(
        itertools.chain.from_iterable(
            zip(corpus.pairs[name], corpus.shards[name], strict=True) for name in names
        )
    )


def measured(corpus: Corpus, config: QualityConfig = ALL, **how: Any) -> Quality:
    """Publishes, measures, and reads back what is stored."""
    manifest = corpus.publish().manifest
    quality = measure_it(corpus, manifest, config, **how)
    assert read_quality(corpus.output, manifest.snapshot_id) == quality
    return quality


def measure_it(
    corpus: Corpus, manifest: Manifest, config: QualityConfig = ALL, **how: Any
) -> Quality:
    how = {"against": None, "columns": InputConfig()} | how
    return measure(corpus.output, manifest, config, **how)


def counts(rate: Rate) -> tuple[int, int]:
    """Numerator and denominator of a rate."""
    return round((rate.value or 0) * rate.n), rate.n
