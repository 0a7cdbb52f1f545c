"""Trains the tiny judge, or evaluates it as the product runs it.

    pairmill train_tiny_judge --output out/tiny_judge --minutes 9 --workers 14
    pairmill train_tiny_judge --output out/tiny_judge --minutes 9 --workers 14 --resume
    pairmill train_tiny_judge --evaluate-only --report out/tiny_judge.json

Training wants a GPU (some ten minutes each on an H100) and runs, slowly, without one. The
evaluation runs on two CPU cores in some ten minutes, by default of the weights that ship.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from pipeline.runtime.command import run_command

CONFIG = Path(__file__).parent / "configs" / "cpu.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and runs; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    return run_command(lambda: _run(options), "interrupted; --resume goes on from the checkpoint")


def _run(options: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    only, report = options.pop("evaluate_only"), options.pop("report")
    rows, task = options.pop("rows"), options.pop("task")
    config, overrides = options.pop("config"), options.pop("set")
    if only:
        from pipeline.lab.tiny_judge.tiny_evaluation import evaluate
        from pipeline.labeling.label_config import LabelConfig
        from pipeline.runtime.config_file import load_config

        figures = evaluate(load_config(LabelConfig, config, overrides), rows, options["seed"], task)
        text = json.dumps(figures, indent=1)
        logging.info("%s", text)
        if report is not None:
            report.write_text(text + "\n", encoding="utf-8")
        return 0
    import torch

    from pipeline.lab.tiny_judge.training import TrainingConfig, train

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logging.info("%s", train(TrainingConfig(**options), device))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pairmill train_tiny_judge",
        description=__doc__,
        epilog="exit codes:\n  0  done\n  2  configuration cannot be used",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    # Training never writes over the weights that ship unless told to.
    parser.add_argument(
        "--output", type=Path, default=Path("out/tiny_judge"), help="where to train"
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("out/tiny_judge_checkpoint"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--warm-start", type=Path, help="folder of an earlier judge to start from")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="wall-clock budget")
    parser.add_argument("--target", type=float, default=0.999, help="exact replies to stop at")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--floor", type=float, default=0.0, help="share of the rate at the end")
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-every", type=int, default=1_000)
    parser.add_argument("--evaluation-samples", type=int, default=256)
    parser.add_argument("--evaluate-only", action="store_true", help="needs vLLM")
    parser.add_argument("--rows", type=int, default=200, help="held-out rows of each task")
    parser.add_argument("--task", help="evaluate this task only, such as pairwise_options/image")
    parser.add_argument("--report", type=Path, help="where the evaluation's JSON goes")
    parser.add_argument("--config", default=str(CONFIG), help="judge and engine to evaluate")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    return parser


if __name__ == "__main__":
    sys.exit(main())
