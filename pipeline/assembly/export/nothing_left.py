"""What to tell who asks for an export that would have no rows."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.assembly.export.formats import FORMATS, able
from pipeline.assembly.export.rules import HAS_IMAGES, HAS_VIDEOS
from pipeline.core.errors import InputError
from schemas.manifest import Manifest


def nothing_left(
    manifest: Manifest, format_: str, dropped: Mapping[str, int], details: Mapping[str, str]
) -> InputError:
    """No row of a snapshot is left to export.

    Args:
        manifest: of the snapshot.
        format_: of the export.
        dropped: its rows by reason, and ``details`` of some.
    """
    counted = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items()))
    examples = "".join(f"\n  {reason}: {text}" for reason, text in sorted(details.items()))
    return InputError(
        f"no row of snapshot {manifest.snapshot_id} is left to export: of {manifest.rows:,} rows "
        f"are dropped {counted}; {_advice(format_, dropped)}{examples}"
    )


def _advice(name: str, dropped: Mapping[str, int]) -> str:
    pictures = FORMATS[name].images
    if dropped.get(HAS_IMAGES) or (dropped.get(HAS_VIDEOS) and not pictures):
        return (
            f"{name} holds texts alone: take a format that holds pictures "
            f"({able(lambda each: each.images)}), or export these rows without what they are about "
            "(export.media.strip=true)"
        )
    if dropped.get(HAS_VIDEOS):
        return f"formats that hold videos: {able(lambda each: each.videos)}"
    if any(reason.startswith("media_") for reason in dropped):
        return "restore the media, or say where they are (input.media_roots)"
    return "ask for less (export.selection)"
