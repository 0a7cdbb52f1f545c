"""Pools of judges side by side: what they need together, and that no end of one is waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.labeling import dataflow
from pipeline.labeling.cascade.side_by_side import pools_fit
from pipeline.labeling.cluster import ray_nodes
from pipeline.labeling.label_config import WorkersConfig
from pipeline.runtime.errors import ConfigError


def _runs(*pools: dict[str, Any]) -> list[Any]:
    configs = [SimpleNamespace(workers=WorkersConfig(**pool)) for pool in pools]
    return [SimpleNamespace(config=each, plan=SimpleNamespace(units=1)) for each in configs]


def _nodes(monkeypatch: pytest.MonkeyPatch, **resources: float) -> None:
    monkeypatch.setattr(ray_nodes, "nodes_of_cluster", lambda: [{"Resources": resources}])


@pytest.mark.parametrize(
    ("pools", "fit"),
    [
        ([{}, {}], False),  # one GPU each
        ([{"gpus": 0.5}, {"gpus": 0.5}], True),
        ([{}, {"gpus": 0, "cpus": 1}], True),
        ([{}, {"gpus": 0, "cpus": 2}], False),  # no CPU is left to a reader
    ],
)
def test_pools_fit_on_the_nodes_that_are_up(
    monkeypatch: pytest.MonkeyPatch, pools: list[dict[str, Any]], fit: bool
) -> None:
    _nodes(monkeypatch, CPU=2.0, GPU=1.0)
    monkeypatch.setenv("RAY_ADDRESS", "a-cluster")  # may get more of them
    assert pools_fit(_runs(*pools)) is fit
    monkeypatch.delenv("RAY_ADDRESS")
    if fit:
        assert pools_fit(_runs(*pools))
    else:
        with pytest.raises(ConfigError, match="the pools of all judges reserve"):
            pools_fit(_runs(*pools))


class _Handed:
    """In place of the actor that tasks are handed to; Ray fetches what it answers."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.put = SimpleNamespace(remote=self.got.append)


def test_what_hands_tasks_over_ends_the_flow_whatever_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(most: int) -> list[Any]:
        raise AssertionError("a bug")

    monkeypatch.setattr("pipeline.labeling.dataflow.ray.get", lambda answer: answer)
    handed, failed = _Handed(), list[BaseException]()
    dataflow._hand_over(SimpleNamespace(take=broken), handed, 4, failed)  # type: ignore[arg-type]
    assert handed.got == [None]
    assert [str(error) for error in failed] == ["a bug"]


def test_each_flow_has_its_own_limit_of_failed_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = [SimpleNamespace(context=SimpleNamespace()) for _ in range(2)]
    monkeypatch.setattr(dataflow, "tables_of", lambda flow: [])
    for flow, failures in zip(flows, (1, 5), strict=True):
        monkeypatch.setattr(dataflow, "_planned", lambda *_, flow=flow: [flow])
        workers = WorkersConfig(max_start_failures=failures)
        spec: Any = SimpleNamespace(
            config=SimpleNamespace(workers=workers), budget=SimpleNamespace(counted=False)
        )
        assert list(dataflow.judge_shards([], spec, SimpleNamespace(asked=False))) == []  # type: ignore[arg-type]
    assert [flow.context.max_consecutive_actor_init_deaths for flow in flows] == [1, 5]
