"""A preview as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import io

from PIL import Image

from pipeline.labeling.preview.preview_pairs import Preview
from pipeline.labeling.preview.preview_text import caption, picture_of, turns
from pipeline.media.clip import Clip
from pipeline.runtime.page_templates import page_templates

_SIDE = 480  # pixels of a thumbnail at most


def preview_page(preview: Preview) -> str:
    """The page."""
    template = page_templates("pipeline.labeling.preview").get_template("preview.html.j2")
    helpers = {"turns": turns, "caption": caption, "data_uri": _data_uri}
    return template.render(preview=preview, **helpers)


def _data_uri(part: Image.Image | Clip) -> str:
    small = picture_of(part).copy()
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
