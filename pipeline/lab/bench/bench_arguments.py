"""The arguments of the benchmarks' commands."""

from __future__ import annotations

import argparse

STAND_IN_REPLY_TOKENS = 550
Parser = argparse.ArgumentParser


def scene_arguments(parser: Parser) -> None:
    """What both sides are asked about, and how often."""
    parser.add_argument("--input", metavar="URI", help="pair shards; default: scenes, made here")
    parser.add_argument("--shards", type=int, default=4, help="shards of 256 pairs (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side (%(default)s)")
    parser.add_argument(
        "--stand-in",
        action="store_true",
        help="a model of Flex-VL-7B's exact shape with weights that were never trained, and pairs "
        "of usual lengths with a picture each: for a GPU, with nothing to download; replies are "
        "forced to --reply-tokens",
    )
    parser.add_argument(
        "--picture",
        type=_size,
        default=(448, 448),
        metavar="WxH",
        help="pixels of the pictures of --stand-in (448x448)",
    )
    parser.add_argument(
        "--clips",
        action="store_true",
        help="with --stand-in: clips of eight seconds, 640 x 360, instead of pictures",
    )
    parser.add_argument(
        "--reply-tokens",
        type=int,
        metavar="N",
        help="force lognormal reply lengths of N tokens on average, for a model with dummy weights "
        "(judge.model.args.load_format=dummy); asks each order once, and quarantines nothing "
        f"too often; {STAND_IN_REPLY_TOKENS} with --stand-in",
    )


def _size(text: str) -> tuple[int, int]:
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 28):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, 28 or more each")
    return int(width), int(height)


def engine_arguments(parser: Parser) -> None:
    """Of ``engine``."""
    scene_arguments(parser)
    parser.add_argument(
        "--sweep",
        metavar="FILE",
        help="YAML of settings to compare, each a name and a list of key.path=value, as in "
        "jobs/configs/bench-engine-cpu.yaml and …-gpu.yaml; default: only --config as it is",
    )


def decode_arguments(parser: Parser) -> None:
    """Of ``decode``."""
    parser.add_argument("--seconds", type=float, default=5, help="a measurement (%(default)s)")
    parser.add_argument("--rate", type=float, default=30, help="judgments/s of a GPU (%(default)s)")


def scaling_arguments(parser: Parser) -> None:
    """Of ``scaling``."""
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


def memory_arguments(parser: Parser) -> None:
    """Of ``memory``."""
    parser.add_argument("--mb", type=int, default=2_048, help="MiB of pictures (%(default)s)")


def incremental_arguments(parser: Parser) -> None:
    """Of ``incremental``."""
    parser.add_argument(
        "--units", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="of each corpus"
    )
    parser.add_argument("--shard-units", type=int, default=8, help="units a shard (%(default)s)")
    parser.add_argument(
        "--new", type=float, nargs="+", default=[0, 1, 100], help="percent of shards (0 1 100)"
    )
    parser.add_argument("--extrapolate-to", type=int, default=1_000_000, metavar="UNITS")


def votes_arguments(parser: Parser) -> None:
    """Of ``votes``."""
    parser.add_argument("--seed", type=int, default=1, help="of sampled votes and of the bootstrap")
    parser.add_argument("--pairs", type=int, default=600, help="sampled a seed and population")
    parser.add_argument("--real", action="store_true", help="also ask the judge of --config")
    parser.add_argument("--real-pairs", type=int, default=240, help="pairs that it is asked about")
