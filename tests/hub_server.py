"""A stand-in for the hub: as much of its API as the client speaks when it uploads a dataset.

Large files go by LFS, as to any server without the hub's own storage (HF_HUB_DISABLE_XET=1).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from tests.loopback import serving

TOKEN = "hf_" + "stand-in"


@dataclass
class Hub:
    """What was uploaded.

    Attributes:
        repos: private or not, by name; all of them have the same files.
        commits: of each, its message, and the paths and contents that it added.
        states: all files after each commit.
        blobs: large files by their hash, whether committed or not.
        failing: a path of the API that fails with a status, or none.
        fails_after: so many commits until the next one fails; none fails by default.
        meddled: what somebody else writes just before the next commit.
    """

    repos: dict[str, bool] = field(default_factory=dict)
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    states: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    failing: tuple[str, int] = ("", 0)
    fails_after: int = -1
    meddled: tuple[str, bytes] | None = None
    url: str = ""

    @property
    def files(self) -> dict[str, bytes]:
        """All files as they are now."""
        return self.states[-1]

    @property
    def head(self) -> str:
        """The hash of the last commit."""
        return f"{len(self.states) - 1:040x}"

    def write(self, path: str, data: bytes) -> None:
        """Somebody changes a file by a commit of their own."""
        self.states.append({**self.files, path: data})

    def file_at(self, path: str) -> bytes | None:
        """What a path such as ``/datasets/team/labels/resolve/<commit>/a.txt`` has."""
        match = re.fullmatch(r"/datasets/[\w-]+/[\w-]+/resolve/([0-9a-f]{40})/(.*)", path)
        return self.states[int(match[1], 16)].get(unquote(match[2])) if match else None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
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
            return self._commit(repo, [json.loads(line) for line in body.splitlines()])
        if match := re.fullmatch(r"/api/datasets/([\w-]+/[\w-]+)/tree/([0-9a-f]{40})\?.*", path):
            files = self.states[int(match[2], 16)]
            tree = [{"type": "file", "path": path, "oid": "0"} for path in files]
            return 200, [{**each, "size": len(files[str(each["path"])])} for each in tree]
        if match := re.fullmatch(r"/api/datasets/([\w-]+/[\w-]+)", path):
            return 200, {"id": match[1], "sha": self.head, "siblings": []}
        return 404, {"error": f"no {method} {path}"}

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        action = {"href": f"{self.url}/blobs/{wanted['oid']}"}
        return {**wanted, "actions": {"upload": action}}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        if self.meddled is not None:
            self.write(*self.meddled)
        (header,) = (line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit", self.head) != self.head:
            return 412, {"error": "the branch has moved"}
        if self.fails_after == 0:
            return 503, {"error": "as the test wants it"}
        self.fails_after -= 1
        added, after = {}, dict(self.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                added[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                added[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile" and after.pop(value["path"], None) is None:
                return 404, {"error": "A file with this name doesn't exist"}
        self.commits.append((header["summary"], added))
        self.states.append(after | added)
        url = f"{self.url}/{repo}/commit/{self.head}"
        return 200, {"commitUrl": url, "commitOid": self.head, "success": True}


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
            if allowed and (found := hub.file_at(self.path)) is not None:
                self._send(200, found)
            else:
                status, said = hub.answer(self.command, self.path, body) if allowed else (401, {})
                self._send(status, json.dumps(said).encode())

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.head)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = _answer

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    with serving(Answers) as hub.url:
        yield hub
