"""Shows a preview where a command reports: ``pairmill preview``, and ``--preview N`` of others."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import layout_of
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preview.preview_pairs import Preview, PreviewedPair, preview
from pipeline.labeling.preview.preview_text import brief, print_preview
from pipeline.runtime.command import Parser
from pipeline.runtime.reporter import Reporter

_FIELDS = ("shard", "row", "pair_id", "source", "gold", "tokens", "order", "problem")


def add_preview_option(parser: Parser) -> None:
    """Adds ``--preview N``."""
    text = "show N pairs as the judge will see them, and stop: nothing is judged or written"
    parser.add_argument("--preview", metavar="N", type=positive, help=text)


def positive(text: str) -> int:
    """The value of an option that is a number of 1 or more.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of 1 or more")
    return int(text)


def note_first_pair(config: LabelConfig, input_uri: str, reporter: Reporter) -> None:
    """Notes how the first pair of an input reads; loads no tokenizer.

    Raises:
        InputError: there is no shard.
        StorageError: the input cannot be reached.
    """
    counting_words = layout_of(config.judge, EngineConfig(kind="scripted"))
    for pair in preview(config, input_uri, counting_words, 1).pairs:
        reporter.note(f"the first pair, {brief(pair)}\n(--preview 3 shows pairs in full)")


def show_preview(found: Preview, reporter: Reporter) -> None:
    """Writes a preview to standard output, as the reporter's style has it."""
    if reporter.style == "text":
        print_preview(found, Console(file=sys.stdout, soft_wrap=True, highlight=False))
        return
    for pair in found.pairs:
        reporter.event("pair", _fields(pair))


def _fields(pair: PreviewedPair) -> dict[str, object]:
    user = pair.chat.user if pair.chat else None
    return {name: getattr(pair, name) for name in _FIELDS} | {"user": user}
