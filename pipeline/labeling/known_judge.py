"""Which judge of an output a configuration is, with the commit that its weights are pinned to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from pipeline.engines.model_version import hub_commit, model_version
from pipeline.judging.judge_cards import KnownJudge, earlier_versions, find_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.store.object_store import Store

Config = TypeVar("Config", bound=LabelConfig)
_COMMIT = re.compile(r"commit:([0-9a-f]{40})")


def known_judge(
    config: Config, output: Store, note: Callable[[str], object] = lambda _: None
) -> tuple[Config, KnownJudge]:
    """The configuration with ``judge.model.revision`` as a full commit, and the output's judge.

    A commit that is given stays; a branch that is given is followed. Where nothing is given, it is
    that of the card of the same judge; without such a card the newest, which its card then keeps.
    So every engine of a run loads what the run was planned with, and whoever can write to the
    model's repository changes no judge. Weights in a folder or at a server have no commit.

    Args:
        config: of the judge and its engine.
        output: where judges' cards are; nothing is written.
        note: receives a sentence where the configuration does not say which commit it is.

    Raises:
        ConfigError: the model does not exist, or the hub does not answer.
        EngineStartError: the server does not serve it.
        EndpointError: the server refuses to say, or cannot be reached.
        InputError: what is stored as a card is not one.
        StorageError: the store fails.
    """
    pinned = _pinned(config, output, note)
    version = model_version(pinned.judge.model, pinned.engine)
    return pinned, find_judge(output, pinned.judge, version, pinned.engine.kind)


def _pinned(config: Config, output: Store, note: Callable[[str], object]) -> Config:
    model = config.judge.model
    if model.revision is None:
        versions = earlier_versions(output, config.judge, config.engine.kind)
        commits = {match[1] for match in map(_COMMIT.fullmatch, versions) if match}
        if len(commits) == 1:
            (commit,) = commits
            note(
                f"judge.model.revision is not set: {model.name} at {commit[:12]}, as the output's "
                "judge has it; set it to take another commit"
            )
            return _at(config, commit)
    commit_now = hub_commit(model, config.engine)
    if commit_now is None or commit_now == model.revision:
        return config
    given = "not set" if model.revision is None else model.revision
    note(f"judge.model.revision is {given}: {model.name} at {commit_now[:12]}, the newest")
    return _at(config, commit_now)


def _at(config: Config, commit: str) -> Config:
    model = config.judge.model.model_copy(update={"revision": commit})
    judge = config.judge.model_copy(update={"model": model})
    return config.model_copy(update={"judge": judge})
