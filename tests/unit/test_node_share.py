"""A worker's share of its node."""

from __future__ import annotations

import os

import pytest
import ray

from pipeline.labeling.cluster.ray_nodes import cores_of_worker, share_of_cores, threads_for_media


@pytest.mark.parametrize(
    ("resources", "gpus", "cores"),
    [
        ({"CPU": 128.0, "GPU": 8.0}, 1, 16),
        ({"CPU": 128.0, "GPU": 8.0}, 4, 64),
        ({"CPU": 16.0, "GPU": 1.0}, 0.5, 8),
        ({"CPU": 2.0, "GPU": 8.0}, 1, 1),  # never none
        ({"CPU": 6.0}, 1, 6),
        ({"CPU": 6.0, "GPU": 2.0}, 0, 6),
        ({"CPU": 6.0, "GPU": 1.0}, 2, 6),  # a node fakes fewer than the worker takes elsewhere
    ],
)
def test_it_is_as_large_as_that_of_the_gpus(
    resources: dict[str, float], gpus: float, cores: int
) -> None:
    assert share_of_cores(resources, gpus) == cores


def test_without_ray_it_is_the_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests may have begun it
    assert cores_of_worker(1) == os.cpu_count()


@pytest.mark.parametrize(("cores", "threads"), [(16, 14), (3, 1), (2, 1), (1, 1)])
def test_media_are_prepared_beside_the_cores_of_the_engine(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert threads_for_media(1) == threads
