"""Many nights of a changing corpus under changing policies, recounted each night from scratch.

The real nightly run without Ray: its units run one after another in this process, on a judge of
whose every reply a book is kept. What must be live follows from the corpus, that book and the
policy; ``tests/nights_recount.py`` reads what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import forget
from pipeline.aggregation.calibration_cards import put_calibration
from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import Rendered, Reply, Sampling
from pipeline.engines.scripted_engine import ScriptedEngine
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_run import export_snapshot
from pipeline.export.hub_upload import push
from pipeline.labeling import dataflow
from pipeline.labeling.cluster import ray_session
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.run_spec import RunSpec
from pipeline.labeling.unit_result import UnitResult
from pipeline.labeling.unit_runner import UnitRunner
from pipeline.media.media_store import MediaStore
from pipeline.nightly.night import run_night
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.parts.forgotten import Forgotten
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import check_writer
from schemas.labels import Reason
from tests.calibrations import calibration
from tests.cleaning import run_clean
from tests.hub_client import use_hub
from tests.hub_server import TOKEN, Hub, hub_server
from tests.judging import pairs_of
from tests.metering import Meter, below
from tests.nights_recount import Rule, Verdict, doubled, holding, live, part_votes, verdict_of
from tests.publishing import QUIET, run_on
from tests.shards import pair, shard_bytes

# The client's own use of its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Row = dict[str, Any]
CRITERIA = ("Truth", "Style")
EVEN = dict.fromkeys(CRITERIA, 1.0)
FITTED = (0.5, 0.75, 0.125)
KINDS = (
    "added",
    "appended",
    "rewritten",
    "moved",
    "merged and split",
    "idle",
    "repaired",
    "shuffled and gone",
)
POLICIES: tuple[Row, ...] = (
    {},
    {"threshold": 0.9, "min_confidence": 0.9},
    {"threshold": 0.75, "weights": {"Truth": 3.0, "Style": 1.0}},
)
_KEY = re.compile(r"\[\[([\w.]+)\]\]")


@dataclass
class Book:
    """What the judge was asked and has said.

    Attributes:
        said: every verdict about a pair, by its key, in order, with the night.
        healed: pairs of whose replies all are verdicts by now.
        night: the night.
    """

    said: dict[str, list[tuple[int, Verdict]]] = field(default_factory=lambda: defaultdict(list))
    healed: set[str] = field(default_factory=set)
    night: int = 0


class Bookkeeper(ScriptedEngine):
    """A judge of random scores; of pairs whose key ends in ``x`` it says nothing until healed."""

    book: Book

    async def reply(self, request_id: str, prompt: Rendered, sampling: Sampling) -> Reply:
        """One reply, and one line in the book."""
        (key,) = set(_KEY.findall(prompt.chat.user))
        order = (
            "ab"
            if prompt.chat.user.index("first of") < prompt.chat.user.index("second of")
            else "ba"
        )
        chance = random.Random(f"{key} {order} {len(self.book.said[key])}")
        unreadable = chance.random() < 0.1 or (key.endswith("x") and key not in self.book.healed)
        leaning = random.Random(key).choice((-3, 0, 3, None))  # None: both are the same
        found = [(name, [chance.randint(4, 7) for _ in "ab"]) for name in CRITERIA]
        if leaning is None:
            found = [(name, [a, a]) for name, (a, _) in found]
        else:
            found = [(name, [a, min(10, max(1, b + leaning))]) for name, (a, b) in found]
        scores = None if unreadable else tuple((name, float(a), float(b)) for name, (a, b) in found)
        self.book.said[key].append((self.book.night, (order, scores)))
        shown = {name: list(of) if order == "ab" else of[::-1] for name, of in found}
        text = json.dumps({"reasoning": f"about {key}", "scores": shown})
        return Reply("Hm." if unreadable else text, "stop", 10, 10, 0)


@dataclass
class Story:
    """A corpus, the output of its nights, and what must be live.

    Attributes:
        shards: the keys of the pairs of each shard, in order; a key names a content.
        gone: keys that were forgotten.
        fitted: the calibration in the judge's card, if any.
        made: how many keys there have been.
        retried: the night in which a pair was last asked about anew.
        statuses: those that labels have had.
    """

    root: Path
    book: Book
    chance: random.Random
    meter: Meter
    shards: dict[str, list[str]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    fitted: tuple[float, float, float] | None = None
    made: int = 0
    retried: dict[str, int] = field(default_factory=dict)
    statuses: set[str] = field(default_factory=set)

    @property
    def source(self) -> Path:
        return self.root / "in"

    @property
    def output(self) -> Path:
        return self.root / "out"

    def new(self, count: int) -> list[str]:
        """Keys of new pairs; one of eight is broken."""
        first, self.made = self.made, self.made + count
        return [f"k{n}{'x' if n % 8 == 3 else ''}" for n in range(first, first + count)]

    def write(self, name: str, keys: list[str]) -> None:
        """Writes a shard, in place of what is there."""
        self.shards[name] = keys
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shard_bytes([row_of(key) for key in keys]))
        os.utime(path, (1_700_000_000 + self.book.night, 1_700_000_000 + self.book.night))

    def drop(self, name: str) -> list[str]:
        (self.source / name).unlink()
        return self.shards.pop(name)

    def change(self, night: int) -> set[str]:
        """What happens to the corpus before a night; the shards that are new or other by then."""
        names, chance = sorted(self.shards), self.chance
        first, second, third = chance.sample(names, 3)
        match KINDS[night % len(KINDS)]:
            case "appended":
                self.write(first, [*self.shards[first], *self.new(5)])
                return {first}
            case "rewritten":
                before = self.shards[first]
                pairs = zip(before, self.new(len(before)), strict=True)
                self.write(first, [new if chance.random() < 0.3 else old for old, new in pairs])
                return {first}
            case "moved":
                self.write(f"moved/{night}.parquet", self.drop(first))
                return {f"moved/{night}.parquet"}
            case "merged and split":
                made, keys = f"cut-{night}", self.drop(third)
                half = max(1, len(keys) // 3)
                self.write(f"{made}-0.parquet", [*self.drop(first), *self.drop(second)])
                self.write(f"{made}-1.parquet", keys[:half])
                self.write(f"{made}-2.parquet", keys[half:])
                return {f"{made}-{number}.parquet" for number in range(3)}
            case "repaired":  # where they are: the judge can read them from now on
                broken = sorted(k for keys in self.shards.values() for k in keys if k[-1] == "x")
                self.book.healed |= {*broken[: len(broken) // 2 + 1]}
            case "shuffled and gone":
                self.drop(second)
                keys = [key for key in self.shards[first] if chance.random() < 0.8]
                self.write(first, chance.sample(keys, len(keys)) or self.new(2))
                return {first}
            case "added":
                self.write(f"new-{night}.parquet", self.new(12))
                return {f"new-{night}.parquet"}
        return set()

    def config(self, night: int) -> PipelineConfig:
        rubric = {"criteria": [{"name": name, "text": name} for name in CRITERIA]}
        judge = {"bundle": "rubric-json", "allow_experimental": True, "rubric": rubric}
        judge["model"] = {"name": "team/judge", "revision": "a" * 40}
        return PipelineConfig.model_validate(
            {
                "judge": judge, "policy": POLICIES[night // 3 % 3],
                "engine": {"kind": "scripted", "decode_threads": 1}, "input": {"unit_rows": 8},
                "quarantine": {"max_fraction": 1}, "publish": {"file_mb": 0.1, "row_group_mb": 0.1},
            }
        )  # fmt: skip

    def rule(self, night: int) -> Rule:
        stated = POLICIES[night // 3 % 3]
        given = (stated.get("threshold", 0.74), stated.get("min_confidence", 0.0))
        return Rule(*given, stated.get("weights", EVEN), self.fitted)

    def standing(self, key: str) -> list[Verdict]:
        """The verdicts about a pair that count: those since it was asked about anew."""
        since = self.retried.get(key, 0)
        return [verdict for night, verdict in self.book.said[key] if night >= since]

    def run(self, night: int) -> Row:
        """One nightly run; returns the manifest of what is live then."""
        retry = KINDS[night % len(KINDS)] == "repaired"
        if retry:
            for key in (key for keys in self.shards.values() for key in keys):
                if self.rule(night).label(self.standing(key))[0] == "quarantined":
                    self.retried[key] = night
        reasons = frozenset({Reason.MALFORMED}) if retry else frozenset[Reason]()
        where = (str(self.source), str(self.output), QUIET)
        assert run_night(self.config(night), *where, retries=reasons) == 0
        return live(self.output)[0]

    def check_cost(self, night: int, before: Row, after: Row, changed: set[str]) -> int:
        """Holds what the night read and wrote against what changed; returns what it read."""
        read, written = self.meter.taken()
        named = {file["path"]: file["bytes"] for file in after["files"]}
        fresh = named.keys() - {file["path"] for file in before.get("files", ())}
        groups = {file["group"] for file in after["files"] if file["path"] in fresh}
        of_shards = below(read, self.source)
        near = {shard["path"] for shard in after["shards"] if shard["group"] in groups}
        retried = {
            s for s, keys in self.shards.items() for k in keys if self.retried.get(k) == night
        }
        empty = {name for name, keys in self.shards.items() if not keys}  # no part says so of them
        own = changed | retried | empty
        assert before != after or of_shards.keys() <= own
        # Of a shard this small every look at its footer is the whole of it. The gate looks for gold
        # and texts in all shards where it has no tallies of what was live, as of the first night.
        live_before = self.output / "snapshots" / str(before.get("snapshot_id"))
        whole = not (live_before / "tallies.jsonl.gz").exists()
        # Rows in quarantine that are asked about again may be in any part: footers are looked at.
        looked_at = set(self.shards) if KINDS[night % len(KINDS)] == "repaired" else set[str]()
        assert whole or of_shards.keys() <= near | own | looked_at
        for name, size in of_shards.items():
            looks = 12 if name in near | own else 3
            assert size <= looks * (self.source / name).stat().st_size, name
        of_output = below(written, self.output)
        files = {key: size for key, size in of_output.items() if key.startswith("snapshots/files/")}
        assert sum(files.values()) == sum(named[path] for path in fresh)
        parts = {key for key in of_output if key.startswith("parts/")}
        assert sum(of_output[key] for key in parts) == sum(
            (self.output / key).stat().st_size for key in parts
        )
        beside = sum(size for key, size in of_output.items() if key not in files.keys() | parts)
        assert beside < 60_000 + 600 * len(self.shards)
        if not changed and not retried and before == after:
            assert (of_shards.keys() - empty, len(files), len(parts)) == (set(), 0, 0)
            assert {key.split("/")[0] for key in of_output} <= {
                "leases",
                "runs",
                "cache",
                "judges",
                "index",  # of the parts of the night before
            }
        return sum(below(read, self.output).values())

    def recount(self, night: int) -> None:
        """Holds what is live against the corpus, the book and the policy of the night."""
        manifest, tables = live(self.output)
        rows = [*tables["labels"], *tables["quarantine"]]
        assert doubled((row["shard"], row["row"]) for row in rows) == []
        by_place = {(row["shard"], row["row"]): row for row in rows}
        places = {(s, n): key for s, keys in self.shards.items() for n, key in enumerate(keys)}
        assert by_place.keys() == places.keys()
        assert manifest["rows"] == len(places)
        votes: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for vote in sorted(tables["votes"], key=lambda vote: vote["vote"]):
            votes[vote["shard"], vote["row"]].append(vote)
        for place, key in places.items():
            row, rule = by_place[place], self.rule(night)
            if key in self.gone:
                assert (row["status"], row["reason"], votes[place]) == (
                    "quarantined",
                    "forgotten",
                    [],
                )
                continue
            said = [verdict for _, verdict in self.book.said[key]]
            assert [verdict_of(vote) for vote in votes[place]] == said, key
            counting = [verdict_of(vote) for vote in votes[place] if not vote["superseded"]]
            assert counting == self.standing(key)
            status, side, p_a = rule.label(counting)
            self.statuses.add(status)
            assert (row["pair_id"], row["status"], row["preference"]) == (key, status, side), (
                place,
                counting,
                row,
            )
            assert row["p_a"] == pytest.approx(None if status == "quarantined" else p_a)
        stored = defaultdict[str, set[Verdict]](set)
        for key, verdict in part_votes(self.output):
            stored[key].add(verdict)
        for key, given in self.book.said.items():
            assert stored[key] == (set() if key in self.gone else {v for _, v in given}), key


def row_of(key: str) -> Row:
    texts = {"response_a": f"the first of [[{key}]]", "response_b": f"the second of [[{key}]]"}
    answers = {
        name: {"text": text, "images": None, "videos": None, "model": None}
        for name, text in texts.items()
    }
    return pair(0, pair_id=key, prompt=f"Which is better, [[{key}]]?", images=None, **answers)


def in_process(book: Book, tasks: Any, spec: RunSpec, stop: Any) -> Iterator[UnitResult]:
    """The units of a run, one after another, in place of Ray."""
    output, judge_config = Store(spec.output_uri), spec.config.judge
    engine = Bookkeeper(judge_config, spec.config.engine)
    engine.book = book
    labeler = Labeler.of(judge_config, spec.config.policy, spec.calibration)
    judge = Judge(
        engine, judge_config, spec.config.engine, MediaStore((spec.input_uri,), 1), labeler
    )
    runner = UnitRunner(
        judge, output, spec.judge_id, spec.run_id, 2, spec.retries, epoch=spec.epoch,
        forgotten=Forgotten.read(output), fence=functools.partial(check_writer, output, spec.epoch),
    )  # fmt: skip
    with asyncio.Runner() as loop:
        for task in tasks:
            # As workers do: each shard once, by the store.
            data = Store(spec.input_uri).read(task.units[0].shard)
            rows = pq.read_table(pa.BufferReader(data)).to_pylist()
            for unit in task.units:
                yield loop.run(runner.run(unit, pairs_of(rows[unit.start : unit.stop])))


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A corpus before its first night."""
    book = Book()
    monkeypatch.setattr(dataflow, "judge_shards", functools.partial(in_process, book))
    monkeypatch.setattr(ray_session, "ray_session", lambda *_: contextlib.nullcontext())
    meter = Meter()
    meter.watch(monkeypatch)
    made = Story(tmp_path, book, random.Random(16), meter)
    for number in range(8):
        made.write(f"{number}.parquet", made.new(8))
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server() as running:
        use_hub(monkeypatch, running.url, tmp_path / "hub")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


def pushed(story: Story, hub: Hub) -> int:
    """Exports and pushes what is live; the dataset has its labels alone. Returns its files."""
    output = Store(str(story.output))
    config = ExportConfig.model_validate({"format": "jsonl", "file_rows": 8, "file_mb": 0.001})
    record = export_snapshot(output, None, "LATEST", config, QUIET).record
    push(output, record, "team/labels", private=True)
    _, tables = live(story.output)
    wanted = sorted(row["pair_id"] for row in tables["labels"] if row["status"] == "labeled")
    files = {path: data for path, data in hub.files.items() if path.endswith(".jsonl")}
    rows = [json.loads(line) for data in files.values() for line in data.decode().splitlines()]
    assert sorted(row["pair_id"] for row in rows if row["status"] == "labeled") == wanted
    return len(files)


def forgetting(story: Story, night: int) -> None:
    """A person's pair is taken down: nothing under the output has a word of it."""
    keys = (key for name in sorted(story.shards) for key in story.shards[name])
    key = next(key for key in keys if key not in story.gone)
    file, config = story.root / "pairs.txt", story.root / "night.json"
    file.write_text(key)
    config.write_text(story.config(night).model_dump_json(exclude_defaults=True))
    words = [f"[[{key}]]", f"about {key}'", f'about {key}"', f"'{key}'", f'"{key}"']
    assert holding(story.output, words)
    how = ["--pairs", str(file), "--config", str(config), "--apply"]
    outcome = run_on(forget.main, Store(str(story.output)), *how)
    assert (outcome.exit_code, outcome.error) == (0, "")
    story.gone.add(key)
    assert holding(story.output, words) == set()


def cleaning(story: Story) -> None:
    """Removes all that may go."""
    limits = ("parts_days=0", "snapshots.keep=1", "exports.keep=1", "runs.keep=1")
    limited = [f"--clean.{each}" for each in (*limits, "attempts_days=0")]
    outcome = run_clean(Store(str(story.output)), *limited, "--apply")
    assert (outcome.exit_code, outcome.error) == (0, "")


def calibrating(story: Story) -> None:
    """Puts a calibration into the card of the judge."""
    (card,) = (story.output / "judges").iterdir()
    judge_id = json.loads(card.read_bytes())["judge_id"]
    put_calibration(Store(str(story.output)), calibration(judge_id, FITTED))
    story.fitted = FITTED


def tell(story: Story, hub: Hub, nights: int, events: dict[int, str]) -> None:
    """Nights, each recounted, and what happens in the morning after some of them."""
    files, before, costs = list[int](), Row(), defaultdict[str, list[int]](list)
    for night in range(nights):
        story.book.night = night
        changed = story.change(night) if night else set(story.shards)
        if files and events.get(night) == "push":  # a small corpus by then
            for name in sorted(story.shards)[3:]:
                story.drop(name)
        story.meter.taken()
        after = story.run(night)
        kind, quiet = KINDS[night % len(KINDS)], events.get(night - 1) is None
        costs[kind].append(story.check_cost(night, before, after, changed))
        story.recount(night)
        if kind == "idle" and quiet and story.rule(night) == story.rule(night - 1):
            assert after == before
        match events.get(night):
            case "push":
                files.append(pushed(story, hub))
            case "calibrate":  # from the next night on
                calibrating(story)
            case "forget":
                forgetting(story, night)
            case "clean":
                cleaning(story)
        if events.get(night) in ("forget", "clean"):
            story.recount(night)
        before, _ = live(story.output)
    assert story.statuses == {"labeled", "tie", "abstained", "quarantined"}
    assert len(files) == 2
    assert files[1] < files[0]
    # What a night reads is what changed, not what was.
    for kind, read in costs.items():
        assert read[-1] <= 3 * read[0], (kind, read)


def test_a_week(story: Story, hub: Hub) -> None:
    tell(story, hub, 9, {0: "push", 1: "forget", 2: "calibrate", 6: "clean", 8: "push"})


@pytest.mark.long
def test_a_month(story: Story, hub: Hub) -> None:
    events = {1: "push", 4: "calibrate", 2: "forget", 6: "clean", 11: "forget", 14: "clean"}
    tell(story, hub, 30, events | {19: "forget", 24: "push", 26: "clean", 27: "forget"})
