"""How much is under way at once follows from the engines and the object store."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.labeling.flow_size import (
    InFlight,
    nodes_beside,
    readers,
    units_in_flight,
    workers_at_start,
)
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.read_pairs import ShardTask
from pipeline.parts.units import Unit

MiB = 2**20


def node(store_mb: float, gpus: float = 1) -> dict[str, Any]:
    return {"Resources": {"object_store_memory": store_mb * MiB, "GPU": gpus}}


def tasks(units: int, rows: int, unit_mb: float) -> list[ShardTask]:
    cut = tuple(Unit("s", "k", n * rows, (n + 1) * rows) for n in range(units))
    return [ShardTask("s", round(units * unit_mb * MiB), cut)]


def config(**changes: dict[str, Any]) -> LabelConfig:
    base: dict[str, Any] = {"engine": {"max_num_seqs": 1_024}, "workers": {"max": 8}}
    merged = {name: base.get(name, {}) | changes.get(name, {}) for name in {*base, *changes}}
    return LabelConfig.model_validate(merged)


@pytest.mark.parametrize(
    ("unit_mb", "nodes", "expected"),
    [
        (64, [{"Resources": {"GPU": 1}}], 1),  # a store of unknown size
        (64, [node(1_000, gpus=0)], 136),  # eight workers' nodes have yet to begin: 8 GiB each
        (16, [node(120)], 1),
        (64, [node(1_024)], 2),
        (64, [node(30 * 1_024), node(30 * 1_024)], 128),
        (9, [node(1_024)], 2),  # texts may grow to input.unit_bytes
        (1, [node(1_024)], 17),
    ],
)
def test_readers_fit_into_the_store(
    unit_mb: float, nodes: list[dict[str, Any]], expected: int
) -> None:
    assert readers(tasks(10, 512, unit_mb) * 200, config(), nodes) == expected


def test_there_are_no_more_readers_than_shards() -> None:
    counts = [readers(tasks(10, 512, 1) * shards, config(), ONE) for shards in (1, 3)]
    assert counts == [1, 3]


ONE, LARGE = [node(100_000)], [node(100_000, gpus=8)]


@pytest.mark.parametrize(
    ("units", "rows", "unit_mb", "nodes", "expected"),
    [
        (16, 512, 40, ONE, 9),  # 1,024 replies each for 1,024 places
        (16, 256, 20, ONE, 16),  # of 17
        (90, 44, 64, ONE, 90),  # 4 MP pictures: 44 a unit
        (900, 1, 1, ONE, 128),  # of 2,561, in case that some are larger
        (60, 44, 64, [node(1_000)], 6),  # 400 MB of units
        (60, 44, 64, [node(1_000), node(8_000)], 6),  # the tightest node decides
        (59, 44, 64, [node(80_000), node(500, gpus=0)], 59),  # but for one without workers
        (60, 44, 64, [node(8_000, gpus=8)], 6),  # eight workers share a store
        (60, 44, 64, [node(100)], 3),
        (900, 44, 64, [node(1_000, gpus=0)], 51),  # a cluster that has yet to begin nodes: 8 GiB
    ],
)
def test_units_in_flight_fill_the_engine(
    units: int, rows: int, unit_mb: float, nodes: list[dict[str, Any]], expected: int
) -> None:
    assert units_in_flight(tasks(units, rows, unit_mb), config(), nodes).judged == expected


@pytest.mark.parametrize(
    ("units", "rows", "nodes", "expected"),
    [
        (400, 256, LARGE, InFlight(17, 18)),  # the bytes of one more arrive meanwhile
        (64, 256, LARGE, InFlight(8, 8)),  # so that each of eight gets eight
        (65, 256, LARGE, InFlight(9, 9)),
        (8, 256, LARGE, InFlight(2, 2)),  # 1,024 replies for 1,024 slots, however many wait
        (16, 256, LARGE, InFlight(2, 2)),
        (16, 256, [node(100_000, gpus=2), node(100_000, gpus=2)], InFlight(4, 4)),
        (64, 256, [], InFlight(17, 18)),  # who knows how many workers a cluster will begin
        (64, 256, [*LARGE, *LARGE], InFlight(8, 8)),  # eight workers at most
        (2, 256, ONE, InFlight(2, 2)),
    ],
)
def test_the_first_workers_leave_the_others_their_share(
    units: int, rows: int, nodes: list[dict[str, Any]], expected: InFlight
) -> None:
    assert units_in_flight(tasks(units, rows, 1), config(), nodes) == expected


@pytest.mark.parametrize(
    ("units", "handed_over", "nodes", "expected"),
    [
        (64, 8, LARGE, 8),
        (16, 8, LARGE, 2),  # the others would have nothing to do
        (1, 8, LARGE, 1),
        (64, 8, [node(1_000, gpus=2)], 2),  # no more than there are GPUs
        (64, 8, [], 1),  # those of an autoscaler come by and by
        (64, 8, [*LARGE, *LARGE], 8),  # workers.max
    ],
)
def test_engines_start_side_by_side(
    units: int, handed_over: int, nodes: list[dict[str, Any]], expected: int
) -> None:
    assert workers_at_start(tasks(units, 64, 1), config(), nodes, handed_over) == expected


@pytest.mark.parametrize(("cpus", "expected"), [(8, 7), (2, 1), (1, 1), (40, 8)])
def test_workers_that_reserve_cpus_leave_a_reader_some(cpus: int, expected: int) -> None:
    nodes = [{"Resources": {"CPU": cpus}}]
    served = config(workers={"gpus": 0, "cpus": 1})
    assert workers_at_start(tasks(64, 64, 1), served, nodes, 8) == expected


@pytest.mark.parametrize(
    ("gpus", "others", "nodes", "expected"),
    [
        (1, [{}], LARGE, [7]),
        (1, [{"min": 2, "max": 2}, {"gpus": 0}], LARGE, [6]),
        (1, [{}], [node(1_000), node(1_000, gpus=2)], [1, 1]),
        (0.5, [{"gpus": 0.5}], ONE, [0.5]),
        (1, [{}], ONE, [1]),  # they take turns
    ],
)
def test_pools_side_by_side_leave_each_other_their_least_workers(
    gpus: float, others: list[dict[str, Any]], nodes: list[dict[str, Any]], expected: list[float]
) -> None:
    pools = [WorkersConfig.model_validate(each) for each in others]
    left = nodes_beside(nodes, WorkersConfig(gpus=gpus), pools)
    assert [each["Resources"]["GPU"] for each in left] == expected
    stores = [each["Resources"]["object_store_memory"] for each in nodes]
    shares = [each["Resources"]["object_store_memory"] for each in left]
    assert shares == [store / (1 + len(pools)) for store in stores]


def test_no_fewer_engines_start_than_the_pool_keeps() -> None:
    many = config(workers={"min": 4})
    assert workers_at_start(tasks(1, 64, 1), many, LARGE, 8) == 4


def test_single_responses_have_half_the_replies() -> None:
    judge = {"format": "single_score", "votes": {"min_votes": 1}}
    assert units_in_flight(tasks(20, 512, 1), config(judge=judge), ONE).judged == 17


def test_units_in_flight_can_be_set() -> None:
    engine = {"max_num_seqs": 1_024, "units_in_flight": 2}
    assert units_in_flight(tasks(60, 44, 64), config(engine=engine), LARGE) == InFlight(2, 3)
    engine["units_in_flight"] = 14
    assert units_in_flight(tasks(60, 44, 64), config(engine=engine), LARGE) == InFlight(14, 14)


def test_workers_without_gpus_share_by_their_number() -> None:
    workers = {"max": 4, "gpus": 0}
    nodes = [node(4_000, gpus=0)]
    assert units_in_flight(tasks(60, 44, 64), config(workers=workers), nodes).judged == 6
