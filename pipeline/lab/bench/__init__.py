"""The benchmarks of ``python -m jobs.bench``: one module for each, figures as plain dictionaries.

Every figure is a ratio or a median taken within one run; what is simulated says so in its result.
"""

from __future__ import annotations
