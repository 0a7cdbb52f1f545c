"""Error bounds: how often a snapshot's preferences disagree with people at most, and why so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schemas.records import Record

Loss = Literal["strict", "sided"]


@dataclass(frozen=True)
class BoundTest:
    """The test of one least confidence.

    Attributes:
        threshold: the confidence; of a cascade's last judge more by ``ahead``.
        coverage: share of the corpus' preferences that reach it.
        n: checked preferences that reach it, of ``clusters`` prompts, ``wrong`` of them wrong.
        independent: of how many independent ones they have the variance.
        upper: with the confidence of the bound, fewer than this share are wrong.
        passed: whether that is at most what is promised.
    """

    threshold: float
    coverage: float
    n: int
    wrong: int
    clusters: int
    independent: float
    upper: float
    passed: bool


@dataclass(frozen=True)
class ErrorBound(Record):
    """With ``confidence``, at most ``max_error`` of the preferences disagree with people.

    Attributes:
        key: identity of what was tested: judge, policy, calibration, answers, and the promise.
        loss: ``strict``: a preference is wrong where people see a tie; ``sided``: such pairs do not
            count.
        attempt: the number of this try with the gold set, from 1, and ``tries`` how many were
            planned: each may fail with ``delta``.
        gold_set: whose answers; ``frames`` are the snapshots that its pairs were drawn from, of
            ``frame_pairs`` pairs.
        drawn: pairs of the set that are kept for tests; people have decided ``answered`` of them,
            ``cannot_say`` about others, and disagree about ``disputed`` ones, which are ties.
        checked: of the answered ones, those that have a preference under this policy.
        weighted: whether pairs were drawn with different probabilities, which weights undo.
        approximate: whether several are of one prompt, so that the test is not exact.
        shift_p: how likely scores as different as those of gold and corpus are by chance.
        min_confidence: the least confidence of a preference; None where no threshold has passed.
            Of a cascade's last judge it is less by ``ahead``.
        tests: all that were made, in order.
        labels: preferences of the snapshot, and ``outside`` those in shards that no draw could
            have taken: nothing is promised of these. None before there is a snapshot.
        path: in which order the labels of a cascade are given (``giving_order``).
        ahead: how much more the confidence of its last judge counts, in all thresholds.
    """

    version: Literal["error-bound/v1"] = field(default="error-bound/v1", kw_only=True)
    key: str
    max_error: float
    confidence: float
    loss: Loss
    delta: float
    attempt: int
    tries: int
    gold_set: str
    frames: tuple[str, ...]
    frame_pairs: int
    drawn: int
    answered: int
    cannot_say: int
    disputed: int
    checked: int
    weighted: bool
    approximate: bool
    shift_p: float | None
    min_confidence: float | None
    tests: tuple[BoundTest, ...]
    labels: int | None = None
    outside: int | None = None
    path: str = "A"
    ahead: float = 0.0

    @property
    def decisive(self) -> BoundTest | None:
        """The last test that passed."""
        passed = [test for test in self.tests if test.passed]
        return passed[-1] if passed else None

    def reaching(self, threshold: float) -> str:
        """The confidence of labels that reach a threshold, in words: by the judges that gave them.

        Args:
            threshold: of this bound, which ``ahead`` may lift above 1.
        """
        if not self.ahead:
            return f"a confidence of {threshold:.4g} or more"
        others = f", of {threshold:.4g} of others" * (threshold <= 1)
        last = max(0.0, threshold - self.ahead)
        return f"a confidence of {last:.4g} or more of the last judge{others}"

    @property
    def sentence(self) -> str:
        """The bound in words, with what it was measured on."""
        test = self.decisive
        if test is None or self.min_confidence is None:
            return f"no bound: {self.max_error:.1%} of wrong preferences cannot be promised"
        ties = "a tie included" if self.loss == "strict" else "pairs that people see as ties aside"
        about = "about " if self.approximate else ""
        within = "" if self.labels is None else f" {self.labels - (self.outside or 0):,}"
        least = self.reaching(self.min_confidence)
        outside = f" {self.outside:,} others came later: outside bound." if self.outside else ""
        return (
            f"With {about}{self.confidence:.0%} confidence, at most {self.max_error:.1%} of the"
            f"{within} preferences with {least} disagree "
            f"with people ({ties}): {test.wrong} of {test.n} checked ones do, of {test.clusters} "
            f"prompts.{outside} Gold set {self.gold_set}, try {self.attempt} of {self.tries}, "
            f"drawn from {self.frame_pairs:,} pairs of snapshot {', '.join(self.frames)}."
        )


@dataclass(frozen=True)
class FrameShards(Record):
    """Which shards a draw was made from: pairs of others are outside of what it shows.

    Attributes:
        shards: their keys (``pipeline.pairs.shards.shard_key``).
    """

    version: Literal["gold-frame/v1"] = field(default="gold-frame/v1", kw_only=True)
    snapshot_id: str
    shards: tuple[str, ...]
