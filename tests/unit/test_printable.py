"""Texts of others: they cannot act on a terminal, and secrets in them are not repeated."""

from __future__ import annotations

import io
import json
import logging

import pytest
from rich.console import Console

from pipeline.runtime.command import run_command
from pipeline.runtime.errors import InputError, RowRejected
from pipeline.runtime.fault_blocks import fault_blocks
from pipeline.runtime.logs import logging_of
from pipeline.runtime.printable import one_line, printable
from pipeline.runtime.reporter import Reporter
from schemas.labels import Reason

FORGED = "a\x1b[2J\x9b31m\u202eb\rexit 0"
SIGNED = "https://user:word@bucket.s3.amazonaws.com/a/b.png?X-Amz-Signature=5e1f&X-Amz-Expires=9"


def test_what_acts_on_a_terminal_is_replaced() -> None:
    assert printable(FORGED) == "a\ufffd[2J\ufffd31m\ufffdb\ufffdexit 0"
    assert (
        printable("lines\nand\ttabs, \u00fc\u4e2d\U0001f600")
        == "lines\nand\ttabs, \u00fc\u4e2d\U0001f600"
    )
    assert one_line("shard\nok: labelled") == "shard\ufffdok: labelled"


def test_an_address_keeps_no_secret() -> None:
    assert (
        printable(f"<{SIGNED}>, then")
        == "<https://\u2026@bucket.s3.amazonaws.com/a/b.png?\u2026>, then"
    )
    plain = "https://example.org/a/b.png#top and s3://bucket/a?b"
    assert printable(plain) == plain
    detail = RowRejected(Reason.MEDIA_FORBIDDEN, SIGNED).detail
    assert "5e1f" not in detail
    assert "word" not in detail


@pytest.mark.parametrize("style", ["text", "json"])
def test_reports(style: str) -> None:
    file = io.StringIO()
    reporter = Reporter(Console(file=file, soft_wrap=True), style=style)  # type: ignore[arg-type]
    reporter.note(f"unreadable: {FORGED} {SIGNED}")
    reporter.event("plan", {"input": f"{FORGED}\n{SIGNED}"})
    written = file.getvalue()
    assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(written)
    assert "5e1f" not in written
    if style == "json":
        assert len([json.loads(line) for line in written.splitlines()]) == 2


def test_errors_and_logs(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise InputError(f"{FORGED} {SIGNED}\n{fault_blocks([('bad', FORGED)])}")

    assert run_command(fail, "") == 2
    with logging_of("run", logging.WARNING):
        logging.getLogger("pipeline.x").warning("%s %s", FORGED, SIGNED)
    written = capsys.readouterr().err
    assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(written)
    assert "5e1f" not in written
