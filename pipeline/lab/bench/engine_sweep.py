"""Engine settings against each other on the same requests, each run in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.engines.engine_registry import start_engine
from pipeline.lab.bench.bench_requests import ask_all, prompts_of
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.results_table import report_run
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError, EngineDeadError, EngineStartError
from pipeline.runtime.phases import phase

BASE = "as configured"


def read_sweep(path: str) -> dict[str, list[str]]:
    """Named settings: a YAML mapping of a name to ``key.path=value`` overrides.

    Raises:
        ConfigError: the file cannot be read, or is no such mapping.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the sweep {path}: {error}") from error
    good = isinstance(data, dict) and all(
        isinstance(values, list) and all(isinstance(value, str) for value in values)
        for values in data.values()
    )
    if not good:
        raise ConfigError(
            f"the sweep {path}: expected a mapping of names to lists of key.path=value, such as "
            "`512 at once: [engine.max_num_seqs=512]`"
        )
    return {str(name): values for name, values in data.items()}


def bench_engine(
    config_path: str,
    overrides: Sequence[str],
    sweep: Mapping[str, Sequence[str]],
    input_uri: str,
    repeats: int,
) -> dict[str, Any]:
    """Runs both orders of every pair through the bare engine, for each setting.

    Args:
        config_path: of the job's configuration.
        overrides: of it, for all settings.
        sweep: further overrides for each setting; the configuration as it is comes first.
        input_uri: pair shards.
        repeats: runs of each setting, each on an engine of its own; settings alternate.
    """
    every = {name: [*overrides, *more] for name, more in {BASE: (), **sweep}.items()}
    for settings in every.values():
        load_config(
            LabelConfig, config_path, settings
        )  # a wrong one is an error before anything runs
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in every}
    for _ in range(repeats):
        for name, settings in every.items():
            run = in_fresh_process(run_setting, config_path, settings, input_uri)
            report_run(name, run)
            runs[name].append(run)
    rows = [{"setting": name} | _middle(some) for name, some in runs.items()]
    base = rows[0].get("judgments_per_s")
    for row in rows:
        rate = row.get("judgments_per_s")
        row["against_base"] = round(rate / base, 3) if rate and base else None
    return {
        "benchmark": "engine",
        "rows": rows,
        "repeats": repeats,
        "notes": ["the run in the middle of each setting's; every run in a process of its own"],
    }


def run_setting(config_path: str, overrides: Sequence[str], input_uri: str) -> dict[str, Any]:
    """The rates of one setting, or the error with which its engine ended."""
    config = load_config(LabelConfig, config_path, list(overrides), own_sections=True)
    began = time.monotonic()
    try:
        with phase(stderr_reporter(), "starting the engine"):
            engine = start_engine(config.judge, config.engine)
        started = time.monotonic() - began
        prompts = prompts_of(config, input_uri, engine)
        rates = ask_all(engine, prompts, config.judge)
    except (EngineStartError, EngineDeadError) as error:
        return {"error": str(error).splitlines()[0][:200]}
    engine.close()
    return {**rates.row(), "start_s": round(started, 1)}


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run with the median rate; a failed one if any failed."""
    ordered = sorted(runs, key=lambda run: run.get("judgments_per_s", 0.0))
    return ordered[0] if "error" in ordered[0] else ordered[len(ordered) // 2]
