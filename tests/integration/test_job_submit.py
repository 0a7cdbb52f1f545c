"""The job as operators start it: ``ray job submit`` to a cluster's job server."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.storage import Store
from tests.job_server import JobServer, job_server
from tests.labeling import assert_exact, label_arguments, run_records, write_config
from tests.processes import wait_until
from tests.shards import pair, write_shard

_UPLOAD_LIMIT = 30 * 2**20  # sources and the embedded judge, no environments or caches


def test_submitted_to_a_job_server(tmp_path: Path, model: Path) -> None:
    rows = [pair(number) for number in range(50)]
    write_shard(tmp_path / "in" / "a.parquet", rows, 20)
    config = write_config(tmp_path / "label.yaml", model)
    with job_server({"RAY_JOB_STOP_WAIT_TIME_S": "120"}) as server:
        done = server.submit("jobs.label", label_arguments(config, tmp_path / "in", tmp_path / "o"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "succeeded" in done.stdout + done.stderr
        assert_exact(tmp_path / "o", {"a.parquet": rows})

        # What was uploaded is what git knows of: no environment, no cache.
        packages = "session_2*/runtime_resources/working_dir_files/_ray_pkg_*/"
        (uploaded,) = server.folder.glob(packages)
        assert (uploaded / "jobs" / "label.py").is_file()
        names = {found.name for found in uploaded.iterdir()}
        assert not {name for name in names if name.startswith(".venv") or name.endswith("_cache")}
        size = sum(found.stat().st_size for found in uploaded.rglob("*") if found.is_file())
        assert size < _UPLOAD_LIMIT

        stopped_and_submitted_again(tmp_path, model, server)


def stopped_and_submitted_again(tmp_path: Path, model: Path, server: JobServer) -> None:
    """`ray job stop` ends a job in good order, and the same command goes on."""
    rows = [pair(number) for number in range(60)]
    write_shard(tmp_path / "more" / "a.parquet", rows, 20)
    slow = {"engine": {"script": {"latency_s": 0.5}, "max_num_seqs": 4}}
    config, output = write_config(tmp_path / "slow.yaml", model, slow), tmp_path / "slow"
    job = label_arguments(config, tmp_path / "more", output)
    how = ["--working-dir=.", "--submission-id=night", "--no-wait", "--"]
    server.job("submit", *how, "python", "-m", "jobs.label", *job)
    store = Store(str(output))
    wait_until(lambda: any("/shared/" in entry.key for entry in store.list("attempts")))
    server.job("stop", "night")  # comes back when the job has ended
    said = server.job("logs", "night").stdout
    (record,) = run_records(output)
    assert record["state"] == "stopped", said
    assert 0 < record["pairs"] < 60
    assert f"{record['pairs']} of 60 pairs to do are labelled and committed" in said
    again = server.submit("jobs.label", [*job, "--set", "engine.script.latency_s=0"])
    assert again.returncode == 0, again.stdout + again.stderr
    assert_exact(output, {"a.parquet": rows})
    assert run_records(output)[-1]["pairs"] == 60 - record["pairs"]
