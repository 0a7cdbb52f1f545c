"""When labels came, read from the labels themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from pipeline.judging.label_parts import committed_range, judge_parts_prefix, read_part
from pipeline.store.object_store import Store


@dataclass(frozen=True)
class Timeline:
    """The pace of a run.

    Attributes:
        first_label_s: until the first label, from when the first unit reached its worker.
        tail_s: how long the last tenth of the labels took.
        steady_per_s: labels a second in the middle half of the run's labels.
        full_per_s: from a quarter of them to their half (see :func:`full_rate`).
        by_second: labels in each second.
        first_at: the time of the first label.
    """

    first_label_s: float
    tail_s: float
    steady_per_s: float
    full_per_s: float
    by_second: tuple[int, ...]
    first_at: float


def steady_rate(times: Sequence[float]) -> float:
    """How many there are a second in the middle half of them."""
    return _rate_in_quarters(times, 2)


def full_rate(times: Sequence[float]) -> float:
    """How many there are a second from a quarter of them to their half.

    Where four times as many requests are given at once as an engine has places, this is after the
    first of them came at once and before there are none to take the places of those that end.

    Args:
        times: when a pair had both replies, or its label; single replies come earlier.
    """
    return _rate_in_quarters(times, 1)


def _rate_in_quarters(times: Sequence[float], quarters: int) -> float:
    """How many there are a second in so many quarters of them after the first one."""
    ends = quantiles(times, n=4) if len(times) > 1 else [0.0] * 3
    return len(times) * quarters / 4 / max(ends[quarters] - ends[0], 1e-9)


def committed_timeline(output: Store, judge_id: str, judging_seconds: float) -> Timeline:
    """The pace of the only run of an output.

    Args:
        output: where it wrote.
        judge_id: of its judge.
        judging_seconds: from when its first unit reached a worker to its last commit.
    """
    times = sorted(
        moment.timestamp()
        for part in output.list(judge_parts_prefix(judge_id))
        if committed_range(part.key)
        for moment in read_part(output, part.key, ["judged_at"])["judged_at"].to_pylist()
    )
    first, last = times[0], times[-1]
    # A label's time is before its unit's commit, so that this is from the first label at most.
    waited = max(0.0, judging_seconds - (last - first))
    seconds = Counter(int(moment - first) for moment in times)
    return Timeline(
        first_label_s=round(waited, 2),
        tail_s=round(last - times[int(len(times) * 0.9)], 2),
        steady_per_s=round(steady_rate(times), 2),
        full_per_s=round(full_rate(times), 2),
        by_second=tuple(seconds[second] for second in range(int(last - first) + 1)),
        first_at=first,
    )
