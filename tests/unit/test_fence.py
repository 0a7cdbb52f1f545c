"""A worker whose run has lost the lease commits nothing, however its unit ends."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.runtime.errors import LeaseLostError
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import check_writer, writer_lease
from tests.unit.test_run_budget import ALL, judged

_PLENTY, _FEW = 1_000, 2  # votes


@pytest.mark.parametrize(
    ("votes", "revised"),
    [
        pytest.param(_PLENTY, False, id="a unit"),
        pytest.param(_FEW, False, id="some of its rows"),
        pytest.param(_PLENTY, True, id="a revision"),
        pytest.param(_FEW, True, id="a revision of some of its rows"),
    ],
)
def test_nothing_is_committed_once_another_run_has_taken_the_lease(
    tmp_path: Path, votes: int, revised: bool
) -> None:
    output, quiet = Store(str(tmp_path)), Reporter(Console(quiet=True), style="json")
    if revised:
        judged(output, "before", _PLENTY, range(8), "malformed")
    with writer_lease(output, "ours", 60, quiet) as lease:
        fence = functools.partial(check_writer, output, lease.epoch)
    with writer_lease(output, "theirs", 60, quiet):
        parts = [entry.key for entry in output.list("parts")]
        assert len(parts) == revised
        with pytest.raises(LeaseLostError, match="a run has taken the lease since this one had it"):
            judged(output, "ours", votes, range(8), retries=ALL, fence=fence)
        assert [entry.key for entry in output.list("parts")] == parts
