"""Makes a gold set of pairs about which two judges, or two snapshots, say different things."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipeline.gold.gold_sets import create_set
from pipeline.review.compare import compare
from pipeline.review.reviewed_output import Reviewed, Source
from pipeline.runtime.errors import ConfigError, InputError
from schemas.gold import Draw, DrawnPair, Frame, GoldSet


@dataclass(frozen=True)
class NewSet:
    """What is asked for.

    Attributes:
        against: whose labels are compared, as :meth:`Reviewed.source` names them; by default the
            first of :meth:`Reviewed.others`.
        size: how many pairs; all that differ if there are fewer.
        twice: the share that two people answer.
    """

    name: str
    size: int
    seed: int
    guideline: str
    twice: float
    against: str | None = None
    adjudicators: tuple[str, ...] = ()


def make_set(reviewed: Reviewed, new: NewSet, run_id: str) -> GoldSet:
    """Draws pairs at random among those about which the labels differ, and stores the set.

    Such a set shows where judges err; it stands for no corpus, and says so.

    Raises:
        ConfigError: there is nothing to compare with, or a set of this name.
        InputError: the labels differ about nothing.
        StorageError: the store fails.
    """
    others = reviewed.others()
    if not others and new.against is None:
        raise ConfigError(
            "--new-set: this output has one judge and one snapshot, so that there is nothing to "
            "disagree; pairmill audit draws at random"
        )
    other = reviewed.source(new.against or others[0][0])
    pairs = _drawn(reviewed, other, new)
    now = reviewed.output.host.now().isoformat(timespec="seconds")
    draw = Draw(now, run_id, "disagreement", pairs, new.seed, _frame(reviewed.first))
    gold = GoldSet(
        name=new.name,
        created_at=now,
        created_by=run_id,
        guideline=new.guideline,
        adjudicators=new.adjudicators,
        twice=new.twice,
        draws=(draw,),
    )
    if problems := gold.problems():
        raise ConfigError(f"--new-set {new.name}: {'; '.join(problems)}")
    if not create_set(reviewed.output, gold):
        raise ConfigError(f"--new-set {new.name}: there is a gold set of this name; take another")
    return gold


def _drawn(reviewed: Reviewed, other: Source, new: NewSet) -> tuple[DrawnPair, ...]:
    found = compare(reviewed.first.columns, other.columns, page=1, page_rows=None)
    if not found.differing:
        raise InputError(f"{reviewed.first.title} and {other.title} differ about no pair")
    chosen = list(found.page)
    random.Random(new.seed).shuffle(chosen)
    drawn = []
    for each in chosen[: new.size]:
        key = reviewed.first.keys[each.shard]
        (label,) = reviewed.first.rows.rows(each.shard, key, each.row, each.row + 1)
        about = (label["pair_id"], each.shard, each.row, label["cluster"])
        drawn.append(DrawnPair(label["pair_hash"], *about))
    return tuple(drawn)


def _frame(source: Source) -> Frame | None:
    made = source.manifest
    if made is None:
        return None
    policy = made.policy.policy_id if made.policy else None
    return Frame(made.snapshot_id, source.judge_id, policy, made.input, source.columns.rows)
