"""Judge cards: what a judge is, stored under its output as ``judges/<judge>.json``.

A card is written once; a calibration, which is fitted to the judge's votes and so comes after
them, is the one thing that may be put into it later.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from pipeline.core.calibration import Calibration
from pipeline.core.errors import InputError
from pipeline.core.storage import Store
from pipeline.core.units import judge_folder


def card_key(judge_id: str) -> str:
    """Where a judge's card is, under the output root."""
    return f"judges/{judge_folder(judge_id).removeprefix('judge=')}.json"


def write_card(output: Store, card: dict[str, Any]) -> None:
    """Writes a judge's card unless it is there."""
    output.create(card_key(card["judge_id"]), _json(card))


def read_card(output: Store, judge_id: str) -> dict[str, Any] | None:
    """A judge's card; None if this output has none."""
    if output.size(card_key(judge_id)) is None:
        return None
    card: dict[str, Any] = json.loads(output.read(card_key(judge_id)))
    return card


def read_calibration(output: Store, judge_id: str) -> Calibration | None:
    """The calibration in a judge's card; None if there is none.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
    """
    card = read_card(output, judge_id)
    stored = card.get("calibration") if card else None
    return None if stored is None else parse_calibration(stored, judge_id)


def parse_calibration(stored: object, judge_id: str) -> Calibration:
    """A calibration as it is stored, held against the judge that is to use it.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
    """
    try:
        calibration = Calibration.model_validate(stored)
    except ValidationError as error:
        raise InputError(f"this is no calibration: {error}; fit one with jobs.calibrate") from error
    if calibration.judge_id != judge_id:
        raise InputError(
            f"the calibration {calibration.calibration_id[:12]} was fitted to judge "
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


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
