"""How well a judge agrees with people: public benchmarks, gold pairs of one's own, and pairs that
are altered to test it (controls, probes).

In: a judge's configuration and gold pairs (``benchmarks`` reads public sets as pairs v2).
Out: ``evaluations/<name>/<judge>/`` with evaluation.json, evaluation.md,
evaluation.html and charts; ``probes/<identity>`` for what altered pairs show of the judge.
``evaluate`` labels and pairs labels with gold; ``evaluation_report`` computes the measures;
``evaluation_files`` stores them. Read ``evaluate`` first.
"""
