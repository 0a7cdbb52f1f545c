"""Items of a JSON array one after the other, however long the array is."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.runtime.errors import InputError

MOST_JSON = 2**30  # of one item or line, in characters or bytes: media are in it, as base64
_CHUNK = 4 * 2**20
_BLANK = re.compile(r"[ \t\r\n]*")
_LITERAL = 32  # characters in which a number or word that is cut off is told from an error
_DECODER = json.JSONDecoder()


def array_items(file: io.BufferedReader) -> Iterator[tuple[Any, int]]:
    """The items of an array, and how many characters each has.

    Args:
        file: behind the array's opening bracket.

    Raises:
        InputError: an item is no JSON, or longer than 1 GiB; the array does not end, or not alone.
    """
    text = _Text(file)
    number, mark = 0, text.mark()
    if mark != "]":
        text.back()
        while True:
            yield text.item(f"item {number}")
            if (mark := text.mark()) != ",":
                break
            number += 1
    if mark != "]":
        got = repr(mark) if mark else "the end of the file"
        raise InputError(f"item {number}: expected ',' or ']' behind it, got {got}")
    if mark := text.mark():
        raise InputError(f"expected one array and nothing else, got {mark!r} behind it")


class _Text:
    """A file's text, of which only what is not yet parsed is held."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._text, self._at = file, "", 0
        self._decoded = codecs.getincrementaldecoder("utf-8")().decode

    def mark(self) -> str:
        """The next character that is no blank; none at the end."""
        while True:
            self._skip()
            if self._at < len(self._text):
                self._at += 1
                return self._text[self._at - 1]
            if not self._grow():
                return ""

    def back(self) -> None:
        """Undoes ``mark``."""
        self._at = max(0, self._at - 1)

    def item(self, where: str) -> tuple[Any, int]:
        """The value that begins here, and its length."""
        while True:
            self._skip()
            wrong = "it is cut off"
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text):  # else a number may go on
                    length, self._at = end - self._at, end
                    return value, length
            except json.JSONDecodeError as error:
                wrong = error.msg
                in_text = wrong.startswith("Unterminated string")
                if not in_text and error.pos + _LITERAL < len(self._text):
                    raise InputError(f"{where}: no JSON ({wrong})") from error
            except (ValueError, RecursionError) as error:  # digits without end
                raise InputError(f"{where}: no JSON ({error})") from error
            if len(self._text) - self._at > MOST_JSON:
                raise InputError(f"{where}: longer than {MOST_JSON >> 30} GiB ({wrong})")
            if not self._grow():
                raise InputError(f"{where}: no JSON ({wrong}, at the end of the file)")

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None  # it matches nothing, too
        self._at = blank.end()

    def _grow(self) -> bool:
        """Reads as much again as is held; whether there was more."""
        rest = self._text[self._at :]
        more = self._file.read(max(_CHUNK, len(rest)))
        try:
            self._text, self._at = rest + self._decoded(more, not more), 0
        except UnicodeDecodeError as error:
            raise InputError(f"its text is not UTF-8: {error.reason}") from error
        return bool(more)
