"""Uploads to the hub by its own client, against a stand-in."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.export import hub_upload
from pipeline.export.export_record import ExportRecord
from pipeline.export.hub_record import CARD_ENDS, PUSHED
from pipeline.runtime.command import run_command
from pipeline.store.object_store import Store
from tests.hub_client import use_hub
from tests.hub_server import TOKEN, Hub, hub_server

# The client's own use of its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
FILES = {
    "train-00000.parquet": b"rows" * 1_000,
    "train-00001.parquet": b"more" * 1_000,
    "media/ab/one.png": b"picture",
    "media/cd/two.png": b"another",
    "README.md": b"---\nlicense: unknown\n---\n",
    "_parts/00000.json": b"not part of it",
}
ROWS = tuple(name for name in FILES if name.endswith(".parquet"))


def record_of(rows: Sequence[str], snapshot: str = "5na9") -> bytes:
    """``export.json`` of an export with these files of rows."""
    record = ExportRecord(
        export_id="id", snapshot_id=snapshot, judge_id="judge", folder="exports/5na9/trl-dpo",
        input="in", config={"format": "trl-dpo"}, shape={}, rows=1, kept={"/train": 1},
        dropped={}, details={}, epsilon=0.1, longer=0, shorter=0, sources={},
        files=[{"path": path} for path in rows], beside=["README.md"],
    )  # fmt: skip
    return record.to_json()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as running:
        yield running


@dataclass(frozen=True)
class Pushed:
    """How a push ended: its exit code, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def push(
    tmp_path: Path,
    hub: Hub,
    names: Sequence[str] = tuple(FILES),
    *,
    snapshot: str = "5na9",
    token: str = TOKEN,
    url: str = "",
) -> Pushed:
    """Uploads an export of some of the files; each call has an output root of its own."""
    output = Store(tempfile.mkdtemp(dir=tmp_path))
    rows = [name for name in names if name in ROWS]
    files = {name: FILES[name] for name in names} | {"export.json": record_of(rows, snapshot)}
    for path, data in files.items():
        output.put(f"exports/5na9/trl-dpo/{path}", data)
    record = ExportRecord.parse(files["export.json"], "export.json")

    def body() -> int:
        print(hub_upload.push(output, record, "team/labels", private=True))  # noqa: T201
        return 0

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        use_hub(patch, url or hub.url, tmp_path / "hf")
        patch.setenv("HF_TOKEN", token)
        patch.setattr(hub_upload, "_MEDIA_A_COMMIT", 1)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command(body, "")
    return Pushed(code, out.getvalue(), err.getvalue())


def shown(hub: Hub) -> dict[str, bytes]:
    """The files of the dataset, but for the record of pushes and what it adds to the card."""
    files = {path: data for path, data in hub.files.items() if path != PUSHED}
    if "README.md" in files:
        card, line, _ = files["README.md"].partition(CARD_ENDS.encode())
        files["README.md"] = card.rstrip() + b"\n" if line else files["README.md"]
    return files


def export_of(names: Sequence[str], snapshot: str = "5na9") -> dict[str, bytes]:
    """What a dataset has once an export with these files is pushed to it."""
    rows = [name for name in names if name in ROWS]
    return {name: FILES[name] for name in names if "_parts" not in name} | {
        "export.json": record_of(rows, snapshot)
    }


FEWER = ("train-00000.parquet", "media/ab/one.png", "README.md")


def test_media_first_then_everything_else_at_once(tmp_path: Path, hub: Hub) -> None:
    done = push(tmp_path, hub)
    assert done.returncode == 0, done.stderr
    assert "'files': 4, 'media_files': 2, 'removed_files': 0, 'other_files': 0" in done.stdout
    assert hub.repos == {"team/labels": True}
    assert shown(hub) == export_of(tuple(FILES))
    last = {*ROWS, "README.md", "export.json", PUSHED}
    assert [(summary, set(files)) for summary, files in hub.commits] == [
        ("Media", {"media/ab/one.png", PUSHED}),
        ("Media", {"media/cd/two.png", PUSHED}),
        ("Export of snapshot 5na9, trl-dpo", last),
    ]
    assert set(json.loads(hub.files[PUSHED])["paths"]) == set(hub.files)


def test_a_push_takes_the_place_of_the_one_before_and_of_nothing_else(
    tmp_path: Path, hub: Hub
) -> None:
    assert push(tmp_path, hub).returncode == 0
    theirs = {"notes/why.md": b"ours", "train-extra.parquet": b"theirs", "media/zz/own.png": b"t"}
    for path, data in theirs.items():
        hub.write(path, data)
    hub.write("README.md", hub.files["README.md"] + b"\nAsk Ann about these.\n")
    done = push(tmp_path, hub, FEWER, snapshot="2nd")
    assert done.returncode == 0, done.stderr
    assert "'removed_files': 2, 'other_files': 3" in done.stdout
    assert shown(hub) == export_of(FEWER, "2nd") | theirs
    assert hub.files["README.md"].endswith(f"{CARD_ENDS}\n\nAsk Ann about these.\n".encode())
    assert push(tmp_path, hub, FEWER, snapshot="3rd").returncode == 0
    assert hub.files["README.md"].endswith(f"{CARD_ENDS}\n\nAsk Ann about these.\n".encode())
    assert shown(hub) == export_of(FEWER, "3rd") | theirs


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_a_push_that_was_cut_off_leaves_nothing_that_a_later_one_does_not_know(
    tmp_path: Path, hub: Hub, commits: int
) -> None:
    assert push(tmp_path, hub, ("train-00001.parquet", "README.md")).returncode == 0
    before = shown(hub)
    hub.fails_after = commits
    assert push(tmp_path, hub, snapshot="2nd").returncode == 2
    seen = shown(hub)
    assert {path: seen[path] for path in before} == before  # rows, card and record as before
    hub.fails_after = -1
    if commits % 2:  # the same again
        assert push(tmp_path, hub, snapshot="2nd").returncode == 0
        assert shown(hub) == export_of(tuple(FILES), "2nd")
    else:  # or another export, which takes the media away that were cut off
        assert (
            push(tmp_path, hub, ("train-00000.parquet", "README.md"), snapshot="3").returncode == 0
        )
        assert shown(hub) == export_of(("train-00000.parquet", "README.md"), "3")


def test_what_an_earlier_version_pushed_is_replaced_but_for_media(tmp_path: Path, hub: Hub) -> None:
    for path, data in export_of(tuple(FILES)).items():
        hub.write(path, data)  # there was no pushed.json
    hub.write(".gitattributes", b"")
    assert push(tmp_path, hub, FEWER, snapshot="2nd").returncode == 0
    kept = {".gitattributes": b"", "media/cd/two.png": FILES["media/cd/two.png"]}
    assert shown(hub) == export_of(FEWER, "2nd") | kept


def test_files_that_no_push_wrote_are_not_replaced(tmp_path: Path, hub: Hub) -> None:
    hub.write("README.md", b"# Ours")
    hub.write("a.txt", b"a")
    done = push(tmp_path, hub)
    assert done.returncode == 2
    assert "README.md would be replaced, and was not written by a push" in done.stderr
    assert hub.files == {"README.md": b"# Ours", "a.txt": b"a"}
    hub.write(PUSHED, b"{}")
    done = push(tmp_path, hub, FEWER)
    assert (done.returncode, len(hub.commits)) == (2, 0)
    assert f"datasets/team/labels/{PUSHED}: not a valid PushRecord" in done.stderr


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
    done = push(tmp_path, hub, url="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "the hub cannot be reached" in done.stderr


def test_a_dataset_that_others_change_meanwhile_is_left_to_them(tmp_path: Path, hub: Hub) -> None:
    hub.meddled = ("train-00000.parquet", b"theirs")
    done = push(tmp_path, hub, FEWER)
    assert done.returncode == 2
    assert "was changed by others meanwhile" in done.stderr
    assert hub.files == {"train-00000.parquet": b"theirs"}
