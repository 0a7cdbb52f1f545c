"""The names of runs: their order is that of the moments at which they began."""

from __future__ import annotations

import datetime
import re

import pytest

from pipeline.runtime import steps


def test_names_sort_by_time_within_a_second_too(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = datetime.datetime(2026, 11, 30, 23, 59, 58, 999_000, tzinfo=datetime.UTC)
    moments = [begin + datetime.timedelta(microseconds=250 * number) for number in range(9_000)]
    names = []
    for moment in moments:
        monkeypatch.setattr(steps, "utc_now", lambda moment=moment: moment)
        names.append(steps.new_run_id())
    assert all(re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{6}", name) for name in names)
    assert (names[0][:15], names[-1][:15]) == ("20261130T235958", "20261201T000001")
    assert sorted(names) == names
