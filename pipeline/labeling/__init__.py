"""From shards of pairs to committed parts: plan, read, judge, commit, reconcile.

In: shards, a judge's configuration, an output root. Out: one part for each unit, with a row for
every pair, and the run's record; a row that cannot be judged is quarantined with its reason. Only
``dataflow.py`` composes Ray Data. Read ``label_run.py`` first, then along the path of a pair:
``planned_run.py``, ``plan.py``, ``read_pairs.py``, ``judge_actor.py``, ``unit_runner.py``,
``pair_judge.py``, ``commit.py``.
"""
