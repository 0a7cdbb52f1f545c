"""A judge's identity: a digest of a canonical form that holds only what can change a verdict.

A setting is left out of the form where it has the value at which it changes nothing: its default
when it was introduced. So a new setting moves no identity, and a later change of a default does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.prompts import Prompt
from pipeline.runtime.digest import digest

# Settings whose default is another by now, or that are gone: the default that they had at first.
# tests/unit/test_golden_ids.py holds the first defaults of all settings, and fails where one moves.
FIRST_DEFAULTS: dict[str, Any] = {}
# Where the weights or a bundle lie does not change what they are, and how many votes are asked for
# does not change what a vote says.
_NOT_A_VERDICT = frozenset(
    {"model.name", "model.revision", "votes", "bundle", "rubric", "prompt", "allow_experimental"}
)


@dataclass(frozen=True)
class ModelVersion:
    """Which weights judge.

    Attributes:
        digest: of the files that can change a verdict, or what else is known of them: the commit of
            a hub that states no hashes.
        shown: what people read: the hub's commit, or the digest.
        names: everything by which judge cards may name the same weights.
        files: SHA-256 of each of those files, by name; empty where they are not known.
    """

    digest: str
    shown: str
    names: frozenset[str]
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> Self:
        """Weights of which nothing but a name is known."""
        return cls(name, name, frozenset({name}))


def canonical_form(judge: JudgeConfig, version: ModelVersion, engine: str) -> dict[str, Any]:
    """Everything that can change a verdict, and nothing else; as JSON.

    Args:
        judge: the judge's configuration.
        version: of the weights that will really run.
        engine: the kind of engine; kinds differ in the last bits, and with them in a verdict.
    """
    reward = judge.declared_format.family == "reward"
    form = {
        "weights": version.digest,
        "engine": engine,
        "prompt": prompt_digest(judge.prompt_texts, judge.declared_format),
        "grammar": judge.declared_format.grammar_identity,
        "settings": changed_settings(judge.model_dump(mode="json"), type(judge), reward=reward),
    }
    return form if judge.rubric is None else {**form, "rubric": judge.rubric.identity}


def judge_id_of(form: Mapping[str, Any]) -> str:
    """The identity of the judge with a canonical form."""
    return digest("judge", json.dumps(form, sort_keys=True))


def prompt_digest(prompt: Prompt, format_: Format) -> str:
    """Digest of a prompt's texts, and of what else of the turn is not as it usually is."""
    turn = {
        "no system turn": prompt.system is None,
        "reply prefix": format_.declared.reply_prefix,
        "one candidate a request": format_.apart,
        "head tokens": format_.declared.head_tokens,
    }
    unusual = {name: value for name, value in turn.items() if value}
    texts = (prompt.system or "", prompt.user, prompt.answer)
    return digest(*texts, *([json.dumps(unusual, sort_keys=True)] if unusual else []))


def grammar_name(format_: str, version: int | str) -> str:
    """How a canonical form names a format's grammar."""
    return f"{format_}/{version}"


def changed_settings(
    settings: Mapping[str, Any], model: type[JudgeConfig] = JudgeConfig, *, reward: bool = False
) -> dict[str, Any]:
    """The settings of a judge that can change a verdict and differ from their first defaults.

    Args:
        settings: a judge's settings as JSON, of this version of the software or an earlier one;
            a setting that is absent was not there yet, and has its first default.
        model: this version's settings and defaults.
        reward: whether the judge is a reward model.

    Returns:
        Values by dotted names.
    """
    ignored = _NOT_A_VERDICT | _without_effect(settings, reward)
    return dict(_changed(settings, model().model_dump(mode="json"), ignored))


def _changed(
    section: Mapping[str, Any],
    defaults: Mapping[str, Any],
    ignored: frozenset[str],
    above: str = "",
) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        path, default = f"{above}{name}", defaults.get(name)
        if path in ignored:
            continue
        if isinstance(value, dict) and isinstance(default, dict) and default:
            yield from _changed(value, default, ignored, f"{path}.")
        elif value != FIRST_DEFAULTS.get(path, default):
            yield path, value


def _without_effect(settings: Mapping[str, Any], reward: bool) -> frozenset[str]:
    """What nothing depends on, given the other settings."""
    found = set()
    if reward:
        found.add("sampling")  # nothing is sampled
    if settings.get("sampling", {}).get("temperature"):
        found.add("sampling.retry_temperature")  # only greedy decoding would repeat itself
    if not settings.get("media", {}).get("video", {}).get("max_videos"):
        found.add("media.video")  # no row may have a video
    return frozenset(found)
