"""Uploads to the hub by its own client, against a stand-in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store.object_store import Store
from tests.hub_server import TOKEN, Hub, hub_server
from tests.processes import ROOT

FILES = {
    "train-00000.parquet": b"rows" * 1_000,
    "media/ab/one.png": b"picture",
    "media/cd/two.png": b"another",
    "README.md": b"---\nlicense: unknown\n---\n",
    "export.json": b"{}",
    "_parts/00000.json": b"not part of it",
}
PUSH = """
import sys
from pipeline.runtime.command import run_command
from pipeline.export import hub_upload as hub
from pipeline.export.export_record import ExportRecord
from pipeline.store.object_store import Store

hub._MEDIA_A_COMMIT = 1
record = ExportRecord(
    "id", "5na9", "judge", "exports/5na9/trl-dpo", "in", {"format": "trl-dpo"}, {}, 1,
    {"/train": 1}, {}, {}, 0.1, 0, 0, {}, ({"path": "train-00000.parquet"},), ("README.md",))

def push():
    print(hub.push(Store(sys.argv[1]), record, sys.argv[2], private=True))
    return 0

sys.exit(run_command(push, ""))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as running:
        yield running


def push(
    tmp_path: Path, hub: Hub, token: str = TOKEN, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Uploads in a process of its own, since the client reads its environment once."""
    output = Store(str(tmp_path / "out"))
    for path, data in FILES.items():
        output.put(f"exports/5na9/trl-dpo/{path}", data)
    where = {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HOME": str(tmp_path / "hf")}
    where |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-c", PUSH, output.uri, "team/labels"]
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False)


def test_media_first_then_everything_else_at_once(tmp_path: Path, hub: Hub) -> None:
    done = push(tmp_path, hub)
    assert done.returncode == 0, done.stderr
    assert "'files': 3, 'media_files': 2" in done.stdout
    assert hub.repos == {"team/labels": True}
    assert hub.files == {name: data for name, data in FILES.items() if "_parts" not in name}
    last = {"train-00000.parquet", "README.md", "export.json"}
    assert [(summary, set(files)) for summary, files in hub.commits] == [
        ("Media", {"media/ab/one.png"}),
        ("Media", {"media/cd/two.png"}),
        ("Export of snapshot 5na9, trl-dpo", last),
    ]


def test_refusals_say_what_to_do(tmp_path: Path, hub: Hub) -> None:
    done = push(tmp_path, hub, token="hf_another")
    assert done.returncode == 2
    assert "error: --push-to-hub team/labels: " in done.stderr
    assert "give a token that may write there as HF_TOKEN" in done.stderr
    assert "hf_another" not in done.stderr
    hub.failing = ("/commit/main", 400)
    done = push(tmp_path, hub)
    assert done.returncode == 2
    assert "nothing of this export is visible there; run the same command again" in done.stderr
    assert hub.commits == []
    done = push(tmp_path, hub, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "the hub cannot be reached" in done.stderr
