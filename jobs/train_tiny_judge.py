"""Trains the tiny judge, or evaluates it as the product runs it.

Training needs a GPU to be fast (two runs of some ten minutes on an H100); without one it is slow.
The evaluation needs vLLM and takes some ten minutes on two CPU cores; by default it evaluates the
weights that ship.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

from pipeline.runtime.command import run_command

CONFIG = Path(__file__).parent / "configs" / "cpu.yaml"
EPILOG = """\
example:
  pairmill train_tiny_judge --output out/tiny_judge --minutes 9 --workers 14
  pairmill train_tiny_judge --output out/tiny_judge --minutes 9 --workers 14 --resume
  pairmill train_tiny_judge --reward --output out/tiny_reward_judge --minutes 5 --workers 14
  pairmill train_tiny_judge --evaluate-only --report out/tiny_judge.json

exit codes:
    0  done
    1  a bug, the engine died, or the loss did not fall
    2  configuration cannot be used
  130  interrupted (Ctrl-C); --resume continues from the last complete run"""


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and runs; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    return run_command(lambda: _run(options), "--resume continues from the last complete run")


def _run(options: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    only, report = options.pop("evaluate_only"), options.pop("report")
    rows, task = options.pop("rows"), options.pop("task")
    config, overrides = options.pop("config"), options.pop("set")
    if only:
        from pipeline.lab.tiny_judge.tiny_evaluation import evaluate
        from pipeline.labeling.label_config import LabelConfig
        from pipeline.runtime.config_file import load_config

        results = evaluate(load_config(LabelConfig, config, overrides), rows, options["seed"], task)
        text = json.dumps(results, indent=1)
        logging.info("%s", text)
        if report is not None:
            report.write_text(text + "\n", encoding="utf-8")
        return 0
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.pop("reward"):
        from pipeline.engines.engine import TINY_JUDGE, model_path
        from pipeline.lab.tiny_judge.reward_training import RewardTraining, table, train_reward

        names = {field.name for field in dataclasses.fields(RewardTraining)}
        given = {name: value for name, value in options.items() if name in names}
        given["warm_start"] = given["warm_start"] or Path(model_path(TINY_JUDGE))
        logging.info("held out\n%s", table(train_reward(RewardTraining(**given), device)))
        return 0
    from pipeline.lab.tiny_judge.judge_training import TrainingConfig, train

    logging.info("%s", train(TrainingConfig(**options), device))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pairmill train_tiny_judge",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    training = parser.add_argument_group("training")
    add = training.add_argument
    add("--reward", action="store_true",
        help="train the reward judge, from the tiny judge by default; of the other options it\n"
        "takes output, warm-start, minutes, batch-size, learning-rate, warmup, workers, seed,\n"
        "evaluate-every and evaluation-samples")  # fmt: skip
    # By default training does not overwrite the weights that ship.
    add("--output", type=Path, default=Path("out/tiny_judge"), help="folder (%(default)s)")
    add("--checkpoint", type=Path, default=Path("out/tiny_judge_checkpoint"),
        help="folder of the state that --resume reads (%(default)s)")  # fmt: skip
    add("--resume", action="store_true", help="continue from the checkpoint")
    add("--warm-start", type=Path, help="folder of an earlier judge to start from")
    add("--steps", type=int, default=40_000, help="at most (%(default)s)")
    add("--minutes", type=float, default=60.0, help="wall-clock budget (%(default)s)")
    add("--target", type=float, default=0.999,
        help="share of exact replies in every task to stop at (%(default)s)")  # fmt: skip
    add("--batch-size", type=int, default=256, help="samples a step (%(default)s)")
    add("--learning-rate", type=float, default=1e-3, help="its peak (%(default)s)")
    add("--floor", type=float, default=0.0, help="share of the peak at the end (%(default)s)")
    add("--warmup", type=int, default=300, help="steps of linear warm-up (%(default)s)")
    add("--workers", type=int, default=2, help="processes that make samples (%(default)s)")
    add("--seed", type=int, default=0, help="of weights and samples (%(default)s)")
    add("--evaluate-every", type=int, default=1_000, help="steps (%(default)s)")
    add("--evaluation-samples", type=int, default=256, help="of each task (%(default)s)")
    add = parser.add_argument_group("evaluation").add_argument
    add("--evaluate-only", action="store_true", help="evaluate and do not train; needs vLLM")
    add("--rows", type=int, default=200, help="held-out rows of each task (%(default)s)")
    add("--task", help="evaluate this task only, such as pairwise_options/image")
    add("--report", type=Path, help="file for the evaluation's JSON")
    add("--config", metavar="FILE", default=str(CONFIG),
        help="YAML of judge and engine; jobs/configs/cpu.yaml by default")  # fmt: skip
    add("--set", metavar="KEY=VALUE", action="append", default=[],
        help="a setting, such as engine.max_num_seqs=8")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
