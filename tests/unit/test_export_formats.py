"""What each trainer's format makes of a row, written out by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.aggregation.ranking import Ranking
from pipeline.export.export_config import ExportConfig
from pipeline.export.formats.format_registry import TRAINER_FORMATS, check_format, media_modes
from pipeline.export.labeled_example import Answer, Example
from pipeline.export.media_placeholders import escaped, placed
from pipeline.export.trainer_format import Layout, Shape
from pipeline.judging.judge_config import JudgeConfig
from pipeline.pairs.contents import asked_by_user, media_part, text_part
from pipeline.runtime.errors import ConfigError
from schemas.contract import table_of
from tests.shards import picture

PICTURE = {"bytes": b"\x89PNG", "path": None}
FILE = {"bytes": None, "path": "media/ab/ab.png"}
USER = {"role": "user", "content": "Is <image> in it?"}
ASKED = asked_by_user(media_part("image", PICTURE), text_part(USER["content"]))
LABEL: dict[str, Any] = {
    **{"label_id": "f0", "status": "labeled", "preference": "b", "confidence": 0.875},
    **{"margin": -3.5, "p_a": 0.1, "p_a_raw": 0.0, "position_consistent": True, "n_votes": 2},
    **{"tie_kind": None, "rationale": "b sees it"},
}
EXAMPLE = Example(
    pair_id="p1",
    prompt=ASKED,
    answers=[
        Answer("a", [text_part("No <video>.")], score=4.0),
        Answer("b", [text_part("Yes.")], model="m", score=7.5),
    ],
    label=LABEL,
    source="tests",
)
FACTS = {"pair_id": "p1", "confidence": 0.875}
SEEN = Shape(images=True)
TEXT = Shape()


def said_by(turn: dict[str, str]) -> dict[str, Any]:
    return {"role": turn["role"], "content": [text_part(turn["content"])]}


def with_file(kind: str = "image") -> list[dict[str, Any]]:
    return asked_by_user(media_part(kind, FILE), text_part(USER["content"]))


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def row_of(name: str, example: Example, shape: Shape) -> dict[str, Any]:
    """The only row, which must keep to the format's own schema."""
    (row,) = TRAINER_FORMATS[name].rows(example, shape)
    table_of([row], TRAINER_FORMATS[name].schema(shape))
    return row


def test_trl_dpo_has_plain_texts_and_the_pictures_beside_them() -> None:
    expected: dict[str, Any] = {"prompt": [USER], "chosen": said("Yes.")}
    expected |= {"rejected": said("No <video>."), "images": [PICTURE], "margin": 3.5, **FACTS}
    assert row_of("trl-dpo", EXAMPLE, SEEN) == expected
    no_picture = row_of("trl-dpo", replace(EXAMPLE, prompt=[said_by(USER)]), SEEN)
    assert no_picture["images"] == []  # and not null, which TRL counts as a picture
    assert "images" not in row_of("trl-dpo", EXAMPLE, TEXT)


def test_media_stand_where_they_stood() -> None:
    turns = [said_by({"role": "system", "content": "Be brief."}),
             *asked_by_user(text_part("Is "), media_part("image", PICTURE), text_part(" it?")),
             said_by({"role": "assistant", "content": "Yes."}),
             *asked_by_user(text_part("And <image>:"), media_part("image", FILE))]  # fmt: skip
    example, shape = replace(EXAMPLE, prompt=turns), Shape(images=True, in_place=True)
    row = row_of("trl-dpo", example, shape)
    assert row["images"] == [PICTURE, FILE]
    assert [[(p["type"], p["text"]) for p in each["content"]] for each in row["prompt"]] == [
        [("text", "Be brief.")],
        [("text", "Is "), ("image", None), ("text", " it?")],
        [("text", "Yes.")],
        [("text", "And <image>:"), ("image", None)],
    ]
    assert row["chosen"] == [{"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}]
    texts = ["Be brief.", "Is <image> it?", "Yes.", "And <image >:<image>"]
    paths = Shape(images=True, in_place=True, media="files")
    found = row_of("llama-factory", example, paths)
    assert [each["value"] for each in found["conversations"]] == texts
    for name, column in (("ms-swift", "messages"), ("verl-rl", "prompt"), ("jsonl", "prompt")):
        found = row_of(name, example, shape)
        assert [each["content"] for each in found[column]][:4] == texts
    assert [each["content"] for each in row_of("openrlhf", example, TEXT)["prompt"]] == [
        "Be brief.", "Is  it?", "Yes.", "And <image>:",
    ]  # fmt: skip


def test_trl_reward_has_whole_conversations_and_a_margin_where_there_are_scores() -> None:
    expected = {"chosen": [USER, *said("Yes.")], "rejected": [USER, *said("No <video>.")]}
    assert row_of("trl-reward", EXAMPLE, TEXT) == expected | {"margin": 3.5, **FACTS}
    assert row_of("trl-reward", EXAMPLE, Shape(margin=False)) == expected | FACTS


def test_llama_factory_counts_placeholders_so_literal_ones_are_escaped() -> None:
    row = row_of(
        "llama-factory", replace(EXAMPLE, prompt=with_file()), Shape(images=True, media="files")
    )
    assert row == FACTS | {
        "conversations": [{"from": "human", "value": "<image>Is <image > in it?"}],
        "chosen": {"from": "gpt", "value": "Yes."},
        "rejected": {"from": "gpt", "value": "No <video >."},
        "images": ["media/ab/ab.png"],
    }
    assert row_of("llama-factory", EXAMPLE, SEEN)["images"] == [PICTURE]


def test_llama_factory_says_where_its_splits_are() -> None:
    files = {(tier, split): [f"{tier}/{split}/00000.parquet"] for tier, split in SPLITS}
    stored = TRAINER_FORMATS["llama-factory"].beside(Layout(Shape(images=True, videos=True), files))
    columns = {name: name for name in ("chosen", "rejected", "images", "videos")}
    expected = {
        "file_name": "high/train",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "conversations", **columns},
    }
    info = json.loads(stored["dataset_info.json"])
    assert list(info) == ["pairmill_high_train", "pairmill_high_validation", "pairmill_low_train"]
    assert info["pairmill_high_train"] == expected


SPLITS = [("high", "train"), ("high", "validation"), ("low", "train")]


def test_ms_swift() -> None:
    assert row_of("ms-swift", EXAMPLE, SEEN) == FACTS | {
        "messages": [{"role": "user", "content": "<image>Is <image > in it?"}, *said("Yes.")],
        "rejected_response": "No <video >.",
        "images": [PICTURE],
        "margin": 3.5,
    }


def test_ms_swift_takes_pictures_as_responses() -> None:
    answers = [
        Answer("a", [media_part("image", FILE)]),
        Answer("b", [media_part("image", FILE | {"path": "b.png"})]),
    ]
    example = replace(EXAMPLE, prompt=[said_by(USER)], answers=answers)
    shape = Shape(candidates="image", media="files")
    prompt = {"role": "user", "content": "Is <image > in it?"}
    assert row_of("ms-swift", example, shape) == FACTS | {
        "messages": [prompt, *said("<image>")],
        "images": ["b.png"],
        "rejected_messages": [prompt, *said("<image>")],
        "rejected_images": ["media/ab/ab.png"],
        "margin": 3.5,
    }


def test_openrlhf_and_nemo_rl() -> None:
    chosen, rejected = said("Yes."), said("No <video>.")
    expected = {"prompt": [USER], "chosen": chosen, "rejected": rejected, "margin": 3.5}
    assert row_of("openrlhf", EXAMPLE, TEXT) == expected | FACTS
    completions = [{"rank": 0, "completion": chosen}, {"rank": 1, "completion": rejected}]
    expected = {"context": [USER], "completions": completions}
    assert row_of("nemo-rl", EXAMPLE, TEXT) == expected | FACTS


def loaded(path: Path) -> list[dict[str, Any]]:
    kind = "json" if path.suffix == ".jsonl" else "parquet"
    found = datasets.load_dataset(kind, data_files=str(path), cache_dir=str(path.parent / "cache"))
    return list(found["train"])


def test_datasets_loads_what_nemo_rl_reads(tmp_path: Path) -> None:
    """It is in no registry; its ``PreferenceDataset`` loads JSON lines of these columns so."""
    talk = [{"role": "system", "content": "Be brief."}, USER]
    other = replace(EXAMPLE, prompt=[said_by(each) for each in talk])
    rows = [row_of("nemo-rl", each, TEXT) for each in (EXAMPLE, other)]
    path = tmp_path / "train-00000.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = loaded(path)
    assert [row["context"] for row in found] == [[USER], talk]
    assert [row["completions"] for row in found] == [rows[0]["completions"]] * 2
    assert [each["rank"] for each in found[0]["completions"]] == [0, 1]  # the lower is preferred


def test_datasets_loads_rankings_with_their_pictures(tmp_path: Path) -> None:
    drawn = [{"bytes": picture(number), "path": None} for number in range(3)]
    answers = [Answer(x, [media_part("image", y)]) for x, y in zip("abc", drawn, strict=True)]
    label = {"confidence": 0.75, "labels": 3}
    example = Example("s1", asked_by_user(text_part("Draw.")), answers, label,
                      ranking=Ranking(("c", "a", "b")))  # fmt: skip
    shape = Shape(candidates="image")
    rows = TRAINER_FORMATS["rankings"].rows(example, shape)
    path = tmp_path / "train-00000.parquet"
    pq.write_table(table_of(list(rows), TRAINER_FORMATS["rankings"].schema(shape)), path)
    (found,) = loaded(path)
    assert found["context"] == [{"role": "user", "content": "Draw."}]
    assert [each["candidate"] for each in found["completions"]] == ["c", "a", "b"]
    pixels = [each["images"][0].convert("RGB").tobytes() for each in found["completions"]]
    shown = [Image.open(io.BytesIO(picture(number))).tobytes() for number in (2, 0, 1)]
    assert pixels == shown


def test_verl() -> None:
    assert row_of("verl-rl", EXAMPLE, SEEN) == {
        "data_source": "tests",
        "prompt": [{"role": "user", "content": "<image>Is <image > in it?"}],
        "images": [PICTURE],
        "ability": "preference",
        "reward_model": {"style": "model", "ground_truth": "Yes."},
        "extra_info": {"split": "train", "rejected": "No <video>.", "margin": 3.5, **FACTS},
    }


def test_jsonl_holds_ties_and_everything_else() -> None:
    tie = LABEL | {"status": "tie", "preference": None, "margin": 0.0, "tie_kind": "bad"}
    row = row_of("jsonl", replace(EXAMPLE, label=tie, prompt=with_file("video")), SEEN)
    empty: dict[str, Any] = {"images": [], "videos": [], "model": None}
    assert row == FACTS | {
        "label_id": "f0",
        "prompt": [USER],
        "images": [],
        "videos": ["media/ab/ab.png"],
        "response_a": empty | {"text": "No <video>.", "score": 4.0},
        "response_b": empty | {"text": "Yes.", "score": 7.5, "model": "m"},
        **{"status": "tie", "preference": None, "chosen": None, "rejected": None, "margin": None},
        **{"p_a": 0.1, "p_a_raw": 0.0, "position_consistent": True, "n_votes": 2},
        **{"tie_kind": "bad", "rationale": "b sees it", "source": "tests"},
    }
    row = row_of("jsonl", EXAMPLE, SEEN)
    assert (row["chosen"], row["rejected"], row["margin"]) == ("Yes.", "No <video>.", 3.5)
    assert row["images"] == ["data:image/*;base64,iVBORw=="]


def test_criteria_are_exported_where_a_judge_has_some() -> None:
    shape = replace(TEXT, criteria=True)
    scores = [{"name": "Tone", "scores": [4.0, 8.0]}]
    example = replace(EXAMPLE, label=LABEL | {"criteria": scores}, prompt=[said_by(USER)])
    assert row_of("jsonl", example, shape)["criteria"] == scores
    rows = TRAINER_FORMATS["pointwise"].rows(example, shape)
    assert [row["criteria"] for row in rows] == [
        [{"name": "Tone", "score": 4.0}],
        [{"name": "Tone", "score": 8.0}],
    ]
    table_of(rows, TRAINER_FORMATS["pointwise"].schema(shape))
    assert "criteria" not in row_of("jsonl", EXAMPLE, TEXT)


def test_pointwise_has_a_row_for_each_response() -> None:
    rows = TRAINER_FORMATS["pointwise"].rows(EXAMPLE, SEEN)
    table_of(rows, TRAINER_FORMATS["pointwise"].schema(SEEN))
    common = FACTS | {"prompt": [USER], "images": [PICTURE], "n_votes": 2}
    assert rows == [
        common
        | {"response": "No <video>.", "score": 4.0, "rank": 1, "candidate": "a", "model": None},
        common | {"response": "Yes.", "score": 7.5, "rank": 0, "candidate": "b", "model": "m"},
    ]


def test_placeholders_stand_where_media_do() -> None:
    turns = ["system", "user", "assistant", "user"]
    messages = [said_by({"role": role, "content": f"{role} <image>"}) for role in turns]
    image, video = media_part("image", PICTURE), media_part("video", FILE)
    messages[1]["content"] = [image, video, *messages[1]["content"]]
    messages[3]["content"] += [image, text_part("?")]
    assert [each["content"] for each in placed(messages)] == [
        "system <image >",
        "<image><video>user <image >",
        "assistant <image >",
        "user <image ><image>?",
    ]
    assert escaped("<images> < image> <bbox>") == "<images> < image> <bbox >"


def test_a_ranking_has_its_candidates_the_best_first() -> None:
    answers = [Answer(each, [text_part(each.upper())], score=None) for each in "abc"]
    label = {"confidence": 0.75, "labels": 3}
    ranking = Ranking(("c", "ab"), open=("ab",))
    example = Example("s1", ASKED, answers, label, ranking=ranking)
    found = row_of("rankings", example, SEEN)
    ranked = [(each["candidate"], each["rank"], each["score"]) for each in found["completions"]]
    assert ranked == [("c", 0, 1.0), ("a", 1, 0.25), ("b", 1, 0.25)]
    assert found["completions"][0]["completion"] == said("C")
    assert found["context"] == [USER]
    assert (found["unordered"], found["contradicted"], found["labels"]) == (["ab"], [], 3)


@pytest.mark.parametrize("name", ["trl-dpo", "pointwise", "verl-rl"])
def test_features_are_what_every_release_of_datasets_reads(name: str) -> None:
    schema = TRAINER_FORMATS[name].schema(SEEN)
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == [{"_type": "Image"}]  # a JSON list: "List" crashes 2.19
    text = {"dtype": "string", "_type": "Value"}
    assert features["prompt"] == [{"role": text, "content": text}]
    assert list(features) == schema.names
    kind = schema.field("images").type
    assert kind == pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


@pytest.mark.parametrize(
    ("name", "judge", "message"),
    [
        (
            "trl-dpo",
            {"candidates": "image"},
            "of pictures, .*: ms-swift, jsonl, pointwise, rankings$",
        ),
        ("openrlhf", {"format": "single_score"}, "gives scores to candidates .*: pointwise$"),
        ("jsonl", {"format": "batch_ranking"}, "scores to candidates .*: pointwise, rankings$"),
        ("pointwise", {"format": "pairwise_options"}, "options .*: trl-dpo, .*, jsonl, rankings$"),
        ("rankings", {"format": "single_score"}, "one candidate at a time .*: pointwise$"),
    ],
)
def test_labels_that_a_format_cannot_hold(name: Any, judge: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_format(ExportConfig(format=name), JudgeConfig.model_validate(judge))


def test_settings_that_a_format_does_not_take() -> None:
    def check(**config: Any) -> None:
        check_format(ExportConfig.model_validate(config), JudgeConfig())

    with pytest.raises(ConfigError, match=r"ties=keep: NeMo-RL cannot .*: jsonl, pointwise, "):
        check(format="nemo-rl", selection={"ties": "keep"})
    with pytest.raises(ConfigError, match="max_per_prompt drops single pairs, and a ranking needs"):
        check(format="rankings", selection={"max_per_prompt": 1})
    with pytest.raises(ConfigError, match=r"mode=files: expected inline or references for trl-dpo"):
        check(media={"mode": "files"})
    check(format="openrlhf", media={"mode": "files"})  # it has no media that could be anywhere
    check(format="jsonl", selection={"ties": "keep"}, media={"mode": "inline"})


def test_how_media_are_written() -> None:
    def modes(name: str, mode: str | None = None) -> dict[str, str]:
        return dict(
            media_modes(ExportConfig.model_validate({"format": name, "media": {"mode": mode}}))
        )

    assert modes("trl-dpo") == {"image": "inline"}
    assert modes("openrlhf") == {}
    assert modes("llama-factory") == {"image": "files", "video": "files"}
    # Trainers take videos as paths, whatever they do with pictures.
    assert modes("llama-factory", "inline") == {"image": "inline", "video": "files"}
    assert modes("jsonl", "inline") == {"image": "inline", "video": "inline"}
