"""Credentials are refused from one request of a command on, for a while or for good.

No row is at fault. After a moment the command goes on as if nothing had been; otherwise it ends
with exit 2 and one sentence, and the same command, later, comes to what it would have come to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.fault_proxy import Kind, Plan
from tests.chaos.test_fault_proxy import ONE_BY_ONE, Place, placed
from tests.s3_server import BUCKET, S3Server

pytestmark = [pytest.mark.s3, pytest.mark.timeout(3_600)]
_FOR_EVER = 1_000_000
_ROWS = {"a.parquet": range(7)}  # two units: requests of another shard would be more of the same
_MOMENTS = 5  # of a command
# Requests that are refused, and the exit codes that may be: each request is tried four times.
_LASTS = {2: {0}, 30: {0, 2}, _FOR_EVER: {2}}


@dataclass
class Refusals(Plan):
    """So many requests are refused, from one on."""

    first: int = 0
    count: int = 0

    def choose(self, line: str) -> Kind | None:
        self.requests += 1
        return "refused" if self.first <= self.requests < self.first + self.count else None


@pytest.fixture(scope="module")
def place(s3: S3Server, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("refused")
    with placed(s3, model, folder, "tests.chaos.jobs_in_process", _ROWS) as made:
        yield made


def run(place: Place, job: str, output: str, plan: Plan) -> tuple[int, list[str]]:
    """How a job ends, and the sentences that it says."""
    place.proxy.plan = plan
    answer = place.ask(place.request(job, output))
    place.proxy.plan = Plan({}, 0)
    said = [line for line in answer["error"].splitlines() if not line.startswith("{")]  # no logs
    return answer["exit"], said


def copied(place: Place, source: str, target: str) -> str:
    """An output in which a command before has ended well, for another try of the next one."""
    client, output = place.server.client(), f"s3://{BUCKET}/out/{target}"
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"out/{source}/").get("Contents", [])
    for each in listed:
        data = client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
        place.server.put(each["Key"].replace(f"out/{source}/", f"out/{target}/", 1), data)
    return output


def survive(place: Place, job: str, before: str, moments: int) -> list[str]:
    """Tries moments of a job for each length; says what was tried, and fails where it is wrong."""
    calm = Plan({}, 0)
    assert run(place, job, copied(place, before, job), calm) == (0, [])
    place.recount(f"s3://{BUCKET}/out/{job}", job)
    figures = []
    for count, allowed in _LASTS.items():
        ends = Counter[int]()
        for number in range(moments):
            first = 1 + calm.requests * number // moments
            output = copied(place, before, f"{job}-{count}-{first}")
            plan = Refusals({}, number, first=first, count=count)
            code, said = run(place, job, output, plan)
            ends[code] += 1
            assert code in allowed, (job, count, first, calm.requests, code, said)
            assert len(said) == (code != 0), (job, count, first, said)
            if code:
                assert run(place, job, output, Plan({}, 0)) == (0, []), (job, count, first)
            place.recount(output, job)
        figures.append(f"{job}, {count} requests refused: {dict(ends)}")
    return figures


@pytest.mark.long
def test_refusals_at_any_moment_of_commands_one_by_one(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    figures = []
    for before, job in zip(("nothing", *ONE_BY_ONE), ONE_BY_ONE, strict=False):
        figures += survive(place, job, before, _MOMENTS)
    record_property("ended", "; ".join(figures))


@pytest.mark.long
def test_refusals_at_any_moment_of_a_nightly_run(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    figures = survive(place, "nightly", "nothing", _MOMENTS)
    record_property("ended", "; ".join(figures))
