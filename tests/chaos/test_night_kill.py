"""A nightly run is killed between any two steps: run again, it finishes, and nothing is doubled."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.object_store import Store
from tests.chaos.dying import Ask, dying
from tests.labeling import assert_exact, contents, forbid_ray, run_label, write_config
from tests.nights import nights, run_nightly, steps_of
from tests.publishing import latest_of, live_rows
from tests.shards import labels_of, pair, write_shard
from tests.without_ray import label_here

STEPS = ("plan", "label", "reconcile", "compact", "gate", "publish", "hooks")
SHARDS = {
    "a.parquet": [pair(n) for n in range(30)],
    "b.parquet": [pair(n) for n in range(30, 42)],
}
_RECORD = "import os, sys; open(sys.argv[1], 'a').write(os.environ['PAIRMILL_SNAPSHOT'] + '\\n')"


class Place:
    """An input, a configuration with a hook, and outputs below one folder."""

    def __init__(self, root: Path, model: Path) -> None:
        self.root, self.source = root, root / "in"
        for name, rows in SHARDS.items():
            write_shard(self.source / name, rows)
        self._model = model

    def config(self, name: str) -> Path:
        """The configuration of a nightly run whose hook writes to a file of this name."""
        hook = [sys.executable, "-c", _RECORD, str(self.root / f"{name}.snapshots")]
        return write_config(self.root / f"{name}.yaml", self._model, {"nightly": {"hooks": [hook]}})

    def request(self, name: str, die_at: int | None) -> dict[str, Any]:
        config, output = self.config(name), self.root / name
        paths = {"config": config, "source": self.source, "output": output}
        return {**{key: str(path) for key, path in paths.items()}, "die_at": die_at}

    def assert_whole(self, name: str, parts: dict[str, tuple[object, bytes]] | None) -> None:
        """Everything is there once, and nothing was judged again."""
        output = self.root / name
        assert_exact(output, SHARDS)
        if parts is not None:
            assert contents(output, "parts") == parts
        store = Store(str(output))
        folders = {path.name for path in (output / "snapshots").iterdir() if path.is_dir()}
        (snapshot,) = folders - {"files"}
        assert latest_of(store)["snapshot_id"] == snapshot
        judged = [(row["shard"], row["row"], row["run_id"]) for row in live_rows(store)]
        labels = [(row["shard"], row["row"], row["run_id"]) for row in labels_of(output)]
        assert sorted(judged) == labels
        assert (self.root / f"{name}.snapshots").read_text().split() == [snapshot]


@pytest.fixture
def place(tmp_path: Path, model: Path) -> Place:
    return Place(tmp_path, model)


def test_killed_between_any_two_steps(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = place.root / "labelled"
    with monkeypatch.context() as patch:
        label_here(patch)
        assert run_label(place.config("labelled"), place.source, labelled).exit_code == 0
    forbid_ray(monkeypatch)
    with dying("tests.chaos.night_and_die", {}) as ask:
        shutil.copytree(labelled, place.root / "whole")
        done = ask(place.request("whole", None))
        assert (done["signal"], done["exit"]) == (None, 0)
        boundaries = [f"{edge} {step}" for step in STEPS for edge in ("begin", "did")]
        assert done["steps"] == [*boundaries, *AFTERWARDS, "over"]
        place.assert_whole("whole", None)
        for number, boundary in enumerate(done["steps"]):
            _kill(place, labelled, ask, number, boundary)


AFTERWARDS = ("end published",)


def _kill(place: Place, labelled: Path, ask: Ask, number: int, boundary: str) -> None:
    name = f"killed-{number}"
    shutil.copytree(labelled, place.root / name)
    parts = contents(place.root / name, "parts")
    died = ask(place.request(name, number))
    assert (died["signal"], died["exit"]) == (signal.SIGKILL, None), boundary
    (night,) = nights(place.root / name)
    recorded = [step for step in STEPS if f"begin {step}" in died["steps"]]
    unrecorded = boundary.startswith("did ")  # the run died before it was recorded
    assert list(steps_of(night)) == (recorded[:-1] if unrecorded else recorded)
    assert night["state"] == "running" or boundary == "over"
    again = run_nightly(place.config(name), place.source, place.root / name)
    assert (again.exit_code, again.error) == (0, ""), boundary
    place.assert_whole(name, parts)
    last = nights(place.root / name)[-1]
    swapped = "did publish" in [*died["steps"], boundary]
    assert (last["state"], last["exit_code"]) == ("unchanged" if swapped else "published", 0)


@pytest.mark.parametrize("boundary", ["begin label", "did label"])
def test_killed_around_labeling(
    place: Place, shared_ray: str, boundary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying("tests.chaos.night_and_die", {"RAY_ADDRESS": shared_ray}) as ask:
        number = ["begin plan", "did plan", "begin label", "did label"].index(boundary)
        died = ask(place.request("out", number))
    assert (died["signal"], len(died["steps"])) == (signal.SIGKILL, number)
    labelled = boundary == "did label"
    assert len(list(Store(str(place.root / "out")).list("parts"))) == (2 if labelled else 0)
    if labelled:
        forbid_ray(monkeypatch)
    again = run_nightly(place.config("out"), place.source, place.root / "out")
    assert (again.exit_code, again.error) == (0, "")
    place.assert_whole("out", None)
