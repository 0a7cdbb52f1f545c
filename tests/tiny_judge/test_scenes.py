"""Synthetic scenes and clips: reproducible, split cleanly, drawn where they should be."""

import random

import numpy as np
import pytest
from PIL import Image

from pipeline.lab.tiny_judge.clip_files import ClipFormat, encode_clip
from pipeline.lab.tiny_judge.motions import DIRECTIONS, Motion, render_motion, sample_motion
from pipeline.lab.tiny_judge.sample_layout import MAX_PIXELS, MIN_PIXELS, fit
from pipeline.lab.tiny_judge.scenes import Scene, Size, Thing, encode, render, sample_scene
from pipeline.lab.tiny_judge.served_media import GRID_WEIGHTS
from pipeline.media.media_config import MediaConfig, VideoConfig
from pipeline.media.videos import decode_video

BLACK = Thing(3, "black", "square")


def _middle_of_dark(picture: Image.Image) -> tuple[float, float]:
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) < 90)
    return float(columns.mean()), float(rows.mean())


def test_same_seed_gives_same_bytes() -> None:
    scene = Scene((Thing(4, "red", "circle"), Thing(8, "blue", "square")))
    first, second = (encode(render(scene, random.Random(7), (160, 120))) for _ in range(2))
    assert first == second


def test_different_seeds_give_different_pictures_of_one_scene() -> None:
    scene = Scene((Thing(4, "red", "circle"),))
    pictures = {encode(render(scene, random.Random(seed))) for seed in range(4)}
    assert len(pictures) == 4


def test_held_out_split_is_about_one_in_eight_at_every_count() -> None:
    rng = random.Random(0)
    for count in (1, 2, 3):
        scenes = {sample_scene(rng, count) for _ in range(4_000)}
        share = sum(scene.held_out for scene in scenes) / len(scenes)
        assert 0.05 < share < 0.20, f"{share:.3f} of scenes with {count} things are held out"


def test_a_scene_does_not_depend_on_the_order_of_its_things() -> None:
    first, second = Thing(8, "red", "circle"), Thing(0, "blue", "square")
    assert Scene((first, second)) == Scene((second, first))
    assert Scene((first, second)).describe().startswith("a blue square at top left")


@pytest.mark.parametrize("cells", [(), (1, 1), (0, 1, 2, 3)])
def test_impossible_scenes_are_refused(cells: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 3 things"):
        Scene(tuple(Thing(cell, "red", "circle") for cell in cells))


@pytest.mark.parametrize("size", [(112, 112), (24, 24), (90, 180), (1_200, 675), (24, 600)])
def test_pictures_have_the_size_asked_for(size: Size) -> None:
    picture = render(Scene((Thing(0, "green", "triangle"),)), random.Random(0), size)
    assert picture.size == size
    assert picture.mode == "RGB"


@pytest.mark.parametrize("size", [(0, 100), (100, -1), (23, 100), (100, 8_193)])
def test_hostile_sizes_are_refused(size: Size) -> None:
    with pytest.raises(ValueError, match="cannot render"):
        render(Scene((Thing(0, "green", "triangle"),)), random.Random(0), size)


def test_things_are_drawn_in_their_cells() -> None:
    for cell in range(9):
        thing = Thing(cell, "black", "square")
        picture = render(Scene((thing,)), random.Random(cell), (300, 180)).convert("L")
        middle = ((thing.column + 0.5) * 100, (thing.row + 0.5) * 60)
        rows, columns = np.nonzero(np.asarray(picture) < 90)
        assert rows.size
        assert np.abs(columns - middle[0]).max() <= 52
        assert np.abs(rows - middle[1]).max() <= 32


@pytest.mark.parametrize(
    ("start", "end", "way"), [(3, 5, "right"), (2, 0, "left"), (7, 1, "up"), (4, 7, "down")]
)
def test_a_clip_shows_the_way_that_its_motion_names(start: int, end: int, way: str) -> None:
    motion = Motion(Thing(start, "black", "square"), end)
    frames = render_motion(motion, random.Random(0), (120, 120), 4)
    (x, y), (to_x, to_y) = _middle_of_dark(frames[0]), _middle_of_dark(frames[-1])
    down, across = DIRECTIONS[way]
    assert motion.direction == way
    assert round((to_x - x) / 40) == (end % 3 - start % 3)
    assert round((to_y - y) / 40) == (end // 3 - start // 3)
    assert np.sign([round((to_y - y) / 40), round((to_x - x) / 40)]).tolist() == [down, across]


def test_motions_keep_to_the_grid_and_off_still_things() -> None:
    rng = random.Random(1)
    for _ in range(2_000):
        motion = sample_motion(rng, still=1)
        down, across = DIRECTIONS[motion.direction]
        cells = {motion.mover.cell}
        while motion.end not in cells:
            row, column = divmod(motion.mover.cell, 3)
            row, column = row + down * len(cells), column + across * len(cells)
            assert 0 <= row < 3
            assert 0 <= column < 3
            cells.add(3 * row + column)
        assert motion.still[0].cell not in cells


@pytest.mark.parametrize("format_", ["mp4", "gif"])
@pytest.mark.parametrize(("count", "fps", "sampled"), [(4, 4, 2), (8, 4, 4), (10, 4, 4)])
def test_encoded_clips_reach_the_judge_as_they_were_drawn(
    format_: ClipFormat, count: int, fps: int, sampled: int
) -> None:
    frames = render_motion(Motion(BLACK, 5), random.Random(2), (160, 120), count)
    limits = MediaConfig(
        min_pixels=MIN_PIXELS,
        max_pixels=MAX_PIXELS,
        video=VideoConfig(
            fps=2, min_frames=2, max_frames=4, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS
        ),
    )
    clip = decode_video(encode_clip(frames, fps, format_), limits)
    assert len(clip.frames) == sampled
    assert clip.frames[0].size == fit((160, 120))
    for ours, drawn in ((clip.frames[0], frames[0]), (clip.frames[-1], frames[-1])):
        there, here = _middle_of_dark(ours.resize((160, 120))), _middle_of_dark(drawn)
        assert there == pytest.approx(here, abs=2)


def test_a_clip_of_odd_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="expected even sides"):
        encode_clip([Image.new("RGB", (31, 40))], 2)


@pytest.mark.parametrize("side", range(90, 1_201, 37))
@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9, 9 / 16, 2.0, 0.5])
def test_pictures_of_everyday_sizes_land_on_trained_grids(side: int, aspect: float) -> None:
    size = (round(side * aspect), side) if aspect < 1 else (side, round(side / aspect))
    width, height = fit(size)
    assert (width // 28, height // 28) in GRID_WEIGHTS
    assert MIN_PIXELS <= width * height <= MAX_PIXELS


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((640, 480), (140, 112)),
        ((333, 777), (84, 196)),
        ((1200, 1200), (112, 112)),
        ((150, 1200), (28, 364)),
    ],
)
def test_fit(size: Size, fitted: Size) -> None:
    assert fit(size) == fitted
