"""The metrics of a run's driver: counts of its unit results, and starts of its engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from pipeline.labeling.attempts import Starts
from pipeline.labeling.prometheus_metrics import (
    CANARIES,
    DEATHS,
    ENGINE_STARTS,
    PAIRS,
    PAIRS_LEFT,
    PAIRS_TO_DO,
    QUARANTINED,
    REUSED,
    TOKENS,
    UNIT_SECONDS,
    VOTES,
    Recorder,
)
from pipeline.labeling.unit_result import UnitResult
from pipeline.runtime.errors import StorageError
from pipeline.runtime.repeating import Repeating

_LOOK_S = 5.0


class RunMetrics(Repeating):
    """A context manager fed with the unit results of a run."""

    def __init__(
        self,
        recorder: Recorder,
        pairs_to_do: int,
        starts: Starts,
        on_starts: Callable[[Mapping[str, int]], None],
    ) -> None:
        """Records the plan; looks at ``starts`` every few seconds.

        Args:
            recorder: receives everything.
            pairs_to_do: of the run's plan.
            starts: of the run's engines.
            on_starts: receives what :meth:`Starts.counts` gives, in a thread of this object.
        """
        super().__init__(_LOOK_S)
        self._recorder, self._left = recorder, pairs_to_do
        self._starts, self._on_starts = starts, on_starts
        recorder.set(PAIRS_TO_DO, pairs_to_do)
        recorder.set(PAIRS_LEFT, pairs_to_do)

    def count(self, result: UnitResult) -> None:
        """Adds a committed unit."""
        counts, add = result.counts, self._recorder.add
        self._recorder.observe(UNIT_SECONDS, result.seconds)
        add(DEATHS, result.deaths)
        for outcome, votes in counts.votes.items():
            add(VOTES, votes, outcome=outcome)
        add(TOKENS, counts.prompt_tokens, kind="prompt")
        add(TOKENS, counts.output_tokens, kind="output")
        add(TOKENS, counts.cached_tokens, kind="cached")
        pairs = CANARIES if result.corpus else PAIRS
        for status, count in counts.statuses.items():
            add(pairs, count, outcome=status)
        if result.corpus:
            return
        for reason, count in counts.reasons.items():
            add(QUARANTINED, count, reason=reason)
        add(REUSED, counts.reused)
        self._left -= counts.pairs
        self._recorder.set(PAIRS_LEFT, self._left)

    def look(self) -> None:
        """Counts the starts of engines."""
        with suppress(StorageError):  # the run itself meets it too, and reports it
            marks = self._starts.counts()
            for state in ("begun", "ready"):
                self._recorder.set(ENGINE_STARTS, marks[state], state=state)
            self._on_starts(marks)
        self._recorder.repeat()
