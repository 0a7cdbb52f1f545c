"""The metrics of a run's driver: what its unit results say, and how often engines were started."""

from __future__ import annotations

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

    def __init__(self, recorder: Recorder, pairs_to_do: int, starts: Starts) -> None:
        """Records the plan; ``starts`` are looked at now and then."""
        super().__init__(_LOOK_S)
        self._recorder, self._left, self._starts = recorder, pairs_to_do, starts
        recorder.set(PAIRS_TO_DO, pairs_to_do)
        recorder.set(PAIRS_LEFT, pairs_to_do)

    def count(self, result: UnitResult) -> None:
        """Counts a unit in."""
        tally, add = result.tally, self._recorder.add
        self._recorder.observe(UNIT_SECONDS, result.seconds)
        add(DEATHS, result.deaths)
        for outcome, votes in tally.votes.items():
            add(VOTES, votes, outcome=outcome)
        add(TOKENS, tally.prompt_tokens, kind="prompt")
        add(TOKENS, tally.output_tokens, kind="output")
        add(TOKENS, tally.cached_tokens, kind="cached")
        pairs = CANARIES if result.corpus else PAIRS
        for status, count in tally.statuses.items():
            add(pairs, count, outcome=status)
        if result.corpus:
            return
        for reason, count in tally.reasons.items():
            add(QUARANTINED, count, reason=reason)
        add(REUSED, tally.reused)
        self._left -= tally.pairs
        self._recorder.set(PAIRS_LEFT, self._left)

    def look(self) -> None:
        """Counts the starts of engines."""
        with suppress(StorageError):  # the run itself meets it too, and says so
            counts = self._starts.counts()
            for state in ("begun", "ready"):
                self._recorder.set(ENGINE_STARTS, counts[state], state=state)
        self._recorder.repeat()
