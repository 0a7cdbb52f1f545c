"""A stand-in for the hub: as much of its API as the client speaks when it uploads a dataset.

Large files go by LFS, as to any server without the hub's own storage (HF_HUB_DISABLE_XET=1).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_" + "stand-in"
_COMMIT = "c" * 40


@dataclass
class Hub:
    """What was uploaded.

    Attributes:
        repos: private or not, by name.
        commits: of each, the paths and contents that it added, and its message.
        blobs: large files by their hash, whether committed or not.
        failing: a path of the API that fails with a status, or none.
    """

    repos: dict[str, bool] = field(default_factory=dict)
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    failing: tuple[str, int] = ("", 0)
    url: str = ""

    @property
    def files(self) -> dict[str, bytes]:
        """All committed files."""
        return {path: data for _, files in self.commits for path, data in files.items()}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request."""
        if self.failing[0] and self.failing[0] in path:
            return self.failing[1], {"error": "as the test wants it"}
        if method == "PUT" and (match := re.fullmatch(r"/blobs/(\w+)", path)):
            assert hashlib.sha256(body).hexdigest() == match[1]
            self.blobs[match[1]] = body
            return 200, {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            assert asked["type"] == "dataset"
            known = name in self.repos
            self.repos.setdefault(
                name, asked.get("private") or asked.get("visibility") == "private"
            )
            return (409 if known else 200), {"url": f"{self.url}/datasets/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            return 200, {"files": [_mode(file["path"]) for file in files]}
        if path.endswith("/info/lfs/objects/batch"):
            objects = [self._upload(each) for each in json.loads(body)["objects"]]
            return 200, {"transfer": "basic", "objects": objects}
        if path.endswith("/commit/main"):
            repo = path.removeprefix("/api/").removesuffix("/commit/main")
            return 200, self._commit(repo, [json.loads(line) for line in body.splitlines()])
        return 404, {"error": f"no {method} {path}"}

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        action = {"href": f"{self.url}/blobs/{wanted['oid']}"}
        return {**wanted, "actions": {"upload": action}}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
        (header,) = (line["value"] for line in lines if line["key"] == "header")
        self.commits.append((header["summary"], files))
        url = f"{self.url}/{repo}/commit/{_COMMIT}"
        return {"commitUrl": url, "commitOid": _COMMIT, "success": True}


def _mode(path: str) -> dict[str, Any]:
    large = path.endswith((".parquet", ".png"))
    mode = "lfs" if large else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """A running one."""
    hub = Hub()

    class Answers(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            allowed = self.path.startswith("/blobs/") or TOKEN in self.headers["Authorization"]
            status, said = hub.answer(self.command, self.path, body) if allowed else (401, {})
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
