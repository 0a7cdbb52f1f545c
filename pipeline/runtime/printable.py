"""Makes anybody's texts fit to be shown: on terminals, pages and cards, and in logs and records."""

from __future__ import annotations

import functools
import os
import re
import unicodedata

# Control characters except tab and newline, what would reorder the text around it, and halves of
# characters, which no output can encode.
_UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    r"\ud800-\udfff]"
)
_MOST_OF_A_NAME = 1_000  # characters
# Of an address what may be a secret: a name and password, and a signed query.
_USER = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/?#@'\"]+@", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?#'\"<>]*)\?[^\s#'\"<>]+", re.IGNORECASE)
_SIGNED = re.compile(
    r"([?&](?:X-Amz-[\w-]+|X-Goog-[\w-]+|Signature|AWSAccessKeyId|sig|token)=)[^\s&#'\"<>]+",
    re.IGNORECASE,
)
# Keys as their issuers make them, and what stands behind a name that says so.
_KEY = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{16,}|sk-(?=[\w-]*\d)[\w-]{16,})\b"
    r"|(?<=Bearer )(?=\S*\d)[\w.~+/=-]{8,}|(?<=Cookie: )[^\s'\"]+"
)
# Variables of the environment whose values are shown nowhere; shorter ones are no secrets.
_SECRET_NAME = re.compile(r"SECRET|TOKEN(?!IZER)|PASSW|CREDENTIAL|COOKIE|KEY(?:_ID)?$|SIGNATURE")
_LEAST_OF_A_SECRET = 8
_GONE = "\N{HORIZONTAL ELLIPSIS}"


def printable(text: str) -> str:
    """The text with a replacement character for each one that could act on what shows it."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", without_secrets(text))


def one_line(text: str) -> str:
    """The same for a name within a line: whoever named it adds no line, and nothing unseen."""
    shown = printable(text)
    if not shown.isprintable():
        shown = "".join(map(_seen, shown))
    if len(shown) > _MOST_OF_A_NAME:
        return f"{shown[:_MOST_OF_A_NAME]}{_GONE} ({len(shown):,} characters)"
    return shown


def _seen(character: str) -> str:
    unseen = character == "\n" or unicodedata.category(character) == "Cf"
    return "\N{REPLACEMENT CHARACTER}" if unseen else character


def without_secrets(text: str) -> str:
    """The text without what may give access.

    That is: the values of this process's environment variables whose names say that they are
    secret, keys in the form of well-known issuers, and users, passwords and queries of addresses.
    """
    for secret in _secrets():
        text = text.replace(secret, _GONE)
    text = _KEY.sub(_GONE, text)
    if "://" not in text:
        return text
    text = _QUERY.sub(rf"\1?{_GONE}", _USER.sub(rf"\1{_GONE}@", text))
    return _SIGNED.sub(rf"\1{_GONE}", text)


def names_a_secret(variable: str) -> bool:
    """Whether the name of an environment variable says that its value is secret."""
    return _SECRET_NAME.search(variable.upper()) is not None


@functools.cache
def _secrets() -> list[str]:
    """Values of the environment that this process began with, the longest first; no paths."""
    values = {value for name, value in os.environ.items() if names_a_secret(name)}
    secret = [v for v in values if len(v) >= _LEAST_OF_A_SECRET and not v.startswith(("/", "~"))]
    return sorted(secret, key=len, reverse=True)
