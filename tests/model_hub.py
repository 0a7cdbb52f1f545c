"""A stand-in for the hub: as much of its API as the client speaks when it asks about a model.

``/api/models/<name>/revision/<commit>?blobs=true`` lists files as the hub does: those kept by LFS
with their SHA-256, others with their git object id; without ``blobs``, by their names alone. Files
are under ``/<name>/resolve/<revision>/``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.loopback import serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin", ".png")  # kept by LFS, as .gitattributes of a model says


@dataclass
class ModelHub:
    """What it serves, and what was asked of it.

    Attributes:
        models: files by path, of each model.
        silent: models that it lists without hashes, as a mirror does that knows files only.
        asked: methods and paths of all requests.
    """

    models: Mapping[str, Mapping[str, bytes]]
    silent: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, query: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for a path."""
        for name, files in self.models.items():
            if path == f"/api/models/{name}/revision/{COMMIT}":
                if name in self.silent:
                    return 404, b'{"error": "not here"}', {}
                siblings = [_sibling(each, data) for each, data in files.items()]
                if "blobs=true" not in query.lower():
                    siblings = [{"rfilename": each} for each in files]
                info = {"_id": "6" * 24, "id": name, "sha": COMMIT, "private": False}
                return 200, json.dumps(info | {"siblings": siblings}).encode(), {}
            for revision in (COMMIT, "main"):
                if path.startswith(start := f"/{name}/resolve/{revision}/"):
                    data = files.get(path.removeprefix(start))
                    if data is not None:
                        tag = f'"{_git_id(data)}"'
                        return 200, data, {"X-Repo-Commit": COMMIT, "ETag": tag}
        return 404, b"", {"X-Error-Code": "EntryNotFound"}


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    if not name.endswith(LARGE):
        return {"rfilename": name, "size": len(data), "blobId": _git_id(data)}
    oid = hashlib.sha256(data).hexdigest()
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n".encode()
    )
    lfs = {"sha256": oid, "size": len(data), "pointerSize": len(pointer)}
    return {"rfilename": name, "size": len(data), "blobId": _git_id(pointer), "lfs": lfs}


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextlib.contextmanager
def model_hub(hub: ModelHub) -> Iterator[ModelHub]:
    """Serves it on this machine."""

    class Answers(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            url = urlsplit(self.path)
            hub.asked.append(f"{self.command} {url.path}")
            status, data, headers = hub.answer(url.path, url.query)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_GET = do_HEAD = _answer

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    with serving(Answers) as hub.url:
        yield hub
