"""What the workers of a run are told: its judge, its inputs and its rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.aggregation.calibration import Calibration
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.open_rows import OpenRows
from pipeline.labeling.run_budget import NO_LIMITS, RunBudget
from pipeline.pairs.input_config import InputConfig
from schemas.labels import Reason


@dataclass(frozen=True)
class Corpus:
    """Pairs that a run judges, how they are read, and the root of their parts."""

    uri: str
    output_uri: str
    config: InputConfig


@dataclass(frozen=True)
class RunSpec:
    """What every worker of a run receives; small, and the same for all.

    Attributes:
        canaries: pairs that are judged among the others, with parts of their own.
        epoch: of the lease under which the run writes.
        calibration: of this judge, from its card; None if it has none.
        budget: what all of them may spend.
        retries: committed rows that are quarantined for one of these reasons are re-judged.
        rerender: narrow kinds; see ``pipeline.labeling.planning.reopening``.
        open_rows: which rows a tier of a cascade is asked about; None for all.
        share: of its rows, about how many are asked about.
        seeds_by_id: whether a vote's seed follows from the pair's id, in place of its content.
        settled_at: see ``pipeline.labeling.planning.reopening``.
        beside: the pools of other judges that work at the same time.
    """

    config: LabelConfig = field(repr=False)  # Ray Data logs what its operators are made with
    calibration: Calibration | None
    judge_id: str
    run_id: str
    input_uri: str
    output_uri: str
    retries: frozenset[Reason] = frozenset()
    canaries: Corpus | None = None
    epoch: int = 0
    budget: RunBudget = NO_LIMITS
    rerender: frozenset[str] = frozenset()
    open_rows: OpenRows | None = None
    share: float = 1.0
    seeds_by_id: bool = False
    settled_at: float | None = None
    beside: tuple[WorkersConfig, ...] = ()

    @property
    def corpora(self) -> list[Corpus]:
        """All inputs of the run; tasks and units name one by its index here."""
        own = Corpus(self.input_uri, self.output_uri, self.config.input)
        return [own] if self.canaries is None else [own, self.canaries]
