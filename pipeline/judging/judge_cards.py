"""Identity by content: of a judge, a shard, a pair and a label (SHA-256, whole in the data)."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.label_parts import judge_folder
from pipeline.judging.parsing import PARSER_VERSION
from pipeline.judging.prompts import load_prompt
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store

# Raise with any change to how media are decoded or prompts laid out: both change verdicts.
RENDERING_VERSION = "2"


def judge_card(judge: JudgeConfig, model_version: str, engine: str) -> dict[str, Any]:
    """Everything that can change a verdict, as stored in ``judges/<judge_id>.json``.

    Args:
        judge: the judge's configuration.
        model_version: the hub commit or the content hash of the weights that will really run.
        engine: the kind of engine; kinds differ in the last bits, and with them in a verdict.
    """
    prompt = load_prompt(judge.format, judge.candidates)
    card: dict[str, Any] = {
        "judge": judge.model_dump(mode="json"),
        "model_version": model_version,
        "engine": engine,
        "prompt_sha256": digest(prompt.system, prompt.user, prompt.answer),
        "parser": PARSER_VERSION,
        "rendering": RENDERING_VERSION,
    }
    return card | {"judge_id": digest(json.dumps(card, sort_keys=True))}


def label_id(pair_hash_: str, judge_id: str) -> str:
    """Identity of a label: this pair, judged by this judge."""
    return digest(pair_hash_, judge_id)


_FOLDER = "judges"


def card_key(judge_id: str) -> str:
    """Where a judge's card is, under the output root."""
    return f"{_FOLDER}/{judge_folder(judge_id).removeprefix('judge=')}.json"


def write_card(output: Store, card: dict[str, Any]) -> None:
    """Writes a judge's card unless it is there."""
    output.create(card_key(card["judge_id"]), json_bytes(card))


def read_card(output: Store, judge_id: str) -> dict[str, Any] | None:
    """A judge's card; None if this output has none.

    Raises:
        InputError: it is no card.
    """
    key = card_key(judge_id)
    return None if output.size(key) is None else _card(output, key)


def find_card(output: Store, judge: str) -> dict[str, Any]:
    """The card of the only judge of an output whose id begins with ``judge``.

    Raises:
        ConfigError: there is none, or more than one; the message lists all.
    """
    keys = [entry.key for entry in output.list(_FOLDER) if entry.key.endswith(".json")]
    cards = [_card(output, key) for key in keys]
    found = [card for card in cards if card["judge_id"].startswith(judge.removeprefix("judge="))]
    if len(found) == 1:
        return found[0]
    if not cards:
        raise ConfigError(
            f"{output.path(_FOLDER)}: there is no judge card; expected an output of jobs.label"
        )
    listed = "\n  ".join(
        f"{card['judge_id'][:16]}  {card['judge']['model']['name']}, {card['judge']['format']}"
        for card in cards
    )
    raise ConfigError(
        f"judge {judge!r}: the ids of {len(found)} judges under {output.uri} begin so, expected "
        f"exactly one; there are\n  {listed}"
    )


def judge_of(card: dict[str, Any]) -> JudgeConfig:
    """The judge's configuration.

    Raises:
        InputError: it is not one of this version of the software.
    """
    try:
        return JudgeConfig.model_validate(card["judge"])
    except ValidationError as error:
        raise InputError(
            f"the card of judge {card['judge_id'][:16]} cannot be used ({problems_of(error)}): "
            "use the version of this software that wrote it, or label again"
        ) from error


def _card(output: Store, key: str) -> dict[str, Any]:
    card = parsed_json(output.read(key), output.path(key))
    if not isinstance(card, dict) or not {"judge_id", "judge"} <= card.keys():
        raise InputError(f"{output.path(key)}: this is no judge card; restore or remove it")
    return card


def parsed_json(data: bytes, where: str) -> object:
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from error


def problems_of(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ")
        for item in error.errors()[:4]
    )


def json_bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
