"""What the processes of :mod:`pipeline.pairs.isolated_reading` share: imported before they fork."""

from __future__ import annotations

import pandas  # noqa: F401  pyarrow imports it at its first conversion, half a second in each

import pipeline.pairs.isolated_reading  # noqa: F401
