"""Makes texts of anybody's fit to be shown on a terminal or a page."""

from __future__ import annotations

import re

# Control characters except tab and newline, and what would reorder the text around it.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with a replacement character for each one that could act on what shows it."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
