"""How the last nightly run ended is exported to Prometheus, whatever ended it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.nightly.exit_metrics import MetricsConfig, exit_reported
from pipeline.runtime.errors import LeaseHeldError, QuarantineError, StoppedError

SUCCESS, END = "pairmill_night_success_timestamp_seconds", "pairmill_night_end_timestamp_seconds"
CODE, SECONDS = "pairmill_night_exit_code", "pairmill_night_seconds"


def values(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = [line.split(" ") for line in lines]
    assert len({name for name, _ in pairs}) == len(pairs)
    for name, _ in pairs:  # each is explained once
        assert text.count(f"# HELP {name} ") == text.count(f"# TYPE {name} gauge") == 1
    return {name: float(value) for name, value in pairs}


def end(config: MetricsConfig, how: BaseException | int) -> None:
    """A nightly run that ends so."""
    with exit_reported(config) as outcome:
        if isinstance(how, BaseException):
            raise how
        outcome.exit_code = how


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (3, 3),
        (QuarantineError("too many"), 4),
        (LeaseHeldError("somebody else writes"), 5),
        (StoppedError("stopped"), 143),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_the_last_success_outlives_what_follows(
    how: BaseException | int, code: int, tmp_path: Path
) -> None:
    config = MetricsConfig(textfile=tmp_path / "pairmill.prom")
    before = time.time()
    end(config, 0)
    good = values((tmp_path / "pairmill.prom").read_text())
    assert good.keys() == {SUCCESS, END, CODE, SECONDS}
    assert good[CODE] == 0
    assert before - 1 <= good[SUCCESS] == good[END] <= time.time() + 1
    for _ in range(2):
        if isinstance(how, BaseException):
            with pytest.raises(type(how)):
                end(config, how)
        else:
            end(config, how)
        bad = values((tmp_path / "pairmill.prom").read_text())
        assert (bad[CODE], bad[SUCCESS]) == (code, good[SUCCESS])
        assert bad[END] >= good[END]
    assert [path.name for path in tmp_path.iterdir()] == ["pairmill.prom"]
    assert (tmp_path / "pairmill.prom").stat().st_mode & 0o777 == 0o644


def test_without_a_success_none_is_claimed(tmp_path: Path) -> None:
    end(MetricsConfig(textfile=tmp_path / "a.prom"), 3)
    assert values((tmp_path / "a.prom").read_text()).keys() == {END, CODE, SECONDS}


class Gateway(BaseHTTPRequestHandler):
    """Keeps what is posted, as a Pushgateway does."""

    posted: list[tuple[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.posted.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    posted: list[tuple[str, str]] = []
    kind = type("One", (Gateway,), {"posted": posted})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", posted
        server.shutdown()
        thread.join()


def test_pushed_to_a_group_of_a_gateway(gateway: tuple[str, list[tuple[str, str]]]) -> None:
    url, posted = gateway
    config = MetricsConfig(push_url=f"{url}/metrics/job/pairmill/output/x")
    end(config, 0)
    end(config, 3)
    assert {path for path, _ in posted} == {"/metrics/job/pairmill/output/x"}
    good, bad = (values(text) for _, text in posted)
    assert (good[CODE], bad[CODE]) == (0, 3)
    assert SUCCESS in good
    assert SUCCESS not in bad  # the gateway keeps what a POST does not name


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/metrics/job/x", "no-url"])
def test_an_outcome_that_cannot_be_exported_is_logged_and_changes_nothing(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    end(MetricsConfig(push_url=url), 0)
    end(MetricsConfig(textfile=tmp_path / "no" / "such" / "folder.prom"), 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "could not be reported to Prometheus" in caplog.text
