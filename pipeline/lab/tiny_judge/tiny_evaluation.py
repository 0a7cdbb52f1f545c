"""Evaluates a tiny judge on held-out cases as the product runs it, with controls.

A judge that uses the picture drops to chance where it is white or another row's.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from pipeline.engines.engine import Engine
from pipeline.engines.engine_registry import start_engine
from pipeline.lab.bench.fresh_process import stderr_reporter
from pipeline.lab.tiny_judge.asked_formats import format_of
from pipeline.lab.tiny_judge.blind_controls import CONTROLS, Control
from pipeline.lab.tiny_judge.judging_cases import Case
from pipeline.lab.tiny_judge.judging_tasks import TASKS, Task, named
from pipeline.lab.tiny_judge.scene_corpus import scene_cases
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.media.media_store import MediaStore
from pipeline.runtime.phases import phase
from schemas.labels import VERDICT

log = logging.getLogger(__name__)

Results: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]

_CONTROLLED: Final = ("pairwise_scores/text/picture", "pairwise_scores/image/prompt")
_WHERE: Final = {"shard": "", "unit": "", "row": 0, "judge_id": "", "run_id": ""}
_FAILURES_SHOWN: Final = 2


@dataclass(frozen=True)
class Judged:
    """A case and its row of labels v1."""

    case: Case
    label: Row

    @property
    def predicted(self) -> str:
        """``"a"`` or ``"b"``, or ``"tie"`` where there is no preference."""
        return self.label["preference"] or "tie"

    @property
    def right(self) -> bool:
        """Whether the label is right: the preference, or every score."""
        if format_of(self.case.format).about == "pair":
            return self.predicted == self.case.gold
        return self.label["scores"] is not None and tuple(self.label["scores"]) == self.case.scores

    @property
    def decidable(self) -> bool:
        """Whether the right label is no tie."""
        return format_of(self.case.format).about != "pair" or self.case.gold != "tie"

    @property
    def exact(self) -> bool:
        """Whether the first rationale of each order is the reference's, word for word."""
        given = {vote["order"]: vote["rationale"] for vote in reversed(self.label["votes"])}
        orders = {self.case.order, self.case.order[::-1]}
        return all(given.get(order) == rationale(self.case, order) for order in orders)

    @property
    def ranked(self) -> list[bool]:
        """For every two candidates that differ, whether the scores rank them right."""
        scores: Sequence[float] = self.label["scores"] or ()
        pairs = itertools.combinations(zip(self.case.scores, scores, strict=False), 2)
        return [(x > y) == (a > b) and a != b for (x, a), (y, b) in pairs if x != y]


def rationale(case: Case, order: str) -> str:
    """The rationale of a perfect judge."""
    thought, _, _ = case.reply(order).partition("\n</think>")
    return thought.removeprefix("<think>\n")


def evaluate(config: LabelConfig, rows: int, seed: int, task: str | None = None) -> Results:
    """Judges held-out rows of every task, and some of them without their pictures.

    Args:
        config: judge and engine; greedy sampling makes the results repeatable.
        rows: rows of each task.
        seed: seed of the cases.
        task: name of a task or the start of one; all if None.

    Returns:
        Results by task and within it by kind of question; those of controls; some failures.
    """
    tasks = TASKS if task is None else tuple(named(task))
    with phase(stderr_reporter(), "starting the engine"):
        engine = start_engine(config.judge, config.engine)
    results: Results = {"rows": rows, "seed": seed, "tasks": {}, "controls": {}, "failures": {}}
    try:
        asyncio.run(_evaluate(engine, config, tasks, results))
    finally:
        engine.close()
    return results


async def _evaluate(
    engine: Engine, config: LabelConfig, tasks: Sequence[Task], results: Results
) -> None:
    for task in tasks:
        began = time.monotonic()
        cases = scene_cases(results["rows"], results["seed"], task.name)
        given = {"format": task.format, "candidates": task.made_of}
        judge_config = config.judge.model_copy(update=given)
        media = MediaStore([str(Path.cwd())], judge_config.media.max_bytes)
        judge = Judge(engine, judge_config, config.engine, media)
        judged = await _judged(judge, cases)
        summary = summarise(judged) | {"seconds": round(time.monotonic() - began, 1)}
        summary["by kind"] = _grouped(judged, lambda j: j.case.kind)
        results["tasks"][task.name] = summary
        wrong = [_failure(j) for j in judged if not j.right]
        results["failures"][task.name] = wrong[:_FAILURES_SHOWN]
        log.info("%s: %.4f", task.name, summary["accuracy"] or 0)
        for name, control in (CONTROLS if task.name in _CONTROLLED else {}).items():
            changed = await _judged(judge, _without(cases, control))
            results["controls"][f"{task.name} {name}"] = summarise(changed)


async def _judged(judge: Judge, cases: Sequence[tuple[Case, Row]]) -> list[Judged]:
    rows = [row | {"defect": None} for _, row in cases]
    labels = await asyncio.gather(*(judge.judge_pair(row, _WHERE) for row in rows))
    return [Judged(case, label) for (case, _), label in zip(cases, labels, strict=True)]


def _without(cases: Sequence[tuple[Case, Row]], control: Control) -> list[tuple[Case, Row]]:
    rows = control([row for _, row in cases])
    return [(case, row) for (case, _), row in zip(cases, rows, strict=True)]


def summarise(judged: Sequence[Judged]) -> Results:
    """The results of a group of judged rows; a share of nothing is None."""
    decidable = [j for j in judged if j.decidable]
    decided = [j for j in decidable if j.predicted != "tie"]
    votes = [vote for j in judged for vote in j.label["votes"]]
    summary: Results = {
        "rows": len(judged),
        "replies read": _share(vote["outcome"] == VERDICT for vote in votes),
        "accuracy": _share(j.right for j in decidable),
        "decidable": len(decidable),
        "exact replies": _share(j.exact for j in judged),
    }
    if not judged or len(judged[0].case.candidates) == 1:
        return summary
    summary["orders agree"] = _share(j.label["position_consistent"] is True for j in judged)
    if format_of(judged[0].case.format).about == "ranking":
        return summary | {"pairs ranked right": _share(hit for j in judged for hit in j.ranked)}
    return summary | {
        "ties called": _share(j.right for j in judged if not j.decidable),
        "decided": len(decided),
        "accuracy of decided": _share(j.right for j in decided),
    }


def _failure(judged: Judged) -> Results:
    return {
        "question": judged.case.question,
        "wanted": judged.case.reply(judged.case.order),
        "got": [vote["rationale"] for vote in judged.label["votes"]],
    }


def _grouped(judged: list[Judged], key: Callable[[Judged], str]) -> dict[str, Results]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for item in judged:
        groups[key(item)].append(item)
    return {name: summarise(groups[name]) for name in sorted(groups)}


def _share(outcomes: Iterable[bool]) -> float | None:
    counted = list(outcomes)
    return round(sum(counted) / len(counted), 4) if counted else None
