"""What pictures, clips and texts cost the CPU beside the engine, and how many cores a GPU needs."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from PIL import Image
from transformers import AutoImageProcessor, AutoVideoProcessor

from pipeline.engines.engine import model_path
from pipeline.judging.judge_config import JudgeConfig
from pipeline.lab.bench.bench_requests import LayoutOnly
from pipeline.lab.bench.dummy_pairs import (
    ANSWER_WORDS,
    CLIP_FPS,
    CLIP_FRAMES,
    CLIP_SIDES,
    QUESTION_WORDS,
    dummy_text,
    noise_clip,
    noise_jpeg,
)
from pipeline.labeling.prompting import Identified, Prepared, Prompting
from pipeline.media.clip import Clip, frames_of
from pipeline.media.images import decode_image
from pipeline.media.media_config import MediaConfig
from pipeline.media.media_store import MediaStore
from pipeline.media.videos import decode_video

Work = Callable[[], object]
_SIDES = {"448²": (448, 448), "1 MP": (1152, 864), "4 MP": (2304, 1728)}
_SHOWN = 8


@dataclass(frozen=True)
class _Medium:
    """One encoded medium or the texts of a pair, and the work that it costs.

    Attributes:
        decode: the pipeline's work, to what the judge sees; of texts, to token ids.
        process: the work of the model's own processor, inside of vLLM; of texts none.
    """

    name: str
    bytes: int
    decode: Work
    process: Work


def bench_decode(judge: JudgeConfig, seconds: float, judgments_per_s: float) -> dict[str, Any]:
    """Decodes media and lays texts out, on one thread and on as many as there are cores.

    Args:
        judge: its ``media`` limits the size of pictures and clips.
        seconds: of each measurement.
        judgments_per_s: of the GPU that is to be kept busy; two judgments a pair.
    """
    cores = os.cpu_count() or 1
    rows = []
    for medium in [_texts(judge), *_media(judge)]:
        alone = _cpu_seconds(medium.decode, seconds)
        processor = _cpu_seconds(medium.process, seconds)
        together = _rate(medium.decode, seconds, cores)
        needed = judgments_per_s / 2 * (alone + processor)
        rows.append(
            {
                "medium": medium.name,
                "kilobytes": round(medium.bytes / 1_000),
                "decode_ms": round(alone * 1_000, 2),
                "processor_ms": round(processor * 1_000, 2),
                "cpu_s_1000_pairs": round((alone + processor) * 1_000, 1),
                "pairs_per_s_a_core": round(1 / (alone + processor), 1),
                "decoded_per_s_all_cores": round(together, 1),
                "threads_scale": round(together * alone / cores, 2),
                "cores_a_gpu": round(needed, 2),
            }
        )
    return {
        "benchmark": "decode",
        "rows": rows,
        "cores": cores,
        "judgments_per_s": judgments_per_s,
        "notes": [
            "one medium a pair, decoded once for both orders; medians of CPU time, not wall time",
            "texts: tokens of both orders, system text included, by the judge's own tokenizer",
            "threads_scale: rate on all cores over that of so many single ones by CPU time; less "
            "on a machine that is otherwise busy",
            "processor: the model's own (resize, normalise, patches), inside of vLLM; once a pair "
            "if vLLM's processor cache holds it until the second order, else twice",
            f"cores a GPU: decode and processor at {judgments_per_s:g} judgments/s, 2 a pair",
        ],
    }


def _texts(judge: JudgeConfig) -> _Medium:
    prompting = Prompting(LayoutOnly(judge), judge, MediaStore([], judge.media.max_bytes))
    rng = random.Random(1)
    question, *answers = (dummy_text(rng, n) for n in (QUESTION_WORDS, ANSWER_WORDS, ANSWER_WORDS))
    asked, *said = ((("text", text),) for text in (question, *answers))
    row = Identified("texts", (), asked, tuple(said))

    def layout() -> Prepared:
        return prompting.prepare(row)

    chats = [prompt.chat for prompt in layout().prompts.values()]
    count = sum(len(chat.system or "") + len(chat.user) for chat in chats)
    return _Medium("texts", count, layout, lambda: None)


def _media(judge: JudgeConfig) -> list[_Medium]:
    where = model_path(judge.model.name)
    images = _loaded(AutoImageProcessor, where)
    videos = _loaded(AutoVideoProcessor, where, cap_pixels_per_frame=False)
    found = []
    for name, size in _SIDES.items():
        data = noise_jpeg(size, seed=1)
        shown = decode_image(data, judge.media)
        decode, process = _image(data, judge.media), _pass(images, shown)
        found.append(_Medium(f"JPEG {name}", len(data), decode, process))
    limits = _eight_frames(judge.media)
    data = noise_clip(seed=1)
    clip = decode_video(data, limits)
    if len(clip.frames) != _SHOWN:
        raise AssertionError(f"{len(clip.frames)} frames shown, expected {_SHOWN}")
    name = f"H.264 {CLIP_SIDES[0]}x{CLIP_SIDES[1]}, {_SHOWN} of {CLIP_FRAMES} frames"

    def decode_clip() -> object:
        return decode_video(data, limits)

    return [*found, _Medium(name, len(data), decode_clip, _pass_clip(videos, clip))]


def _loaded(kind: Any, where: str, **settings: Any) -> Any:
    return kind.from_pretrained(where, **settings)


def _eight_frames(media: MediaConfig) -> MediaConfig:
    eight = {"fps": _SHOWN * CLIP_FPS / CLIP_FRAMES, "min_frames": _SHOWN, "max_frames": _SHOWN}
    return media.model_copy(update={"video": media.video.model_copy(update=eight)})


def _image(data: bytes, limits: MediaConfig) -> Work:
    return lambda: decode_image(data, limits)


def _pass(processor: Any, shown: Image.Image) -> Work:
    return lambda: processor(images=[shown], return_tensors="pt")


def _pass_clip(processor: Any, clip: Clip) -> Work:
    def work() -> object:
        size = {"shortest_edge": 1, "longest_edge": 2**40}
        return processor(
            videos=[frames_of(clip)], do_sample_frames=False, size=size, return_tensors="pt"
        )

    return work


def _cpu_seconds(work: Work, seconds: float) -> float:
    """Median CPU seconds of this process for one call, with one torch thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work()
        calls: list[float] = []
        began = time.monotonic()
        while time.monotonic() - began < seconds or not calls:
            cpu = time.process_time()
            work()
            calls.append(time.process_time() - cpu)
        return statistics.median(calls)
    finally:
        torch.set_num_threads(threads)


def _rate(work: Work, seconds: float, threads: int) -> float:
    """Calls a second by several threads at once."""
    stop = time.monotonic() + seconds

    def loop(_: int) -> int:
        calls = 0
        while time.monotonic() < stop:
            work()
            calls += 1
        return calls

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        calls: Sequence[int] = list(pool.map(loop, range(threads)))
    return sum(calls) / (time.monotonic() - began)
