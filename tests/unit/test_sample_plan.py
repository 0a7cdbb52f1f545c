"""A sample is the same whatever is done, lies in all parts of the input, and leaves the rest."""

from __future__ import annotations

from pathlib import Path

from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.planning.plan import Plan, plan_shards
from pipeline.labeling.planning.sample_plan import Sample
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import open_input
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, judge_rows, scripted
from tests.shards import pair, write_shard


def plan_of(folder: Path) -> Plan:
    config = InputConfig(unit_rows=16)
    source, output = open_input(str(folder / "in")), Store(str(folder / "out"))
    return plan_shards(*source, output, config, JudgeConfig(), JUDGE_ID)


def places(plan: Plan) -> list[tuple[str, int]]:
    assert all(unit.rows == 1 for shard in plan.shards for unit in shard.units)
    return [(shard.entry.key, unit.start) for shard in plan.shards for unit in shard.units]


def test_one_pair_of_each_stretch_of_the_input(tmp_path: Path) -> None:
    for number in range(4):
        rows = [pair(row, images=None) for row in range(25)]
        write_shard(tmp_path / "in" / f"{number}.parquet", rows, 10)
    whole = plan_of(tmp_path)
    sample = Sample(20).of(whole)
    chosen = places(sample)
    assert [int(shard[0]) * 5 + row // 5 for shard, row in chosen] == list(range(20))
    summary = sample.summary()
    assert [summary[f"pairs_{name}"] for name in ("done", "to_do", "left_out")] == [0, 20, 80]
    assert places(Sample(20, 1).of(whole)) != chosen
    assert places(Sample(1_000).of(whole)) == [
        (f"{n}.parquet", r) for n in range(4) for r in range(25)
    ]

    shard, row = chosen[3]
    one = next(unit for each in sample.shards for unit in each.units if unit.start == row)
    label = judge_rows(scripted()[0], [pair(row, images=None)], row)[0]
    done = Unit(shard, one.shard_key, row, row + 1)
    commit_part(Store(str(tmp_path / "out")), JUDGE_ID, done, [label | {"shard": shard}])
    left = Sample(20).of(plan_of(tmp_path))
    assert places(left) == [place for place in chosen if place != (shard, row)]
    assert left.summary()["pairs_done"] == 1
    rest = plan_of(tmp_path)
    assert (rest.rows_to_do, rest.left_out) == (99, 0)


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    write_shard(tmp_path / "in" / "s.parquet", [])
    assert Sample(5).of(plan_of(tmp_path)).rows_to_do == 0
