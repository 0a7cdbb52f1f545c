"""What is counted of a fixed corpus, by the number that stored tallies have of how it was counted.

Tallies of earlier snapshots are added to those of today, as long as their ``_COUNTING`` is that of
today. A test that fails here says that something else is counted of the same rows: raise
``_COUNTING`` in ``pipeline/snapshots/quality/snapshot_counts.py``, and add the digest to it here.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import pytest

from jobs import audit
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import read_set, set_names
from pipeline.gold.people import GoldConfig
from pipeline.judging.votes import Vote
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
from tests.calibrations import scored
from tests.measuring import Corpus, random_votes, text_pair
from tests.publishing import run_on
from tests.shards import pair

DIGESTS = {
    2: {
        "pairs": "674a79007e887f3105b05fdd57a156d58339cdaed37b55a4f5f48b03730ea56d",
        "criteria": "7de5098f4ce78220065ca3a02cbe74ba24999069418c06c49fdf070ad71e233a",
        "ranked": "3547d69d757409809d27eb10b11d0ad73977d068df1773f80463bdae16feb866",
    }
}
_ANSWERS: tuple[Literal["a", "b", "tie", "cannot_say"], ...] = ("a", "b", "tie", "cannot_say")
_DIGITS = 9  # the last bits of fractions are the machine's
_JUDGED = 106  # of the pairs; the others have no votes
_MEASURED = QualityConfig(length_groups=100)


@pytest.mark.parametrize("corpus", ["pairs", "criteria", "ranked"])
def test_what_is_counted_changes_with_its_number(outputs: dict[str, Store], corpus: str) -> None:
    counted = canonical(tallied(outputs[corpus]))
    assert digest(counted) == DIGESTS[_COUNTING][corpus], counted


@pytest.mark.parametrize(
    ("corpus", "counter"),
    [
        ("pairs", "of_rows"),
        ("pairs", "of_votes"),
        ("pairs", "of_pairs"),
        ("pairs", "of_prompts"),
        ("pairs", "of_lengths"),
        ("criteria", "of_criteria"),
        ("ranked", "of_groups"),
    ],
)
def test_every_count_is_in_the_digest(
    outputs: dict[str, Store], corpus: str, counter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = getattr(snapshot_counts, counter)

    def more(*rows: Any) -> Tally:
        counted: Tally = counts(*rows)
        numbers: Counter[str] = Counter(counted.numbers)
        numbers["more"] += 1
        return Tally(numbers, counted.tables, counted.clusters)

    monkeypatch.setattr(snapshot_counts, counter, more)
    assert digest(canonical(tallied(outputs[corpus]))) != DIGESTS[_COUNTING][corpus]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """Of each kind of labels an output whose live snapshot has them."""
    made = {"pairs": of_pairs, "criteria": by_criteria, "ranked": ranked}
    return {name: make(str(tmp_path_factory.mktemp(name))) for name, make in made.items()}


def of_pairs(uri: str) -> Store:
    """Labels of all kinds of pairs with gold, every one of which people were asked about."""
    made, chance = Corpus.at(uri), random.Random(16)
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
    assert any(tally.drawn for tally in tallied(made.output))
    return made.output


def by_criteria(uri: str) -> Store:
    """Pairs whose votes have scores by two criteria; of some rows by one of them, or equal ones."""
    made, chance = Corpus.at(uri), random.Random(17)
    votes: list[list[Vote] | None] = []
    for _ in range(40):
        scores = [(chance.randint(1, 10), chance.randint(1, 10)) for _ in ("right", "kind")]
        named = tuple(zip(("right", "kind"), scores, strict=True))[: chance.choice((1, 2, 2))]
        of_pair = [sum(each) / len(named) for each in zip(*(s for _, s in named), strict=True)]
        votes.append([replace(scored(order, *of_pair), criteria=named) for order in ("ab", "ba")])
    pairs = [text_pair(n, chance.choice(("a", "b", "tie", None)), "x", "yy") for n in range(40)]
    made.write("criteria.parquet", pairs, votes, identified=True)
    made.publish()
    return made.output


def ranked(uri: str) -> Store:
    """Groups of three with people's scores, some of them equal, or without one."""
    made, chance = Corpus.at(uri, format="batch_ranking"), random.Random(18)
    given = [[chance.choice((1.0, 2.0, 3.0)) for _ in range(3)] for _ in range(20)]
    pairs = [
        pair(n, images=None, prompt=f"question {n % 7}", gold_scores=each)
        for n, each in enumerate(given)
    ]
    votes = [
        [scored(order, *(chance.randint(1, 10) for _ in range(3))) for order in ("abc", "cba")]
        for _ in pairs
    ]
    made.write("ranked.parquet", pairs, [*votes[:-1], None])
    made.publish()
    return made.output


def tallied(output: Store) -> list[GroupTally]:
    """What is counted of the live snapshot."""
    snapshot_id = live(output).snapshot_id
    people = GoldConfig(set=next(iter(set_names(output)), None))
    measure_again(output, snapshot_id, _MEASURED, InputConfig(), gold=people)
    tallies = Tallies.read(output, snapshot_id)
    assert tallies is not None
    return [stored.tally() for stored in tallies.groups.values()]


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
