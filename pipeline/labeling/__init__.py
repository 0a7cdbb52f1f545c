"""From shards of pairs to committed parts: plan, read, judge, commit, reconcile.

In: shards, a judge's configuration, an output root. Out: one part for each unit, with a row for
every pair, and the run's record; a row that cannot be judged is quarantined with its reason. Only
``dataflow.py`` composes Ray Data. Read ``label_run.py`` first, then along the path of a pair:
``planned_run.py``, ``planning/plan.py``, ``read_pairs.py``, ``judge_actor.py``,
``unit_runner.py``, ``pair_judge.py``. Rooms of their own: what there is to do (``planning``),
judges in order of cost (``cascade``), where Ray is (``cluster``), checks before a night
(``preflight``) and prompts to look at (``preview``).
"""
