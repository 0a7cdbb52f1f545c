"""Synthetic scenes: one to three coloured shapes on a 3 x 3 grid, rendered at any size.

One renderer serves training, tests and the demo. Everything is a function of the
``random.Random`` it is given, so the same seed always gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SHAPES: Final = ("circle", "square", "triangle")
COLOURS: Final = ("red", "green", "blue", "yellow", "purple", "black")
ROWS: Final = ("top", "middle", "bottom")
COLUMNS: Final = ("left", "centre", "right")

_RGB: Final = {
    "red": (220, 40, 40),
    "green": (35, 160, 60),
    "blue": (40, 80, 215),
    "yellow": (240, 200, 30),
    "purple": (150, 50, 180),
    "black": (25, 25, 25),
}
_HELD_OUT_ONE_IN: Final = 8
_SMALLEST_SIDE: Final = 24
_LARGEST_SIDE: Final = 8_192
_BANK: Final = 1 << 18

PictureFormat: TypeAlias = Literal["PNG", "JPEG"]
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, order=True)
class Thing:
    """One object of a scene.

    Attributes:
        cell: Place on the grid, 0 to 8 in raster order.
        colour: One of ``COLOURS``.
        shape: One of ``SHAPES``.
    """

    cell: int
    colour: str
    shape: str

    @property
    def row(self) -> int:
        """Row of the grid, 0 (top) to 2."""
        return self.cell // 3

    @property
    def column(self) -> int:
        """Column of the grid, 0 (left) to 2."""
        return self.cell % 3

    @property
    def name(self) -> str:
        """Colour and shape, such as ``red circle``."""
        return f"{self.colour} {self.shape}"

    @property
    def place(self) -> str:
        """Row and column in words, such as ``top left``."""
        return f"{ROWS[self.row]} {COLUMNS[self.column]}"


@dataclass(frozen=True)
class Scene:
    """What a picture shows: things in distinct cells, kept in raster order."""

    things: tuple[Thing, ...]

    def __post_init__(self) -> None:
        cells = [thing.cell for thing in self.things]
        if not 1 <= len(cells) <= 3 or len(set(cells)) != len(cells):
            raise ValueError(f"a scene holds 1 to 3 things in distinct cells, got cells {cells}")
        object.__setattr__(self, "things", tuple(sorted(self.things)))

    @property
    def held_out(self) -> bool:
        """Whether the scene is kept from training: about one in eight, by a hash of its things."""
        return is_held_out(";".join(f"{t.shape},{t.colour},{t.cell}" for t in self.things))

    def describe(self) -> str:
        """The scene in words, in raster order."""
        return ", ".join(f"a {thing.name} at {thing.place}" for thing in self.things)


def is_held_out(text: str) -> bool:
    """Whether the item that the text identifies is kept from training."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _HELD_OUT_ONE_IN == 0


def sample_scene(rng: random.Random, count: int) -> Scene:
    """Sample a scene whose colours, shapes and cells are uniform and independent.

    Args:
        rng: Source of every choice.
        count: Number of things, 1 to 3.
    """
    cells = rng.sample(range(9), count)
    return Scene(tuple(Thing(c, rng.choice(COLOURS), rng.choice(SHAPES)) for c in cells))


def render(scene: Scene, rng: random.Random, size: Size = (112, 112)) -> Image.Image:
    """Render a scene with jitter of position, size, tilt and colour, and with pixel noise.

    Args:
        scene: What to render.
        rng: Source of the jitter.
        size: Width and height in pixels, each 24 to 8,192.

    Returns:
        An RGB picture of exactly ``size``.

    Raises:
        ValueError: If a side is out of range.
    """
    canvas = Canvas(rng, size)
    return canvas.picture(rng, [canvas.sketch(rng, thing) for thing in scene.things])


def encode(picture: Image.Image, format: PictureFormat = "PNG", quality: int = 90) -> bytes:
    """Encode a picture as PNG or JPEG bytes.

    Args:
        picture: An RGB picture.
        format: ``PNG`` or ``JPEG``.
        quality: JPEG quality, 1 to 95; ignored for PNG.
    """
    buffer = io.BytesIO()
    if format == "JPEG":
        picture.save(buffer, "JPEG", quality=quality)
    else:
        picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True)
class Sketch:
    """How one thing is drawn: its outline in pixels, and its colour."""

    shape: str
    colour: tuple[int, ...]
    x: float
    y: float
    radius: float
    tilt: float

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        """Fill the outline."""
        if self.shape == "circle":
            box = (self.x - self.radius, self.y - self.radius)
            draw.ellipse((*box, self.x + self.radius, self.y + self.radius), fill=self.colour)
            return
        corners = 4 if self.shape == "square" else 3
        # Corners lie on a circle a little wider than the radius, so that areas look alike.
        reach = self.radius * (1.22 if corners == 4 else 1.15)
        start = self.tilt - math.pi / 2 + (math.pi / 4 if corners == 4 else 0)
        angles = (start + 2 * math.pi * i / corners for i in range(corners))
        outline = [(self.x + reach * math.cos(a), self.y + reach * math.sin(a)) for a in angles]
        draw.polygon(outline, fill=self.colour)


class Canvas:
    """An empty picture: its size, its background and the strength of its noise.

    Attributes:
        cell: Width and height of a cell of the grid, in pixels.
    """

    def __init__(self, rng: random.Random, size: Size) -> None:
        """Draws a background.

        Raises:
            ValueError: If a side is not within 24 to 8,192 pixels.
        """
        if not all(_SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in size):
            raise ValueError(
                f"cannot render {size[0]}x{size[1]}: each side must be {_SMALLEST_SIDE} to "
                f"{_LARGEST_SIDE} pixels"
            )
        base = rng.randint(222, 250)
        self._background = tuple(base + rng.randint(-9, 5) for _ in range(3))
        self._noise = rng.randint(0, 12)
        self._size = size
        self.cell = (size[0] / 3, size[1] / 3)

    def sketch(self, rng: random.Random, thing: Thing) -> Sketch:
        """A thing with jitter, wholly inside its cell."""
        width, height = self.cell
        radius = min(self.cell) * rng.uniform(0.31, 0.43)
        # The centre moves only as far as the thing stays inside its cell.
        x = (thing.column + 0.5) * width + rng.uniform(-1, 1) * 0.8 * (width / 2 - radius)
        y = (thing.row + 0.5) * height + rng.uniform(-1, 1) * 0.8 * (height / 2 - radius)
        colour = tuple(min(255, max(0, c + rng.randint(-22, 22))) for c in _RGB[thing.colour])
        return Sketch(thing.shape, colour, x, y, radius, math.radians(rng.uniform(-8, 8)))

    def picture(self, rng: random.Random, sketches: Sequence[Sketch]) -> Image.Image:
        """The sketches on the background, with fresh noise."""
        picture = Image.new("RGB", self._size, self._background)
        draw = ImageDraw.Draw(picture)
        for sketch in sketches:
            sketch.draw(draw)
        return _with_noise(picture, rng, self._noise) if self._noise else picture


@cache
def _noise_bank(strength: int) -> NDArray[np.int16]:
    rng = np.random.default_rng(strength)
    return rng.integers(-strength, strength + 1, 2 * _BANK, dtype=np.int16)


def _with_noise(picture: Image.Image, rng: random.Random, strength: int) -> Image.Image:
    # A window of fixed noise: generating it would take longer than everything else together.
    start = rng.randrange(_BANK)
    pixels = np.asarray(picture)
    count = pixels.shape[0] * pixels.shape[1]
    noise = np.resize(_noise_bank(strength)[start : start + min(count, _BANK)], pixels.shape[:2])
    noisy = pixels + noise[:, :, None]
    return Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))
