"""Judges a few rows in this process: for notebooks, and to try a bundle or a rubric on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine_registry import start_engine
from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.pair_judge import Judge
from pipeline.labeling.read_pairs import READ_ROW, Pairs
from pipeline.media.media_store import MediaStore
from pipeline.pairs.mapped_rows import pair_of
from pipeline.parts.units import Unit
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from schemas.validation_faults import first_faults

Labels = list[dict[str, Any]]
_IN_MEMORY = Unit("memory", "0" * 64, 0, 1)


def judge_in_memory(
    rows: Iterable[Mapping[str, Any]], config: LabelConfig | Mapping[str, Any] | str
) -> list[dict[str, Any]]:
    """See :func:`pipeline.judge`."""
    settings = _settings(config)
    pairs = _pairs(rows, settings)
    card = judge_card(
        settings.judge, model_version(settings.judge.model, settings.engine), settings.engine.kind
    )
    stamp = {"judge_id": card["judge_id"], "run_id": "in-memory"}
    media = MediaStore(settings.input.media_roots, settings.judge.media.max_bytes)
    labeler = Labeler.of(settings.judge, settings.policy)
    unit = Unit(_IN_MEMORY.shard, _IN_MEMORY.shard_key, 0, max(1, len(pairs)))
    engine = start_engine(settings.judge, settings.engine)
    try:
        judge = Judge(engine, settings.judge, settings.engine, media, labeler)
        return _run(judge.judge_unit(unit, pairs, stamp))
    finally:
        engine.close()


def _run(judging: Coroutine[Any, Any, Labels]) -> Labels:
    """Runs to the end, also in a notebook, where an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(judging)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, judging).result()


def _settings(config: LabelConfig | Mapping[str, Any] | str) -> LabelConfig:
    if isinstance(config, LabelConfig):
        return config
    if isinstance(config, str):
        return load_config(LabelConfig, str(Path(config)), own_sections=True)
    try:
        return LabelConfig.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(f"config: {first_faults(error)}") from error


def _pairs(rows: Iterable[Mapping[str, Any]], settings: LabelConfig) -> Pairs:
    """The rows as the input's mapping reads them; what does not fit is a row's defect."""
    mapping, read = settings.input.mapping(), []
    for number, row in enumerate(rows):
        pair, problems = pair_of(mapping, row)
        pair["pair_id"] = pair["pair_id"] or f"{number}"
        read.append({**pair, "defect": "; ".join(problems) or None})
    return Pairs(pa.array(read, READ_ROW))
