"""Measures and makes what the product rests on: benchmarks, the vote study, the tiny judge.

In come a job's configuration and pairs (given, synthetic scenes or dummy ones); out come JSON with
charts (``pairmill bench``) or a trained model (``pairmill train_tiny_judge``). Only these two
commands, the demo and tests import this room. Read ``bench/bench_commands`` first for a benchmark,
``tiny_judge/judging_tasks`` for what the tiny judge is trained on.
"""
