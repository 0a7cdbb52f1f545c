"""A benchmark in a bucket: its table, and the pictures that the table names."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.evaluation.benchmarks import find_benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request
from pipeline.evaluation.benchmarks.benchmark_shards import load_benchmark
from pipeline.runtime.errors import ConfigError
from tests import public_benchmarks as made
from tests.s3_server import BUCKET, S3Server
from tests.shards import as_v1, picture


def test_a_benchmark_in_a_bucket(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    made.write_jsonl(tmp_path / "Benchmark/pair.jsonl", [made.mllm("pair", n) for n in range(5)])
    made.write_pictures(tmp_path / "image", [f"{n}.png" for n in range(4)])
    root = "in/mllm-judge"
    for file in [*tmp_path.glob("*/*.jsonl"), *tmp_path.glob("*/*.png")]:
        key = f"{root}/{file.relative_to(tmp_path)}"
        s3.client().put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
    benchmark = find_benchmark("mllm-as-a-judge-pair")

    for data in (root, f"{root}/Benchmark/pair.jsonl", f"{root}/*/*.jsonl"):
        request = Request(data=f"s3://{BUCKET}/{data}")
        output = tmp_path / f"out-{len(data)}"
        loaded = load_benchmark(benchmark, request, str(output))
        (shard,) = output.glob("*.parquet")
        pairs = pq.read_table(shard).to_pylist()
        assert [pair["gold"] for pair in pairs] == ["a", "b", "tie", "a", "b"]
        assert as_v1(pairs[1])["images"][0]["bytes"] == picture(1)
        named = f"s3://{BUCKET}/{root}/Benchmark/pair.jsonl"
        assert loaded.sources == {"mllm-as-a-judge-pair": named}

    with pytest.raises(ConfigError, match=r"s3://judge/in/nothing-here: no such file or folder"):
        load_benchmark(benchmark, Request(data=f"s3://{BUCKET}/in/nothing-here"), str(tmp_path))
