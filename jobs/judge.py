"""Work on judges themselves: ``pairmill judge repack SRC DST``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.runtime.command import add_log_option, run_command
from pipeline.runtime.reporter import Reporter

EXIT_CODES = """\
exit codes:
    0  done
    1  a bug
    2  what was given cannot be used; the message says why
  130  interrupted (Ctrl-C)"""

Action = Callable[[argparse.Namespace, Reporter], int]


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the actions; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(lambda: _run(given), "interrupted; nothing is left behind")


def _run(given: list[str]) -> int:
    options = parser().parse_args(given)
    action: Action = options.action
    return action(options, Reporter(style=options.log))


def parser() -> argparse.ArgumentParser:
    """The command line: a subcommand for each action."""
    whole = argparse.ArgumentParser(
        prog="pairmill judge",
        description=__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    actions = whole.add_subparsers(required=True, metavar="ACTION")
    repack = actions.add_parser(
        "repack",
        help="put a reward model's value head where vLLM loads it from",
        description="Copies a checkpoint, its value head put where vLLM loads it from. Training\n"
        "tools keep that head in value_head.safetensors or under names of their own, which vLLM\n"
        "does not read. Other files become hard links where the file system has them.",
        epilog=f"example:\n  pairmill judge repack Skywork-VL-Reward-7B ./skywork\n\n{EXIT_CODES}",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    repack.add_argument("source", metavar="SRC", type=Path, help="the checkpoint's folder")
    repack.add_argument("target", metavar="DST", type=Path, help="a new folder")
    add_log_option(repack)
    repack.set_defaults(action=_repack)
    return whole


def _repack(options: argparse.Namespace, reporter: Reporter) -> int:
    from pipeline.engines.head_repacking import repack

    done = repack(options.source, options.target)
    for name, (before, shape) in done.head.items():
        reporter.event("head", {"tensor": name, "was": before, "shape": list(shape)})
    files = {
        "linked": done.linked,
        "copied": done.copied,
        "written without the head": done.rewritten,
    }
    for what, names in files.items():
        for name in names:
            reporter.event("file", {"name": name, "how": what})
    reporter.note(
        f"{options.target} can be judged with: judge.model.name={options.target}; at start its "
        "head is compared with transformers' scores"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
