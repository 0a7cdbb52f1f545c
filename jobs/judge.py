"""What a judge is made of: ``pairmill judge check BUNDLE``, ``pairmill judge repack SRC DST``."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.judging.bundle_check import HOSTILE, check_bundle, folder_of, shown_prompt
from pipeline.judging.bundle_files import load_bundle, stored_bundle
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("action", choices=("check", "repack"),
        help="check: run a bundle's transcripts, fuzz its grammars\n"
        "repack: put a reward model's head where vLLM loads it from")  # fmt: skip
    add("what", metavar="BUNDLE|SRC", help="a shipped bundle's name, or a folder; a checkpoint")
    add("target", metavar="DST", nargs="?", type=Path, help="of repack: a new folder")
    add("--head", metavar="NAME",
        help="of repack: the head's name in SRC, such as reward_head, where it is\n"
        "none of v_head, v_head.summary, value_head and score")  # fmt: skip
    add("--hostile", type=int, default=HOSTILE, metavar="N", help=f"replies read ({HOSTILE:,})")
    add("--seed", type=int, default=0, metavar="N", help="of the hostile replies (default 0)")


def _run(call: Call[PipelineConfig]) -> int:
    target = call.options.target
    if call.options.action == "repack":
        if target is None:
            raise ConfigError("judge repack: expected two folders, SRC and DST")
        return _repack(call, Path(call.options.what), target)
    if target is not None:
        raise ConfigError(f"judge check: got {target} as well, expected one bundle")
    return _check(call)


def _check(call: Call[PipelineConfig]) -> int:
    options = call.options
    try:
        bundle = load_bundle(stored_bundle(options.what))
        folder = folder_of(options.what)
        checked = check_bundle(bundle, folder, hostile=options.hostile, seed=options.seed)
    except ValueError as error:
        raise ConfigError(f"judge.bundle: {error}") from error
    for format_ in bundle.formats.values():
        kind = format_.declared.candidates[0]
        shown = shown_prompt(bundle, format_, kind)
        if call.reporter.style == "json":
            call.reporter.event("prompt", {"format": format_.name, "text": shown})
        else:
            sys.stdout.write(f"=== {format_.name}, candidates: {kind}\n{shown}\n\n")
    call.reporter.event(
        "checked",
        {
            "bundle": bundle.name,
            "formats": list(bundle.formats),
            "transcripts": dict(checked.transcripts),
            "verified": bundle.verified,
            "hostile": dict(checked.outcomes),
            "slowest_ms_a_kb": round(checked.slowest_ms, 2),
        },
    )
    if checked.problems:
        raise ConfigError("\n  ".join([f"bundle {bundle.name}:", *checked.problems]))
    return 0


def _repack(call: Call[PipelineConfig], source: Path, target: Path) -> int:
    from pipeline.engines.head_repacking import repack

    done = repack(source, target, call.options.head)
    for name, (before, shape) in done.head.items():
        call.reporter.event("head", {"tensor": name, "was": before, "shape": list(shape)})
    files = {"linked": done.linked, "copied": done.copied, "without the head": done.rewritten}
    for how, names in files.items():
        for name in names:
            call.reporter.event("file", {"name": name, "how": how})
    call.reporter.note(
        f"judge.model.name={target} is what vLLM can load; whether it scores as transformers does "
        "is checked when it starts"
    )
    return 0


COMMAND = Command(
    name="judge",
    text="check: reads a bundle's transcripts (every reply must say what it is stated to say),\n"
    "shows its prompts, and reads hostile replies in each grammar: every one must end as a\n"
    "verdict on the scale or as a typed reason, in time that grows with its length.\n"
    "repack: copies a reward model's checkpoint, its value head put where vLLM loads it from;\n"
    "training tools keep that head in value_head.safetensors, or under names of their own.\n"
    "Other files become hard links where the file system has them.",
    example="check ./mine",
    settings=PipelineConfig,
    example_setting="--judge.bundle r1-reward",
    add_options=_options,
    run=_run,
    exits=(0, 2),
    left="nothing was changed",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
