"""Fixtures that tests of the whole job share: one Ray, one S3 server, one model folder."""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from pipeline.labeling.cluster.bare_ray import bare_ray
from tests.s3_server import S3Server, s3_server
from tests.starting import NotStartedError, end_all_with, ray_logs, start_or_retry

pytest.register_assert_rewrite("tests.labeling")

# What is imported and collected stays: looking through it for garbage took a second a process.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on garbage is looked for among what tests make."""
    gc.freeze()
    gc.enable()


# Read by Ray in this process and in every one that it starts.
os.environ["RAY_DATA_PARQUET_FOOTER_NUM_ACTORS"] = "1"
os.environ["RAY_metrics_report_interval_ms"] = "2500"  # noqa: SIM112
os.environ["REPORTER_UPDATE_INTERVAL_MS"] = "60000"  # of the nodes, for dashboards
os.environ.pop("RAY_ADDRESS", None)
# Tests that a shell has started in the background ignore it, and so would the jobs they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine is slow at times, and that fails nothing. `make test-long` takes the other one.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=250)
settings.load_profile("quick")

_OBJECT_STORE_BYTES = 120 * 2**20
# What starts a Ray of its own, beside all files that have tests on the shared one.
_OWN_RAY = {
    *("test_job_submit.py", "test_label_s3.py", "test_nodes.py", "test_ray_killed.py"),
    "test_nothing_untrusted_speaks.py",
}
_FROM_THE_END = "gw2"
# Ranks of files: engines, which may need the shared Ray, too; then those with a Ray of their own,
# which wait for minutes and would end the run alone; then the others that share it.
_ENGINE_RANK, _OWN_RAY_RANK, _SHARED_RAY_RANK, _OTHER_RANK, _UNIT_RANK = range(5)
# Files that import what takes seconds, by what that is.
_SHARED = {
    "torch": re.compile(
        r"decode_image|evaluation\.(controls|altered_pictures)|tests\.(pictures|videos) import"
        r"|safetensors|MediaDecoder|shared_prompts"
    ),
    "sklearn": re.compile(r"calibration_fit|sklearn"),
}


class _Files(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """What one process runs where there are several (``pytest -n 3``).

    A file is never divided, and files that share what takes long to start are one process's:
    engines, torch, scikit-learn. The first process begins with engines, the second with files that
    need Ray, which it keeps. These mostly wait, so a third fills two cores: it begins at the other
    end, with unit tests. A fourth made each wait longer, and the whole no shorter.
    """

    def _assign_work_unit(self, node: Any) -> None:
        if node.gateway.id == _FROM_THE_END:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        return _group_of(self.config.rootpath / nodeid.partition("::")[0])


@functools.cache
def _group_of(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if "mark.engine" in text:
        return "engine"
    if file.name in _OWN_RAY or _shares_ray(file):
        return str(file)
    return next((name for name, imports in _SHARED.items() if imports.search(text)), str(file))


def _shares_ray(file: Path) -> bool:
    return "shared_ray" in file.read_text(encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts files into the order in which processes take them."""
    items.sort(key=lambda item: _rank_of(item.path))


@functools.cache
def _rank_of(file: Path) -> int:
    if _group_of(file) == "engine":
        return _ENGINE_RANK
    if _shares_ray(file):
        return _SHARED_RAY_RANK
    if file.name in _OWN_RAY:
        return _OWN_RAY_RANK
    return _UNIT_RANK if file.parent.name == "unit" else _OTHER_RANK


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Files:
    """Not ``--dist loadgroup``: xdist 3.8 marks groups in node ids that pytest 9 ignores."""
    config.option.loadscopereorder = False  # files with few tests are not the short ones
    return _Files(config, log)


class _SharedRay:
    """The Ray of this process, from the first test that asks for it to the last file with one.

    While it is idle its processes take a tenth of a core.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    def address(self) -> str:
        """Starts it, unless it is there."""
        if self._folder is None:
            self._folder = start_or_retry(_start_ray)
        return str(ray.get_runtime_context().gcs_address)

    def end(self) -> None:
        """Ends it, if it is there."""
        if self._folder is not None:
            ray.shutdown()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


_RAY = _SharedRay()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Ends the shared Ray before files that do not need it."""
    if _rank_of(item.path) not in (_ENGINE_RANK, _SHARED_RAY_RANK):
        _RAY.end()


def pytest_sessionfinish() -> None:
    """Ends the shared Ray of a process that had only such files."""
    _RAY.end()


@pytest.fixture
def shared_ray() -> Iterator[str]:
    """The address of one Ray for all tests that run the job in this process.

    It pretends to have two GPUs, so that a pool of two workers fits.
    """
    yield _RAY.address()
    # Ray Data refers to the workers of a run that failed in a circle, and only ends them, and frees
    # their GPUs, with that: a job ends its Ray, which goes on here.
    gc.collect()


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labeling runs of the test are of this process alone: most of a run's CPU is Ray's."""
    from tests.without_ray import label_here  # it imports most of what we have

    label_here(monkeypatch)


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports and evaluations of the test have no charts: most of their CPU is charts'."""
    from tests.without_charts import draw_no_charts  # it imports matplotlib

    draw_no_charts(monkeypatch)


def _start_ray() -> Path:
    """Starts Ray in this process; returns its temporary folder."""
    importlib.import_module("ray.data")  # sets the level of its loggers
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # they are long, and hide a failure
    folder = Path(
        tempfile.mkdtemp(prefix="ray-test-", dir="/tmp")
    )  # short: Unix sockets lie below it
    try:
        with bare_ray(metrics=True):
            ray.init(
                num_cpus=2,
                num_gpus=2,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
    except Exception as error:  # a start that takes too long raises just that
        failed = NotStartedError("the Ray that tests share", error, ray_logs(folder))
        ray.shutdown()
        end_all_with(folder)
        shutil.rmtree(folder, ignore_errors=True)
        raise failed from error
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One S3 server for all tests."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder for the scripted engine, which only needs to have an identity."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text('{"model_type": "scripted"}', encoding="utf-8")
    return folder
