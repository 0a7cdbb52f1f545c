"""A run's pace over time, read from the times of its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from pipeline.parts.part_files import read_part
from pipeline.parts.part_keys import Part, judge_parts_prefix
from pipeline.store.object_store import Store


@dataclass(frozen=True)
class Timeline:
    """The pace of a run.

    Attributes:
        first_label_s: from the first unit's arrival at a worker to the first label.
        tail_s: how long the last tenth of the labels took.
        steady_per_s: labels a second in the middle half of the run's labels.
        full_per_s: from a quarter of them to their half (see :func:`full_rate`).
        by_second: labels in each second.
        first_at: clock time of the first label.
    """

    first_label_s: float
    tail_s: float
    steady_per_s: float
    full_per_s: float
    by_second: tuple[int, ...]
    first_at: float


def full_rate(times: Sequence[float]) -> float:
    """Events a second from a quarter of them to their half.

    Where an engine is given four times as many requests as it has slots, this is after the first
    wave, which began all at once, and before requests run out and slots stay empty.

    Args:
        times: when a pair had both replies, or its label; single replies come earlier.
    """
    return _rate_after_first_quarter(times, 1)


def committed_timeline(output: Store, judge_id: str, judging_seconds: float) -> Timeline:
    """The pace of the only run of an output.

    Args:
        output: where it wrote.
        judge_id: of its judge.
        judging_seconds: from its first unit's arrival at a worker to its last commit.
    """
    times = sorted(
        moment.timestamp()
        for part in output.list(judge_parts_prefix(judge_id))
        if Part.of(part.key)
        for moment in read_part(output, part.key, ["judged_at"])["judged_at"].to_pylist()
    )
    first, last = times[0], times[-1]
    # Overestimates the wait by the time from the last label to the commit of its unit.
    waited = max(0.0, judging_seconds - (last - first))
    seconds = Counter(int(moment - first) for moment in times)
    return Timeline(
        first_label_s=round(waited, 2),
        tail_s=round(last - times[int(len(times) * 0.9)], 2),
        steady_per_s=round(_rate_after_first_quarter(times, 2), 2),
        full_per_s=round(full_rate(times), 2),
        by_second=tuple(seconds[second] for second in range(int(last - first) + 1)),
        first_at=first,
    )


def _rate_after_first_quarter(times: Sequence[float], quarters: int) -> float:
    """Events a second in the next one or two quarters of them."""
    ends = quantiles(times, n=4) if len(times) > 1 else [0.0] * 3
    return len(times) * quarters / 4 / max(ends[quarters] - ends[0], 1e-9)
