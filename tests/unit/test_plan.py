"""The plan: what is there minus what this judge has committed; bad shards harm no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.planning.plan import Plan, plan_shards
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import open_input
from pipeline.parts.commit import commit_part
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from tests.judging import JUDGE_ID, judge_rows, scripted, text_pair
from tests.shards import pair, shard_bytes, write_shard


class World:
    """An input folder, an output folder, and plans between them."""

    def __init__(self, root: Path) -> None:
        self.source, self.output = root / "in", Store(str(root / "out"))

    def write(self, name: str, rows: int, group_rows: int = 8, first: int = 0) -> None:
        write_shard(self.source / name, [text_pair(first + n) for n in range(rows)], group_rows)

    def plan(self, *, uri: Path | None = None, judge_id: str = JUDGE_ID, **config: Any) -> Plan:
        settings = InputConfig.model_validate({"unit_rows": 16} | config)
        source = open_input(str(uri or self.source))
        return plan_shards(*source, self.output, settings, JudgeConfig(), judge_id)

    def ranges(self, **how: Any) -> dict[str, list[tuple[int, int]]]:
        plan = self.plan(**how)
        return {task.key: [(unit.start, unit.stop) for unit in task.units] for task in plan.tasks}

    def commit(self, some: slice = slice(None), **how: Any) -> None:
        for task in self.plan(**how).tasks:
            for unit in task.units[some]:
                pairs = [text_pair(n) for n in range(unit.rows)]
                rows = judge_rows(scripted()[0], pairs, start=unit.start)
                assert commit_part(self.output, how.get("judge_id", JUDGE_ID), unit, rows)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_new_input_is_to_do_whole(world: World) -> None:
    world.write("b.parquet", 40)
    world.write("deep/a.parquet", 5)
    plan = world.plan()
    assert world.ranges() == {
        "b.parquet": [(0, 16), (16, 32), (32, 40)],
        "deep/a.parquet": [(0, 5)],
    }
    summary = plan.summary()
    assert (summary["pairs"], summary["pairs_to_do"], summary["judgments_at_least"]) == (45, 45, 90)
    assert (summary["shards"], summary["shards_to_do"], summary["units_to_do"]) == (2, 2, 4)
    assert summary["estimated_prompt_tokens"] > 45 * 2 * 200


def test_finished_work_is_not_to_do(world: World) -> None:
    world.write("a.parquet", 40)
    world.commit(slice(1, 2))
    assert world.ranges() == {"a.parquet": [(0, 16), (32, 40)]}
    world.commit()
    assert world.ranges() == {}
    assert world.plan().summary()["estimated_prompt_tokens"] == 0


def test_parts_of_another_unit_size_count(world: World) -> None:
    world.write("a.parquet", 40)
    world.commit(slice(1, 2))
    assert world.ranges(unit_rows=24) == {"a.parquet": [(0, 16), (32, 40)]}
    assert world.ranges(unit_rows=10) == {"a.parquet": [(0, 8), (8, 16), (32, 40)]}


def test_another_judge_has_everything_to_do(world: World) -> None:
    world.write("a.parquet", 20)
    world.commit()
    assert world.ranges(judge_id="0" * 64) == {"a.parquet": [(0, 16), (16, 20)]}


def test_a_changed_shard_is_to_do_again_and_the_others_are_not(world: World) -> None:
    world.write("a.parquet", 20)
    world.write("b.parquet", 20)
    world.commit()
    assert world.plan().summary()["shards_changed"] == 0
    world.write("b.parquet", 20, first=1)
    world.write("c.parquet", 3)
    assert world.ranges() == {"b.parquet": [(0, 16), (16, 20)], "c.parquet": [(0, 3)]}
    summary = world.plan().summary()
    assert (summary["shards_to_do"], summary["shards_changed"]) == (2, 1)
    assert (summary["pairs_to_do"], summary["pairs_of_changed_shards"]) == (23, 20)
    world.commit()
    assert world.plan().summary()["shards_changed"] == 0


def test_other_objects_among_the_parts_mean_nothing(world: World) -> None:
    world.write("a.parquet", 20)
    (task,) = world.plan().tasks
    folder = task.units[0].part_key(JUDGE_ID).rpartition("/")[0]
    for name in ("_SUCCESS", "000000000-000000016.parquet.crc"):
        world.output.put(f"{folder}/{name}", b"")
    assert world.ranges() == {"a.parquet": [(0, 16), (16, 20)]}


def damage(kind: str) -> bytes:
    data = shard_bytes([pair(n) for n in range(4)])
    footer = data[-8:-4]
    return {
        "empty": b"",
        "text": b"not Parquet",
        "cut": data[:-20],
        "magic": data[:-4] + b"XXXX",
        "length": data[:-8] + b"\xff\xff\xff\x7f" + data[-4:],
        "thrift": data[:-2_000] + b"\xff" * 1_992 + footer + b"PAR1",
        "rows": data.replace(b"\x16\x08\x19", b"\x16\x0a\x19"),  # five instead of four
        "name": data.replace(b"pair_id", b"pair_\xff\xfe"),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["empty", "text", "cut", "magic", "length", "thrift", "rows", "name"]
)
def test_an_unreadable_shard_is_left_out_alone(world: World, kind: str) -> None:
    world.write("good.parquet", 5)
    (world.source / "bad.parquet").write_bytes(damage(kind))
    plan = world.plan()
    (bad,) = plan.bad_shards
    assert bad.entry.key == "bad.parquet"
    assert str(bad.defect).startswith("corrupt footer: ")
    assert [task.key for task in plan.tasks] == ["good.parquet"]
    assert plan.summary()["shards_unreadable"] == 1


def test_a_shard_without_rows(world: World) -> None:
    world.write("none.parquet", 0)
    assert world.ranges() == {}
    assert world.plan().bad_shards == []
    world.write("some.parquet", 3)
    assert world.ranges() == {"some.parquet": [(0, 3)]}


def test_columns_that_are_missing_or_of_another_type(world: World) -> None:
    world.write("good.parquet", 3)
    table = pa.Table.from_pylist([text_pair(0)]).select(["pair_id", "prompt"])
    wrong = pa.Table.from_pylist([{"pair_id": 7}])
    pq.write_table(table, world.source / "missing.parquet")
    pq.write_table(
        pq.read_table(world.source / "good.parquet")
        .drop(["pair_id"])
        .append_column("pair_id", pa.array([1.5, 2.5, 3.5])),
        world.source / "typed.parquet",
    )
    bad = {shard.entry.key: shard.defect for shard in world.plan().bad_shards}
    assert sorted(bad) == ["missing.parquet", "typed.parquet"]
    assert world.ranges() == {"good.parquet": [(0, 3)]}
    (world.source / "good.parquet").unlink()
    with pytest.raises(InputError) as refusal:
        world.plan()
    lines = str(refusal.value).splitlines()
    assert lines[0].startswith("no shard fits the mapping")
    for shard, words in {
        "missing.parquet": ("response_a", "missing"),
        "typed.parquet": ("pair_id", "got the number 1.5", "expected a text or an integer"),
    }.items():
        places = [number for number, line in enumerate(lines) if line.endswith(f"/{shard}")]
        faults = [lines[number - 1] for number in places]
        assert any(all(word in fault for word in words) for fault in faults), faults
    assert wrong.num_rows == 1


def test_hidden_files_and_other_files_are_not_read(world: World) -> None:
    world.write("a.parquet", 3)
    for name in ("_temporary/b.parquet", ".hidden.parquet", "deep/.trash/c.parquet"):
        world.write(name, 3)
    (world.source / "notes.txt").write_text("x")
    assert world.ranges() == {"a.parquet": [(0, 3)]}


def test_a_single_shard_as_input(world: World) -> None:
    world.write("a.parquet", 20)
    world.write("b.parquet", 20)
    world.commit(uri=world.source / "a.parquet")
    assert world.ranges(uri=world.source / "a.parquet") == {}
    assert world.ranges() == {"b.parquet": [(0, 16), (16, 20)]}  # the same shard in its folder


def test_the_suffix_counts_in_any_case(world: World) -> None:
    for name in ("a.PARQUET", "b.Parquet", "c.parq", "d.pq", "_e.PARQUET"):
        world.write(name, 3)
    assert set(world.ranges()) == {"a.PARQUET", "b.Parquet", "d.pq"}
    assert set(world.ranges(uri=world.source / "a.PARQUET")) == {"a.PARQUET"}


def test_shards_in_linked_folders_are_read(world: World, tmp_path: Path) -> None:
    world.write("a.parquet", 3)
    world.source.rename(tmp_path / "elsewhere")
    world.source.mkdir()
    (world.source / "linked").symlink_to(tmp_path / "elsewhere")
    assert world.ranges() == {"linked/a.parquet": [(0, 3)]}


@pytest.mark.parametrize("name", ["in", "in.parquet"])
def test_an_output_inside_of_the_input_is_refused(tmp_path: Path, name: str) -> None:
    world = World(tmp_path)
    world.source = tmp_path / name
    world.write("a.parquet", 3)
    (tmp_path / "alias").symlink_to(world.source)
    for output in (world.source, world.source / "out", tmp_path / "alias" / "out"):
        world.output = Store(str(output))
        with pytest.raises(InputError, match="lies inside of input"):
            world.plan()
    world.output = Store(str(world.source / "out"))
    with pytest.raises(InputError, match="lies inside of input"):
        world.plan(uri=tmp_path / "alias")
    world.plan(uri=world.source / "a.parquet")  # a single shard: nothing else is read
    world.output = Store(f"{world.source}-out")
    assert len(world.plan().tasks) == 1


@pytest.mark.parametrize("name", ["", "nowhere", "nowhere.parquet"])
def test_no_shard_at_all(world: World, name: str) -> None:
    world.source.mkdir()
    with pytest.raises(InputError, match=r"no \*\.parquet, \*\.pq there"):
        world.plan(uri=world.source / name)
