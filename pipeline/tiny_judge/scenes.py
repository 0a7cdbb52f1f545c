"""Synthetic scenes: one to three coloured shapes on a 3 x 3 grid, drawn at any size.

One renderer serves training, tests and the demo. Everything is a function of the
``random.Random`` it is given, so the same seed always gives the same bytes.
"""

import hashlib
import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
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

Format: TypeAlias = Literal["PNG", "JPEG"]
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
        text = ";".join(f"{t.shape},{t.colour},{t.cell}" for t in self.things)
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % _HELD_OUT_ONE_IN == 0

    def describe(self) -> str:
        """The scene in words, in raster order."""
        return ", ".join(f"a {thing.name} at {thing.place}" for thing in self.things)


def sample_scene(rng: random.Random, count: int) -> Scene:
    """Draw a scene whose colours, shapes and cells are uniform and independent.

    Args:
        rng: Source of every choice.
        count: Number of things, 1 to 3.
    """
    cells = rng.sample(range(9), count)
    return Scene(tuple(Thing(c, rng.choice(COLOURS), rng.choice(SHAPES)) for c in cells))


def render(scene: Scene, rng: random.Random, size: Size = (112, 112)) -> Image.Image:
    """Draw a scene with jitter of position, size, tilt and colour, and with pixel noise.

    Args:
        scene: What to draw.
        rng: Source of the jitter.
        size: Width and height in pixels, each 24 to 8,192.

    Returns:
        An RGB picture of exactly ``size``.

    Raises:
        ValueError: If a side is out of range.
    """
    width, height = size
    if not all(_SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in size):
        raise ValueError(
            f"cannot render {width}x{height}: each side must be {_SMALLEST_SIDE} to "
            f"{_LARGEST_SIDE} pixels"
        )
    base = rng.randint(222, 250)
    background = tuple(base + rng.randint(-9, 5) for _ in range(3))
    picture = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(picture)
    for thing in scene.things:
        _draw_thing(draw, thing, rng, width / 3, height / 3)
    return _with_noise(picture, rng)


def encode(picture: Image.Image, format: Format = "PNG", quality: int = 90) -> bytes:
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


def _draw_thing(
    draw: ImageDraw.ImageDraw,
    thing: Thing,
    rng: random.Random,
    cell_width: float,
    cell_height: float,
) -> None:
    radius = min(cell_width, cell_height) * rng.uniform(0.31, 0.43)
    # The centre may move as far as the thing stays inside its cell.
    x = (thing.column + 0.5) * cell_width + rng.uniform(-1, 1) * 0.8 * (cell_width / 2 - radius)
    y = (thing.row + 0.5) * cell_height + rng.uniform(-1, 1) * 0.8 * (cell_height / 2 - radius)
    colour = tuple(min(255, max(0, c + rng.randint(-22, 22))) for c in _RGB[thing.colour])
    if thing.shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return
    corners = 4 if thing.shape == "square" else 3
    # Corners lie on a circle a little wider than the radius, so that areas look alike.
    reach = radius * (1.22 if corners == 4 else 1.15)
    tilt = math.radians(rng.uniform(-8, 8)) - math.pi / 2 + (math.pi / 4 if corners == 4 else 0)
    draw.polygon(_regular_polygon(x, y, reach, corners, tilt), fill=colour)


def _regular_polygon(
    x: float, y: float, reach: float, corners: int, tilt: float
) -> Sequence[tuple[float, float]]:
    angles = (tilt + 2 * math.pi * i / corners for i in range(corners))
    return [(x + reach * math.cos(a), y + reach * math.sin(a)) for a in angles]


def _with_noise(picture: Image.Image, rng: random.Random) -> Image.Image:
    strength = rng.randint(0, 12)
    noise_rng = np.random.default_rng(rng.getrandbits(64))
    pixels = np.asarray(picture, dtype=np.int16)
    noise = noise_rng.integers(-strength, strength + 1, pixels.shape[:2], dtype=np.int16)
    noisy = np.clip(pixels + noise[:, :, None], 0, 255).astype(np.uint8)
    return Image.fromarray(noisy)
