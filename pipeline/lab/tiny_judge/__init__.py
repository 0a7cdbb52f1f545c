"""The tiny judge: a two-million-parameter Qwen2.5-VL that judges pairs about synthetic scenes.

Here its pairs are made (``scene_corpus``), and it is trained and evaluated. In come seeds; out
come pair shards, or a Hugging Face folder. The weights are package data of ``pipeline.engines``:
with them the demo, tests and CPU benchmarks run every judging format on a real engine and a model
that does look at pictures and clips. It judges nothing else. Read ``scenes``, ``judging_cases`` and
``judging_tasks`` first, then ``judge_training``.
"""
