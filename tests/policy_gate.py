"""A server before an S3 server that lets through what the policies of infra/iam allow.

The servers that we can test on know no condition on ``If-None-Match``, and name rights otherwise.
"""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.iam_policies import EXAMPLE, Request, allows, denies
from tests.loopback import serving
from tests.s3_server import Key, S3Server

_KEY = re.compile(r"Credential=([^/]+)/")
_HOP = frozenset(("connection", "keep-alive", "transfer-encoding"))
_DENIED = b"<Error><Code>AccessDenied</Code><Message>a policy of infra/iam</Message></Error>"


def request_of(method: str, target: str, headers: Mapping[str, str]) -> Request:
    """What a policy sees of a request of S3's protocol, with the bucket in its path."""
    url = urlsplit(target)
    _, _, key = unquote(url.path).lstrip("/").partition("/")
    query = parse_qs(url.query, keep_blank_values=True)
    facts = {"aws:SecureTransport": "true"}  # the tests' servers speak plain HTTP
    for header in ("if-match", "if-none-match"):
        if (value := _header(headers, header)) is not None:
            facts[f"s3:{header}"] = value
    if method in ("GET", "HEAD"):
        if key:
            return Request("s3:GetObject", key, facts=facts)
        facts["s3:prefix"] = query.get("prefix", [""])[0]
        return Request("s3:ListBucket", facts=facts)
    if method == "DELETE":
        aborts = "uploadId" in query
        return Request("s3:AbortMultipartUpload" if aborts else "s3:DeleteObject", key, facts=facts)
    if "delete" in query:
        return Request("s3:DeleteObject", "*", facts=facts)
    creates = "partNumber" not in query and "uploads" not in query
    facts["s3:ObjectCreationOperation"] = str(creates).lower()
    return Request("s3:PutObject", key, facts=facts)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for each, value in headers.items() if each.lower() == name.lower()), None)


class PolicyGate:
    """What was let through and what was not.

    Attributes:
        url: where it listens.
        refused: access key and request of every one that was denied.
        writes: the same of the writes that were let through.
    """

    def __init__(self, server: S3Server, roles: Mapping[str, str]) -> None:
        """Takes the policy of each access key; other keys are let through."""
        self.url = ""
        self.refused: list[tuple[str, Request]] = []
        self.writes: list[tuple[str, Request]] = []
        self._host = urlsplit(server.endpoint).netloc
        self._roles, self._lock = roles, threading.Lock()

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The same, with this server in place of the one behind it."""
        return {**environment, "AWS_ENDPOINT_URL": self.url}

    def client(self, key: Key) -> Any:
        """A client of this server."""
        return S3Server(self.url).client(key)

    def lets(self, method: str, target: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is let through."""
        found = _KEY.search(_header(headers, "Authorization") or "")
        key = found[1] if found else ""
        if key not in self._roles:
            return True
        request = replace(request_of(method, target, headers), bucket=EXAMPLE)
        fine = allows(self._roles[key], request) and not denies(request)
        with self._lock:
            if not fine:
                self.refused.append((key, request))
            elif request.action == "s3:PutObject":
                self.writes.append((key, request))
        return fine

    def forward(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """The answer of the server behind; the request stays as it was signed."""
        behind = http.client.HTTPConnection(self._host)
        try:
            behind.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() != "expect":
                    behind.putheader(name, value)
            behind.endheaders(body or None)
            answer = behind.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            behind.close()


@contextmanager
def policy_gate(server: S3Server, roles: Mapping[str, str]) -> Iterator[PolicyGate]:
    """Serves for the length of a block.

    Args:
        server: what is behind.
        roles: the file of infra/iam that holds for an access key.
    """
    gate = PolicyGate(server, roles)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target, headers = self.path, dict(self.headers)
            if gate.lets(self.command, target, headers):
                status, found, data = gate.forward(self.command, target, headers, body)
            else:
                status, found, data = 403, [("Content-Type", "application/xml")], _DENIED
            self.send_response_only(status)
            sized = self.command == "HEAD" and status == 200
            for name, value in found:
                if name.lower() not in _HOP and (sized or name.lower() != "content-length"):
                    self.send_header(name, value)
            if not sized:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as url:
        gate.url = url
        yield gate
