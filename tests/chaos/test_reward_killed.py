"""The tiny reward judge in vLLM through the job: killed in mid-run, resumed, recounted."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
import yaml

from pipeline.engines.engine import TINY_REWARD_JUDGE
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.engine_registry import start_scorer
from pipeline.lab.tiny_judge.scene_corpus import scene_rows, write_scene_shards
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.media.media_store import MediaStore
from tests.labeling import contents, label_arguments, run_label, run_records
from tests.processes import processes_with, started, wait_until
from tests.shards import labels_of

pytestmark = pytest.mark.long
ROWS, UNIT, SEED = 96, 8, 77
RECOUNTED = 6  # every sixth row
CONFIG = {
    "judge": {
        "bundle": "skywork-vl-reward",
        "model": {"name": TINY_REWARD_JUDGE, "dtype": "float32", "max_model_len": 2048},
        "media": {"min_pixels": 9000, "max_pixels": 17500, "max_images": 1},
    },
    "engine": {
        "kind": "vllm",
        "max_num_seqs": 4,
        "units_in_flight": 2,
        "args": {
            "enforce_eager": True,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": 8192,
            "distributed_executor_backend": ("vllm.v1.executor.uniproc_executor.UniProcExecutor"),
        },
        "env": {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"},
    },
    "workers": {"min": 1, "max": 1, "gpus": 1, "local_object_store_mb": 100},
    "input": {"unit_rows": UNIT},
    "policy": {"tie_band": 0},
}


def test_killed_in_mid_run_and_resumed_every_score_is_transformers(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_scene_shards(source, 1, ROWS, seed=SEED)
    config = tmp_path / "reward.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    with started("jobs.label", label_arguments(config, source, output)) as job:

        def committed() -> bool:
            assert job.process.poll() is None, job.process.communicate()
            return len(contents(output, "parts")) >= 1

        wait_until(committed)
        (folder,) = job.ray_folders()
        assert job.kill() == -signal.SIGKILL
    assert processes_with(folder) == []
    kept = contents(output, "parts")
    before = labels_of(str(output))
    assert run_records(output) == []
    assert 0 < len(before) < ROWS

    last = run_label(config, source, output)
    # A machine too busy may have Ray start a second time.
    said = [line for line in last.error.splitlines() if "Ray did not start (" not in line]
    assert (last.exit_code, said) == (0, [])
    assert last.event("done")["pairs"] == ROWS - len(before)
    after = contents(output, "parts")
    assert {key: after[key] for key in kept} == kept
    labels = labels_of(str(output))
    assert [label["row"] for label in labels] == list(range(ROWS))
    assert len({label["run_id"] for label in labels}) == 2

    # Counted again without vLLM, Ray, or what is stored: each vote holds both scores.
    loaded = LabelConfig.model_validate(CONFIG)
    reference = start_scorer(loaded.judge, EngineConfig(kind="transformers"))
    judge = Judge(reference, loaded.judge, loaded.engine, MediaStore([str(source)], 10**8))
    for row, label in [*zip(scene_rows(ROWS, SEED), labels, strict=True)][::RECOUNTED]:
        prompts = judge.prepare(row | {"defect": None}).prompts
        first, second = (asyncio.run(reference.score("", prompts[side])).value for side in "ab")
        (vote,) = label["votes"]
        assert (vote["score_a"], vote["score_b"]) == pytest.approx((first, second), abs=1e-3)
        expected = "tie" if first == second else "a" if first > second else "b"
        assert (label["preference"] or "tie") == expected
