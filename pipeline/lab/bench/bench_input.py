"""The pairs and settings that benchmarks of engines run on, given or made here."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config

_DUMMY_REPLY_TOKENS = 550
_SHARD_ROWS = 256

# Whatever makes pairs or models is imported when it is needed: it takes many seconds.


def input_arguments(parser: argparse.ArgumentParser, *, repeated: bool = True) -> None:
    """Which pairs all sides are asked about, and how often, where that is ``repeated``."""
    parser.add_argument("--input", metavar="URI", help="pair shards; default: scenes, made here")
    parser.add_argument("--shards", type=int, default=4, help="shards of 256 pairs (%(default)s)")
    if repeated:
        text = "runs of each side (%(default)s)"
        parser.add_argument("--repeats", type=int, default=3, help=text)
    stand_in_arguments(parser)
    parser.add_argument(
        "--picture",
        type=picture_size,
        default=(448, 448),
        metavar="WxH",
        help="pixels of the pictures of --stand-in (448x448)",
    )
    parser.add_argument(
        "--clips",
        action="store_true",
        help="with --stand-in: clips of eight seconds, 640 x 360, instead of pictures",
    )


def stand_in_arguments(parser: argparse.ArgumentParser) -> None:
    """A model with dummy weights, and how long its replies are."""
    parser.add_argument(
        "--stand-in",
        dest="dummy_model",
        action="store_true",
        help="a dummy-weight model: a judge's exact shape with untrained weights (--shape), and "
        "pairs of usual lengths with a picture each; nothing is downloaded; replies are "
        "forced to --reply-tokens",
    )
    parser.add_argument(
        "--shape",
        choices=("flex-vl-7b", "qwen2.5-vl-72b"),
        default="flex-vl-7b",
        help="of the model of --stand-in (%(default)s)",
    )
    parser.add_argument(
        "--reply-tokens",
        type=int,
        metavar="N",
        help="force lognormal reply lengths of N tokens on average, for a model with dummy weights "
        "(judge.model.args.load_format=dummy); asks for each order once, and accepts any share of "
        f"quarantined pairs; {_DUMMY_REPLY_TOKENS} with --stand-in",
    )


def picture_size(text: str) -> tuple[int, int]:
    """Width and height in pixels."""
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 28):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, 28 or more each")
    return int(width), int(height)


def config_of(options: argparse.Namespace) -> LabelConfig:
    """The configuration: ``--config`` with :func:`settings_of`."""
    return load_config(LabelConfig, options.config, settings_of(options), own_sections=True)


def settings_of(options: argparse.Namespace) -> list[str]:
    """Those of the dummy-weight model and of forced lengths, then those of the command line."""
    forced, tokens = [], getattr(options, "reply_tokens", None)
    if getattr(options, "dummy_model", False):
        from pipeline.lab.bench.dummy_model import write_model

        model = options.folder / f"dummy-{options.shape}"
        write_model(model, options.shape)
        forced = [f"judge.model.name={model}", "judge.model.args.load_format=dummy"]
        tokens = tokens or _DUMMY_REPLY_TOKENS
    if tokens:
        forced += [f"engine.script.reply_tokens={tokens}", "judge.votes.max_votes=2"]
        forced.append("quarantine.max_fraction=1")
    return [*forced, *options.set]


def pairs_of(options: argparse.Namespace, shards: int | None = None) -> str:
    """The URI of the pairs; those that are not given are made in ``--folder`` once.

    Args:
        options: the command line.
        shards: how many are made, in place of ``--shards``.
    """
    if options.input is not None:
        return str(options.input)
    shards = shards or options.shards
    if options.dummy_model:
        return str(_dummy_pairs(options, shards))
    from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards

    folder: Path = options.folder / f"pairs-{shards}x{_SHARD_ROWS}"
    write_scene_shards(folder, shards, _SHARD_ROWS, seed=1)
    return str(folder)


def _dummy_pairs(options: argparse.Namespace, shards: int) -> Path:
    from pipeline.lab.bench.dummy_pairs import write_clip_shards, write_picture_shards

    folder: Path = options.folder
    if options.clips:
        clips = folder / f"clips-{shards}x{_SHARD_ROWS}"
        write_clip_shards(clips, shards, _SHARD_ROWS)
        return clips
    width, height = options.picture
    pictures = folder / f"photos-{width}x{height}-{shards}x{_SHARD_ROWS}"
    write_picture_shards(pictures, shards, _SHARD_ROWS, options.picture)
    return pictures


def new_output(folder: Path, name: str) -> str:
    """A folder for labels that does not exist yet: with earlier labels, nothing would be judged."""
    numbers = [int(path.name) for path in (folder / name).glob("[0-9]*") if path.name.isdigit()]
    return str(folder / name / str(max(numbers, default=0) + 1))
