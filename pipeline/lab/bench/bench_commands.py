"""The benchmarks as commands: their arguments, and how they are run.

What makes example pairs and clips comes with the options (``write_scenes``, ``encode_clip``): it
belongs to the embedded judge, which nothing here knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lab.bench.bench_arguments import (
    STAND_IN_REPLY_TOKENS,
    Parser,
    decode_arguments,
    engine_arguments,
    incremental_arguments,
    memory_arguments,
    scaling_arguments,
    scene_arguments,
    votes_arguments,
)
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config

Figures = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """One benchmark.

    Attributes:
        config: the configuration file it uses unless told otherwise; None if it needs none.
    """

    name: str
    text: str
    config: str | None
    arguments: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], Figures]


# What a benchmark needs is imported when it is run: the help is to come at once.


def _run_engine(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.engine_sweep import bench_engine, read_sweep

    sweep = read_sweep(options.sweep) if options.sweep else {}
    pairs = _scenes(options)
    return bench_engine(options.config, _settings(options), sweep, pairs, options.repeats)


def _run_pipeline(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.bench_plots import draw_pipeline
    from pipeline.lab.bench.pipeline_bench import bench_pipeline

    output = _fresh(options.folder, "labels")
    figures = bench_pipeline(_config(options), _scenes(options), output, options.repeats)
    return figures | {"pictures": draw_pipeline(figures, options.folder)}


def _run_peers(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.bench_plots import draw_pipeline
    from pipeline.lab.bench.peers_bench import bench_peers

    output = _fresh(options.folder, "peers")
    figures = bench_peers(_config(options), _scenes(options), output, options.repeats)
    return figures | {"pictures": draw_pipeline(figures, options.folder)}


def _run_decode(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.decode_bench import bench_decode

    return bench_decode(_config(options).judge, options.encode_clip, options.seconds, options.rate)


def _run_scaling(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.bench_plots import draw_scaling
    from pipeline.lab.bench.scaling_bench import bench_scaling

    figures = bench_scaling(
        _config(options),
        options.folder / "scaling",
        sorted(options.engines),
        options.rate,
        options.seconds,
        options.driver_units,
    )
    return figures | {"pictures": draw_scaling(figures, options.folder)}


def _run_memory(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.memory_bench import bench_memory

    return bench_memory(_config(options), options.folder / "memory", options.mb)


def _run_incremental(options: argparse.Namespace) -> Figures:
    from pipeline.lab.bench.incremental_bench import bench_incremental

    shares = [percent / 100 for percent in options.new]
    return bench_incremental(
        sorted(options.units), options.shard_units, shares, options.extrapolate_to
    )


def _run_votes(options: argparse.Namespace) -> Figures:
    from pipeline.lab.vote_study.study_command import bench_stored_votes, bench_votes

    figures = bench_votes(options.folder, options.seed, options.pairs)
    if options.real:
        pairs = options.folder / f"pairs-{options.real_pairs}"
        options.write_scenes(pairs, 1, options.real_pairs, seed=1_001)
        figures["real"] = bench_stored_votes(
            _config(options), str(pairs), options.folder, options.seed
        )
    return figures


COMMANDS = (
    Command(
        "engine",
        "engine settings against each other, the bare engine on the same requests",
        "cpu.yaml",
        engine_arguments,
        _run_engine,
    ),
    Command(
        "pipeline",
        "the whole job against the engine alone, same requests",
        "cpu.yaml",
        scene_arguments,
        _run_pipeline,
    ),
    Command(
        "peers",
        "the whole job against the engine alone and against ray.data.llm, same requests",
        "cpu.yaml",
        scene_arguments,
        _run_peers,
    ),
    Command(
        "decode",
        "what pictures and clips cost the CPU, and how many cores a GPU needs for them",
        "bench-decode.yaml",
        decode_arguments,
        _run_decode,
    ),
    Command(
        "scaling",
        "1 to N engines that only wait, at a real one's pace; driver costs; autoscaling",
        "bench-scaling.yaml",
        scaling_arguments,
        _run_scaling,
    ),
    Command(
        "memory",
        "pictures piling up before a slow judge: memory, spilling, bytes and CPU a pair",
        "bench-memory.yaml",
        memory_arguments,
        _run_memory,
    ),
    Command(
        "incremental",
        "what a night's plan costs, by size of the corpus and share of new shards",
        None,
        incremental_arguments,
        _run_incremental,
    ),
    Command(
        "votes",
        "ways of asking, on simulated judges and on stored votes of a real one",
        "bench-votes.yaml",
        votes_arguments,
        _run_votes,
    ),
)


def _config(options: argparse.Namespace) -> LabelConfig:
    return load_config(LabelConfig, options.config, _settings(options))


def _settings(options: argparse.Namespace) -> list[str]:
    """The overrides of the command line; those that forced lengths bring come first."""
    forced, tokens = [], getattr(options, "reply_tokens", None)
    if getattr(options, "stand_in", False):
        from pipeline.lab.bench.dummy_model import write_model

        model = options.folder / "stand-in"
        write_model(model)
        forced = [f"judge.model.name={model}", "judge.model.args.load_format=dummy"]
        tokens = tokens or STAND_IN_REPLY_TOKENS
    if tokens:
        forced += [f"engine.script.reply_tokens={tokens}", "judge.votes.max_votes=2"]
        forced.append("quarantine.max_fraction=1")
    return [*forced, *options.set]


def _scenes(options: argparse.Namespace) -> str:
    if options.input is not None:
        return str(options.input)
    if options.stand_in:
        return str(_stand_in_pairs(options))
    folder: Path = options.folder / f"pairs-{options.shards}x256"
    options.write_scenes(folder, options.shards, 256, seed=1)
    return str(folder)


def _stand_in_pairs(options: argparse.Namespace) -> Path:
    from pipeline.lab.bench.dummy_model import write_clip_shards, write_photo_shards

    folder: Path = options.folder
    if options.clips:
        clips = folder / f"clips-{options.shards}x256"
        write_clip_shards(clips, options.shards, options.encode_clip)
        return clips
    width, height = options.picture
    photos = folder / f"photos-{width}x{height}-{options.shards}x256"
    write_photo_shards(photos, options.shards, options.picture)
    return photos


def _fresh(folder: Path, name: str) -> str:
    """An empty place for labels: of an earlier run, all would be done."""
    numbers = [int(path.name) for path in (folder / name).glob("[0-9]*") if path.name.isdigit()]
    return str(folder / name / str(max(numbers, default=0) + 1))
