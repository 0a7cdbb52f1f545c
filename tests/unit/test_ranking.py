"""Labels of pairs give one ranking: the one that they state, or none where they state none."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation.ranking import Ranking, ranking_of_labels, ranking_of_scores
from pipeline.ingest.ranked_pairs import Expansion, as_pairs
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.ranked_sets import ranked_pair
from schemas.pairs import PAIRS
from tests.shards import pair as pair_row
from tests.shards import response

scores_of_sets = st.lists(st.integers(0, 4), min_size=2, max_size=8)


def by_hand(text: str) -> dict[str, str]:
    """Labels such as ``a>b b=c``."""
    signs = {">": "a", "<": "b", "=": "tie"}
    return {each[0] + each[2]: signs[each[1]] for each in text.split()}


@pytest.mark.parametrize(
    ("letters", "labels", "expected"),  # of pairs: "a>b b=c"
    [
        ("abc", "a>b b>c a>c", Ranking(("a", "b", "c"))),
        ("abc", "a<b b=c a<c", Ranking(("bc", "a"))),
        ("abc", "a>b b>c", Ranking(("a", "b", "c"))),  # adjacent: c is below a through b
        ("abcd", "a>b a>c a>d", Ranking(("a", "bcd"), ("bc", "bd", "cd"))),
        ("abcd", "a<b a>c a>d", Ranking(("b", "a", "cd"), ("cd",))),
        ("abc", "a>b", None),  # nothing is known of c
        ("abc", "a>b a>c b=c", Ranking(("a", "bc"))),
        ("abcd", "a>b b>c d>c", None),  # d may be anywhere above c
        ("ab", "", None),
        ("ab", "a=b", Ranking(("ab",))),
        ("abc", "a>b b>c a<c", Ranking(("abc",), (), ("ab", "ac", "bc"))),  # a circle
        ("abcd", "a>b b>c a<c a>d b>d c>d", Ranking(("abc", "d"), (), ("ab", "ac", "bc"))),
        # Of a circle of four, a and b each beat two, c and d one.
        ("abcd", "a>b b>c c>d a<d a>c b>d", Ranking(("ab", "cd"), (), ("ab", "ad", "cd"))),
        ("abcd", "a=b c=d", None),
        ("abc", "a=b b=c a>c", Ranking(("a", "b", "c"), (), ("ab", "bc"))),
        ("abcd", "a>b b>c a<c d=a d=b d=c", Ranking(("abcd",), (), ("ab", "ac", "bc"))),
        ("abcde", "a>b b>c a<c b>d c>d a>d", None),  # e
    ],
)
def test_rankings_by_hand(letters: str, labels: str, expected: Ranking | None) -> None:
    assert ranking_of_labels(letters, by_hand(labels)) == expected


@given(scores_of_sets, st.sampled_from(["all", "adjacent"]))
def test_pairs_of_a_ranking_give_it_back(scores: list[int], how: Expansion) -> None:
    assert _through_pairs(scores, how) == ranking_of_scores("abcdefgh"[: len(scores)], scores)


@given(scores_of_sets.filter(lambda scores: scores.count(max(scores)) == 1))
def test_the_best_against_the_rest_gives_the_best(scores: list[int]) -> None:
    letters = "abcdefgh"[: len(scores)]
    best = letters[scores.index(max(scores))]
    rest = letters.replace(best, "")
    unordered = tuple(x + y for x, y in itertools.combinations(rest, 2))
    assert _through_pairs(scores, "best-against-rest") == Ranking((best, rest), unordered)


@given(st.data(), st.integers(2, 7))
def test_nothing_is_made_up(data: st.DataObject, count: int) -> None:
    letters = "abcdefg"[:count]
    pairs = st.sampled_from([x + y for x, y in itertools.combinations(letters, 2)])
    labels = data.draw(st.dictionaries(pairs, st.sampled_from(["a", "b", "tie"])))
    ranking = ranking_of_labels(letters, labels)
    if ranking is None:
        assert len(labels) < count * (count - 1) / 2  # whatever all labels say is a ranking
        return
    assert sorted("".join(ranking.levels)) == sorted(letters)
    assert {pair for pair, label in labels.items() if not _agrees(ranking, pair, label)} == set(
        ranking.contradicted
    )
    assert set(ranking.open).isdisjoint(labels)
    for x, y in itertools.combinations(letters, 2):
        stated = _follows(x, y, labels) or _follows(y, x, labels)
        assert stated == (x + y not in ranking.open)


def _through_pairs(scores: list[int], how: Expansion) -> Ranking | None:
    """The ranking from the pairs that ingest makes of a ranked row, labelled by their gold."""
    row = pair_row(0, images=None) | {
        "candidates": [response(str(n)) for n in range(len(scores))],
        "gold_scores": [float(score) for score in scores],
    }
    table = to_pairs(PairMapping(), pa.Table.from_pylist([row], PAIRS))
    places = [(ranked_pair(each), each["gold"]) for each in as_pairs(table, how).to_pylist()]
    labels = {place.letters: str(gold) for place, gold in places if place}
    (letters,) = {place.all_letters for place, _ in places if place}
    return ranking_of_labels(letters, labels)


def _agrees(ranking: Ranking, pair: str, label: str) -> bool:
    first, second = ranking.rank(pair[0]), ranking.rank(pair[1])
    return {"a": first < second, "b": first > second, "tie": first == second}[label]


def _follows(x: str, y: str, labels: Mapping[str, str]) -> bool:
    """Whether labels say, directly or through others, that x is at least as good as y."""
    seen, waiting = set[str](), [x]
    while waiting:
        at = waiting.pop()
        seen.add(at)
        for pair, label in labels.items():
            first, second = tuple(pair)
            onward = {first: (second, label != "b"), second: (first, label != "a")}.get(at)
            if onward and onward[1] and onward[0] not in seen:
                waiting.append(onward[0])
    return y in seen
