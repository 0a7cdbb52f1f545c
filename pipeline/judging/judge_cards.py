"""The identity of a judge, and its card: what the judge is, stored as ``judges/<judge>.json``.

A card is written once; a calibration, which comes after the judge's votes, is the one thing that is
put into it later (:mod:`pipeline.aggregation.calibration_cards`).
"""

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
from schemas.validation_faults import first_faults

# Raise with any change to how media are decoded or prompts laid out: both change verdicts.
RENDERING_VERSION = "2"
_FOLDER = "judges"


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


def card_key(judge_id: str) -> str:
    """Where a judge's card is, under the output root."""
    return f"{_FOLDER}/{judge_folder(judge_id).removeprefix('judge=')}.json"


def write_card(output: Store, card: dict[str, Any]) -> None:
    """Writes a judge's card unless it is there."""
    output.create(card_key(card["judge_id"]), _json(card))


def replace_card(output: Store, card: dict[str, Any]) -> None:
    """Writes a judge's card in place of the one there."""
    output.put(card_key(card["judge_id"]), _json(card))


def read_card(output: Store, judge_id: str) -> dict[str, Any] | None:
    """A judge's card; None if this output has none.

    Raises:
        InputError: what is stored there is not a card.
    """
    key = card_key(judge_id)
    return None if output.size(key) is None else _card(output, key)


def find_card(output: Store, judge: str) -> dict[str, Any]:
    """The card of the only judge of an output whose id begins with ``judge``.

    Raises:
        ConfigError: no judge, or more than one; the message lists all.
    """
    keys = [entry.key for entry in output.list(_FOLDER) if entry.key.endswith(".json")]
    cards = [_card(output, key) for key in keys]
    found = [card for card in cards if card["judge_id"].startswith(judge.removeprefix("judge="))]
    if len(found) == 1:
        return found[0]
    if not cards:
        raise ConfigError(
            f"{output.path(_FOLDER)}: no judge card there; expected an output of pairmill label"
        )
    listed = "\n  ".join(
        f"{card['judge_id'][:16]}  {card['judge']['model']['name']}, {card['judge']['format']}"
        for card in cards
    )
    raise ConfigError(
        f"judge {judge!r}: the ids of {len(found)} judges under {output.uri} begin with it, "
        f"expected exactly one of\n  {listed}"
    )


def judge_of(card: dict[str, Any]) -> JudgeConfig:
    """The judge's configuration.

    Raises:
        InputError: this version of the software cannot use it.
    """
    try:
        return JudgeConfig.model_validate(card["judge"])
    except ValidationError as error:
        raise InputError(
            f"the card of judge {card['judge_id'][:16]} cannot be used ({first_faults(error)}): "
            "use the version of this software that wrote it, or label again"
        ) from error


def read_json(store: Store, key: str) -> object:
    """What a JSON file holds.

    Raises:
        InputError: it is not JSON.
        StorageError: the store fails, or the file does not exist.
    """
    try:
        return json.loads(store.read(key))
    except ValueError as error:
        raise InputError(f"{store.path(key)}: not JSON ({error})") from error


def _card(output: Store, key: str) -> dict[str, Any]:
    card = read_json(output, key)
    if not isinstance(card, dict) or not {"judge_id", "judge"} <= card.keys():
        raise InputError(f"{output.path(key)}: not a judge card; restore or remove it")
    return card


def _json(card: dict[str, Any]) -> bytes:
    return json.dumps(card, indent=2, sort_keys=True).encode()
