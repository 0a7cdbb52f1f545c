"""The one command: ``pairmill NAME …`` is ``python -m jobs.NAME …``."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from pipeline.runtime.ending import this_process_is_a_command
from pipeline.runtime.suggestion import did_you_mean

COMMANDS = {
    "start": {
        "demo": "label a few pairs on this machine with the embedded judge; no GPU, no download",
        "doctor": "say before a run what would stop it: packages, GPU, Ray, storage, weights",
    },
    "label": {
        "preview": "show pairs exactly as the judge will see them, before anything is judged",
        "ingest": "turn a public preference set, or foreign files, into pair shards",
        "label": "judge every pair that this judge has not judged yet",
        "nightly": "label, publish, export and report: the whole run, for a schedule",
    },
    "publish": {
        "publish": "publish labels as a snapshot; list, measure, roll back snapshots",
        "export": "write a snapshot as a trainer reads it",
        "report": "write the report of a run again",
        "review": "browse every label in a browser, and let people answer gold sets",
        "clean": "list what nothing needs any more, and remove it",
        "forget": "take named pairs down for good",
    },
    "judge": {
        "judge": "check a bundle, or repack a reward model's checkpoint for vLLM",
        "evaluate": "measure a judge on gold pairs or a public benchmark",
        "audit": "draw pairs of a snapshot to ask people about",
        "gold": "bring people's answers in and out, and list them",
        "calibrate": "fit a judge's votes to gold pairs",
        "derive": "derive labels again from stored votes, without an engine",
    },
    "lab": {
        "bench": "measure speed, memory, scaling and votes",
        "train_tiny_judge": "train the embedded judge, or evaluate it",
    },
}
"""Every module of this package that is a command, by group, with what it does."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; without one, or with ``--help``, lists them all."""
    if arguments is None:
        this_process_is_a_command()
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        sys.stdout.write(_listing())
        return 0
    if given[0] == "--markdown":
        sys.stdout.write(reference())
        return 0
    name, *rest = given
    names = {each for group in COMMANDS.values() for each in group}
    if name not in names:
        hint = did_you_mean(name, names)
        sys.stderr.write(f"error: there is no command {name!r}{hint}\n`pairmill` lists them\n")
        return 2
    return int(importlib.import_module(f"jobs.{name}").main(rest))


def _listing() -> str:
    lines = ["Preference labels for multimodal pairs at scale. Commands:", ""]
    for group, commands in COMMANDS.items():
        lines += [
            f"{group}:",
            *(f"  pairmill {name:<17} {text}" for name, text in commands.items()),
            "",
        ]
    lines += ["pairmill COMMAND --help says how; README.md has a first run on your own pairs.", ""]
    return "\n".join(lines)


def reference() -> str:
    """Every command and every setting in Markdown: jobs/README.md."""
    from pipeline.runtime.settings_help import settings_table

    lines = [
        "# Commands and settings",
        "",
        "Made by `pairmill --markdown > jobs/README.md`; a test holds it to be current.",
        "`pairmill NAME` and `python -m jobs.NAME` are the same.",
    ]
    for group, commands in COMMANDS.items():
        lines += ["", f"## {group.capitalize()}"]
        for name in commands:
            command = _command(name)
            lines += ["", f"### `pairmill {name}`", ""]
            lines += ["```", command.help.rstrip(), "```"] if command else [f"{commands[name]}."]
    lines += [
        "",
        "## Settings of every command but ingest",
        *settings_table(_command("nightly").settings),
    ]
    lines += ["", "## Settings of ingest", *settings_table(_command("ingest").settings), ""]
    return "\n".join(lines)


def _command(name: str) -> Any:
    """The declaration of a command; None of one that declares its options by itself."""
    return getattr(importlib.import_module(f"jobs.{name}"), "COMMAND", None)


if __name__ == "__main__":
    sys.exit(main())
