"""Shows rows of a source as they would be ingested and judged; keeps nothing."""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory

from pipeline.engines.engine import Layout
from pipeline.ingest.ingest import IngestConfig, ingest
from pipeline.ingest.source_files import open_source
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preview.preview_pairs import Preview, preview
from pipeline.pairs.input_config import InputConfig


def preview_source(config: IngestConfig, label: LabelConfig, layout: Layout, count: int) -> Preview:
    """Ingests the first rows of a source into a temporary folder, and previews these.

    Args:
        config: of the ingest.
        label: of the judge that the pairs are for; what it says under ``input`` does not count.
        layout: lays prompts out as its engine would.
        count: how many rows of the source, and pairs at most.

    Raises:
        ConfigError: the source is of no kind that can be read.
        InputError: the source cannot be read, or its columns do not fit.
    """
    source, root = open_source(config.source), config.media_root or config.source.folder()
    roots = () if root is None else (root,)
    with TemporaryDirectory(prefix="pairmill-preview-") as folder:
        how = {"output": folder, "limit": min(count, config.limit or count)}
        ingest(config.model_copy(update=how), source=source)
        pairs = InputConfig(media_roots=roots)
        found = preview(label.model_copy(update={"input": pairs}), folder, layout, count)
    return replace(found, input_uri=source.name, reads=config.mapping().uses(source.schema))
