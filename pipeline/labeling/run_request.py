"""What a labeling run is asked to do, beside its configuration, and which judge's turn it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.judging.judge_cards import KnownJudge
from pipeline.labeling.canary_config import CanaryConfig
from pipeline.labeling.open_rows import OpenRows
from pipeline.labeling.planning.published_shards import ReadPublished, nothing_published
from pipeline.labeling.planning.sample_plan import Sample
from pipeline.labeling.read_pairs import ShardTask
from pipeline.labeling.run_budget import NO_LIMITS, RunBudget
from pipeline.runtime.steps import Step, new_run_id, unrecorded
from pipeline.runtime.stop import Stop
from schemas.labels import Reason


@dataclass(frozen=True)
class RunRequest:
    """What a labeling run is asked to do.

    Attributes:
        dry_run: only plan.
        retries: rows that are quarantined for one of these reasons are re-judged.
        rerender: narrow kinds; rows that earlier versions judged are re-judged if they have one.
        run_id: the run's identity.
        canary: gold pairs that are judged among the others, if there are others to judge.
        read_published: reads which shards of the output are published; the footers of these are
            not read again, and their labels are kept where they were only moved.
        step: entered around the steps ``plan`` and ``label``.
        stop: checked between steps, and while pairs are judged.
        sample: the pairs that alone are judged; all by default.
        budget: what the run may spend.
        seeds_by_id: whether pairs of the same id are sampled by the same seeds, in place of pairs
            of the same content: for copies of a pair that are compared with each other.
    """

    dry_run: bool = False
    retries: frozenset[Reason] = frozenset()
    rerender: frozenset[str] = frozenset()
    run_id: str = field(default_factory=new_run_id)
    canary: CanaryConfig | None = None
    read_published: ReadPublished = nothing_published
    step: Step = unrecorded
    stop: Stop = field(default_factory=Stop)
    sample: Sample | None = None
    budget: RunBudget = NO_LIMITS
    seeds_by_id: bool = False


@dataclass(frozen=True)
class Tier:
    """Which judge of a cascade a run is of.

    Attributes:
        number: from 1.
        count: of all judges.
        known: the judge, which the configuration is pinned to.
        open_rows: which rows it is asked about.
        shards: the keys of those that the judges before have judged, by path; None of the first.
        before: what the judges before have to do at the same time, of all of them; None where they
            are done.
    """

    number: int
    count: int
    known: KnownJudge
    open_rows: OpenRows | None = None
    shards: Mapping[str, str] | None = None
    before: Sequence[ShardTask] | None = None

    @property
    def last(self) -> bool:
        """Whether it is asked about all that is open."""
        return self.number == self.count
