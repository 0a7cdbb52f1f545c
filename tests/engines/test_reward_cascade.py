"""Both tiny judges in vLLM as a cascade: label, calibrate, publish, and recounted by hand."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from jobs import calibrate, label, publish
from pipeline.engines.engine import TINY_JUDGE, TINY_REWARD_JUDGE
from pipeline.judging.judge_cards import read_card
from pipeline.lab.tiny_judge.scene_corpus import scene_rows
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2
from tests.labeling import Row, label_arguments, run_job
from tests.publishing import live_rows
from tests.shards import labels_of

pytestmark = pytest.mark.long
GOLD, PLAIN, UNIT = 60, 40, 20
THRESHOLD, VOTES = 0.74, 4
ENGINE = {
    "kind": "vllm",
    "max_num_seqs": 16,
    "args": {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": 8192,
        "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
    },
    # Logs would be read as what the job reports, in this process.
    "env": {
        **{"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"},
        "VLLM_LOGGING_LEVEL": "CRITICAL",
    },
}
SMALL = {
    "workers": {"min": 1, "max": 1, "gpus": 1},
    "input": {"unit_rows": UNIT},
}


def judged_by(name: str, **more: Any) -> dict[str, Any]:
    model = {"name": name, "dtype": "float32", "max_model_len": 2048}
    media = {"min_pixels": 9000, "max_pixels": 17500, "max_images": 1}
    return {"judge": {"model": model, "media": media, **more}, "engine": ENGINE}


REWARD = judged_by(TINY_REWARD_JUDGE, bundle="skywork-vl-reward")
JUDGE = judged_by(
    TINY_JUDGE,
    sampling={"temperature": 1.8, "top_p": 1.0, "max_tokens": 192},
    votes={"max_votes": VOTES, "threshold": THRESHOLD, "tie_threshold": THRESHOLD},
)


def written(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config | SMALL), encoding="utf-8")
    return path


def done(job: Any, config: Path, source: Path, output: Path) -> None:
    ended = run_job(job, label_arguments(config, source, output))
    assert ended.exit_code == 0, ended.error  # engines write there, too


def by_reward(row: Row, fitted: dict[str, Any]) -> tuple[str, float]:
    """What the scores say, and how surely, by the stored numbers of the calibration."""
    (vote,) = row["votes"]
    margin, band = vote["score_a"] - vote["score_b"], fitted["tie_band"]
    assert (fitted["knots"], fitted["weights"][1:]) == ([], [0.0, 0.0])
    if abs(margin) <= band["margin"]:
        return "tie", band["ties"]
    sure = 1 / (1 + math.exp(-fitted["weights"][0] * abs(margin)))
    return ("a" if margin > 0 else "b"), sure


def mostly(wins: int, losses: int) -> float:
    """P(share > 1/2) under a uniform prior: heads in tosses of a coin."""
    tosses = wins + losses + 1
    return float(sum(math.comb(tosses, heads) for heads in range(wins + 1)) / 2**tosses)


def by_votes(row: Row) -> str:
    """The label of the second judge's votes; abstained where they do not decide."""
    said = Counter(vote["choice"] for vote in row["votes"] if vote["outcome"] == "verdict")
    sides = said["a"] + said["b"]
    if mostly(said["tie"], sides) >= THRESHOLD:
        return "tie"
    p_a = mostly(said["a"], said["b"])
    if max(p_a, 1 - p_a) < THRESHOLD:
        return "abstained"
    return "a" if p_a > 0.5 else "b"


def said(row: Row) -> str:
    return str(row["preference"] if row["status"] == "labeled" else row["status"])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Also where an engine was started before this file, with its logs."""
    logger = logging.getLogger("vllm")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("without_ray")
def test_the_judge_is_asked_what_the_reward_model_is_unsure_of(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name, rows in (("gold", scene_rows(GOLD, 91)), ("plain", scene_rows(PLAIN, 92))):
        kept = rows if name == "gold" else [row | {"gold": None} for row in rows]
        pq.write_table(table_of(kept, PAIRS_V2), source / f"{name}.parquet")
    alone = written(tmp_path / "reward.yaml", REWARD)
    done(label.main, alone, source, output)
    done(calibrate.main, alone, source / "gold.parquet", output)
    scored = labels_of(output)
    reward = scored[0]["judge_id"]
    card = read_card(Store(str(output)), reward)
    assert card is not None
    fitted = card["calibration"]

    def place(row: Row) -> tuple[str, int]:
        return row["shard"], row["row"]

    first = {place(row): by_reward(row, fitted) for row in scored}
    plain = [key for key in first if key[0] == "plain.parquet"]
    assert len(plain) == PLAIN
    accepts = sorted(first[key][1] for key in plain)[PLAIN // 2] - 1e-6
    tier = REWARD | {"policy": {"min_confidence": accepts}, "workers": SMALL["workers"]}
    both = written(tmp_path / "cascade.yaml", JUDGE | {"cascade": {"judges": [tier]}})
    done(label.main, both, source, output)
    done(publish.main, both, source, output)

    rows = labels_of(output)
    assert [row["votes"] for row in rows if row["judge_id"] == reward] == [
        row["votes"] for row in scored
    ]
    second = {place(row): row for row in rows if row["judge_id"] != reward}
    settled = {key for key in first if first[key][1] >= accepts}
    asked = {key for key, row in second.items() if row["votes"]}
    assert 0 < len(settled & set(plain)) < PLAIN
    everywhere = {key for key in asked & settled if key[0] == "plain.parquet"}
    assert asked >= (set(first) - settled) | (set(first) - set(plain))  # gold is asked of both
    assert len(everywhere) <= 3  # one in a hundred, by hash
    found = live_rows(Store(str(output)))
    assert len(found) == GOLD + PLAIN
    for row in found:
        key = place(row)
        if key in settled:
            assert (said(row), row["decided_by"]) == (first[key][0], reward)
            assert row["confidence"] == pytest.approx(first[key][1])
        elif second[key]["status"] != "quarantined":
            assert (said(row), row["decided_by"]) == (
                by_votes(second[key]),
                second[key]["judge_id"],
            )
