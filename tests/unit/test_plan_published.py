"""What is published spares footers; a manifest that is no help loses no rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.planning.plan import Plan, plan_shards
from pipeline.labeling.planning.reopening import Reopening
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import shard_key
from pipeline.parts.units import Unit
from pipeline.snapshots.live_shards import live_shards
from pipeline.snapshots.manifests import LATEST_KEY, Latest, manifest_key
from pipeline.store.host import OneProcess
from pipeline.store.object_store import Store
from schemas.labels import Reason
from schemas.manifest import OUTCOMES, InputShard, Manifest, ShardGroup, SnapshotFile
from tests.judging import JUDGE_ID, text_pair
from tests.shards import write_shard

ROWS = {"a.parquet": 40, "b.parquet": 20, "c.parquet": 5}


class Watched(Store):
    """A store that records which objects were read."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.opened: set[str] = set()
        self.host = OneProcess()

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        self.opened.add(key)
        return super().read_range(key, start, stop)


class PublishedCorpus:
    """Three shards, and the manifest of a snapshot that holds them."""

    def __init__(self, root: Path) -> None:
        self.source, self.output = Watched(str(root / "in")), Store(str(root / "out"))
        for name, rows in ROWS.items():
            self.write(name, rows)

    def write(self, name: str, rows: int) -> None:
        write_shard(Path(self.source.uri) / name, [text_pair(n) for n in range(rows)], 8)

    def version(self, name: str) -> tuple[int, str]:
        (entry,) = self.source.list(name)
        return entry.size, self.source.content_key(entry)

    def key(self, name: str) -> str:
        return shard_key(name, *self.version(name))

    def commit(self, name: str, *ranges: tuple[int, int]) -> None:
        for rows in ranges:
            self.output.put(Unit(name, self.key(name), *rows).part_key(JUDGE_ID), b"")

    def manifest(self) -> Manifest:
        counts = dict.fromkeys(OUTCOMES, 0)
        shards = [
            InputShard(name, *self.version(name), self.key(name), rows, counts | {"labeled": rows})
            for name, rows in ROWS.items()
        ]
        return _totalled(tuple(shards))

    def publish(self, manifest: Manifest) -> None:
        latest = Latest("one", manifest_key("one"), "2026-01-01", "run", None)
        self.output.put(manifest_key("one"), manifest.to_json())
        self.output.put(LATEST_KEY, latest.to_json())

    def plan(self, **how: Any) -> Plan:
        self.source.opened.clear()
        config = InputConfig(unit_rows=16)
        how["read_published"] = live_shards
        return plan_shards(self.source, "", self.output, config, JudgeConfig(), JUDGE_ID, **how)

    def ranges(self) -> dict[str, list[tuple[int, int]]]:
        return {t.key: [(unit.start, unit.stop) for unit in t.units] for t in self.plan().tasks}


def _totalled(shards: tuple[InputShard, ...]) -> Manifest:
    rows = sum(shard.rows for shard in shards)
    return Manifest(
        snapshot_id="one",
        created_at="2026-01-01",
        created_by="run",
        parent=None,
        judge={},
        policy=None,
        schemas={},
        input="in",
        rows=rows,
        counts=dict.fromkeys(OUTCOMES, 0) | {"labeled": rows},
        shards=shards,
        group_count=1,
        groups=(ShardGroup(0, "", ()),),
        files=(SnapshotFile("labels", "labels/0.parquet", rows, 0, ""),),
    )


@pytest.fixture
def corpus(tmp_path: Path) -> PublishedCorpus:
    made = PublishedCorpus(tmp_path)
    made.commit("a.parquet", (0, 16), (16, 40))
    made.commit("b.parquet", (0, 20))
    made.commit("c.parquet", (0, 5))
    return made


def test_only_footers_of_shards_that_are_not_done_are_read(corpus: PublishedCorpus) -> None:
    assert corpus.plan().rows_to_do == 0
    assert corpus.source.opened == set(ROWS)
    corpus.publish(corpus.manifest())
    plan = corpus.plan()
    assert (corpus.source.opened, plan.rows, plan.rows_to_do) == (set(), 65, 0)
    assert [shard.rows for shard in plan.shards] == list(ROWS.values())
    corpus.write("b.parquet", 21)
    corpus.write("d.parquet", 3)
    assert corpus.ranges() == {"b.parquet": [(0, 16), (16, 21)], "d.parquet": [(0, 3)]}
    assert corpus.source.opened == {"b.parquet", "d.parquet"}


def test_the_plan_says_why_each_shard_is_to_do(corpus: PublishedCorpus) -> None:
    published = replace(corpus.manifest(), input=corpus.source.uri, judge={"judge_id": JUDGE_ID})
    corpus.publish(published)
    assert _kinds(corpus) == {}
    corpus.write("a.parquet", 41)  # changed
    (Path(corpus.source.uri) / "b.parquet").unlink()  # deleted
    corpus.write("d.parquet", 3)  # new
    assert _kinds(corpus) == {"changed": (1, 41), "new": (1, 3), "deleted": (1, 20)}
    corpus.commit("a.parquet", (0, 16))
    corpus.commit("d.parquet", (0, 2))
    assert _kinds(corpus) == {"changed": (1, 25), "new": (1, 1), "deleted": (1, 20)}

    corpus.publish(replace(published, judge={"judge_id": "another"}))
    assert _kinds(corpus) == {"stale": (1, 25), "new": (1, 1), "deleted": (1, 20)}
    corpus.publish(replace(published, input="another/in"))  # its paths say nothing
    assert _kinds(corpus) == {"changed": (1, 25), "new": (1, 1)}


def test_a_published_shard_of_which_rows_are_left_is_unfinished(tmp_path: Path) -> None:
    corpus = PublishedCorpus(tmp_path)
    corpus.commit("a.parquet", (0, 40))
    corpus.commit("c.parquet", (0, 5))
    published = replace(corpus.manifest(), input=corpus.source.uri, judge={"judge_id": JUDGE_ID})
    corpus.publish(published)
    assert _kinds(corpus) == {"unfinished": (1, 20)}


def test_a_published_shard_under_another_path_is_moved(corpus: PublishedCorpus) -> None:
    published = replace(corpus.manifest(), input=corpus.source.uri, judge={"judge_id": JUDGE_ID})
    corpus.publish(published)
    folder = Path(corpus.source.uri)
    (folder / "b.parquet").rename(folder / "e.parquet")
    corpus.write("d.parquet", 3)
    assert _kinds(corpus) == {"moved": (1, 20), "new": (1, 3)}
    corpus.commit("e.parquet", (0, 20))
    assert _kinds(corpus) == {"new": (1, 3)}
    # Content that is at its place still, and lies at another one, too.
    (folder / "copy.parquet").write_bytes((folder / "a.parquet").read_bytes())
    assert _kinds(corpus) == {"moved": (1, 40), "new": (1, 3)}

    corpus.publish(replace(published, judge={"judge_id": "another"}))
    assert _kinds(corpus) == {"new": (2, 43), "deleted": (1, 20)}


def _kinds(corpus: PublishedCorpus) -> dict[str, tuple[int, int]]:
    """Shards and pairs of each kind that the plan counts."""
    found = corpus.plan().summary()
    kinds = ("new", "moved", "changed", "stale", "unfinished", "deleted")
    counts = {kind: (found[f"shards_{kind}"], found[f"pairs_of_{kind}_shards"]) for kind in kinds}
    assert found["shards_to_do"] == sum(counts[kind][0] for kind in kinds[:-1])
    assert found["pairs_to_do"] == sum(counts[kind][1] for kind in kinds[:-1])
    return {kind: count for kind, count in counts.items() if count != (0, 0)}


def test_rows_that_are_tried_again_are_looked_for_in_every_part(corpus: PublishedCorpus) -> None:
    corpus.publish(corpus.manifest())
    corpus.plan(reopening=Reopening(JudgeConfig(), "run"))
    assert corpus.source.opened == set()
    # The parts of this test hold nothing, which is the error once they are read.
    with pytest.raises(Exception, match="corrupt part"):
        corpus.plan(reopening=Reopening(JudgeConfig(), "run", frozenset(Reason)))


def test_parts_that_were_asked_about_in_another_way_are_read(corpus: PublishedCorpus) -> None:
    corpus.publish(corpus.manifest())
    corpus.commit("a.parquet", (0, 40))
    part = Unit("a.parquet", corpus.key("a.parquet"), 0, 40).part_key(JUDGE_ID)
    with pytest.raises(Exception, match="corrupt part"):
        corpus.plan(reopening=Reopening(JudgeConfig(), "run"), unsettled={part})


def _rows(manifest: Manifest, count: Callable[[int], int]) -> Manifest:
    """A manifest whose shards have other numbers of rows, and that reconciles all the same."""
    shards = tuple(
        replace(
            shard, rows=count(shard.rows), counts={**shard.counts, "labeled": count(shard.rows)}
        )
        for shard in manifest.shards
    )
    return _totalled(shards)


@pytest.mark.parametrize(
    "kind", ["fewer", "more", "none", "no manifest", "no JSON", "other version"]
)
def test_a_manifest_that_is_wrong_loses_no_rows(tmp_path: Path, kind: str) -> None:
    corpus = PublishedCorpus(tmp_path)
    corpus.commit("a.parquet", (0, 16))
    corpus.commit("b.parquet", (0, 20))
    counts = {"fewer": lambda rows: rows - 1, "more": lambda rows: rows + 1, "none": lambda _: 0}
    corpus.publish(_rows(corpus.manifest(), counts.get(kind, lambda rows: rows)))
    stored = Path(corpus.output.uri) / manifest_key("one")
    if kind == "no manifest":
        stored.unlink()
    if kind == "no JSON":
        stored.write_text("{", encoding="utf-8")
    if kind == "other version":
        stored.write_text(json.dumps({"version": "manifest/v9"}), encoding="utf-8")
    left = {"a.parquet": [(16, 32), (32, 40)], "c.parquet": [(0, 5)]}
    assert corpus.ranges() == left
    assert corpus.plan().rows == 65
