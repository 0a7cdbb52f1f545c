"""Judge cards: found by the beginning of an id, and the calibrations that may be put into them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.aggregation.calibration_cards import (
    calibration_of,
    parse_calibration,
    put_calibration,
    read_calibration,
)
from pipeline.judging.judge_cards import (
    card_key,
    find_card,
    judge_card,
    judge_of,
    read_card,
    write_card,
)
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.runtime.errors import ConfigError, InputError, StorageError
from pipeline.store.object_store import Store
from tests.calibrations import calibration

KNOTS = ((0.5, 0.5), (0.75, 0.625), (1.0, 0.875))


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def card_of(model: str = "some-model", **judge: Any) -> dict[str, Any]:
    config = JudgeConfig.model_validate({"model": {"name": model}} | judge)
    return judge_card(config, ModelVersion.named("v1"), "scripted")


def fake(judge_id: str, model: str) -> dict[str, Any]:
    return card_of(model) | {"judge_id": judge_id}


def test_a_card_is_written_once_and_read_back(output: Store) -> None:
    card = card_of(votes={"max_votes": 6})
    assert read_card(output, card["judge_id"]) is None
    write_card(output, card)
    write_card(output, card | {"engine": "another"})
    assert read_card(output, card["judge_id"]) == card
    assert judge_of(card) == JudgeConfig.model_validate(
        {"model": {"name": "some-model"}, "votes": {"max_votes": 6}}
    )


def test_a_judge_is_found_by_the_beginning_of_its_id(output: Store) -> None:
    first, second = fake("aa11" * 16, "one"), fake("aa22" * 16, "two")
    for card in (first, second):
        write_card(output, card)
    assert find_card(output, "aa1") == first
    assert find_card(output, "aa22" * 16) == second
    assert find_card(output, "judge=aa22aa22aa22aa22") == second


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        ("aa", "'aa': the ids of 2 judges"),
        ("", "'': the ids of 2 judges"),
        ("bb", "'bb': the ids of 0 judges"),
        ("aa11" * 15 + "aa12", "the ids of 0 judges"),
    ],
)
def test_an_ambiguous_or_unknown_judge_lists_those_there(
    output: Store, judge: str, problem: str
) -> None:
    for judge_id, model in (("aa11" * 16, "model-one"), ("aa22" * 16, "model-two")):
        write_card(output, fake(judge_id, model))
    with pytest.raises(ConfigError, match=problem) as caught:
        find_card(output, judge)
    listed = str(caught.value).splitlines()[1:]
    assert listed == [
        "  aa11aa11aa11aa11  model-one, pairwise_scores",
        "  aa22aa22aa22aa22  model-two, pairwise_scores",
    ]


def test_no_judge_at_all(output: Store) -> None:
    with pytest.raises(ConfigError, match="no judge card there; expected an output of"):
        find_card(output, "aa")


@pytest.mark.parametrize("text", ["{", "[]", '{"judge_id": "aa"}', "\xff"])
def test_what_is_no_card_is_named(output: Store, text: str) -> None:
    output.put("judges/aa11.json", text.encode("latin-1"))
    with pytest.raises(InputError, match=r"judges/aa11\.json: (not JSON|not a judge card)"):
        find_card(output, "aa")


def test_a_card_of_another_version_is_refused() -> None:
    card = card_of()
    card["judge"]["patience"] = 3
    with pytest.raises(InputError, match="patience: got 3, expected no such field"):
        judge_of(card)


def test_a_calibration_is_put_replaced_and_read_back_exactly(output: Store) -> None:
    card = card_of()
    judge_id = card["judge_id"]
    write_card(output, card)
    assert read_calibration(output, judge_id) is None
    put_calibration(output, calibration(judge_id, (1.0, 0.0, 0.0)))
    fitted = calibration(judge_id, (0.1, 0.2, 1 / 3), KNOTS)
    put_calibration(output, fitted)
    assert read_calibration(output, judge_id) == fitted
    stored = read_card(output, judge_id)
    assert stored is not None
    assert {key: stored[key] for key in card} == card
    write_card(output, card)  # the next run with this judge
    assert read_calibration(output, judge_id) == fitted


def test_a_calibration_needs_a_card(output: Store) -> None:
    with pytest.raises(InputError, match="does not exist: no run with this judge"):
        put_calibration(output, calibration("ab" * 32))


def test_a_calibration_is_loaded_from_its_json_or_from_a_card(
    output: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of()
    fitted = calibration(card["judge_id"])
    write_card(output, card)
    put_calibration(output, fitted)
    plain = tmp_path / "fitted.json"
    plain.write_text(fitted.model_dump_json())
    monkeypatch.chdir(tmp_path)
    stored = output.path(card_key(card["judge_id"]))
    for uri in (stored, str(plain), "fitted.json", "./fitted.json"):
        assert calibration_of(output, card["judge_id"], uri) == fitted
    with pytest.raises(StorageError, match=r"missing\.json: it does not exist"):
        calibration_of(output, card["judge_id"], "missing.json")


def test_a_calibration_of_another_judge_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fitted.json"
    file.write_text(calibration("cd" * 32).model_dump_json())
    with pytest.raises(InputError, match="was fitted to judge cdcdcdcdcdcdcdcd, expected abab"):
        calibration_of(Store(str(tmp_path)), "ab" * 32, str(file))


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"weights": [0.25, 0.5]}, "weights"),
    ({"weights": [0.25, 0.5, -0.125]}, "expected none below 0"),
    ({"weights": [0.25, 0.5, "NaN"]}, "weights.2"),
    ({"weights": [0.25, 0.5, 0.126]}, "they were changed"),
    ({"judge_id": "cd" * 32}, "they were changed"),
    ({"knots": [[0.5, 0.5], [0.75, 0.6], [0.7, 0.8]]}, "expected them to rise"),
    ({"knots": [[0.5, 0.5], [0.7, 0.8], [0.75, 0.7]]}, "expected them to rise"),
    ({"knots": [[0.6, 0.5], [0.7, 0.8]]}, "expected them to rise"),
    ({"knots": [[0.5, 0.5], [0.7, 1.1]]}, "expected them to rise"),
    ({"knots": [[0.5, 0.5], [0.7, 0.8]]}, "they were changed"),
    ({"gold_pairs": 0}, "gold_pairs"),
    ({"method": "temperature"}, "method"),
    ({"fitted_at": "yesterday"}, "fitted_at"),
    ({"intercept": 0.1}, "intercept"),
]


@pytest.mark.parametrize(("change", "problem"), MALFORMED)
def test_a_malformed_calibration_is_refused(change: dict[str, Any], problem: str) -> None:
    stored = calibration("ab" * 32).model_dump(mode="json") | change
    with pytest.raises(InputError, match=f"here: not a calibration .*{problem}"):
        parse_calibration(stored, "ab" * 32, "here")


@pytest.mark.parametrize("text", ["", "{", "3", "[]", "{}", '{"calibration": null}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fitted.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"fitted\.json: (not JSON|not a calibration)"):
        calibration_of(Store(str(tmp_path)), "ab" * 32, str(file))


def test_the_card_of_a_judge_with_a_damaged_calibration_names_it(output: Store) -> None:
    card = card_of()
    output.put(card_key(card["judge_id"]), json.dumps(card | {"calibration": {"a": 1}}).encode())
    with pytest.raises(InputError, match=rf"{card['judge_id'][:16]}\.json: not a calibration"):
        read_calibration(output, card["judge_id"])
