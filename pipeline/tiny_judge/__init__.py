"""The tiny judge: a two-million-parameter Qwen2.5-VL that judges pairs about synthetic scenes.

It ships as package data, so that the demo, the tests and the CPU benchmark run the whole path,
in every judging format, with a real engine and a judge that really looks at pictures and clips.
It is no judge of anything else.
"""

from pathlib import Path
from typing import Final

WEIGHTS: Final = Path(__file__).parent / "weights"
"""Folder in Hugging Face layout that transformers and vLLM load."""

MIN_PIXELS: Final = 9_000
MAX_PIXELS: Final = 17_500
"""Bounds of a picture or a frame after resizing, in pixels: 12 to 21 merged tokens of 28 x 28.

The vision tower was trained on these grids only, so media must be resized within these bounds.
"""
