"""Text that is not UTF-8: what is said of it, and what to do."""

from __future__ import annotations

from pipeline.runtime.errors import InputError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # how it begins; UTF-32 begins so, too
_CONVERT = "iconv -f {} -t UTF-8 converts it"


def refuse_utf16(start: bytes) -> None:
    """Raises InputError where a file begins as UTF-16 does; half of its bytes may mean nothing."""
    if start[:2] in _UTF16:
        raise InputError(f"its text is UTF-16, expected UTF-8: {_CONVERT.format('UTF-16')}")


def not_utf8(said: str) -> str:
    """What to do about text in which a byte is wrong."""
    hint = _CONVERT.format("WINDOWS-1252")
    return f"its text is not UTF-8 ({said}); if it is of Windows or Latin-1, {hint}"
