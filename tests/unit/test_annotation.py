"""Who is asked about which pair of a gold set: nothing lost, doubled, or asked twice."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.gold.answers import Given, read_answers, revisions
from pipeline.gold.gold_sets import create_set
from pipeline.gold.set_agreement import agreement_of, sentence_of
from pipeline.review.annotation import Annotation, answers_needed, shown_order
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.gold import Answer, Draw, DrawnPair, GoldSet

NOW = "2026-11-29T12:00:00+00:00"
HASHES = [f"{number:064x}" for number in range(1, 41)]


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def gold_set(twice: float = 0.0, adjudicators: tuple[str, ...] = ()) -> GoldSet:
    pairs = tuple(DrawnPair(pair_hash=each) for each in HASHES)
    draw = Draw(drawn_at=NOW, drawn_by="run", how="imported", pairs=pairs)
    made = GoldSet(name="one", created_at=NOW, created_by="run", draws=(draw,))
    return replace(made, twice=twice, adjudicators=adjudicators)


def opened(folder: Path, clock: Clock | None = None, **how: object) -> Annotation:
    output = Store(str(folder))
    create_set(output, gold_set(**how))  # type: ignore[arg-type]
    return Annotation(output, "one", clock or Clock())


def answer_all(annotation: Annotation, *people: str, chosen: str = "1") -> list[tuple[str, str]]:
    """Lets people answer in turns until nothing is left; returns who was asked about what."""
    asked: list[tuple[str, str]] = []
    while True:
        before = len(asked)
        for who in people:
            if (pair := annotation.next(who)) is not None:
                key = pair.pair.pair_hash
                assert annotation.answer(who, key, chosen, "", pair.given.revision).mine
                asked.append((who, key))
        if len(asked) == before:
            return asked


def test_every_pair_is_answered_once_and_the_stated_share_twice(tmp_path: Path) -> None:
    annotation = opened(tmp_path, twice=0.3)
    needed = {each: answers_needed(annotation.set, each) for each in HASHES}
    assert set(needed.values()) == {1, 2}
    asked = answer_all(annotation, "ann", "ben", "cleo")
    assert len(asked) == len(set(asked)) == sum(needed.values())
    by_pair = {each: sum(key == each for _, key in asked) for each in HASHES}
    assert by_pair == needed
    assert len({who for who, _ in asked}) == 3


def test_two_people_at_once_are_not_given_the_same_pair(tmp_path: Path) -> None:
    clock = Clock()
    annotation = opened(tmp_path, clock)
    seen = set()
    for number in range(len(HASHES)):
        pair = annotation.next(f"person-{number}")
        assert pair is not None
        seen.add(pair.pair.pair_hash)
    assert seen == set(HASHES)
    assert annotation.next("one-more") is None
    clock.now = 3_600  # they went home
    assert annotation.next("one-more") is not None


def test_orders_are_by_chance_and_the_same_each_time() -> None:
    orders = [shown_order("ann", each) for each in HASHES]
    assert orders == [shown_order("ann", each) for each in HASHES]
    assert 8 < orders.count("ba") < 32
    assert orders != [shown_order("ben", each) for each in HASHES]


@pytest.mark.parametrize(("key", "said"), [("1", "first"), ("2", "second"), ("3", "tie"),
                                           ("4", "cannot_say")])  # fmt: skip
def test_an_answer_is_stored_by_canonical_sides(tmp_path: Path, key: str, said: str) -> None:
    annotation = opened(tmp_path)
    for pair in HASHES[:6]:
        order = shown_order("ann", pair)
        given = annotation.answer("ann", pair, key, " why ", 0)
        expected = {"first": order[0], "second": order[1]}.get(said, said)
        (stored,) = revisions(Store(str(tmp_path)), "one", "ann", pair)
        assert (given.said, stored.said) == (expected, expected)
        assert stored.answer is not None
        assert (stored.answer.note, stored.answer.shown) == ("why", order)


def test_a_double_click_and_two_tabs_make_one_answer(tmp_path: Path) -> None:
    one, two = opened(tmp_path), Annotation(Store(str(tmp_path)), "one")
    pair = HASHES[0]
    assert one.answer("ann", pair, "1", "", 0).mine
    assert two.answer("ann", pair, "1", "", 0).mine  # the same again
    late = two.answer("ann", pair, "3", "", 0)  # a tab that was opened before
    assert not late.mine
    assert late.said == shown_order("ann", pair)[0]
    assert len(revisions(Store(str(tmp_path)), "one", "ann", pair)) == 1
    assert two.answer("ann", pair, "3", "", 1).mine  # who has seen it may change it
    assert [g.said for g in read_answers(Store(str(tmp_path)), "one")] == ["tie"]


def test_another_server_goes_on_where_this_one_was_killed(tmp_path: Path) -> None:
    first = opened(tmp_path, twice=0.0)
    done = []
    for _ in range(7):
        pair = first.next("ann")
        assert pair is not None
        first.answer("ann", pair.pair.pair_hash, "2", "", 0)
        done.append(pair.pair.pair_hash)
    again = Annotation(Store(str(tmp_path)), "one", Clock())
    assert again.work("ann").answered == 7
    rest = [key for _, key in answer_all(again, "ann")]
    assert sorted(done + rest) == sorted(HASHES)


def test_answers_of_another_server_are_noticed(tmp_path: Path) -> None:
    clock = Clock()
    here, there = opened(tmp_path, clock), Annotation(Store(str(tmp_path)), "one")
    answer_all(there, "ben")
    assert here.work("ann").left == len(HASHES)  # as it was read
    clock.now = 60
    assert here.work("ann").left == 0
    assert here.next("ann") is None


def test_undo_takes_the_last_answer_back_and_the_pair_is_asked_again(tmp_path: Path) -> None:
    annotation = opened(tmp_path)
    keys = []
    for _ in range(3):
        pair = annotation.next("ann")
        assert pair is not None
        keys.append(pair.pair.pair_hash)
        annotation.answer("ann", keys[-1], "1", "", 0)
    for key in reversed(keys):
        taken = annotation.undo("ann")
        assert taken is not None
        assert (taken.pair_hash, taken.said) == (key, None)
    assert annotation.undo("ann") is None
    again = annotation.next("ann")
    assert again is not None
    assert (again.pair.pair_hash, again.given.revision) == (keys[0], 2)


def test_an_adjudicator_is_asked_about_what_others_differ_on(tmp_path: Path) -> None:
    annotation = opened(tmp_path, twice=1.0, adjudicators=("chair",))
    disputed, agreed, once = HASHES[:3]
    for who, pair, key in (("ann", disputed, "a"), ("ben", disputed, "b"), ("ann", agreed, "a"),
                           ("ben", agreed, "a"), ("ann", once, "a")):  # fmt: skip
        place = shown_order(who, pair).index(key) + 1
        annotation.answer(who, pair, str(place), "", 0)
    assert answer_all(annotation, "chair", chosen="3") == [("chair", disputed)]
    found = agreement_of(annotation.given, annotation.set.adjudicators)
    assert (found.disputed, found.answers, found.cannot_say) == (1, 5, 0)


@pytest.mark.parametrize("wrong", ["", "5", "a", "01"])
def test_what_is_no_answer_is_refused(tmp_path: Path, wrong: str) -> None:
    annotation = opened(tmp_path)
    with pytest.raises(InputError, match="expected 1, 2, 3 or 4"):
        annotation.answer("ann", HASHES[0], wrong, "", 0)
    with pytest.raises(InputError, match="has no pair"):
        annotation.answer("ann", "f" * 64, "1", "", 0)
    assert read_answers(Store(str(tmp_path)), "one") == []


def test_agreement_is_that_of_the_textbook() -> None:
    """The table [[20, 5], [10, 15]] has kappa .4 and alpha .4."""
    cells = {("a", "a"): 20, ("a", "b"): 5, ("b", "a"): 10, ("b", "b"): 15}
    given, number = [], 0
    for answers, count in cells.items():
        for _ in range(count):
            number += 1
            for who, said in zip(("ann", "ben"), answers, strict=True):
                answer = Answer(answer=said, answered_at=NOW, given_in="test")  # type: ignore[arg-type]
                given.append(Given(who, f"{number:064x}", 1, answer))
    found = agreement_of(given, ())
    (two,) = found.pairs
    assert two.kappa.value == pytest.approx(0.4)
    assert found.alpha.value == pytest.approx(0.4, abs=5e-4)
    assert (two.agreed.value, two.kappa.rows, found.disputed) == (0.7, 50, 15)
    assert found.alpha.low is not None
    assert 0.1 < found.alpha.low < 0.3


def test_who_answered_and_how_far_they_agree_is_one_sentence() -> None:
    of = {"created_at": NOW, "created_by": "run"}
    guideline = "# Which is more helpful?\n\nLook at the picture first."
    gold = GoldSet(name="one", guideline=guideline, adjudicators=("chair",), **of)  # type: ignore[arg-type]
    assert sentence_of(GoldSet(name="none", **of), []) == (  # type: ignore[arg-type]
        "gold set none: 0 answers by 0 people, without a guideline; no pair was answered by two, "
        "so that nothing is known of their agreement"
    )
    given = []
    for number in range(40):
        for who in ("ann", "ben"):
            side = "ab"[number % 2 if who == "ann" or number < 36 else 0]
            answer = Answer(answer=side, answered_at=NOW, given_in="test")  # type: ignore[arg-type]
            given.append(Given(who, f"{number:064x}", 1, answer))
    alpha = agreement_of(given, ()).alpha
    assert sentence_of(gold, given) == (
        'gold set one: 80 answers by 2 people, by the guideline "Which is more helpful?" (SHA-256 '
        f"{hashlib.sha256(guideline.encode()).hexdigest()[:12]}); on 40 pairs Krippendorff's alpha "
        f"is {alpha.value:.2f} ({alpha.low:.2f} to {alpha.high:.2f})"
    )
