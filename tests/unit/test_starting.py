"""Servers of the tests are started once more where they fail, and then say what failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.starting import NotStartedError, start_or_retry


def failing(log: Path, times: int) -> Callable[[], int]:
    """A start that fails so many times; it returns how often it was tried."""
    tried = 0

    def start() -> int:
        nonlocal tried
        tried += 1
        if tried <= times:
            log.write_text(f"bind: no such address, try {tried}\n", encoding="utf-8")
            raise NotStartedError("the server", "it ended with exit code 1", [log])
        return tried

    return start


@pytest.mark.parametrize("times", [0, 1])
def test_a_start_that_fails_is_tried_once_more(tmp_path: Path, times: int) -> None:
    assert start_or_retry(failing(tmp_path / "head.log", times)) == times + 1


def test_what_fails_twice_says_so_with_both_logs(tmp_path: Path) -> None:
    with pytest.raises(NotStartedError) as raised:
        start_or_retry(failing(tmp_path / "head.log", 2))
    errors = [raised.value, raised.value.__cause__]
    assert [str(error) for error in errors] == [
        "the server did not start: it ended with exit code 1\n"
        f"--- end of head.log ---\nbind: no such address, try {number}"
        for number in (2, 1)
    ]
