"""A judge is recognised in an output by its card, whatever id an earlier version gave it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.judging.judge_cards import (
    KnownJudge,
    card_key,
    find_judge,
    judge_card,
    replace_card,
    write_card,
)
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.parts.part_keys import judge_parts_prefix
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store

FOLDER, CONTENT, COMMIT = "sha256:" + "f" * 64, "sha256:" + "c" * 64, "commit:" + "0" * 40
FILES = {"config.json": "a" * 64}
LOCAL = ModelVersion(CONTENT, CONTENT, frozenset({CONTENT, FOLDER}), FILES)
HUB = ModelVersion(CONTENT, COMMIT, frozenset({CONTENT, FOLDER, COMMIT}), FILES)
BARE_HUB = ModelVersion.named(COMMIT)
JUDGE = {"model": {"name": "/models/one"}, "sampling": {"temperature": 0}}
RENAMED = {"model": {"name": "team/judge", "revision": "main"}}
NEW = "a new judge of this output"
BY_CONTENT = "the judge of this output, recognised by the content of its weights"
BY_COMMIT = "the judge of this output, recognised by the commit of its weights"


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def config(**change: Any) -> JudgeConfig:
    return JudgeConfig.model_validate(JUDGE | change)


def find(output: Store, version: ModelVersion, **change: Any) -> KnownJudge:
    return find_judge(output, config(**change), version, "vllm")


def earlier(output: Store, model_version: str, **change: Any) -> str:
    """Writes the card of an earlier version; returns the judge's id."""
    judge = config().model_dump(mode="json") | change.pop("judge", {})
    card: dict[str, Any] = {
        "judge": judge,
        "model_version": model_version,
        "engine": "vllm",
        "prompt_sha256": judge_card(config(), LOCAL, "vllm")["prompt_sha256"],
        "parser": "3",
        "rendering": "2",
    }
    card |= change
    card["judge_id"] = digest(json.dumps(card, sort_keys=True))
    write_card(output, card)
    return str(card["judge_id"])


def test_a_judge_that_is_new_gets_a_new_card(output: Store) -> None:
    known = find(output, LOCAL)
    assert (known.card, known.found) == (judge_card(config(), LOCAL, "vllm"), NEW)
    assert known.card["model_files"] == FILES
    assert known.card["judge"] == config().model_dump(mode="json")
    assert list(output.list()) == []  # nothing is written
    other = judge_card(config(format="pairwise_options"), LOCAL, "vllm")
    write_card(output, other)
    assert find(output, LOCAL).found == f"{NEW}, which has 1 others"


@pytest.mark.parametrize(
    ("version", "change", "found"),
    [
        (LOCAL, {}, BY_CONTENT),
        (LOCAL, RENAMED, BY_CONTENT),
        (LOCAL, {"votes": {"max_votes": 10}}, BY_CONTENT),
        (HUB, RENAMED, BY_CONTENT),
    ],
)
def test_a_card_of_today_is_found_again(
    output: Store, version: ModelVersion, change: dict[str, Any], found: str
) -> None:
    card = judge_card(config(), LOCAL, "vllm")
    write_card(output, card)
    replace_card(output, stored := card | {"calibration": {"kept": True}})
    assert find(output, version, **change) == KnownJudge(stored, found)


@pytest.mark.parametrize(("first", "then"), [(HUB, BARE_HUB), (BARE_HUB, HUB)])
def test_a_hub_that_states_hashes_only_sometimes_makes_one_judge(
    output: Store, first: ModelVersion, then: ModelVersion
) -> None:
    card = judge_card(config(), first, "vllm")
    write_card(output, card)
    assert find(output, then) == KnownJudge(card, BY_COMMIT)


@pytest.mark.parametrize(
    ("version", "change"),
    [
        (ModelVersion.named("sha256:" + "d" * 64), {}),
        (LOCAL, {"sampling": {"temperature": 0.5}}),
        (LOCAL, {"candidates": "image"}),
    ],
)
def test_another_judge_is_not_taken_for_it(
    output: Store, version: ModelVersion, change: dict[str, Any]
) -> None:
    write_card(output, judge_card(config(), LOCAL, "vllm"))
    earlier(output, FOLDER)
    assert find(output, version, **change).found == f"{NEW}, which has 2 others"
    other_engine = find_judge(output, config(), LOCAL, "transformers")
    assert other_engine.found == f"{NEW}, which has 2 others"


@pytest.mark.parametrize(
    ("stated", "version", "found"),
    [(FOLDER, LOCAL, BY_CONTENT), (COMMIT, HUB, BY_COMMIT), (COMMIT, BARE_HUB, BY_COMMIT)],
)
@pytest.mark.parametrize("change", [{}, RENAMED, {"votes": {"max_votes": 10, "threshold": 0.9}}])
def test_a_card_of_an_earlier_version_is_recognised(
    output: Store, stated: str, version: ModelVersion, found: str, change: dict[str, Any]
) -> None:
    judge_id = earlier(output, stated)
    known = find(output, version, **change)
    assert (known.judge_id, known.found) == (judge_id, found)
    assert known.judge_id != judge_card(config(), version, "vllm")["judge_id"]


def test_a_folder_of_an_earlier_version_is_recognised_on_the_hub(output: Store) -> None:
    judge_id = earlier(output, FOLDER)
    assert find(output, HUB, **RENAMED).judge_id == judge_id


def test_an_earlier_card_without_a_later_setting_is_recognised(output: Store) -> None:
    judge = config().model_dump(mode="json")
    del judge["media"]["video"]["max_seconds"], judge["sampling"]["retry_temperature"]
    judge_id = earlier(output, FOLDER, judge=judge)
    assert find(output, LOCAL).judge_id == judge_id


@pytest.mark.parametrize(
    "change",
    [
        {"parser": "2"},
        {"rendering": "1"},
        {"prompt_sha256": "0" * 64},
        {"engine": "transformers"},
        {"judge": {"format": "pairwise_options"}},
    ],
)
def test_an_earlier_card_of_something_else_is_another_judge(
    output: Store, change: dict[str, Any]
) -> None:
    earlier(output, FOLDER, **change)
    earlier(output, "sha256:" + "0" * 64)
    assert find(output, LOCAL).found == f"{NEW}, which has 2 others"


def test_an_earlier_card_that_was_changed_is_not_believed(output: Store) -> None:
    judge_id = earlier(output, FOLDER, judge={"sampling": {"temperature": 0.5}})
    card = json.loads(output.read(card_key(judge_id)))
    card["judge"]["sampling"] = config().model_dump(mode="json")["sampling"]
    replace_card(output, card)
    assert find(output, LOCAL).found == f"{NEW}, which has 1 others"


def test_of_several_cards_the_choice_is_stated(output: Store) -> None:
    votes = [config(votes={"max_votes": most}).model_dump(mode="json") for most in (6, 8, 10)]
    six, eight, ten = (earlier(output, FOLDER, judge=each) for each in votes)
    for judge_id, parts in ((six, 3), (ten, 2)):
        for number in range(parts):
            output.put(f"{judge_parts_prefix(judge_id)}/{number}.parquet", b"a part")

    def chosen(most: int) -> str:
        return find(output, LOCAL, votes={"max_votes": most}).judge_id

    # Eight has no part; of the others, that with the same votes, else that with most parts.
    assert [chosen(most) for most in (10, 8, 6)] == [ten, six, six]
    found = find(output, LOCAL, votes={"max_votes": 10}).found
    others = ", ".join(each[:12] for each in sorted((six, eight)))
    assert found == (
        f"{BY_CONTENT}; {others} are the same judge: of these one with parts is taken, then one "
        "with these judge.votes, then that with most parts"
    )


def test_other_objects_beside_cards_are_no_cards(output: Store) -> None:
    output.put("judges/aa11/index/base.json", b"{}")
    assert find(output, LOCAL).found == NEW


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"judge_id": "aa"}'])
def test_a_damaged_card_is_an_error(output: Store, text: bytes) -> None:
    output.put("judges/aa11.json", text)
    with pytest.raises(InputError, match=r"judges/aa11\.json: (not JSON|not a judge card)"):
        find(output, LOCAL)
