"""The real store over a simulated S3 client of one simulated process.

The client has the methods of s3fs that the product calls, retries as it does, and raises what it
raises. A request is one step: it waits its latency, and the seed may refuse it (503, 409), lose its
answer, deliver it twice or late, or kill the process.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import fsspec.asyn
from botocore.exceptions import ReadTimeoutError
from s3fs.errors import translate_boto_error

from pipeline.snapshots.manifests import LATEST_KEY
from pipeline.store.host import Host, Repeated
from pipeline.store.object_store import Store, Version
from pipeline.store.process_identity import ProcessIdentity
from tests.simulator.memory_objects import MemoryObjects, code_error
from tests.simulator.scheduler import Killed, Process, Scheduler, SimulatedThread

BUCKET = "bucket"
_EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_ATTEMPTS = 4
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, as a share of requests.

    Attributes:
        refused: 503, nothing was done.
        lost: the request was done, and its answer was lost.
        conflict: of conditional PUTs, 409: another write was in progress; nothing was done.
        gives_up: of failed attempts, those after which the client retries no more.
        killed: the process ends before the request.
        slow: of requests, those that take up to ``slow_s``.
        slow_back: of answers, those that take up to ``slow_s``; the others take no time.
        late: of plain PUTs and DELETEs, those that are delivered again up to ``late_s`` later.
        adrift_at: of conditional PUTs by the ends of their keys: nobody hears of the request, which
            arrives up to ``late_s`` later.
        cut_off: the process does not reach lease objects for up to ``cut_off_s`` from then on.
        stalled: the whole process stops for up to ``stalled_s`` before the request; and, of those
            whose answers are slow, before the answer.
        stalled_at: the same, of requests that write objects by the ends of their keys.
        skew_s: how far clocks of processes are wrong at most.
        clock_set: the process's clock is set, to be wrong in another way.
    """

    refused: float = 0.01
    lost: float = 0.02
    conflict: float = 0.02
    gives_up: float = 0.2
    killed: float = 0.003
    slow: float = 0.05
    slow_back: float = 0.0
    slow_s: float = 1.0
    late: float = 0.0
    late_s: float = 30.0
    adrift_at: Mapping[str, float] = field(default_factory=dict)
    cut_off: float = 0.0
    cut_off_s: float = 30.0
    stalled: float = 0.0
    stalled_s: float = 40.0
    stalled_at: Mapping[str, float] = field(default_factory=dict)
    skew_s: float = 15.0
    clock_set: float = 0.005


@dataclass
class World:
    """What all processes of a run share.

    Attributes:
        history: every step: when, which process, the request, and how it ended.
        on_begin: called with process, operation and key when a request begins.
        on_claim: called with a process that has read LATEST.json to claim it.
    """

    scheduler: Scheduler
    objects: MemoryObjects
    faults: Faults
    history: list[tuple[float, str, str, str, str]]
    on_begin: Callable[[Process, str, str], None] = lambda process, operation, key: None
    on_claim: Callable[[Process], None] = lambda process: None


class SimulatedHost(Host):
    """Clocks and threads of a simulated process."""

    def __init__(self, world: World, process: Process) -> None:
        self._scheduler, self._process = world.scheduler, process

    def monotonic(self) -> float:
        return self._scheduler.now

    def now(self) -> datetime.datetime:
        return _EPOCH + datetime.timedelta(seconds=self._scheduler.now + self._process.skew_s)

    def disposables(self, module: str) -> None:
        """None: no other process knows the simulated store."""

    def sleep(self, seconds: float) -> None:
        self._scheduler.wait(seconds)

    def this_process(self) -> ProcessIdentity:
        machine, number = self._process.machine, self._process.number
        return ProcessIdentity(machine, number, f"boot of {machine}", 1, number)

    def has_ended(self, process: ProcessIdentity) -> bool:
        here = process.boot_id == f"boot of {self._process.machine}"
        return here and not self._scheduler.lives(process.process)

    def pool(self, threads: int) -> Executor:
        return Inline()

    def repeat(self, step: Callable[[], bool], pause_s: float, name: str) -> Repeated:
        return _Repeating(self._scheduler, self._process, step, pause_s)


class Inline(Executor):
    """Runs in the caller what it is given: order is for processes to vary, not for threads."""

    def submit(self, act: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(act(*args, **more))
        except Exception as error:  # noqa: BLE001  # it belongs to who asks for the result
            future.set_exception(error)
        return future


class _Repeating:
    """A simulated thread that repeats a step."""

    def __init__(
        self, scheduler: Scheduler, process: Process, step: Callable[[], bool], pause_s: float
    ) -> None:
        self._scheduler, self._step, self._pause_s = scheduler, step, pause_s
        self._stopped = self._pausing = False
        self._thread: SimulatedThread = scheduler.start(process, self._run)

    def stop(self) -> None:
        self._stopped = True
        if self._pausing:
            self._scheduler.resume(self._thread)
        self._scheduler.join(self._thread)

    def _run(self) -> None:
        while not self._stopped:
            self._pausing = True
            self._scheduler.wait(self._pause_s)
            self._pausing = False
            if self._stopped or not self._step():
                return


class SimulatedStore(Store):
    """The store of one process under one root of the bucket."""

    client: type[SimulatedClient]

    def __init__(self, world: World, process: Process, root: str) -> None:
        self.local, self.uri, self._root = False, f"s3://{BUCKET}/{root}", f"{BUCKET}/{root}"
        self._fs = self.client(world, process)
        self.host = SimulatedHost(world, process)

    def read_version(self, key: str) -> Version | None:
        version = super().read_version(key)
        if key == LATEST_KEY:  # which is read by its version to claim it alone
            self._fs.world.on_claim(self._fs.process)
        return version


class SimulatedClient:
    """The part of s3fs that the product uses."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process
        self.loop = fsspec.asyn.get_loop()

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def find(self, path: str, detail: bool, prefix: str) -> dict[str, dict[str, Any]]:
        def listed() -> dict[str, dict[str, Any]]:
            key = _key(path)
            objects = self.world.objects.objects
            if key in objects:
                found = {key: objects[key]}
            else:
                found = self.world.objects.list(f"{key}/{prefix}")
            return {
                f"{BUCKET}/{each}": {"type": "file", "size": len(v.data), "ETag": v.etag}
                for each, v in found.items()
            }

        return self._request("LIST", _key(path), listed)

    def info(self, path: str) -> dict[str, Any]:
        def headed() -> dict[str, Any]:
            found = self.world.objects.objects.get(_key(path))
            if found is None:
                raise FileNotFoundError(path)
            return {"type": "file", "size": len(found.data), "ETag": found.etag}

        return self._request("HEAD", _key(path), headed)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        key = _key(path)
        return self._request("GET", key, lambda: self.world.objects.get(key).data[start:end])

    def pipe_file(self, path: str, data: bytes) -> None:
        self._put(_key(path), data)

    def rm_file(self, path: str) -> None:
        key = _key(path)
        self._request("DELETE", key, lambda: self.world.objects.delete(key, self.process.name))

    def open(self, path: str, mode: str, block_size: int) -> _PendingUpload:
        return _PendingUpload(lambda data: self._put(_key(path), data))

    def call_s3(self, method: str, Bucket: str, Key: str, **more: Any) -> dict[str, Any]:
        if method == "get_object":
            found = self._request("GET", Key, lambda: self.world.objects.get(Key))
            return {"Body": _Body(found.data), "ETag": found.etag}
        assert method == "put_object"
        none = more.get("IfNoneMatch") == "*"
        return {"ETag": self._put(Key, more["Body"], none, more.get("IfMatch"))}

    def _put(self, key: str, data: bytes, none: bool = False, tag: str | None = None) -> str:
        operation = "PUT if none" if none else "PUT if match" if tag is not None else "PUT"
        name = self.process.name
        put = self.world.objects.put
        return self._request(operation, key, lambda: put(key, data, name, none, tag))

    def _request(self, operation: str, key: str, act: Callable[[], Answer]) -> Answer:
        """One call of the client: a few attempts, each of which is a step."""
        world, process = self.world, self.process
        if not process.killed:
            world.on_begin(process, operation, key)
        for attempt in range(1, _ATTEMPTS + 1):
            self._travel(operation, key)
            how, error, answer = "done", None, None
            try:
                how, answer = self._deliver(operation, key, act)
            except Exception as failure:  # noqa: BLE001  # an answer like others
                how, error = type(failure).__name__, failure
            world.history.append((round(world.scheduler.now, 6), process.name, operation, key, how))
            world.scheduler.step()
            self._return()
            if error is not None:
                raise translate_boto_error(error)
            if how in ("done", "done twice"):
                return answer  # type: ignore[return-value]
            gives_up = world.scheduler.random.random() < world.faults.gives_up
            if attempt == _ATTEMPTS or gives_up:
                if how == "503":
                    raise translate_boto_error(code_error("SlowDown", operation))
                raise ReadTimeoutError(endpoint_url=f"s3://{BUCKET}")
            world.scheduler.wait(0.1 * 1.7**attempt)
        raise AssertionError("not reached")

    def _travel(self, operation: str, key: str) -> None:
        """The way to the store: its latency, and the end of the process or of its network."""
        chance, faults = self.world.scheduler.random, self.world.faults
        slow = chance.random() < faults.slow
        self.world.scheduler.wait(chance.uniform(0.005, faults.slow_s if slow else 0.05))
        if chance.random() < faults.clock_set:
            self.process.skew_s = chance.uniform(-1, 1) * faults.skew_s
        if chance.random() < faults.killed:
            self.world.scheduler.kill(self.process)
            raise Killed
        if self.process.stalls and chance.random() < self._stalled(operation, key):
            self._stall()
        if chance.random() < faults.cut_off:
            self.process.cut_off_until = self.world.scheduler.now + chance.uniform(
                0, faults.cut_off_s
            )

    def _return(self) -> None:
        """The way back of an answer: the store has done by then what the process learns of now."""
        chance, faults = self.world.scheduler.random, self.world.faults
        if faults.slow_back and chance.random() < faults.slow_back:
            self.world.scheduler.wait(chance.uniform(0, faults.slow_s))
            if self.process.stalls and faults.stalled:
                self._stall()

    def _stall(self) -> None:
        stop_s = self.world.scheduler.random.uniform(0, self.world.faults.stalled_s)
        self.process.stalled_until = self.world.scheduler.now + stop_s
        self.world.scheduler.wait(0)

    def _stalled(self, operation: str, key: str) -> float:
        """How often the process stops before such a request."""
        faults = self.world.faults
        shares = faults.stalled_at if "PUT" in operation else {}
        return _share(shares, key, faults.stalled)

    def _deliver(
        self, operation: str, key: str, act: Callable[[], Answer]
    ) -> tuple[str, Answer | None]:
        """How an attempt ends, and the answer if one arrives."""
        world, chance, faults = self.world, self.world.scheduler.random, self.world.faults
        cut_off = world.scheduler.now < self.process.cut_off_until and "/leases/" in key
        draw = chance.random()
        if cut_off or draw < faults.refused:
            return "503", None
        conditional = operation in ("PUT if none", "PUT if match")
        if chance.random() < faults.conflict * conditional:
            raise code_error("ConditionalRequestConflict", operation)
        if conditional and faults.adrift_at and chance.random() < _share(faults.adrift_at, key):
            world.scheduler.later(chance.uniform(0, faults.late_s), act)
            return "adrift", None
        if draw < faults.refused + faults.lost:
            act()
            return "answer lost", None
        answer = act()
        if operation in ("PUT", "DELETE") and chance.random() < faults.late:
            world.scheduler.later(chance.uniform(0, faults.late_s), act)
            return "done twice", answer
        return "done", answer


SimulatedStore.client = SimulatedClient


def _share(shares: Mapping[str, float], key: str, default: float = 0.0) -> float:
    """The share of requests of a key, by how it ends."""
    return max((share for end, share in shares.items() if key.endswith(end)), default=default)


def _key(path: str) -> str:
    return path.partition("/")[2]


class _Body:
    """The body of an answer, as aiobotocore has it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        return self._data

    def close(self) -> None:
        pass


class _PendingUpload:
    """A file of s3fs that is being written."""

    def __init__(self, commit: Callable[[bytes], object]) -> None:
        self._commit, self._data, self.closed = commit, bytearray(), False

    def write(self, data: memoryview) -> int:
        self._data += data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._commit(bytes(self._data))

    def discard(self) -> None:
        self._data.clear()
