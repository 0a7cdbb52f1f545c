"""Train the tiny judge, or evaluate one through vLLM.

    python -m jobs.train_tiny_judge --output out/tiny_judge --minutes 9 --workers 15
    python -m jobs.train_tiny_judge --output out/tiny_judge --minutes 8 --workers 15 --resume
    python -m jobs.train_tiny_judge --evaluate-only --report out/tiny_judge.json

Training wants a GPU (some ten minutes each on an H100) and runs, slowly, without one. The
evaluation runs on two CPU cores in about ten minutes, by default of the weights that ship.
"""

import argparse
import logging
from pathlib import Path

from pipeline.tiny_judge import WEIGHTS


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    # Training never writes over the weights that ship unless told to.
    parser.add_argument("--output", type=Path, help="Hugging Face folder to write or evaluate")
    parser.add_argument("--checkpoint", type=Path, default=Path("out/tiny_judge_checkpoint"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="wall-clock budget")
    parser.add_argument("--target", type=float, default=0.999, help="exact replies to stop at")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-every", type=int, default=1_000)
    parser.add_argument("--evaluation-batches", type=int, default=8)
    parser.add_argument("--evaluate-only", action="store_true", help="needs vLLM")
    parser.add_argument("--pairs", type=int, default=1_000, help="held-out pairs to evaluate on")
    parser.add_argument("--report", type=Path, help="where the evaluation's JSON goes")
    options = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    only, pairs, report = (options.pop(k) for k in ("evaluate_only", "pairs", "report"))
    options["output"] = options["output"] or (WEIGHTS if only else Path("out/tiny_judge"))
    if only:
        from pipeline.tiny_judge.evaluation import evaluate, write_report

        write_report(evaluate(options["output"], pairs, options["seed"]), report)
        return
    import torch

    from pipeline.tiny_judge.training import TrainingConfig, train

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    progress = train(TrainingConfig(**options), device)
    logging.info("%s", progress)


if __name__ == "__main__":
    main()
