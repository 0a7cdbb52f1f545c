"""Points the hub's client, in this process, at a stand-in of the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants


def use_hub(patch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """What HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_DISABLE_XET set when the client is imported.

    Args:
        patch: undoes it.
        url: of the stand-in.
        cache: the folder for what is downloaded.
    """
    patch.setattr(constants, "ENDPOINT", url)
    path = "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + path)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
