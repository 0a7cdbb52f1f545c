"""Positions of tokens: as Qwen published the model, also where a clip lasts long."""

from __future__ import annotations

from pipeline.engines.rope_positions import Grid, positions


def columns(*grids: Grid) -> list[tuple[int, ...]]:
    return [tuple(column) for column in positions(grids).T.tolist()]


def test_text_advances_in_all_three() -> None:
    assert columns(Grid(), Grid(), Grid()) == [(0, 0, 0), (1, 1, 1), (2, 2, 2)]


def test_a_picture_stands_still_in_time_and_text_follows_its_longer_side() -> None:
    assert columns(Grid(), Grid(1, 1, 3), Grid()) == [
        *[(0, 0, 0), (1, 1, 1), (1, 1, 2), (1, 1, 3)],
        (4, 4, 4),
    ]


def test_text_follows_the_last_moment_of_a_clip() -> None:
    grid = Grid(steps=3, rows=1, columns=1, interval=2.5)
    assert columns(grid, Grid()) == [(0, 0, 0), (2, 0, 0), (5, 0, 0), (6, 6, 6)]


def test_moments_closer_than_a_position_share_one() -> None:
    grid = Grid(steps=4, rows=1, columns=1, interval=0.5)
    assert columns(grid) == [(0, 0, 0), (0, 0, 0), (1, 0, 0), (1, 0, 0)]
