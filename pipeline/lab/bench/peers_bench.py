"""The whole job against its peers on the same requests: the bare engine, and ray.data.llm."""

from __future__ import annotations

import importlib
import io
import math
import time
from operator import itemgetter
from typing import Any

import numpy as np
from PIL import Image

from pipeline.engines.engine import Rendered, merged_args, model_path
from pipeline.engines.forced_lengths import forced_length
from pipeline.lab.bench.bench_requests import LayoutOnly, Rates, prompts_of, steady_judgments
from pipeline.lab.bench.fresh_process import in_fresh_process, stderr_reporter
from pipeline.lab.bench.pipeline_bench import Sides, bench_pipeline
from pipeline.labeling.cluster.ray_session import ray_session
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.errors import ConfigError

_BATCH, _BATCHES_AT_ONCE = 64, 20  # its best on an H200
Row = dict[str, Any]


def bench_peers(
    config: LabelConfig, input_uri: str, output_uri: str, repeats: int
) -> dict[str, Any]:
    """The benchmark ``pipeline`` with ``ray.data.llm`` as a third side; engines' starts left out.

    Of ``ray.data.llm`` the clock runs from its engine's start on the first request to its reply
    to the last; it gets the same token ids and pictures, prepared before.

    Args:
        config: of the job.
        input_uri: pair shards.
        output_uri: an empty folder; each repeat writes into one of its own below it.
        repeats: how often each side runs.
    """
    absent = why_no_ray_data_llm()
    peers: Sides = {}
    if absent is None:
        peers = {"ray.data.llm": lambda: in_fresh_process(_ray_data_llm, config, input_uri)}
    results = bench_pipeline(config, input_uri, output_uri, repeats, peers)
    tuned = f"ray.data.llm with batches of {_BATCH}, {_BATCHES_AT_ONCE} at once"
    note = f"ray.data.llm was left out: {absent}" if absent else tuned
    return results | {"benchmark": "peers", "notes": [*results["notes"], note]}


def why_no_ray_data_llm() -> str | None:
    """Why ``ray.data.llm`` cannot be used with the installed vLLM; None if it can.

    Ray imports a module that moved in vLLM 0.32 only when a run begins; the benchmark must know
    before.
    """
    try:
        importlib.import_module("ray.data.llm")
        importlib.import_module("vllm.entrypoints.chat_utils")
    except ImportError as error:
        return f"it cannot be used with this vLLM ({type(error).__name__}: {error})"
    return None


def _ray_data_llm(config: LabelConfig, input_uri: str) -> Rates:
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    if config.judge.media.video.max_videos:
        raise ConfigError("ray.data.llm: compare without clips (judge.media.video.max_videos=0)")
    how = config.judge.sampling
    prompts = prompts_of(config, input_uri, LayoutOnly(config.judge))
    rows = [
        _row(prompt, _most_tokens(config, prompt)) | {"number": number}
        for number, prompt in enumerate(prompts)
    ]
    processor = build_processor(
        vLLMEngineProcessorConfig(
            model_source=model_path(config.judge.model.name),
            engine_kwargs={
                "dtype": config.judge.model.dtype,
                "quantization": config.judge.model.quantization,
                "max_model_len": config.judge.model.max_model_len,
                "max_num_seqs": config.engine.max_num_seqs,
                "limit_mm_per_prompt": {"image": config.judge.media.max_images},
                **merged_args(config.judge, config.engine),
            },
            runtime_env={"env_vars": config.engine.env | config.judge.model.env},
            batch_size=_BATCH,
            max_concurrent_batches=_BATCHES_AT_ONCE,
            concurrency=1,
            log_engine_metrics=False,
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
        ),
        preprocess=_Preprocess(how.temperature, how.top_p),
        postprocess=_postprocess,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    # A block that is no multiple of a batch ends in a small one, which counts as one of those at
    # once: by default Ray makes 200 blocks, and batches of 64 and 16 in turn.
    blocks = math.ceil(len(rows) / _BATCH)
    with ray_session(config.workers, stderr_reporter()):
        source = ray.data.from_items(rows, override_num_blocks=blocks)
        replied: list[Row] = processor(source).take_all()
    began = min(row["began"] for row in replied)
    seconds = max(row["ended"] for row in replied) - began
    tokens = sum(row["output_tokens"] for row in replied)
    # A row's end is that of the last one of its batch: late, but equally so throughout.
    ended = [row["ended"] for row in sorted(replied, key=itemgetter("number"))]
    return Rates(len(replied) // 2, len(replied), tokens, seconds, steady_judgments(ended))


class _Preprocess:
    """Makes its engine's request out of a row; pictures are decoded in its own stage."""

    def __init__(self, temperature: float, top_p: float) -> None:
        self._params = {"temperature": temperature, "top_p": top_p}

    def __call__(self, row: Row) -> Row:
        images = [Image.open(io.BytesIO(data)).convert("RGB") for data in row["images"]]
        more = {"multimodal_data": {"image": images}} if images else {}
        ids = np.asarray(row["token_ids"]).tolist()
        params = self._params | {"max_tokens": int(row["max_tokens"])}
        return {"tokenized_prompt": ids, "sampling_params": params, **more}


def _postprocess(row: Row) -> Row:
    now = time.time()
    taken = float(row["time_taken_llm"])
    return {
        "number": int(row["number"]),
        "began": now - taken,
        "ended": now,
        "output_tokens": int(row["num_generated_tokens"]),
    }


def _most_tokens(config: LabelConfig, prompt: Rendered) -> int:
    """The most tokens of a reply: other sides' replies are cut off at the same lengths."""
    most, mean = config.judge.sampling.max_tokens, config.engine.script.get("reply_tokens")
    return min(most, forced_length(prompt, mean)) if mean else most


def _row(prompt: Rendered, most_tokens: int) -> Row:
    return {
        "token_ids": list(prompt.token_ids),
        "images": [_bmp(picture) for picture in prompt.chat.images],
        "max_tokens": most_tokens,
    }


def _bmp(picture: Image.Image) -> bytes:
    """Lossless, and thirty times as fast as PNG, which took longer than the engine's start."""
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    return buffer.getvalue()
