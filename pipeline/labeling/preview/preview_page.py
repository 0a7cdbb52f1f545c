"""A preview as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import io

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from pipeline.labeling.preview.preview_pairs import Preview
from pipeline.labeling.preview.preview_text import caption, picture_of, turns
from pipeline.media.clip import Clip
from pipeline.runtime.printable import printable

_SIDE = 480  # pixels of a thumbnail at most


def preview_page(preview: Preview) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("pipeline.labeling.preview", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"printable": lambda text: printable(str(text)), "data_uri": _data_uri}
    helpers = {"turns": turns, "caption": caption}
    return environment.get_template("preview.html.j2").render(preview=preview, **helpers)


def _data_uri(part: Image.Image | Clip) -> str:
    small = picture_of(part).copy()
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
