"""Log records are JSON lines that say which run and unit they are about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

from pipeline.runtime.logs import log_context, log_fields, logging_of

logger = logging.getLogger("pipeline.labeling.something")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        assert line.pop("time").endswith("+00:00")
        assert line.pop("logger") == logger.name
    return lines


def test_each_record_says_what_it_is_about() -> None:
    stream = io.StringIO()
    before = logging.getLogger("pipeline").handlers[:]

    async def one(unit: str) -> None:
        with log_context(unit=unit):
            await asyncio.sleep(0)
            logger.info("unit %s\nis done", "é", extra=log_fields(pairs=3))
            await asyncio.to_thread(logger.warning, "in a thread")

    async def both() -> None:
        await asyncio.gather(one("0-4"), one("4-8"))

    with logging_of("r1", logging.INFO, stream):
        logger.debug("not of interest")
        asyncio.run(both())
        logger.info("outside")
    logger.warning("after it")
    lines = records(stream)
    done = {"level": "info", "run_id": "r1", "message": "unit é\nis done", "pairs": 3}
    thread = {"level": "warning", "run_id": "r1", "message": "in a thread"}
    expected = [{**line, "unit": unit} for unit in ("0-4", "4-8") for line in (done, thread)]
    key = json.dumps
    assert sorted(lines[:-1], key=key) == sorted(expected, key=key)
    assert lines[-1] == {"level": "info", "run_id": "r1", "message": "outside"}
    assert logging.getLogger("pipeline").handlers == before


def test_an_exception_stays_in_its_line() -> None:
    stream = io.StringIO()
    with logging_of("r1", logging.INFO, stream):
        try:
            raise ZeroDivisionError("by <0>")
        except ZeroDivisionError:
            logger.exception("the engine died")
    (line,) = records(stream)
    assert (line["level"], line["message"]) == ("error", "the engine died")
    assert line["exception"].splitlines()[-1] == "ZeroDivisionError: by <0>"


def test_people_on_a_terminal_get_sentences() -> None:
    stream = Terminal()
    with logging_of("r1", logging.WARNING, stream), log_context(unit="0-4"):
        logger.info("nothing")
        logger.warning("a worker died", extra=log_fields(deaths=2))
    assert stream.getvalue() == "WARNING: a worker died\n"
