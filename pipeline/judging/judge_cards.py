"""Judge cards: what a judge is, stored as ``judges/<judge>.json``, and found again by what it is.

A card is written once; a calibration, which comes after the judge's votes, is the one thing that is
put into it later (:mod:`pipeline.aggregation.calibration_cards`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from pipeline.judging.earlier_cards import earlier_form
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion, canonical_form, judge_id_of
from pipeline.parts.part_keys import judge_folder, judge_parts_prefix
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store
from schemas.validation_faults import first_faults

_FOLDER = "judges"


@dataclass(frozen=True)
class KnownJudge:
    """A judge as an output knows it.

    Attributes:
        card: its card.
        found: how it was recognised, in a sentence for people.
    """

    card: dict[str, Any]
    found: str

    @property
    def judge_id(self) -> str:
        """Its id, under which its votes are stored."""
        return str(self.card["judge_id"])


def judge_card(judge: JudgeConfig, version: ModelVersion, engine: str) -> dict[str, Any]:
    """The card of a judge that is new to an output.

    Args:
        judge: the judge's configuration.
        version: of the weights that will really run.
        engine: the kind of engine.
    """
    form = canonical_form(judge, version, engine)
    return {
        "judge_id": judge_id_of(form),
        "identity": form,
        "judge": judge.model_dump(mode="json"),  # as it was configured first
        "model_version": version.shown,
        "model_files": dict(version.files),
        "engine": engine,
        "prompt_sha256": form["prompt"],
        "software": _software(),
    }


def find_judge(output: Store, judge: JudgeConfig, version: ModelVersion, engine: str) -> KnownJudge:
    """The judge of an output that judges as this one would; otherwise a new one.

    Args:
        output: where its votes are or will be; nothing is written.
        judge: the judge's configuration.
        version: of the weights that will really run.
        engine: the kind of engine.

    Raises:
        InputError: what is stored as a card is not one.
        StorageError: the store fails.
    """
    new = judge_card(judge, version, engine)
    cards = cards_of(output)
    same = [card for card in cards if _is_same(card, new["identity"], version)]
    if not same:
        others = f", which has {len(cards)} others" if cards else ""
        return KnownJudge(new, f"a new judge of this output{others}")
    card = same[0] if len(same) == 1 else _first_choice(output, same, new["judge"]["votes"])
    shared = _weights_of(card) & version.names
    by = "commit" if all(name.startswith("commit:") for name in shared) else "content"
    found = f"the judge of this output, recognised by the {by} of its weights"
    if rest := [each["judge_id"][:12] for each in same if each is not card]:
        found += (
            f"; {', '.join(rest)} are the same judge: of these one with parts is taken, then one "
            "with these judge.votes, then that with most parts"
        )
    return KnownJudge(card, found)


def earlier_versions(output: Store, judge: JudgeConfig, engine: str) -> list[str]:
    """What the weights of this output's judges were that are this one but for their weights.

    Args:
        output: where their cards are.
        judge: whose model has the same name as theirs.
        engine: the kind of engine.

    Raises:
        InputError: what is stored as a card is not one.
        StorageError: the store fails.
    """
    form = canonical_form(judge, ModelVersion.named(""), engine)
    return [
        card["model_version"]
        for card in cards_of(output)
        if card["judge"]["model"]["name"] == judge.model.name and _form_of(card) == form
    ]


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
    """The card of the only judge of an output whose id begins with ``judge``, or of this model.

    Args:
        output: where the judges' cards are.
        judge: the id or how it begins; else the name of a model, with or without its folder.

    Raises:
        ConfigError: no judge, or more than one; the message lists all.
    """
    cards = cards_of(output)
    found = [card for card in cards if card["judge_id"].startswith(judge.removeprefix("judge="))]
    found = found or [card for card in cards if judge in _names(card)]
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
        f"judge {judge!r}: the ids of {len(found)} judges under {output.uri} begin with it, or "
        f"their models have that name, expected exactly one of\n  {listed}"
    )


def _names(card: dict[str, Any]) -> tuple[str, str]:
    name = str(card["judge"]["model"]["name"])
    return name, name.rstrip("/").rpartition("/")[2]


def cards_of(output: Store) -> list[dict[str, Any]]:
    """The cards of all judges of an output.

    Raises:
        InputError: what is stored as a card is not one.
        StorageError: the store fails.
    """
    keys = [entry.key for entry in output.list(_FOLDER)]
    direct = [key for key in keys if key.count("/") == 1 and key.endswith(".json")]
    return [_card(output, key) for key in direct]


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


def _is_same(card: dict[str, Any], form: dict[str, Any], version: ModelVersion) -> bool:
    if _form_of(card) != form | {"weights": ""}:
        return False
    return not version.names.isdisjoint(_weights_of(card))


def _form_of(card: dict[str, Any]) -> dict[str, Any] | None:
    """The canonical form without weights; None of a card that has none."""
    known = card["identity"] if "identity" in card else earlier_form(card)
    return None if known is None else known | {"weights": ""}


def _weights_of(card: dict[str, Any]) -> frozenset[str]:
    """What a card says of the weights: a commit, a digest, or both."""
    return frozenset({card["model_version"], card.get("identity", card).get("weights")})


def _first_choice(
    output: Store, cards: list[dict[str, Any]], votes: dict[str, Any]
) -> dict[str, Any]:
    """Of several cards of one judge, which earlier versions distinguished by ``judge.votes``."""

    def preference(card: dict[str, Any]) -> tuple[bool, bool, int, str]:
        parts = sum(1 for _ in output.list(judge_parts_prefix(card["judge_id"])))
        return not parts, card["judge"]["votes"] != votes, -parts, card["judge_id"]

    return min(cards, key=preference)


def _card(output: Store, key: str) -> dict[str, Any]:
    card = read_json(output, key)
    if not isinstance(card, dict) or not {"judge_id", "judge"} <= card.keys():
        raise InputError(f"{output.path(key)}: not a judge card; restore or remove it")
    return card


def _software() -> str:
    try:
        return f"pairmill {metadata.version('pairmill')}"
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "pairmill"


def _json(card: dict[str, Any]) -> bytes:
    return json.dumps(card, indent=2, sort_keys=True).encode()
