"""An output of an earlier version is read, published, exported and reported by this one."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from jobs import derive, export, label, nightly, publish, report
from pipeline import open_snapshot
from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import TINY_JUDGE, model_path
from pipeline.judging.judge_identity import ModelVersion
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config
from pipeline.store.object_store import Store
from tests.labeling import Outcome, run_job
from tests.nights import detail_of, nights, steps_of

ARCHIVES = Path(__file__).parents[1] / "old_outputs"
CONFIG = str(Path(__file__).parents[2] / "jobs" / "configs" / "cpu.yaml")
VERSION = "bd695c2"
SNAPSHOTS = ("a83318007b84fdbf", "c9a5ac9b6498ab24")  # the older one, and the live one
JUDGE = "8edf5a701c5bfc26"
OLD_RUN = "20261129T022251-e45e07"


class Old:
    """The files of an earlier version, in a place of the test's own."""

    def __init__(self, folder: Path) -> None:
        with tarfile.open(ARCHIVES / f"{VERSION}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        self.pairs, self.labels = folder / "pairs", folder / "labels"
        for record in self.labels.rglob("*.json"):
            text = record.read_text(encoding="utf-8")
            record.write_text(text.replace('"/data/', f'"{folder}/'), encoding="utf-8")

    def run(self, job: Any, *arguments: str, of_input: bool = True) -> Outcome:
        """Runs a command on the output."""
        where = ["--input", str(self.pairs)] if of_input else []
        fixed = ["--output", str(self.labels), "--config", CONFIG]
        return run_job(job.main, [*where, *fixed, *arguments])

    def labelled(self) -> list[dict[str, Any]]:
        """The rows of the live snapshot, in the columns that the archive's labels have."""
        expected = expected_rows()
        rows: list[dict[str, Any]] = []
        for table in ("labels", "quarantine"):
            read = open_snapshot(str(self.labels), table=table)
            rows += read.to_table(columns=list(expected[0]), use_threads=False).to_pylist()
        return sorted(rows, key=lambda row: str(row["pair_id"]))


def expected_rows() -> list[dict[str, Any]]:
    """The labels that the earlier version published, by the rule that counts their votes now."""
    text = (ARCHIVES / f"{VERSION}.labels.json").read_text(encoding="utf-8")
    config = load_config(LabelConfig, CONFIG, [])
    policy_id = Labeler.of(config.judge, config.policy).policy_id
    rows: list[dict[str, Any]] = json.loads(text)
    return [row | {"policy_id": policy_id} for row in rows]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Old:
    """The output, as the earlier version left it, and the weights that judged it.

    The embedded judge has been trained again since. Only the digest of its files is read here, as
    nothing is judged.
    """
    digest = "sha256:0f0195143aeb0885b33d640b6f9f93acbc9f0581358ebde30d1933484830fc8e"
    then = ModelVersion(digest, digest, frozenset({digest}))
    monkeypatch.setattr("pipeline.engines.model_version._of_files", lambda *_: then)
    return Old(tmp_path)


@pytest.mark.parametrize("change", ["nothing", "votes", "folder"])
def test_nothing_is_left_to_judge(old: Old, tmp_path: Path, change: str) -> None:
    moved = shutil.copytree(model_path(TINY_JUDGE), tmp_path / "elsewhere")
    options = {
        "nothing": (),
        "votes": ("--judge.votes.max_votes", "10"),
        "folder": ("--judge.model.name", str(moved)),
    }
    done = old.run(label, "--dry-run", *options[change])
    assert done.exit_code == 0, done.error
    plan = done.event("plan")
    assert (plan["pairs"], plan["pairs_done"], plan["pairs_to_do"]) == (25, 25, 0)
    assert plan["judge_id"] == JUDGE
    assert plan["judge"] == "the judge of this output, recognised by the content of its weights"


def test_its_rows_are_looked_at_where_a_narrow_kind_is_named(old: Old) -> None:
    """They are of before such kinds were stored."""
    for command in (label, nightly):
        plan = old.run(command, "--dry-run", "--rerender", "image.alpha").event("plan")
        assert (plan["pairs_looked_at"], plan["pairs_to_do"]) == (24, 25)
    refused = old.run(nightly, "--dry-run", "--rerender", "image.alfa")
    assert refused.exit_code == 2
    assert "--rerender: got 'image.alfa', expected some of text.placeholder" in refused.error


@pytest.mark.usefixtures("without_charts")
def test_a_nightly_run_publishes_the_same_labels_then_finds_nothing_to_do(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = ("--quarantine.max_fraction", "0.5")
    first = old.run(nightly, *loose)
    assert first.exit_code == 0, first.error
    assert old.labelled() == expected_rows()
    night = nights(old.labels)[-1]
    assert (night["state"], detail_of(night, "label")["pairs"]) == ("published", 0)

    read = reads_of(old.pairs, monkeypatch)
    second = old.run(nightly, *loose)
    assert second.exit_code == 0, second.error
    night = nights(old.labels)[-1]
    assert night["state"] == "unchanged"
    assert steps_of(night)["publish"] == "skipped"
    assert old.labelled() == expected_rows()
    assert read == []

    stricter = old.run(nightly, *loose, "--policy.min_confidence", "0.9")
    assert stricter.exit_code == 0, stricter.error
    night = nights(old.labels)[-1]
    assert (night["state"], detail_of(night, "label")["pairs"]) == ("published", 0)
    sure = {"abstained": 0, "quarantined": 0}
    for before, after in zip(expected_rows(), old.labelled(), strict=True):
        known = before["confidence"] is not None and before["confidence"] < 0.9
        assert after["status"] == ("abstained" if known else before["status"])
        sure[after["status"]] += 1
    assert min(sure.values()) > 0


def reads_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files under a folder of which something is read from now on."""
    found: list[str] = []

    def watch(name: str) -> None:
        read = getattr(Store, name)

        def watched(store: Store, what: Any, *rest: Any) -> Any:
            if store.uri == str(folder):
                found.append(what if isinstance(what, str) else what.key)
            return read(store, what, *rest)

        monkeypatch.setattr(Store, name, watched)

    for name in ("content_key", "read", "read_range"):
        watch(name)
    return found


@pytest.mark.parametrize("name", ["jsonl", "trl-dpo"])
def test_its_exports_are_whole_and_are_not_written_again(old: Old, name: str) -> None:
    folder = old.labels / "exports" / SNAPSHOTS[1] / name
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = old.run(export, "--format", name)
    assert done.exit_code == 0, done.error
    assert done.event("exported")["rows"] == 19
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_a_new_export_of_its_snapshot_holds_the_same_rows(old: Old) -> None:
    folder = old.labels / "exports" / SNAPSHOTS[1] / "jsonl"
    written = (folder / "train-00000.jsonl").read_text(encoding="utf-8")
    (folder / "export.json").unlink()
    done = old.run(export, "--format", "jsonl")
    assert done.exit_code == 0, done.error
    assert (folder / "train-00000.jsonl").read_text(encoding="utf-8") == written


def test_its_snapshots_are_listed_and_rolled_back_to(old: Old) -> None:
    listed = old.run(publish, "--list", of_input=False)
    assert listed.exit_code == 0, listed.error
    found = [each["snapshot"] for each in listed.events if each["event"] == "snapshot"]
    assert sorted(found) == sorted(SNAPSHOTS)

    back = old.run(publish, "--rollback", SNAPSHOTS[0], of_input=False)
    assert back.exit_code == 0, back.error
    latest = json.loads((old.labels / "snapshots" / "LATEST.json").read_text(encoding="utf-8"))
    assert (latest["snapshot_id"], latest["previous"]) == SNAPSHOTS
    assert latest["rollback"] is True


def test_what_it_derived_is_kept_beside_what_the_present_rule_makes_of_the_votes(old: Old) -> None:
    derived = old.labels / "derived"
    before = {path: path.read_bytes() for path in derived.rglob("*") if path.is_file()}
    policy = ("--judge", JUDGE, "--policy.min_confidence", "0.9")
    done = old.run(derive, *policy, of_input=False)
    assert done.exit_code == 0, done.error
    plan = done.event("plan")
    assert (plan["parts"], plan["parts_done"]) == (4, 0)
    after = {path: path.read_bytes() for path in derived.rglob("*") if path.is_file()}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 5  # four parts and derivation.json


def test_its_runs_are_reported(old: Old) -> None:
    done = old.run(report, "--run", OLD_RUN)
    assert done.exit_code == 0, done.error
    said = done.event("report")
    assert (said["state"], said["pairs_shown"]) == ("published", 19)
    metrics = json.loads(Store(str(old.labels)).read(f"runs/{OLD_RUN}/metrics.json"))
    assert metrics["run_id"] == OLD_RUN
