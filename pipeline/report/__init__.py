"""What a run did, for its operator: one self-contained HTML page and one flat JSON object.

In: the records of a run, its snapshot with quality.json, and a sample of labelled pairs.
Out: ``runs/<run>/report.html`` and ``runs/<run>/metrics.json``.
``run_records`` reads, ``run_outcome`` decides how the run ended, ``report_page`` renders.
Read ``write_report`` first.
"""
