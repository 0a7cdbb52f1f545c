"""Short clips in which one thing moves in a straight line and the others stand still."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image

from pipeline.lab.tiny_judge.scenes import COLOURS, SHAPES, Canvas, Size, Thing, is_held_out

DIRECTIONS: Final = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""Rows and columns of the grid that a step in each direction crosses."""


@dataclass(frozen=True)
class Motion:
    """What a clip shows.

    Attributes:
        mover: The thing that moves, in the cell where it starts.
        end: The cell where it ends, in the same row or column.
        still: The other things, none of them on its way.
    """

    mover: Thing
    end: int
    still: tuple[Thing, ...] = ()

    @property
    def goal(self) -> Thing:
        """The thing that moves, in the cell where it ends."""
        return replace(self.mover, cell=self.end)

    @property
    def direction(self) -> str:
        """Its direction: one of ``DIRECTIONS``."""
        if self.goal.row != self.mover.row:
            return "up" if self.goal.row < self.mover.row else "down"
        return "left" if self.goal.column < self.mover.column else "right"

    @property
    def held_out(self) -> bool:
        """Whether the clip is kept from training: about one in eight, by a hash of its content."""
        return is_held_out(f"{self.mover}>{self.end};{self.still}")

    def describe(self) -> str:
        """The clip in words, by where things start, in raster order."""
        return ", ".join(
            f"a {thing.name} from {thing.place} to {self.goal.place}"
            if thing is self.mover
            else f"a {thing.name} at {thing.place}"
            for thing in sorted((self.mover, *self.still))
        )


def sample_motion(
    rng: random.Random, still: int, name: tuple[str, str] | None = None, way: str | None = None
) -> Motion:
    """Sample a clip.

    Args:
        rng: Source of every choice.
        still: Number of things that stand still, 0 or 1; of another colour and shape than the
            mover.
        name: Colour and shape of the mover; sampled if None.
        way: Its direction; sampled if None.
    """
    colour, shape = name or (rng.choice(COLOURS), rng.choice(SHAPES))
    down, across = DIRECTIONS[way or rng.choice(list(DIRECTIONS))]
    ways = [
        (start, end)
        for start in range(9)
        for steps in (1, 2)
        if (end := _moved(start, down * steps, across * steps)) is not None
    ]
    start, end = rng.choice(ways)
    mover = Thing(start, colour, shape)
    step = 3 * down + across
    free = sorted(set(range(9)) - set(range(start, end + step, step)))
    things = (
        Thing(
            rng.choice(free),
            rng.choice([c for c in COLOURS if c != colour]),
            rng.choice([s for s in SHAPES if s != shape]),
        )
        for _ in range(still)
    )
    return Motion(mover, end, tuple(things))


def _moved(cell: int, down: int, across: int) -> int | None:
    row, column = cell // 3 + down, cell % 3 + across
    return 3 * row + column if 0 <= row < 3 and 0 <= column < 3 else None


def render_motion(motion: Motion, rng: random.Random, size: Size, frames: int) -> list[Image.Image]:
    """Render the frames of a clip, evenly spaced from start to end.

    Args:
        motion: What to render.
        rng: Source of the jitter.
        size: Width and height in pixels, each 24 to 8,192.
        frames: How many, 2 or more.

    Returns:
        RGB pictures of exactly ``size``; only the mover and the noise differ between them.
    """
    canvas = Canvas(rng, size)
    still = [canvas.sketch(rng, thing) for thing in motion.still]
    mover, goal = canvas.sketch(rng, motion.mover), motion.goal
    width = (goal.column - motion.mover.column) * canvas.cell[0]
    height = (goal.row - motion.mover.row) * canvas.cell[1]
    pictures = []
    for number in range(frames):
        done = number / (frames - 1)
        moved = replace(mover, x=mover.x + done * width, y=mover.y + done * height)
        pictures.append(canvas.picture(rng, [*still, moved]))
    return pictures
