"""The processor of pictures, loaded while vLLM's engine core starts."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engines.early_processor import EarlyProcessor
from tests.engines.conftest import TinyJudge

pytestmark = pytest.mark.engine


def _unstarted(load: object) -> Any:
    """An AsyncLLM as it is before it has started anything, with a renderer that loads so."""
    llm: Any = EarlyProcessor.__new__(EarlyProcessor)
    pictures = SimpleNamespace(info=SimpleNamespace(get_hf_processor=load))
    llm.renderer = SimpleNamespace(mm_processor=pictures, shutdown=lambda: None)
    return llm


def test_it_is_loaded_beside_what_comes_behind_the_output_processor() -> None:
    started, may_end, loaded = threading.Event(), threading.Event(), []

    def load() -> None:
        started.set()
        assert may_end.wait(30)
        loaded.append(threading.current_thread() is threading.main_thread())

    llm = _unstarted(load)
    assert not started.is_set()
    llm.output_processor = SimpleNamespace()
    assert started.wait(30)  # while this thread goes on
    may_end.set()
    llm.finish_loading()
    assert loaded == [False]


def test_where_vllm_makes_no_output_processor_it_is_loaded_at_the_end() -> None:
    loaded = []
    llm = _unstarted(lambda: loaded.append(1))
    llm.finish_loading()
    assert loaded == [1]


def test_what_cannot_be_loaded_is_raised_where_the_engine_is_waited_for() -> None:
    def load() -> None:
        raise OSError("no preprocessor_config.json")

    llm = _unstarted(load)
    llm.output_processor = SimpleNamespace()
    with pytest.raises(OSError, match=r"preprocessor_config\.json"):
        llm.finish_loading()


def test_the_engine_begins_it_before_its_core(tiny: TinyJudge) -> None:
    """So the name by which it knows the moment is one that this vLLM has."""
    llm = tiny.engine._llm  # type: ignore[attr-defined]
    assert llm._loading is not None
    assert llm._loading.done()
