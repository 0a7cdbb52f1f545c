"""Answers of people: nothing lost, nothing doubled, and one answer a pair of what several said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.gold.answers import (
    Given,
    answers_about,
    give_all,
    give_answer,
    read_answers,
    revisions,
    undo,
)
from pipeline.gold.consensus import Consensus, consensus_of
from pipeline.gold.gold_sets import (
    change_set,
    create_set,
    drop_from_sets,
    read_set,
    set_names,
)
from pipeline.gold.people import NOBODY, GoldConfig, read_people
from pipeline.runtime.errors import ConfigError, InputError, StorageError
from pipeline.store.object_store import Store
from schemas.contract import ContractError
from schemas.gold import Answer, Draw, DrawnPair, Frame, GoldSet
from tests.simulator.memory_objects import MemoryObjects
from tests.simulator.scheduler import Scheduler
from tests.simulator.simulated_store import Faults, SimulatedStore, World

NOW = "2026-11-29T12:00:00+00:00"
A, B, C, D = (f"{number:064x}" for number in range(4))


def said(answer: str | None, **more: object) -> Answer:
    return Answer(answer=answer, answered_at=NOW, given_in="test", **more)  # type: ignore[arg-type]


def a_set(name: str = "one", **more: object) -> GoldSet:
    return GoldSet(name=name, created_at=NOW, created_by="run", **more)  # type: ignore[arg-type]


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_an_answer_is_stored_and_changed_by_revisions(output: Store) -> None:
    first = give_answer(output, "one", "ann", A, said("a", note="clear", shown="ba"), after=0)
    assert (first.revision, first.said, first.mine) == (1, "a", True)
    second = give_answer(output, "one", "ann", A, said("tie"), after=1)
    assert revisions(output, "one", "ann", A)[-1] == second
    assert [each.said for each in revisions(output, "one", "ann", A)] == ["a", "tie"]
    assert [entry.key for entry in output.list()] == [
        f"gold/one/answers/ann/{A}/{revision:06d}.json" for revision in (1, 2)
    ]


def test_a_double_click_is_one_answer_and_a_second_tab_sees_the_first(output: Store) -> None:
    assert give_answer(output, "one", "ann", A, said("a"), after=0).mine
    again = give_answer(output, "one", "ann", A, replace(said("a"), answered_at="later"), after=0)
    assert (again.mine, again.revision) == (True, 1)
    other = give_answer(output, "one", "ann", A, said("b"), after=0)
    assert (other.mine, other.said, other.revision) == (False, "a", 1)
    assert len(revisions(output, "one", "ann", A)) == 1


def test_of_many_threads_one_wins(output: Store) -> None:
    def click(number: int) -> bool:
        note = f"{number}"
        return give_answer(output, "one", "ann", A, said("a", note=note), after=0).mine

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(click, range(32))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_on_s3_with_lost_answers_and_refusals_one_revision_is_stored(seed: int) -> None:
    """Three tabs of one person answer at once, and each tries again until it has an outcome."""
    scheduler, objects = Scheduler(seed, 10_000), MemoryObjects()
    faults = Faults(refused=0.1, lost=0.2, conflict=0.1, killed=0, gives_up=0.5)
    world = World(scheduler, objects, faults, [])
    outcomes: list[tuple[str, str | None, bool]] = []

    def tab(answer: str) -> None:
        process = scheduler.process("tab", "laptop", 0.0)
        store = SimulatedStore(world, process, "out")

        def act() -> None:
            while True:
                try:
                    done = give_answer(store, "one", "ann", A, said(answer), after=0)
                except StorageError:
                    continue
                outcomes.append((answer, done.said, done.mine))
                return

        scheduler.start(process, act)

    for answer in ("a", "b", "tie"):
        tab(answer)
    scheduler.run()
    (key,) = objects.objects
    stored = Answer.parse(objects.objects[key].data, key).answer
    assert key == f"out/gold/one/answers/ann/{A}/000001.json"
    assert sorted(outcomes) == [(word, stored, word == stored) for word in ("a", "b", "tie")]


def test_undo_is_a_revision_that_restores_what_stood_before(output: Store) -> None:
    assert not undo(output, "one", "ann", A, NOW).mine
    for after, word in enumerate(("a", "b", "tie")):
        give_answer(output, "one", "ann", A, said(word, note=word), after)
    back = undo(output, "one", "ann", A, NOW)
    assert (back.said, back.revision) == ("b", 4)
    assert back.answer == replace(said("b", note="b"), given_in="undo", undoes=3)
    assert undo(output, "one", "ann", A, NOW).said == "a"
    give_answer(output, "one", "ann", A, said("cannot_say"), after=5)
    assert undo(output, "one", "ann", A, NOW).said == "a"  # what stood before the last answer
    nothing = undo(output, "one", "ann", A, NOW)
    assert (nothing.said, nothing.revision, nothing.mine) == (None, 8, True)
    assert undo(output, "one", "ann", A, NOW) == replace(nothing, mine=False)
    assert consensus_of(read_answers(output, "one")).gold == {}


def test_all_answers_are_the_newest_of_each_person(output: Store) -> None:
    give_answer(output, "one", "ann", A, said("a"), after=0)
    give_answer(output, "one", "ann", A, said("b"), after=1)
    give_answer(output, "one", "bob@x.org", A, said("tie"), after=0)
    give_answer(output, "two", "ann", B, said("a"), after=0)
    output.put("gold/one/answers/ann/notes.txt", b"theirs")
    found = {(each.annotator, each.pair_hash): each.said for each in read_answers(output, "one")}
    assert found == {("ann", A): "b", ("bob@x.org", A): "tie"}
    assert [each.said for each in read_answers(output, "one", "ann")] == ["b"]
    assert len(list(answers_about(output, {A}))) == 3


def test_answers_that_are_known_are_not_stored_again(output: Store) -> None:
    many = [("ann", A, said("a")), ("ann", B, said("b")), ("bob", A, said("a"))]
    assert give_all(output, "one", many) == {"stored": 3, "known": 0, "overtaken": 0}
    changed = [*many[:2], ("bob", A, said("tie"))]
    assert give_all(output, "one", changed) == {"stored": 1, "known": 2, "overtaken": 0}
    assert revisions(output, "one", "bob", A)[-1].revision == 2


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "a b"])
def test_names_that_would_leave_their_folder_are_refused(output: Store, name: str) -> None:
    with pytest.raises(ConfigError, match=r"annotator: got .*, expected letters, digits"):
        give_answer(output, "one", name, A, said("a"), after=0)
    with pytest.raises(ConfigError, match="the name of a gold set: got"):
        read_set(output, name)
    with pytest.raises(ConfigError, match="expected 64 hexadecimal digits"):
        give_answer(output, "one", "ann", f"{name}/x", said("a"), after=0)


def said_by(**by: str) -> Consensus:
    """What is made of answers, by pair those of p0, p1, …; p3 adjudicates, and `-` is an undo."""
    answers = [
        Given(f"p{who}", pair, 1, said(None if word == "-" else word))
        for pair, words in by.items()
        for who, word in enumerate(words.split())
    ]
    return consensus_of(answers, adjudicators=("p3",))


def test_more_than_half_decides() -> None:
    words = {"A1": "a a b", "A2": "a b", "A3": "a tie", "A4": "a cannot_say"}
    found = said_by(**words, A5="cannot_say", A6="- b")
    assert found.gold == {"A1": "a", "A2": "tie", "A3": "tie", "A4": "a", "A6": "b"}
    assert found.disputed == frozenset({"A2", "A3"})
    assert found.cannot_say == frozenset({"A5"})
    assert (found.twice, found.agreed) == (3, 0)
    assert found.answers == {"p0": 5, "p1": 5, "p2": 1}


def test_an_adjudicator_stands_alone() -> None:
    found = said_by(A1="a a b b", A2="a b cannot_say b", A3="a a a a")
    assert found.gold == {"A1": "b", "A2": "b", "A3": "a"}
    assert (found.disputed, found.twice, found.agreed) == (frozenset(), 3, 1)


def test_a_set_is_created_once_and_changed_by_swaps(output: Store) -> None:
    assert create_set(output, a_set(guideline="Which is better?"))
    assert not create_set(output, a_set())
    frame = Frame("snap", "judge", None, "s3://in", 2)
    draw = Draw(NOW, "run", "random", (DrawnPair(A, probability=0.5),), seed=1, frame=frame)

    def add(gold: GoldSet) -> GoldSet:
        return replace(gold, draws=(*gold.draws, draw))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: change_set(output, "one", add), range(8)))
    assert read_set(output, "one") == a_set(guideline="Which is better?", draws=(draw,) * 8)
    assert set_names(output) == ["one"]
    with pytest.raises(InputError, match="there is no gold set 'two'; there are: one"):
        read_set(output, "two")


def test_pairs_are_dropped_from_records(output: Store) -> None:
    pairs = tuple(DrawnPair(each) for each in (A, B))
    for name in ("one", "two"):
        create_set(
            output, a_set(name, draws=(Draw(NOW, "run", "imported", pairs[: len(name) - 1]),))
        )
    assert drop_from_sets(output, {B}) == ["one", "two"]
    assert drop_from_sets(output, {B}) == []
    assert set(read_set(output, "one").pairs) == {A}


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (Draw(NOW, "run", "random", (DrawnPair(A),)), "expected a frame, and the probability"),
        (Draw(NOW, "run", "imported", (DrawnPair(A), DrawnPair(A))), "one is named twice"),
        (Draw(NOW, "run", "imported", (DrawnPair(A, probability=0.0),)), "got 0, expected more"),
    ],
)
def test_a_draw_that_contradicts_itself_is_not_stored(
    output: Store, draw: Draw, message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        create_set(output, a_set(draws=(draw,)))


def test_people_of_a_configuration(output: Store) -> None:
    assert read_people(output, GoldConfig()) is NOBODY
    assert not NOBODY
    create_set(output, a_set(adjudicators=("eve",)))
    for who, word in (("ann", "a"), ("bob", "b"), ("eve", "b")):
        give_answer(output, "one", who, A, said(word), after=0)
    people = read_people(output, GoldConfig(set="one"))
    assert people.gold == {A: "b"}
    assert people.consensus is not None
    assert people.consensus.disputed == frozenset()
    output.put(f"gold/one/answers/ann/{B}/000001.json", b"{}")
    with pytest.raises(InputError, match=f"{B}/000001.json"):
        read_people(output, GoldConfig(set="one"))
