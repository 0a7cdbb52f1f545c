"""What pip is configured to use here, in the variables that uv reads.

uv reads none of pip's configuration. Where packages come from, whose certificates are trusted and
which proxy is used is often set for pip only, by those who set up the machine. Prints lines for a
shell to `eval`; variables of uv that are set already stay as they are.

    eval "$(python infra/requirements/pip_settings.py)"
"""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

_UV_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


def for_uv(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Translates pip's settings.

    Args:
        pip: pip's settings for `pip install`, named as in its configuration files.
        environment: Variables that are set; what they say to uv is not overridden.

    Returns:
        Variables to set for uv, and for what else it downloads with.
    """
    variables = {
        "SSL_CERT_FILE": pip.get("cert"),
        "SSL_CLIENT_CERT": pip.get("client-cert"),
        "HTTP_PROXY": pip.get("proxy"),
        "HTTPS_PROXY": pip.get("proxy"),
        "UV_HTTP_TIMEOUT": pip.get("timeout") or pip.get("default-timeout"),
        "UV_INSECURE_HOST": _list(pip.get("trusted-host")),
    }
    if not any(name in environment for name in _UV_INDEX_VARIABLES):
        variables["UV_DEFAULT_INDEX"] = pip.get("index-url")
        variables["UV_INDEX"] = _list(pip.get("extra-index-url"))
        if variables["UV_INDEX"]:
            # As pip does: the best release of all indexes, not the first index that has any.
            variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        if pip.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
            # Without an index only. Beside one, a folder with torch 2.13.0+cpu would satisfy the
            # locks' torch==2.13.0, newer than the registry's and with another hash.
            variables["UV_NO_INDEX"] = "1"
            variables["UV_FIND_LINKS"] = _list(pip.get("find-links"))
    return {name: value for name, value in variables.items() if value and name not in environment}


def configured() -> dict[str, str]:
    """Asks this Python's pip for its settings, of files and of variables."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in sections:
            sections[section][name] = str(ast.literal_eval(value))
    return sections["global"] | sections["install"] | sections[":env:"]


def _list(value: str | None) -> str | None:
    """One line, where a configuration file may have several."""
    return " ".join(value.split()) if value else None


if __name__ == "__main__":
    for variable, setting in for_uv(configured(), os.environ).items():
        sys.stdout.write(f"export {variable}={shlex.quote(setting)}\n")
