"""Judge cards: what a judge is, stored under its output as ``judges/<judge>.json``.

A card is written once; a calibration, which is fitted to the judge's votes and so comes after
them, is the one thing that may be put into it later.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from pipeline.core.calibration import Calibration
from pipeline.core.config import JudgeConfig
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.storage import Store
from pipeline.core.units import judge_folder

_FOLDER = "judges"


def card_key(judge_id: str) -> str:
    """Where a judge's card is, under the output root."""
    return f"{_FOLDER}/{judge_folder(judge_id).removeprefix('judge=')}.json"


def write_card(output: Store, card: dict[str, Any]) -> None:
    """Writes a judge's card unless it is there."""
    output.create(card_key(card["judge_id"]), _json(card))


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
            f"the card of judge {card['judge_id'][:16]} cannot be used ({_problems(error)}): "
            "use the version of this software that wrote it, or label again"
        ) from error


def read_calibration(output: Store, judge_id: str) -> Calibration | None:
    """The calibration in a judge's card; None if there is none.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
    """
    card = read_card(output, judge_id)
    stored = card.get("calibration") if card else None
    where = output.path(card_key(judge_id))
    return None if stored is None else parse_calibration(stored, judge_id, where)


def load_calibration(uri: str, judge_id: str) -> Calibration:
    """A calibration from a file: its JSON, or a judge card that holds one.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
        StorageError: there is no such file.
    """
    folder, _, name = uri.rpartition("/")
    stored = _parsed(Store(folder or ("/" if uri.startswith("/") else ".")).read(name), uri)
    if isinstance(stored, dict):
        stored = stored.get("calibration", stored)
    return parse_calibration(stored, judge_id, uri)


def parse_calibration(stored: object, judge_id: str, where: str = "calibration") -> Calibration:
    """A calibration as it is stored, held against the judge that is to use it.

    Args:
        stored: its JSON, parsed.
        judge_id: the judge.
        where: where it was found, for messages.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
    """
    try:
        calibration = Calibration.model_validate(stored)
    except ValidationError as error:
        raise InputError(
            f"{where}: this is no calibration ({_problems(error)}); fit one with jobs.calibrate"
        ) from error
    if calibration.judge_id != judge_id:
        raise InputError(
            f"{where}: the calibration {calibration.calibration_id[:12]} was fitted to judge "
            f"{calibration.judge_id[:16]}, expected {judge_id[:16]}: another judge's votes are "
            "worth something else; fit one with jobs.calibrate"
        )
    return calibration


def put_calibration(output: Store, calibration: Calibration) -> None:
    """Puts a calibration into its judge's card, in place of an earlier one.

    Raises:
        InputError: this output has no card of that judge.
    """
    card = read_card(output, calibration.judge_id)
    if card is None:
        raise InputError(
            f"{output.path(card_key(calibration.judge_id))} does not exist: no run with this judge "
            "has written here; label gold pairs first"
        )
    card["calibration"] = calibration.model_dump(mode="json")
    output.put(card_key(calibration.judge_id), _json(card))


def _card(output: Store, key: str) -> dict[str, Any]:
    card = _parsed(output.read(key), output.path(key))
    if not isinstance(card, dict) or not {"judge_id", "judge"} <= card.keys():
        raise InputError(f"{output.path(key)}: this is no judge card; restore or remove it")
    return card


def _parsed(data: bytes, where: str) -> object:
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from error


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ")
        for item in error.errors()[:4]
    )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
