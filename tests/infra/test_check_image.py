"""The check of an image before it is used, against images that lack something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.manifests import ROOT

SCRIPT = ROOT / "infra" / "docker" / "check_image.py"
_TORCH = """
class cuda:
    device_count = staticmethod(lambda: {count})
    class _Gpu:
        name = "Test GPU"
        total_memory = {gib} * 2**30
    get_device_properties = staticmethod(lambda index: cuda._Gpu)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image in which everything can be imported, and one GPU of 40 GiB is visible."""
    (tmp_path / "jobs").mkdir()
    for name in ("ray", "vllm", "pipeline", "jobs/__init__", "jobs/nightly"):
        (tmp_path / f"{name}.py").write_text("__version__ = '1.2'\n", encoding="utf-8")
    (tmp_path / "torch.py").write_text(_TORCH.format(count=1, gib=40), encoding="utf-8")
    return tmp_path


def check(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -S: of this Python only the standard library; the image's folder is all else there is.
    return subprocess.run(
        [sys.executable, "-S", str(SCRIPT), *arguments],
        env={"PYTHONPATH": str(image)},
        cwd=image,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_image_that_has_everything(image: Path) -> None:
    done = check(image, "--gpus=1", "--gpu-memory-gib=38")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ray 1.2",
        "vllm 1.2",
        "pipeline 1.2",
        "jobs.nightly 1.2",
        "GPU 0: Test GPU, 40 GiB",
        "this image can judge",
    ]


def test_without_gpus_asked_for_torch_is_not_touched(image: Path) -> None:
    (image / "torch.py").unlink()
    done = check(image)
    assert (done.returncode, done.stderr) == (0, "")


def test_all_that_cannot_be_imported_is_named(image: Path) -> None:
    (image / "vllm.py").write_text("raise OSError('libcudart.so.13: not found')\n")
    (image / "pipeline.py").unlink()
    done = check(image)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("error: import vllm: OSError: libcudart.so.13: not found; rebuild")
    assert second.startswith("error: import pipeline: ModuleNotFoundError: ")
    assert "can judge" not in done.stdout


@pytest.mark.parametrize(
    ("torch", "message"),
    [
        (_TORCH.format(count=0, gib=0), "error: 0 GPUs visible, expected 1: check the pod's"),
        (_TORCH.format(count=1, gib=24), "error: GPU 0 (Test GPU) has 24.0 GiB, expected 38 or"),
        ("raise RuntimeError('driver too old')", "error: asking torch for GPUs: RuntimeError: dr"),
    ],
)
def test_an_unsuitable_gpu_is_reported(image: Path, torch: str, message: str) -> None:
    (image / "torch.py").write_text(torch, encoding="utf-8")
    done = check(image, "--gpus=1", "--gpu-memory-gib=38")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(message)
