"""Small packages, and registries on the loopback address that serve them."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import importlib.metadata
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Registries:
    """Registries, each a folder of folders of wheels: a listing of a folder is its index page.

    Attributes:
        folder: holds ``<registry>/<package>/<wheel>``.
        url: what a registry's name is appended to.
        asked: paths of all requests.
    """

    folder: Path
    url: str
    asked: list[str] = field(default_factory=list)

    def add(self, registry: str, name: str, version: str, files: Mapping[str, str]) -> str:
        """Adds a package of pure Python; returns the line of a lock that names it."""
        stem = f"{name.replace('-', '_')}-{version}"
        wheel = Wheel(self._place(registry, name) / f"{stem}-py3-none-any.whl", stem)
        wheel.add("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.add("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for path, text in files.items():
            wheel.add(path, text, metadata=False)
        return f"{name}=={version} --hash=sha256:{wheel.close()}"

    def add_installed(self, registry: str, name: str) -> str:
        """Adds a package as it is installed here, its programs too; returns its lock's line."""
        distribution = importlib.metadata.distribution(name)
        stem = f"{name}-{distribution.version}"
        tags = (distribution.read_text("WHEEL") or "").partition("Tag: ")[2]
        path = self._place(registry, name) / f"{stem}-{tags.split()[0]}.whl"
        wheel = Wheel(path, stem)
        for file in distribution.files or ():
            data = Path(str(file.locate())).read_bytes() if file.suffix != ".pyc" else b""
            if file.parts[0] == "..":
                if file.name == name:
                    wheel.add(f"{stem}.data/scripts/{file.name}", data, metadata=False)
            elif data and file.name not in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}:
                wheel.add(str(file), data, metadata=False)
        return f"{name}=={distribution.version} --hash=sha256:{wheel.close()}"

    def _place(self, registry: str, name: str) -> Path:
        place = self.folder / registry / name
        place.mkdir(parents=True, exist_ok=True)
        return place


class Wheel:
    """A wheel that is being written."""

    def __init__(self, path: Path, stem: str) -> None:
        """Begins a wheel of the package and version in `stem`."""
        self.path = path
        self._info = f"{stem}.dist-info"
        self._archive = zipfile.ZipFile(path, "w")
        self._record: list[str] = []

    def add(self, name: str, data: str | bytes, *, metadata: bool = True) -> None:
        """Adds a file, to the package's metadata or beside it."""
        content = data.encode() if isinstance(data, str) else data
        place = zipfile.ZipInfo(f"{self._info}/{name}" if metadata else name)
        place.external_attr = 0o100755 << 16
        self._archive.writestr(place, content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self._record.append(f"{place.filename},sha256={digest},{len(content)}")

    def close(self) -> str:
        """Ends the wheel; returns its SHA-256."""
        record = f"{self._info}/RECORD"
        self._archive.writestr(record, "\n".join([*self._record, f"{record},,", ""]))
        self._archive.close()
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Registries]:
    """Serves the registries in a folder."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            registries.asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        registries = Registries(folder, f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield registries
        finally:
            server.shutdown()
            thread.join()
