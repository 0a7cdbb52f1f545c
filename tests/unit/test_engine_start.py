"""What a worker says about the start of its engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engines.engine_registry import start_engine
from pipeline.labeling import judge_actor
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.prometheus_metrics import ENGINE_START_SECONDS
from pipeline.labeling.run_spec import RunSpec
from pipeline.runtime.stop import Stop
from tests.recording import Recorded
from tests.without_ray import judge_here, label_here


def test_waiting_for_another_engines_start_is_no_part_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, recorded = [0.0], Recorded()

    @contextmanager
    def turn(gpus: float) -> Iterator[None]:
        now[0] += 60
        yield

    def started(*arguments: Any) -> Any:
        now[0] += 5
        return start_engine(*arguments)

    label_here(monkeypatch)
    monkeypatch.setattr(judge_actor, "RayRecorder", lambda judge_id: recorded)
    monkeypatch.setattr(judge_actor, "turn_to_start", turn)
    monkeypatch.setattr(judge_actor, "start_engine", started)
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr(judge_actor, "time", clock)
    config = LabelConfig.model_validate({"engine": {"kind": "scripted"}})
    spec = RunSpec(config, None, "judge", "run", str(tmp_path), str(tmp_path))
    assert list(judge_here([], spec, Stop())) == []
    assert recorded.last(ENGINE_START_SECONDS) == 5
