"""The report of a run: ``report.html`` for people and ``metrics.json`` for dashboards and trends.

Both lie beside the run's record, under ``runs/<run_id>/``.
"""
