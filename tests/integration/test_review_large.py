"""A million labels in a real browser: pages, filters and search have their rows."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from playwright.sync_api import Browser

from pipeline.lab.bench.synthetic_snapshot import RARE, write_snapshot
from pipeline.snapshots.snapshot_reader import open_snapshot
from pipeline.store.object_store import Store
from tests.reporting import CHROMIUM
from tests.reviewing import Server, Visit

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: make test-tools"),
]
ROWS, SHARDS = 1_000_000, 200


def test_a_million_labels_are_browsed_filtered_and_searched(
    tmp_path: Path, browser: Browser
) -> None:
    write_snapshot(str(tmp_path), ROWS, SHARDS)
    output = Store(str(tmp_path / "labels"))
    ties = open_snapshot(output.uri).count_rows(filter=ds.field("status") == "tie")
    server = Server.start(output.uri)
    visit = Visit.open(browser, server.address)
    page = visit.page
    places = page.locator("table.rows td:last-child")
    assert page.locator("h1").inner_text() == f"{ROWS:,} rows"
    assert places.all_inner_texts() == [f"00000.parquet:{row}" for row in range(50)]
    page.get_by_role("checkbox", name=re.compile("^tie")).first.click()
    assert page.locator("h1").inner_text() == f"{ties:,} of {ROWS:,} rows"
    last = -(-ties // 50)
    page.goto(f"{server.root}/?status=tie&page={last}")
    assert places.count() == ties - 50 * (last - 1)
    page.goto(f"{server.root}/search?text={RARE.replace(' ', '+')}")
    hits = Counter(page.locator("main a[href^='/pair']").evaluate_all(
        "all => all.map(a => new URL(a.href).searchParams.get('shard'))"
    ))  # fmt: skip
    assert hits == Counter(f"{number:05d}.parquet" for number in range(SHARDS))
    visit.close()
    server.kill()
