"""The tiny judge: a two-million-parameter Qwen2.5-VL that judges pairs about synthetic scenes.

Here it is trained, and the synthetic pairs are made. Its weights are package data of
``pipeline.engines``, so that the demo, the tests and the CPU benchmark run the whole path, in every
judging format, with a real engine and a judge that really looks at pictures and clips. It is no
judge of anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.engines.engine import TINY_JUDGE, model_path

WEIGHTS: Final = Path(model_path(TINY_JUDGE))
"""Folder in Hugging Face layout that transformers and vLLM load."""

MIN_PIXELS: Final = 9_000
MAX_PIXELS: Final = 17_500
"""Bounds of a picture or a frame after resizing, in pixels: 12 to 21 merged tokens of 28 x 28.

The vision tower was trained on these grids only, so media must be resized within these bounds.
"""
