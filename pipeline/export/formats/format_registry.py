"""All trainer formats by name, and which of them can hold the labels of a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.export.export_config import ExportConfig, MediaMode, SelectionConfig
from pipeline.export.export_rules import HAS_IMAGES, HAS_VIDEOS
from pipeline.export.formats.jsonl_format import Jsonl
from pipeline.export.formats.llama_factory import LlamaFactory
from pipeline.export.formats.ms_swift import MsSwift
from pipeline.export.formats.nemo_rl import NemoRl
from pipeline.export.formats.openrlhf import OpenRlhf
from pipeline.export.formats.pointwise_format import Pointwise
from pipeline.export.formats.trl import TrlDpo, TrlReward
from pipeline.export.formats.verl import VerlRl
from pipeline.export.rankings import Rankings
from pipeline.export.trainer_format import Holds, TrainerFormat
from pipeline.judging.judge_config import JudgeConfig
from pipeline.runtime.errors import ConfigError, InputError
from schemas.manifest import Manifest

_ALL: tuple[TrainerFormat, ...] = (
    *(TrlDpo(), TrlReward(), LlamaFactory(), MsSwift(), OpenRlhf(), NemoRl(), VerlRl()),
    *(Jsonl(), Pointwise(), Rankings()),
)
TRAINER_FORMATS: dict[str, TrainerFormat] = {each.name: each for each in _ALL}


def check_format(config: ExportConfig, judge: JudgeConfig) -> None:
    """Refuses an export whose format cannot hold the labels, or lacks a setting's feature.

    Args:
        config: of the export.
        judge: that made the labels.

    Raises:
        ConfigError: says which formats can.
    """
    format_, kind = TRAINER_FORMATS[config.format], judge.candidates
    if format_.holds == "pairs" and judge.declared_format.about != "pair":
        raise ConfigError(
            f"format {format_.name}: it holds pairs, and the judge of this snapshot gives scores "
            f"to candidates ({judge.format}); formats that can hold these: "
            + _able(lambda each: each.holds in _held_by(judge))
        )
    if format_.holds == "rankings" and judge.declared_format.about == "score":
        raise ConfigError(
            f"format {format_.name}: it holds rankings, and the judge of this snapshot scores one "
            f"candidate at a time ({judge.format}); formats that can hold its labels: "
            + _able(lambda each: each.holds in _held_by(judge))
        )
    if format_.holds == "scores" and not judge.declared_format.scores:
        raise ConfigError(
            f"format {format_.name}: it holds scores, and the judge of this snapshot chooses "
            "options and gives none; formats that can hold its labels: "
            + _able(lambda each: each.holds != "scores" and kind in each.candidates)
        )
    if kind not in format_.candidates:
        raise ConfigError(
            f"format {format_.name}: it cannot hold responses that are made of {_made_of(kind)}, "
            f"as those of this snapshot are; formats that can: "
            + _able(lambda each: kind in each.candidates)
        )
    if config.selection.ties == "keep" and not format_.ties:
        raise ConfigError(
            f"export.selection.ties=keep: {format_.trainer} cannot hold ties; formats that can: "
            + _able(lambda each: each.ties)
        )
    if config.soft_labels and not format_.soft:
        raise ConfigError(
            f"export.soft_labels: {format_.name} has no column for p_chosen; formats that have "
            "one: " + _able(lambda each: each.soft)
        )
    if format_.holds == "rankings":
        _check_whole_sets(config.selection)
    compares = config.selection.max_similarity is not None or config.selection.balance_length
    if compares and judge.declared_format.about != "pair":
        raise ConfigError(
            "export.selection.max_similarity and balance_length compare the two responses of a "
            f"pair, and this judge gives scores to candidates ({judge.format}); leave them out"
        )
    mode = config.media.mode
    if mode is not None and format_.media and mode not in format_.media:
        raise ConfigError(
            f"export.media.mode={mode}: expected {' or '.join(format_.media)} for {format_.name}; "
            f"formats that take {mode}: " + _able(lambda each: mode in each.media)
        )


def check_calibrated(manifest: Manifest) -> None:
    """Refuses soft labels of a snapshot without calibrated probabilities.

    Raises:
        ConfigError: says how to get them.
    """
    policy = manifest.policy
    fitted = manifest.judge.get("calibration") if policy is None else policy.calibration_id
    if fitted is None:
        raise ConfigError(
            f"export.soft_labels: the labels of snapshot {manifest.snapshot_id} have no calibrated "
            "probability, and shares of votes are none; fit a calibration to gold pairs (pairmill "
            "calibrate), publish again (pairmill publish), and export that snapshot"
        )


def media_modes(config: ExportConfig) -> dict[str, MediaMode]:
    """How pictures and videos are written: a mode for each kind that the format holds."""
    format_ = TRAINER_FORMATS[config.format]
    if not format_.media:
        return {}
    mode = config.media.mode or format_.media[0]
    of_videos: MediaMode = "files" if mode == "inline" and not format_.inline_videos else mode
    modes: dict[str, MediaMode] = {"image": mode} if format_.images else {}
    return modes | ({"video": of_videos} if format_.videos else {})


def nothing_left(
    manifest: Manifest, format_: str, dropped: Mapping[str, int], details: Mapping[str, str]
) -> InputError:
    """The error that no row of a snapshot is left to export, with what to change.

    Args:
        manifest: of the snapshot.
        format_: of the export.
        dropped: its rows by reason, and ``details`` of some.
    """
    counted = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items()))
    examples = "".join(f"\n  {reason}: {text}" for reason, text in sorted(details.items()))
    return InputError(
        f"no row of snapshot {manifest.snapshot_id} is left to export: of {manifest.rows:,} rows "
        f"are dropped {counted}; {_advice(format_, dropped)}{examples}"
    )


def _held_by(judge: JudgeConfig) -> tuple[Holds, ...]:
    """What formats may hold of a judge that does not compare pairs."""
    return ("scores",) if judge.declared_format.about == "score" else ("scores", "rankings")


def _check_whole_sets(selection: SelectionConfig) -> None:
    """Refuses rules that take single pairs out of ranked sets, whatever their labels."""
    for name in ("max_per_prompt", "max_similarity", "balance_length"):
        if getattr(selection, name):
            raise ConfigError(
                f"export.selection.{name} drops single pairs, and a ranking needs all pairs of its "
                "set; leave it out"
            )


def _made_of(kind: str) -> str:
    return {"video": "videos"}.get(kind, "pictures")


def _advice(name: str, dropped: Mapping[str, int]) -> str:
    pictures = TRAINER_FORMATS[name].images
    if dropped.get(HAS_IMAGES) or (dropped.get(HAS_VIDEOS) and not pictures):
        return (
            f"{name} holds texts alone: take a format that holds pictures "
            f"({_able(lambda each: each.images)}), or export these rows without their media "
            "(export.media.strip=true)"
        )
    if dropped.get(HAS_VIDEOS):
        return f"formats that hold videos: {_able(lambda each: each.videos)}"
    if any(reason.startswith("media_") for reason in dropped):
        return "restore the media, or set input.media_roots to where they are"
    return "select less strictly (export.selection)"


def _able(can: Callable[[TrainerFormat], bool]) -> str:
    """The formats that can do something, for a message."""
    return ", ".join(each.name for each in _ALL if can(each)) or "none"
