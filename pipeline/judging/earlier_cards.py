"""Judge cards of earlier versions, whose id was a digest of the whole configuration.

Their ids went along with the folder of the weights, with settings without effect and with the
number of votes. The labels under them stay valid, so they are read as canonical forms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.judging.judge_identity import changed_settings, grammar_name
from pipeline.runtime.digest import digest

_HELD = ("judge", "model_version", "engine", "prompt_sha256", "parser", "rendering")
_RENDERING = "2"  # of votes that state none; those before it were shown something else


def earlier_id(card: Mapping[str, Any]) -> str:
    """The id that earlier versions gave to a judge with what a card holds."""
    held = {name: card[name] for name in _HELD if name in card}
    return digest(json.dumps(held, sort_keys=True))


def earlier_form(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """The canonical form of a judge by its card of an earlier version.

    Its weights are named as that version did it: ``commit:`` and the hub's commit, or ``sha256:``
    and the digest of all files of a folder but hidden ones and ``*.md``.

    Returns:
        None if the card was changed since, or its votes were rendered by a version before 2.
    """
    if card.get("rendering") != _RENDERING or earlier_id(card) != card["judge_id"]:
        return None
    judge = card["judge"]
    return {
        "weights": card["model_version"],
        "engine": card["engine"],
        "prompt": card["prompt_sha256"],
        "grammar": grammar_name(judge["format"], card["parser"]),
        "settings": changed_settings(judge),
    }
