"""vLLM's AsyncLLM with an engine core that starts while the rest is loaded."""

from __future__ import annotations

import pkgutil
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engines.engine import TINY_JUDGE, model_path

pytestmark = pytest.mark.engine
_MADE_BY = "vllm.v1.engine.async_llm.EngineCoreClient"  # vLLM is imported by the tests alone


class Core:
    """In place of the class by which vLLM starts an engine core, and of the core's client.

    Attributes:
        asked: set once a core is to be started.
        may_start: one that is asked for has started when this is set.
        ended: how often it was shut down.
    """

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked, self.may_start = threading.Event(), threading.Event()
        self.ended = 0
        self._fails = fails

    def make_async_mp_client(self, **_given: Any) -> Core:
        self.asked.set()
        assert self.may_start.wait(60)
        if self._fails:
            raise self._fails
        return self

    def shutdown(self, timeout: float | None = None) -> None:
        self.ended += 1


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Core]:
    """Has vLLM start such a core."""

    def start(fails: Exception | None = None) -> Core:
        core = Core(fails)
        monkeypatch.setattr(_MADE_BY, core)
        return core

    return start


def _start(meanwhile: Callable[[], object]) -> Any:
    from vllm import AsyncEngineArgs

    from pipeline.engines.early_core import EarlyCore

    model = model_path(TINY_JUDGE)
    how = AsyncEngineArgs(model=model, max_model_len=256, disable_log_stats=True)
    return EarlyCore(how, meanwhile)


def test_all_else_is_loaded_while_the_core_starts(
    starts: Callable[..., Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    core, loaded = starts(), []

    def processor(llm: Any) -> None:  # what is loaded last
        assert llm.renderer.mm_processor is not None
        loaded.append(("processor", core.may_start.is_set()))
        core.may_start.set()

    def meanwhile() -> None:
        assert core.asked.wait(60)
        loaded.append(("meanwhile", core.may_start.is_set()))

    monkeypatch.setattr("pipeline.engines.early_core.load_processor", processor)
    llm: Any = _start(meanwhile)
    assert loaded == [("meanwhile", False), ("processor", False)]
    assert llm.engine_core is core
    assert pkgutil.resolve_name(_MADE_BY) is core  # and not what stood for it meanwhile
    llm.shutdown()
    assert core.ended == 1


def test_no_core_is_left_where_something_else_cannot_be_loaded(
    starts: Callable[..., Core],
) -> None:
    core = starts()

    def meanwhile() -> None:
        core.may_start.set()
        raise OSError("no tokenizer")

    with pytest.raises(OSError, match="no tokenizer"):
        _start(meanwhile)
    assert core.ended == 1


def test_what_keeps_the_core_from_starting_is_raised(starts: Callable[..., Core]) -> None:
    core = starts(RuntimeError("no memory"))
    core.may_start.set()
    with pytest.raises(RuntimeError, match="no memory"):
        _start(SimpleNamespace)
    assert core.ended == 0
