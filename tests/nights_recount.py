"""An independent recount of an output: it reads stored objects by pyarrow and json alone.

Nothing of the product is imported here: neither its readers, nor its rule, nor its identities.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Row = dict[str, Any]
# One reply of the judge: the order shown, and the scores of both candidates by each criterion, as
# the row has them; None of a reply that is no verdict.
Verdict = tuple[str, tuple[tuple[str, float, float], ...] | None]


@dataclass(frozen=True)
class Rule:
    """How votes are to count, as people set it.

    Attributes:
        threshold, min_confidence: of the policy.
        weights: of the criteria.
        calibration: weights of the mean margin, the share of votes and the net votes; or none.
    """

    threshold: float
    min_confidence: float
    weights: Mapping[str, float]
    calibration: tuple[float, float, float] | None = None

    def label(self, verdicts: Sequence[Verdict]) -> tuple[str, str | None, float | None]:
        """Status, preference and the calibrated probability that verdicts lead to."""
        margins, orders = list[float](), set[str]()
        for order, scores in verdicts:
            if scores is not None:
                orders.add(order)
                total = sum(self.weights[name] for name, _, _ in scores)
                a = sum(self.weights[name] * score for name, score, _ in scores)
                b = sum(self.weights[name] * score for name, _, score in scores)
                margins.append(a / total - b / total)
        if orders != {"ab", "ba"}:
            return "quarantined", None, None
        count = len(margins)
        for_a, for_b = (sum(sign * margin > 0 for margin in margins) for sign in (1, -1))
        ties = count - for_a - for_b
        p_a = self._calibrated(sum(margins) / count, for_a - for_b, count)
        if tail(ties, count - ties) >= 0.85:  # the judge's own threshold of ties
            confident = tail(ties, count - ties) >= self.min_confidence
            return ("tie" if confident else "abstained"), None, p_a
        for_side = {"a": tail(for_a, for_b), "b": tail(for_b, for_a)}
        side = max(for_side, key=lambda each: for_side[each])
        confidence = for_side[side] if p_a is None else p_a if side == "a" else 1 - p_a
        if for_side[side] < self.threshold or confidence < self.min_confidence:
            return "abstained", None, p_a
        return "labeled", side, p_a

    def _calibrated(self, margin: float, net: int, count: int) -> float | None:
        if self.calibration is None:
            return None
        features = (margin, net / count, float(net))
        return 1 / (
            1 + math.exp(-sum(w * x for w, x in zip(self.calibration, features, strict=True)))
        )


def tail(wins: int, losses: int) -> float:
    """That a share is above one half, by so many wins and losses and a uniform prior: exactly."""
    throws = wins + losses + 1
    return sum(math.comb(throws, k) for k in range(wins + 1)) / float(2**throws)


def live(output: Path) -> tuple[Row, dict[str, list[Row]]]:
    """The manifest of what is live, and the rows of its tables, by LATEST.json alone."""
    latest = json.loads((output / "snapshots" / "LATEST.json").read_bytes())
    manifest: Row = json.loads((output / latest["manifest"]).read_bytes())
    tables: dict[str, list[Row]] = defaultdict(list)
    for file in manifest["files"]:
        data = pq.read_table(output / file["path"], use_threads=False)
        assert (data.num_rows, (output / file["path"]).stat().st_size) == (
            file["rows"],
            file["bytes"],
        )
        tables[file["table"]] += data.to_pylist()
    return manifest, tables


def verdict_of(vote: Mapping[str, Any]) -> Verdict:
    """A stored vote as the judge gave it."""
    if vote["outcome"] != "verdict":
        return vote["order"], None
    return vote["order"], tuple((c["name"], *c["scores"]) for c in vote["criteria"])


def part_votes(output: Path) -> Iterator[tuple[str, Verdict]]:
    """Every vote in any part, with the id of its pair."""
    for path in sorted((output / "parts").rglob("*.parquet")):
        for row in pq.read_table(path, use_threads=False).to_pylist():
            for vote in row["votes"] or ():
                yield row["pair_id"], verdict_of(vote)


def holding(root: Path, words: Iterable[str]) -> set[str]:
    """Every file, hidden ones too, in which one of some texts stands, in columns or in bytes."""
    wanted = [word.encode() for word in words]
    found = set()
    for path in (each for each in root.rglob("*") if each.is_file()):
        data = path.read_bytes()
        if data[:4] == b"PAR1":
            data += repr(pq.read_table(path, use_threads=False).to_pydict()).encode()
        if any(word in data for word in wanted):
            found.add(str(path.relative_to(root)))
    return found


def doubled(places: Iterable[Any]) -> list[Any]:
    """What is there more than once."""
    return [each for each, count in Counter(places).items() if count > 1]
