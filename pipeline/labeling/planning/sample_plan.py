"""The plan of a sample: some pairs of all shards, the same ones for every judge.

Its labels are parts as any others, of one row each, so that a later run judges the rest alone.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.labeling.planning.plan import Plan
from pipeline.labeling.planning.shard_planner import ShardPlan
from pipeline.labeling.preview.show_preview import positive


@dataclass(frozen=True)
class Sample:
    """Which pairs of an input are judged.

    Attributes:
        pairs: how many; of a smaller input all.
        seed: another one gives other pairs.
    """

    pairs: int
    seed: int = 0

    def of(self, plan: Plan) -> Plan:
        """The plan with those rows of the sample alone that are still to be done.

        The sample depends on the input alone, and not on what is done.
        """
        numbers = self.numbers(plan.rows)
        start, shards = 0, []
        for shard in plan.shards:
            stop = start + shard.rows
            own = numbers[bisect.bisect_left(numbers, start) : bisect.bisect_left(numbers, stop)]
            shards.append(_only(shard, [number - start for number in own]))
            start = stop
        some = replace(plan, shards=tuple(shards))
        return replace(some, left_out=plan.left_out + plan.rows_to_do - some.rows_to_do)

    def numbers(self, rows: int) -> list[int]:
        """Numbers of rows, ascending: one drawn from each of as many equal stretches of all."""
        count, draw = min(self.pairs, rows), random.Random(self.seed)
        bounds = [rows * number // count for number in range(count + 1)] if count else []
        return [draw.randrange(start, stop) for start, stop in itertools.pairwise(bounds)]


def add_sample_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--sample`` and ``--sample-seed``, which :func:`sample_of` reads."""
    text = (
        "judge N pairs alone, the same ones whichever judge it is: one from each of N equal\n"
        "stretches of the input; a later run judges the rest"
    )
    parser.add_argument("--sample", metavar="N", type=positive, help=text)
    text = "another seed gives another sample (0)"
    parser.add_argument("--sample-seed", metavar="SEED", type=int, default=0, help=text)


def sample_of(options: argparse.Namespace) -> Sample | None:
    """The sample that is asked for on a command line, if one is."""
    return None if options.sample is None else Sample(options.sample, options.sample_seed)


def _only(shard: ShardPlan, rows: Sequence[int]) -> ShardPlan:
    """The plan of a shard with these of its rows alone, each of them a unit."""
    units = tuple(
        replace(unit, start=row, stop=row + 1)
        for unit in shard.units
        for row in rows[bisect.bisect_left(rows, unit.start) : bisect.bisect_left(rows, unit.stop)]
    )
    return replace(shard, units=units, again={}, revised=0)
