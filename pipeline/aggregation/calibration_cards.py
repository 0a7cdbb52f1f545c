"""A judge's calibration, stored in its card: put there, read, and checked against the judge."""

from __future__ import annotations

from pydantic import ValidationError

from pipeline.aggregation.calibration import Calibration
from pipeline.judging.judge_cards import card_key, read_card, read_json, replace_card
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.validation_faults import first_faults


def read_calibration(output: Store, judge_id: str) -> Calibration | None:
    """The calibration in a judge's card; None without a card or a calibration.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
    """
    card = read_card(output, judge_id)
    stored = card.get("calibration") if card else None
    where = output.path(card_key(judge_id))
    return None if stored is None else parse_calibration(stored, judge_id, where)


def calibration_of(output: Store, judge_id: str, choice: str) -> Calibration | None:
    """The calibration that a command is asked to decide by.

    Args:
        output: of labeling jobs.
        judge_id: whose votes are decided.
        choice: ``card`` (that of the judge's card, if it has one), ``none``, or the URI of a file:
            a calibration's JSON, or a card or ``derivation.json`` that holds one.

    Raises:
        InputError: it cannot be read, or was fitted to another judge.
        StorageError: the file does not exist.
    """
    if choice == "none":
        return None
    if choice == "card":
        return read_calibration(output, judge_id)
    folder, _, name = choice.rpartition("/")
    stored = read_json(Store(folder or ("/" if choice.startswith("/") else ".")), name)
    if isinstance(stored, dict):
        stored = stored.get("calibration", stored)
    return parse_calibration(stored, judge_id, choice)


def parse_calibration(stored: object, judge_id: str, where: str = "calibration") -> Calibration:
    """A stored calibration, checked against the judge that is to use it.

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
            f"{where}: not a calibration ({first_faults(error)}); fit one with pairmill calibrate"
        ) from error
    if calibration.judge_id != judge_id:
        raise InputError(
            f"{where}: the calibration {calibration.calibration_id[:12]} was fitted to judge "
            f"{calibration.judge_id[:16]}, expected {judge_id[:16]}: it does not hold for another "
            "judge's votes; fit one with pairmill calibrate"
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
    replace_card(output, card)
