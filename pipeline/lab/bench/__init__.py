"""Benchmarks of the pipeline itself: throughput, scaling, memory, decoding, and a plan's costs.

In come pairs (given, scenes of ``tiny_judge``, or dummy ones) and a job's configuration; out come
plain dictionaries that ``pairmill bench`` writes as JSON. Each result is a median or a ratio
within one run of the benchmark; a simulated one says so in its notes. Read ``bench_commands``
first, then the benchmark's own module.
"""
