"""HEIC and HEIF pictures, as phones take them: opened by libheif, which `pi-heif` brings.

Browsers but Safari show none, so that what is shown is what the format's standard says: turned as
the file's own boxes say, whatever its EXIF data state, and nothing but the primary picture. libheif
itself refuses a picture that is larger than its file declares.
"""

from __future__ import annotations

import io

import pi_heif
from pi_heif.as_plugin import HeifImageFile
from PIL.ImageFile import ImageFile

from pipeline.media.color_profiles import nclx_profile


def open_heic(data: bytes) -> tuple[ImageFile, bytes]:
    """Reads the header of a picture; nothing is decoded.

    Returns:
        The picture, upright once it is loaded; and the ICC profile of its colours, or no bytes.

    Raises:
        RowRejected: its colours are in high dynamic range.
        SyntaxError: it is damaged, or has no picture that is coded by HEVC.
    """
    options = pi_heif.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.AUX_IMAGES = options.DEPTH_IMAGES = False
    image = HeifImageFile(io.BytesIO(data))
    profile: bytes = image.info.get("icc_profile") or b""
    if not profile and (stated := image.info.get("nclx_profile")):
        profile = nclx_profile(stated["color_primaries"], stated["transfer_characteristics"])
    return image, profile
