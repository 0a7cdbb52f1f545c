"""A night measures what changed, and its figures are those of reading everything."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from jobs import audit, forget
from pipeline.aggregation.policy import PolicyConfig
from pipeline.gold.answers import give_all
from pipeline.gold.gold_sets import read_set
from pipeline.gold.people import GoldConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.snapshots import make_snapshot
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import GateConfig
from pipeline.snapshots.manifests import read_latest
from pipeline.snapshots.quality.group_tally import tallies_key
from pipeline.snapshots.quality.measure_snapshot import measure_again, read_quality
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from schemas.gold import Answer
from schemas.manifest import Manifest, SnapshotFile
from schemas.quality import Quality
from schemas.snapshots import BROWSE
from tests.cleaning import run_clean
from tests.measuring import Corpus, random_votes, text_pair
from tests.metering import Meter, below
from tests.publishing import run_on, run_publish

Said = Literal["a", "b", "tie", "cannot_say"]
SAMPLED = QualityConfig(length_groups=3, threads=2)
SET = GoldConfig(set="people")
SAID: tuple[Said, ...] = ("a", "b", "tie", "cannot_say")
GOLD = ("a", "b", "tie", None)
POLICIES = (PolicyConfig(), PolicyConfig(threshold=0.6), PolicyConfig(min_confidence=0.6))


@dataclass
class Nights:
    """A corpus that changes, and is published and measured each night."""

    corpus: Corpus
    chance: random.Random
    gold: GoldConfig = SET
    policy: PolicyConfig = POLICIES[0]
    written: int = 0

    def write(self, name: str, rows: int | None = None) -> None:
        """A new shard, or a new version of one, of pairs that some prompts share with others."""
        chance, first = self.chance, 1_000 * self.written
        count = rows or chance.randint(1, 12)
        pairs = [
            text_pair(first + n, chance.choice(GOLD), "x" * chance.randint(1, 9), "yy")
            | {"prompt": f"question {chance.randint(1, 30)}"}
            for n in range(count)
        ]
        votes = random_votes(chance, count)
        self.corpus.write(name, pairs, votes, group_rows=5, identified=True)
        self.written += 1

    def drop(self, name: str) -> None:
        self.corpus.drop(name)
        del self.corpus.pairs[name]

    def publish(self) -> Manifest:
        """Publishes through a gate that measures what was not live before."""
        gate = gate_for(GateConfig(), SAMPLED, InputConfig(), gold=self.gold)
        return self.corpus.publish(gate=gate, policy=self.policy).manifest

    def draw(self, size: int, *more: str) -> None:
        """Asks people about pairs of what is live."""
        how = ["--name", "people", "--size", str(size), *more]
        done = run_on(audit.main, self.corpus.output, *how)
        assert (done.exit_code, done.error) == (0, "")

    def answer(self, count: int) -> None:
        """People answer some pairs of the set, or change their mind."""
        pairs = sorted(read_set(self.corpus.output, "people").pairs)
        asked = self.chance.sample(pairs, min(count, len(pairs)))
        give_all(
            self.corpus.output,
            "people",
            [("ann", p, said(self.chance.choice(SAID))) for p in asked],
        )

    def forget(self, folder: Path) -> None:
        """Takes down two pairs, one of the set and any one; tallies do not name them either."""
        output, file = self.corpus.output, folder / "gone.txt"
        rows = [row for shard in self.corpus.shards.values() for row in shard]
        known = [row["pair_hash"] for row in rows if row["pair_hash"]]
        gone = [min(read_set(output, "people").pairs), self.chance.choice(known)]
        file.write_text("\n".join(gone))
        done = run_on(forget.main, output, "--pairs", str(file), "--apply")
        assert (done.exit_code, done.error) == (0, "")
        for entry in output.list("snapshots"):
            if entry.key.endswith(".gz"):
                said = gzip.decompress(output.read(entry.key)).decode()
                assert not [pair for pair in gone if pair in said]

    def whole(self, snapshot_id: str) -> Quality:
        """What reading everything says, with the tallies left as they were."""
        output, key = self.corpus.output, tallies_key(snapshot_id)
        stored = output.read(key)
        measured = measure_again(output, snapshot_id, SAMPLED, InputConfig(), gold=self.gold)
        output.put(key, stored)
        return measured


def said(answer: Said) -> Answer:
    return Answer(answer, "2026-01-01T00:00:00Z", "test")


def happens(nights: Nights, kind: str, night: int, folder: Path) -> None:
    """Something before a night; a shard is other or new on every one."""
    output, changed = nights.corpus.output, nights.chance.choice(sorted(nights.corpus.shards))
    latest = read_latest(output)
    assert latest is not None
    match kind:
        case "add":
            changed = f"new-{night}.parquet"
        case "drop":
            nights.drop(changed)
            changed = sorted(nights.corpus.shards)[0]
        case "answer":
            nights.answer(4)
        case "draw":
            nights.write("drawn.parquet", 12)  # of shards that came later
            nights.publish()
            nights.draw(3, "--top-up")
        case "roll back":
            if latest.previous:  # else it was removed when pairs were forgotten
                assert run_publish(output, "--rollback", latest.previous).exit_code == 0
        case "derive":
            nights.policy = POLICIES[night % len(POLICIES)]
        case "forget":
            nights.forget(folder)
        case "clean":
            how = ("--clean.snapshots.keep=1", "--clean.parts_days=0", "--apply")
            done = run_clean(output, *how)
            assert (done.exit_code, done.error) == (0, "")
        case "damage":
            output.put(tallies_key(latest.snapshot_id), b"no tallies")
    nights.write(changed)


@pytest.fixture
def nights(tmp_path: Path, request: pytest.FixtureRequest) -> Nights:
    """Nine shards, of which the first snapshot is live, and a set of pairs drawn from it."""
    made = Nights(Corpus.at(str(tmp_path)), random.Random(getattr(request, "param", 0)))
    for number in range(9):
        made.write(f"{number:02d}.parquet")
    made.gold = GoldConfig()
    made.publish()
    made.draw(20)
    made.answer(9)
    made.gold = SET
    return made


KINDS = ("add", "drop", "answer", "draw", "roll back", "derive", "forget", "clean", "damage")


@pytest.mark.parametrize(("nights", "few"), [(1, True), (2, False)], indirect=["nights"])
def test_tallied_is_measured_whole(
    nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: bool
) -> None:
    """Over nights in random order, in few groups of several shards each and in many."""
    if few:
        monkeypatch.setattr(make_snapshot, "number_of_groups", lambda shards, before: 4)
    nights.write("00.parquet")
    nights.publish()
    for night, kind in enumerate(nights.chance.sample(KINDS, len(KINDS))):
        happens(nights, kind, night, tmp_path)
        snapshot_id = nights.publish().snapshot_id
        measured = read_quality(nights.corpus.output, snapshot_id)
        assert measured is not None
        assert measured == replace(nights.whole(snapshot_id), drift=measured.drift), kind


def test_a_changed_night_reads_only_what_changed(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = nights.corpus
    for number in range(20):
        nights.write(f"more-{number}.parquet")
    source, output = Path(corpus.source.uri), Path(corpus.output.uri)
    age(source.rglob("*.parquet"))
    first = nights.publish()
    sampled = sorted(first.shards, key=lambda shard: shard.shard_key)[: SAMPLED.length_groups + 9]
    changed = max(first.shards, key=lambda shard: shard.shard_key).path
    assert changed not in {shard.path for shard in sampled}
    nights.write(changed)
    age(source.rglob(changed))
    meter = Meter()
    meter.watch(monkeypatch)
    second = nights.publish()
    read, _ = meter.taken()
    kept = {file.path for file in first.files}
    new = {file.path for file in of_labels(second)} - kept
    assert 1 <= len(new) <= 3
    of_output, of_input = below(read, output), below(read, source)
    indexed = {file.path for file in (*first.files, *second.files) if file.table == BROWSE}
    counted = {key for key in of_output if key.startswith("snapshots/files/")}
    assert counted - indexed == new
    assert set(of_input) == {changed}
    assert read_quality(corpus.output, second.snapshot_id) == nights.whole(second.snapshot_id)
    # One more answer: the groups of that pair alone.
    nights.answer(1)
    meter.taken()
    assert nights.publish().snapshot_id == second.snapshot_id  # it is live: nothing is measured
    read, _ = meter.taken()
    assert not [key for key in below(read, output) if key.startswith("snapshots/files/")]


def test_an_answer_costs_the_groups_of_its_pair(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = nights.corpus
    age(Path(corpus.source.uri).rglob("*.parquet"))
    nights.publish()
    nights.write("07.parquet")
    first = nights.publish()
    pair = next(iter(read_set(corpus.output, "people").pairs.values()))
    give_all(
        corpus.output,
        "people",
        [("ann", pair.pair_hash, Answer("a", "2026-02-01T00:00:00Z", "test"))],
    )
    give_all(
        corpus.output,
        "people",
        [("ann", pair.pair_hash, Answer("b", "2026-02-02T00:00:00Z", "test"))],
    )
    nights.write("08.parquet")
    meter = Meter()
    meter.watch(monkeypatch)
    second = nights.publish()
    read, _ = meter.taken()
    groups = {shard.group for shard in second.shards if shard.path in (pair.shard, "08.parquet")}
    files = {file.path for file in of_labels(second) if file.group in groups}
    indexed = {file.path for file in (*first.files, *second.files) if file.table == BROWSE}
    counted = {key for key in below(read, Path(corpus.output.uri)) if "files/" in key}
    assert counted - indexed == files
    assert first.snapshot_id != second.snapshot_id
    assert read_quality(corpus.output, second.snapshot_id) == nights.whole(second.snapshot_id)


def of_labels(made: Manifest) -> list[SnapshotFile]:
    """The files of a snapshot's tables, without those of its browse index."""
    return [file for file in made.files if file.table != BROWSE]


def age(files: Iterator[Path]) -> None:
    """Makes files seem to have been written a while ago."""
    for path in files:
        then = path.stat().st_mtime_ns - 10 * 10**9
        os.utime(path, ns=(then, then))
