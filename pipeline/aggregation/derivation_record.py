"""Finds what ``pairmill derive`` has recorded, to publish by the same policy and calibration."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.calibration_cards import parse_calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_cards import find_card, judge_of, read_json
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store
from schemas.validation_faults import first_faults

RECORD = "derivation.json"
FOLDER = "derived"


@dataclass(frozen=True)
class DerivedBy:
    """By what the labels of a derivation were decided, of which judge's votes."""

    judge_id: str
    policy: PolicyConfig
    calibration: Calibration | None


def read_derivation(output: Store, which: str) -> DerivedBy:
    """Reads a derivation.

    Args:
        output: the output of labeling jobs.
        which: its folder, as ``derive`` reports it, or the first digits of its policy's id.

    Raises:
        ConfigError: there is no such derivation, or this version would decide otherwise by it.
        InputError: its record cannot be read.
        StorageError: the store fails.
    """
    store, key = (Store(which), RECORD) if "/" in which else (output, _found(output, which))
    record, where = read_json(store, key), store.path(key)
    try:
        judge_id = str(record["judge_id"])  # type: ignore[index]
        policy = PolicyConfig.model_validate(record["policy"])  # type: ignore[index]
        stored, pairs = record["calibration"], record["pairs_of_groups"]  # type: ignore[index]
        made_by = str(record["policy_id"])  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: not the record of a derivation ({error!r})") from error
    except ValidationError as error:
        raise InputError(f"{where}: its policy cannot be used ({first_faults(error)})") from error
    if pairs:
        raise ConfigError(
            f"{where}: its rows are the pairs of ranked groups, and a snapshot has the groups; "
            "derive without --pairs"
        )
    calibration = None if stored is None else parse_calibration(stored, judge_id, where)
    found = Labeler.of(judge_of(find_card(output, judge_id)), policy, calibration).policy_id
    if found != made_by:
        raise ConfigError(
            f"{where}: by its policy this version of the software would decide otherwise "
            f"({found[:16]}, recorded is {made_by[:16]}); run pairmill derive again"
        )
    return DerivedBy(judge_id, policy, calibration)


def _found(output: Store, digits: str) -> str:
    keys = [e.key for e in output.list(FOLDER) if e.key.endswith(f"/{RECORD}")]
    found = [key for key in keys if f"/policy={digits}" in key]
    if len(found) != 1:
        listed = ", ".join(key.split("/policy=")[-1].partition("/")[0] for key in keys)
        raise ConfigError(
            f"derivation {digits!r}: {len(found)} policies under {output.path(FOLDER)} begin with "
            f"it, expected exactly one of {listed or 'none'}"
        )
    return found[0]
