"""The judge that another one is compared with: judged now by its configuration, or before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.judged_pairs import read_judged, relabeled
from pipeline.aggregation.labeler import Labeler
from pipeline.evaluation.evaluate import Evaluated, Task, evaluate, gold_input
from pipeline.gold.gold_rows import has_gold
from pipeline.gold.people import read_people
from pipeline.judging.judge_cards import find_card, judge_of
from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config
from pipeline.runtime.errors import ConfigError
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store


def evaluate_other(
    stated: LabelConfig | str, config: LabelConfig, task: Task, output_uri: str, reporter: Reporter
) -> Evaluated:
    """Another judge's labels of the same gold pairs.

    Args:
        stated: of :func:`other_of`. A judge's id reads the labels that it has given, and judges
            nothing.
        config: of the judge that is evaluated; its input is both judges'.
        task: what it is evaluated on.
        output_uri: where labels and judge cards are.
        reporter: receives the events of the labeling runs.

    Raises:
        PairmillError: as ``evaluate`` raises it.
    """
    task = replace(task, controls=(), probes=None)
    if isinstance(stated, LabelConfig):
        other = stated.model_copy(update={"input": config.input})
        return evaluate(other, task, output_uri, reporter)
    output = Store(output_uri)
    card = find_card(output, stated)
    judge = judge_of(card)
    read, input_uri, _ = gold_input(config, task, output)
    people = read_people(output, task.gold)
    found = read_judged(input_uri, read.input, output, card["judge_id"], None, people)
    rows = [row for row in found if has_gold(row.pair, judge.declared_format.about)]
    fitted = read_calibration(output, card["judge_id"])
    policy = config.policy.model_copy(update={"weights": {}})  # those of the judge's own criteria
    rows = relabeled(rows, Labeler.of(judge, policy, fitted))
    calibrated_on = fitted.gold_pairs if fitted else 0
    return Evaluated(rows, len(found) - len(rows), card, calibrated_on)


def other_of(stated: str, config: LabelConfig, output_uri: str) -> LabelConfig | str:
    """What ``--against`` names: a configuration's file, or the id of a judge of the output.

    Args:
        stated: the file, or how the id begins.
        config: of the judge that is evaluated.
        output_uri: where judge cards are.

    Raises:
        ConfigError: there is no such judge, or it judges something else.
    """
    other: LabelConfig | str = stated
    if stated.endswith((".yaml", ".yml")) or Path(stated).is_file():
        other = load_config(LabelConfig, stated, own_sections=True)
        judge = other.judge
    else:
        judge = judge_of(find_card(Store(output_uri), stated))
    _check_alike(stated, config.judge, judge)
    return other


def _check_alike(stated: str, judge: JudgeConfig, other: JudgeConfig) -> None:
    this, that = ((each.declared_format.about, each.candidates) for each in (judge, other))
    if this != that:
        raise ConfigError(
            f"--against {stated}: a judge of {that[0]}s, candidates {that[1]}; expected one of "
            f"{this[0]}s, candidates {this[1]}: both are asked about the same pairs"
        )
