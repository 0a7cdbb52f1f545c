"""Answers of people go out to other tools, come back, and count as gold; no engine, no Ray."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import gold
from pipeline.aggregation.calibrate import calibrate
from pipeline.gold import argilla
from pipeline.gold.answers import read_answers
from pipeline.gold.gold_sets import read_set
from pipeline.gold.people import GoldConfig, read_people
from pipeline.gold.roles import tests_bounds as kept_for_tests
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.prompts import cluster_number
from pipeline.runtime.errors import InputError
from pipeline.snapshots.quality.measure_snapshot import measure
from pipeline.store.writer_lease import writer_lease
from tests.calibrations import scored
from tests.measuring import ALL, Corpus
from tests.publishing import QUIET, Outcome
from tests.shards import hash_of, pair, picture, response

_A = [scored("ab", 9, 2), scored("ba", 9, 2)]
_B = [scored("ab", 3, 8), scored("ba", 3, 8)]


def asked(number: int) -> dict[str, Any]:
    """A pair of texts, each of another prompt; the first three have pictures."""
    texts = {"response_a": response(f"Answer {number}"), "response_b": response(f"Reply {number}")}
    images = [{"bytes": picture(number), "path": None}] if number < 3 else None
    return pair(number, images=images, **texts)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    made = Corpus.at(str(tmp_path))
    for name, start in (("one.parquet", 0), ("two.parquet", 40)):
        pairs = [asked(number) for number in range(start, start + 40)]
        votes = [_A if number % 2 else _B for number in range(40)]
        made.write(name, pairs, votes, identified=True)
    made.publish()
    return made


def run(corpus: Corpus, command: Any, *arguments: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    words = [str(each) for each in arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command.main([*words, "--output", corpus.output.uri])
    return Outcome(code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue())


def with_gold(corpus: Corpus, folder: Path, golds: str) -> str:
    """Pairs of the corpus with people's gold, in a shard of their own; returns its folder."""
    other = Corpus.at(str(folder))
    words = {"a": "a", "b": "b", "t": "tie"}
    pairs = [
        {**row, "gold": words[each]}
        for row, each in zip(corpus.pairs["one.parquet"], golds, strict=False)
    ]
    other.write("gold.parquet", pairs, [_A] * len(pairs))
    return other.source.uri


def test_gold_of_pairs_becomes_a_set(corpus: Corpus, tmp_path: Path) -> None:
    source = with_gold(corpus, tmp_path / "people", "abt" * 10)
    arguments = ("import", "--name", "team", "--input", source, "--annotator", "ann")
    done = run(corpus, gold, *arguments)
    assert (done.exit_code, done.error) == (0, "")
    fields = done.event("imported")
    assert (fields["pairs"], fields["stored"], fields["known"]) == (30, 30, 0)
    again = run(corpus, gold, *arguments).event("imported")
    assert (again["stored"], again["known"]) == (0, 30)
    people = read_people(corpus.output, GoldConfig(set="team"))
    rows = corpus.pairs["one.parquet"]
    said = {hash_of(rows[n]): ("a", "b", "tie")[n % 3] for n in range(30)}
    assert people.gold == said
    assert people.set is not None
    placed = people.set.pairs[hash_of(rows[7])]
    assert (placed.shard, placed.row, placed.pair_id) == ("one.parquet", 7, "pair-7")
    listed = run(corpus, gold, "list").event("gold")
    assert (listed["decided"], listed["answers"], listed["drawn"]) == (
        30,
        {"ann": 30},
        {"imported": 1},
    )
    # The gate measures by them, though the input has no gold at all.
    manifest = corpus.publish().manifest
    columns = InputConfig()
    plain = measure(corpus.output, manifest, ALL, columns, against=None)
    assert (plain.gold, plain.rates["gold_agreement"].n) == (None, 0)
    by_people = measure(
        corpus.output, manifest, ALL, columns, against=None, gold=GoldConfig(set="team")
    )
    assert by_people.gold is not None
    assert by_people.gold.pairs == 30
    decided = [n for n in range(30) if n % 3 != 2]
    right = sum((n % 3 == 0) == (n % 2 == 1) for n in decided)
    rate = by_people.rates["gold_agreement"]
    assert (rate.n, rate.value) == (len(decided), right / len(decided))


def test_label_studio_there_and_back(corpus: Corpus, tmp_path: Path) -> None:
    source = with_gold(corpus, tmp_path / "people", "ab" * 5)
    assert run(corpus, gold, "import", "--name", "s", "--input", source).exit_code == 0
    file = tmp_path / "tasks.json"
    arguments = ("export", "--name", "s", "--format", "label-studio", "--to", file)
    done = run(corpus, gold, *arguments, "--input", corpus.source.uri)
    assert (done.exit_code, done.error) == (0, "")
    tasks = json.loads(file.read_text())
    assert len(tasks) == 10
    assert {task["data"]["shown"] for task in tasks} == {"ab", "ba"}
    for task in tasks:
        data = task["data"]
        sides = [data["first"], data["second"]]
        texts = sides if data["shown"] == "ab" else sides[::-1]
        number = int(data["pair_id"].removeprefix("pair-"))
        assert texts == [f"Answer {number}", f"Reply {number}"]
        assert bool(data["images"]) == (number < 3)
        (before,) = task["annotations"]
        (region,) = before["result"]
        chosen = region["value"]["choices"][0]
        assert data[chosen] == texts[number % 2]  # what people said: a, b, a, b, …
    assert '<Choice value="cannot_say"' in (tmp_path / "tasks.json.interface.xml").read_text()

    # Somebody always takes the first of the two, one is skipped, and one cannot be said.
    for number, task in enumerate(tasks):
        chosen = {"choices": ["cannot_say" if number == 9 else "first"]}
        result = [
            {"id": "x", "from_name": "preference", "to_name": "first", "type": "choices"}
            | {"value": chosen, "origin": "manual"}
        ]
        if number == 1:
            result = [{"type": "pairwise", "from_name": "pw", "value": {"selected": "right"}}]
            note = {"type": "textarea", "from_name": "note", "value": {"text": ["well"]}}
            result.append(note)
        task["annotations"] = [
            {"id": number, "completed_by": 7, "was_cancelled": number == 2, "result": result}
            | {"updated_at": "2026-11-29T10:00:00Z", "lead_time": 1.5}
        ]
    file.write_text(json.dumps(tasks))
    back = ("import", "--name", "s", "--format", "label-studio", "--file", file)
    done = run(corpus, gold, *back, "--annotators", '{"7": "bob"}')
    assert (done.exit_code, done.error) == (0, "")
    fields = done.event("imported")
    assert (fields["stored"], fields["unread"]) == (9, {"annotations that were skipped": 1})
    given = {each.pair_hash: each for each in read_answers(corpus.output, "s", "bob")}
    for number, task in enumerate(tasks):
        each = given.get(task["data"]["pair_hash"])
        order = task["data"]["shown"]
        expected = order[1] if number == 1 else "cannot_say" if number == 9 else order[0]
        assert (None if each is None else each.said) == (None if number == 2 else expected)
    noted = given[tasks[1]["data"]["pair_hash"]].answer
    assert noted is not None
    assert (noted.note, noted.answered_at) == ("well", "2026-11-29T10:00:00Z")


def test_argilla_there_and_back_and_pairs_with_gold(corpus: Corpus, tmp_path: Path) -> None:
    source = with_gold(corpus, tmp_path / "people", "abt" * 4)
    assert run(corpus, gold, "import", "--name", "s", "--input", source).exit_code == 0
    file = tmp_path / "records.json"
    arguments = ("export", "--name", "s", "--input", corpus.source.uri)
    done = run(corpus, gold, *arguments, "--format", "argilla", "--to", file)
    assert (done.exit_code, done.error) == (0, "")
    records = json.loads(file.read_text())
    assert {*records[0]} == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    person = argilla.user_id("gold")
    assert {each["responses"]["preference"][0]["user_id"] for each in records} == {person}
    names = json.dumps({person: "carl"})
    back = ("import", "--name", "s", "--format", "argilla", "--file", file, "--annotators", names)
    assert run(corpus, gold, *back).event("imported")["stored"] == 12
    answers = {who: {} for who in ("gold", "carl")}  # type: ignore[var-annotated]
    for each in read_answers(corpus.output, "s"):
        answers[each.annotator][each.pair_hash] = each.said
    assert answers["carl"] == answers["gold"]

    done = run(corpus, gold, *arguments, "--to", tmp_path / "shards")
    assert done.event("exported")["with_gold"] == 12
    rows = pq.read_table(tmp_path / "shards" / "s-00000.parquet").to_pylist()
    assert {hash_of(row): row["gold"] for row in rows} == answers["gold"]


def test_a_file_of_another_team_is_matched_by_id(corpus: Corpus, tmp_path: Path) -> None:
    file = tmp_path / "theirs.json"
    words = ["Left is better", "Right is better"]
    tasks = [
        {
            "data": {"pair_id": f"pair-{number}", "prompt": "theirs"},
            "annotations": [
                {
                    "completed_by": {"id": 3, "email": "dee@x.org"},
                    "was_cancelled": False,
                    "result": [{"type": "choices", "value": {"choices": [words[number % 2]]}}],
                }
            ],
        }
        for number in range(6)
    ]
    file.write_text(json.dumps(tasks))
    back = ("import", "--name", "t", "--format", "label-studio", "--file", file)
    unknown = run(corpus, gold, *back)
    assert unknown.exit_code == 2
    assert "6 answers are in words that are not known: 'Left is better' (3)" in unknown.error
    meaning = json.dumps({words[0]: "first", words[1]: "second"})
    assert run(corpus, gold, *back, "--words", meaning).event("imported")["stored"] == 6
    assert {each.said for each in read_answers(corpus.output, "t", "dee@x.org")} == {"a", "b"}
    tasks[0]["data"]["pair_id"] = "elsewhere"  # type: ignore[index]
    file.write_text(json.dumps(tasks))
    other = run(corpus, gold, *back, "--words", meaning)
    assert other.exit_code == 2
    assert "1 of 6 pair ids are of no labelled pair, such as 'elsewhere'" in other.error


def test_a_stated_random_sample_has_probabilities(corpus: Corpus, tmp_path: Path) -> None:
    source = with_gold(corpus, tmp_path / "people", "ab" * 10)
    snapshot = corpus.publish().manifest.snapshot_id
    arguments = ("import", "--name", "r", "--input", source, "--random-of", snapshot)
    assert run(corpus, gold, *arguments).exit_code == 0
    (draw,) = read_set(corpus.output, "r").draws
    assert (draw.how, {pair.probability for pair in draw.pairs}) == ("random", {20 / 80})
    assert draw.frame is not None
    assert (draw.frame.snapshot_id, draw.frame.pairs) == (snapshot, 80)


def test_calibration_leaves_out_what_tests_bounds(corpus: Corpus, tmp_path: Path) -> None:
    """Pairs of a set that are kept for tests do not calibrate, and gold of other pairs is said."""
    golds = "".join("ab"[(n % 2 == 0) != (n % 5 == 0)] for n in range(40))
    source = with_gold(corpus, tmp_path / "people", golds)
    assert run(corpus, gold, "import", "--name", "c", "--input", source).exit_code == 0
    people = read_people(corpus.output, GoldConfig(set="c"))
    made = corpus.made

    def calibrated(input_uri: str) -> None:
        with writer_lease(corpus.output, "run", 60, QUIET) as lease:
            where = (InputConfig(), input_uri, corpus.output.uri, QUIET, lease)
            calibrate(made.judge, made.judge_id, *where, people=people)

    kept = [
        row
        for row in corpus.shards["one.parquet"]
        if not kept_for_tests("c", cluster_number(row["cluster"]))
    ]
    assert 7 < len(kept) < 25
    with pytest.raises(InputError, match=f"^{len(kept)} different gold pairs with a preference"):
        calibrated(corpus.source.uri)
    with pytest.raises(InputError, match="40 of its 40 pairs, and none of the 40 rows"):
        calibrated(f"{corpus.source.uri}/two.parquet")
