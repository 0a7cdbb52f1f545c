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

from pipeline.core.config import LabelConfig
from pipeline.core.config_file import load_config

STAND_IN_REPLY_TOKENS = 550
Figures = dict[str, Any]
Parser = argparse.ArgumentParser


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
    from pipeline.assembly.bench.engine_sweep import bench_engine, read_sweep

    sweep = read_sweep(options.sweep) if options.sweep else {}
    pairs = _scenes(options)
    return bench_engine(options.config, _settings(options), sweep, pairs, options.repeats)


def _run_pipeline(options: argparse.Namespace) -> Figures:
    from pipeline.assembly.bench.figures import draw_pipeline
    from pipeline.assembly.bench.pipeline_job import bench_pipeline

    output = _fresh(options.folder, "labels")
    figures = bench_pipeline(_config(options), _scenes(options), output, options.repeats)
    return figures | {"pictures": draw_pipeline(figures, options.folder)}


def _run_peers(options: argparse.Namespace) -> Figures:
    from pipeline.assembly.bench.figures import draw_pipeline
    from pipeline.assembly.bench.peers import bench_peers

    output = _fresh(options.folder, "peers")
    figures = bench_peers(_config(options), _scenes(options), output, options.repeats)
    return figures | {"pictures": draw_pipeline(figures, options.folder)}


def _run_decode(options: argparse.Namespace) -> Figures:
    from pipeline.assembly.bench.decode import bench_decode

    return bench_decode(_config(options).judge, options.encode_clip, options.seconds, options.rate)


def _run_scaling(options: argparse.Namespace) -> Figures:
    from pipeline.assembly.bench.figures import draw_scaling
    from pipeline.assembly.bench.scaling import bench_scaling

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
    from pipeline.assembly.bench.memory import bench_memory

    return bench_memory(_config(options), options.folder / "memory", options.mb)


def _run_incremental(options: argparse.Namespace) -> Figures:
    from pipeline.assembly.bench.incremental import bench_incremental

    shares = [percent / 100 for percent in options.new]
    return bench_incremental(
        sorted(options.units), options.shard_units, shares, options.extrapolate_to
    )


def _run_votes(options: argparse.Namespace) -> Figures:
    from pipeline.assembly.vote_study.bench import bench_stored_votes, bench_votes

    figures = bench_votes(options.folder, options.seed, options.pairs)
    if options.real:
        pairs = options.folder / f"pairs-{options.real_pairs}"
        options.write_scenes(pairs, 1, options.real_pairs, seed=1_001)
        figures["real"] = bench_stored_votes(
            _config(options), str(pairs), options.folder, options.seed
        )
    return figures


def _scene_arguments(parser: Parser) -> None:
    parser.add_argument("--input", metavar="URI", help="pair shards; default: scenes, made here")
    parser.add_argument("--shards", type=int, default=4, help="shards of 256 pairs (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side (%(default)s)")
    parser.add_argument(
        "--stand-in",
        action="store_true",
        help="a model of Flex-VL-7B's exact shape with weights that were never trained, and pairs "
        "of usual lengths with pictures of 448 x 448: for a GPU, with nothing to download; "
        "replies are forced to --reply-tokens",
    )
    parser.add_argument(
        "--reply-tokens",
        type=int,
        metavar="N",
        help="force lognormal reply lengths of N tokens on average, for a model with dummy weights "
        "(judge.model.args.load_format=dummy); asks each order once, and quarantines nothing "
        f"too often; {STAND_IN_REPLY_TOKENS} with --stand-in",
    )


def _engine_arguments(parser: Parser) -> None:
    _scene_arguments(parser)
    parser.add_argument(
        "--sweep",
        metavar="FILE",
        help="YAML of settings to compare, each a name and a list of key.path=value, as in "
        "jobs/configs/bench-engine-cpu.yaml and …-gpu.yaml; default: only --config as it is",
    )


def _decode_arguments(parser: Parser) -> None:
    parser.add_argument("--seconds", type=float, default=5, help="a measurement (%(default)s)")
    parser.add_argument("--rate", type=float, default=30, help="judgments/s of a GPU (%(default)s)")


def _scaling_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--engines", type=int, nargs="+", default=[1, 2, 4, 8], help="how many (1 2 4 8)"
    )
    parser.add_argument("--rate", type=float, default=30, help="judgments/s of one (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="of each run (%(default)s)")
    parser.add_argument(
        "--driver-units",
        type=int,
        nargs="*",
        default=[500, 2_000],
        metavar="N",
        help="units of two runs that tell what one costs the driver (500 2000); none: left out",
    )


def _memory_arguments(parser: Parser) -> None:
    parser.add_argument("--mb", type=int, default=2_048, help="MiB of pictures (%(default)s)")


def _incremental_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--units", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="of each corpus"
    )
    parser.add_argument("--shard-units", type=int, default=8, help="units a shard (%(default)s)")
    parser.add_argument(
        "--new", type=float, nargs="+", default=[0, 1, 100], help="percent of shards (0 1 100)"
    )
    parser.add_argument("--extrapolate-to", type=int, default=1_000_000, metavar="UNITS")


def _votes_arguments(parser: Parser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of sampled votes and of the bootstrap")
    parser.add_argument("--pairs", type=int, default=600, help="sampled a seed and population")
    parser.add_argument("--real", action="store_true", help="also ask the judge of --config")
    parser.add_argument("--real-pairs", type=int, default=240, help="pairs that it is asked about")


COMMANDS = (
    Command(
        "engine",
        "engine settings against each other, the bare engine on the same requests",
        "cpu.yaml",
        _engine_arguments,
        _run_engine,
    ),
    Command(
        "pipeline",
        "the whole job against the engine alone, same requests",
        "cpu.yaml",
        _scene_arguments,
        _run_pipeline,
    ),
    Command(
        "peers",
        "the whole job against the engine alone and against ray.data.llm, same requests",
        "cpu.yaml",
        _scene_arguments,
        _run_peers,
    ),
    Command(
        "decode",
        "what pictures and clips cost the CPU, and how many cores a GPU needs for them",
        "bench-decode.yaml",
        _decode_arguments,
        _run_decode,
    ),
    Command(
        "scaling",
        "1 to N engines that only wait, at a real one's pace; driver costs; autoscaling",
        "bench-scaling.yaml",
        _scaling_arguments,
        _run_scaling,
    ),
    Command(
        "memory",
        "pictures piling up before a slow judge: memory, spilling, bytes and CPU a pair",
        "bench-memory.yaml",
        _memory_arguments,
        _run_memory,
    ),
    Command(
        "incremental",
        "what a night's plan costs, by size of the corpus and share of new shards",
        None,
        _incremental_arguments,
        _run_incremental,
    ),
    Command(
        "votes",
        "ways of asking, on simulated judges and on stored votes of a real one",
        "bench-votes.yaml",
        _votes_arguments,
        _run_votes,
    ),
)


def _config(options: argparse.Namespace) -> LabelConfig:
    return load_config(LabelConfig, options.config, _settings(options))


def _settings(options: argparse.Namespace) -> list[str]:
    """The overrides of the command line; those that forced lengths bring come first."""
    forced, tokens = [], getattr(options, "reply_tokens", None)
    if getattr(options, "stand_in", False):
        from pipeline.assembly.bench.stand_in import write_model

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
        from pipeline.assembly.bench.stand_in import write_photo_shards

        photos: Path = options.folder / f"photos-{options.shards}x256"
        write_photo_shards(photos, options.shards)
        return str(photos)
    folder: Path = options.folder / f"pairs-{options.shards}x256"
    options.write_scenes(folder, options.shards, 256, seed=1)
    return str(folder)


def _fresh(folder: Path, name: str) -> str:
    """An empty place for labels: of an earlier run, all would be done."""
    numbers = [int(path.name) for path in (folder / name).glob("[0-9]*") if path.name.isdigit()]
    return str(folder / name / str(max(numbers, default=0) + 1))
