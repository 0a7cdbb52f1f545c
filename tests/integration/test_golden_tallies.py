"""What is counted of a fixed corpus, by the number that stored tallies have of how it was counted.

Tallies of earlier snapshots are added to those of today, as long as their ``_COUNTING`` is that of
today. A test that fails here says that something else is counted of the same rows: raise
``_COUNTING`` in ``pipeline/snapshots/quality/snapshot_counts.py``, and add the digest to it here.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any, Literal

import pytest

from jobs import audit
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import read_set
from pipeline.gold.people import GoldConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.digest import digest
from pipeline.snapshots.manifests import live
from pipeline.snapshots.quality import snapshot_counts
from pipeline.snapshots.quality.group_tally import GroupTally, Tallies
from pipeline.snapshots.quality.measure_snapshot import measure_again
from pipeline.snapshots.quality.snapshot_counts import _COUNTING, QualityConfig
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from schemas.gold import Answer
from tests.measuring import Corpus, random_votes, text_pair
from tests.publishing import run_on

DIGESTS = {2: "674a79007e887f3105b05fdd57a156d58339cdaed37b55a4f5f48b03730ea56d"}
_ANSWERS: tuple[Literal["a", "b", "tie", "cannot_say"], ...] = ("a", "b", "tie", "cannot_say")
_DIGITS = 9  # the last bits of fractions are the machine's
_JUDGED = 106  # of the pairs; the others have no votes
_MEASURED = QualityConfig(length_groups=100)


def test_what_is_counted_changes_with_its_number(output: Store) -> None:
    counted = canonical(tallied(output))
    assert digest(counted) == DIGESTS[_COUNTING], counted


@pytest.mark.parametrize("counter", ["of_rows", "of_votes", "of_pairs", "of_prompts", "of_lengths"])
def test_every_count_is_in_the_digest(
    output: Store, counter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = getattr(snapshot_counts, counter)

    def more(*rows: Any) -> Tally:
        counted: Tally = counts(*rows)
        numbers: Counter[str] = Counter(counted.numbers)
        numbers["more"] += 1
        return Tally(numbers, counted.tables, counted.clusters)

    monkeypatch.setattr(snapshot_counts, counter, more)
    assert digest(canonical(tallied(output))) != DIGESTS[_COUNTING]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Labels of all kinds of pairs with gold, every one of which people were asked about."""
    made, chance = Corpus.at(str(tmp_path_factory.mktemp("tallies"))), random.Random(16)
    for number in range(3):
        pairs = [
            text_pair(100 * number + n, chance.choice(("a", "b", "tie", None)), "x" * n, "yy")
            | {"prompt": f"question {n % 7}"}
            for n in range(40)
        ]
        name = f"{number}.parquet"
        made.write(name, pairs, random_votes(chance, 40), group_rows=40, identified=True)
    made.publish()
    done = run_on(audit.main, made.output, "--name", "people", "--size", str(_JUDGED))
    assert (done.exit_code, done.error) == (0, "")
    asked = sorted(read_set(made.output, "people").pairs)
    said = [Answer(_ANSWERS[int(p[0], 16) % 4], "2026-01-01T00:00:00Z", "test") for p in asked]
    give_all(made.output, "people", [("ann", *e) for e in zip(asked, said, strict=True)])
    return made.output


def tallied(output: Store) -> list[GroupTally]:
    """What is counted of the live snapshot."""
    snapshot_id = live(output).snapshot_id
    measure_again(output, snapshot_id, _MEASURED, InputConfig(), gold=GoldConfig(set="people"))
    tallies = Tallies.read(output, snapshot_id)
    assert tallies is not None
    found = [stored.tally() for stored in tallies.groups.values()]
    assert any(tally.drawn for tally in found)
    return found


def canonical(tallies: list[GroupTally]) -> str:
    """All counts as JSON, in whichever groups the shards lie."""
    whole = Tally()
    for tally in tallies:
        tally.add_to(whole, tally.sampled)
    said = dict(sorted(item for tally in tallies for item in tally.said.items()))
    drawn = sorted((row for tally in tallies for row in tally.drawn), key=json.dumps)
    record = {"counts": whole.as_record(), "said": said, "drawn": drawn}
    return json.dumps(rounded(record), sort_keys=True)


def rounded(value: Any) -> Any:
    """A record with fractions of so many digits."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
