"""An input with labels, to publish from; and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.publishing import LabeledInput
from tests.reporting import CHROMIUM


@pytest.fixture
def labeled(tmp_path: Path) -> LabeledInput:
    """Three labelled shards, of 45, 30 and 7 rows."""
    made = LabeledInput.at(str(tmp_path))
    made.shard("a.parquet", 45)
    made.shard("sub/b.parquet", 30, seed=1)
    made.shard("z.parquet", 7, seed=2)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium; of a module and no longer, since an event loop runs while it is open."""
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox.
        flags = ["--no-sandbox", "--force-color-profile=srgb"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()
