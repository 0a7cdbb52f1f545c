"""Makes anybody's texts fit to be shown: on terminals, pages and cards, and in logs and records."""

from __future__ import annotations

import re

# Control characters except tab and newline, and what would reorder the text around it.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Of an address of the web what may be a secret: a name and password, and a signed query.
_USER = re.compile(r"(https?://)[^\s/?#@'\"]+@", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?#'\"<>]*)\?[^\s#'\"<>]+", re.IGNORECASE)


def printable(text: str) -> str:
    """The text with a replacement character for each one that could act on what shows it."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", without_secrets(text))


def one_line(text: str) -> str:
    """The same for a name within a line: whoever named it adds no line of their own."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def without_secrets(text: str) -> str:
    """The text with web addresses that lack what may give access: users, passwords, queries."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1…@", text))
