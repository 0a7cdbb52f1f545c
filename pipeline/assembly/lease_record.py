"""What is stored of a lease."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace

from pipeline.core.errors import InputError


@dataclass(frozen=True)
class LeaseRecord:
    """Who holds a lease, and until when.

    Attributes:
        token: of one holding; the same process gets another the next time.
        process: the process id on ``host``.
        begun, expires: UTC in ISO 8601.
        released: whether it is free.
    """

    token: str
    run_id: str
    host: str
    process: int
    begun: str
    expires: str
    ttl_s: float
    released: bool = False

    @classmethod
    def parse(cls, data: bytes, where: str) -> LeaseRecord:
        """Reads a stored record.

        Raises:
            InputError: it is none.
        """
        try:
            record = cls(**json.loads(data))
            _time(record.expires)
        except (ValueError, TypeError) as error:
            raise InputError(f"{where}: this is no lease ({error}); remove it") from error
        return record

    def as_json(self) -> bytes:
        """The record as it is stored."""
        return json.dumps(asdict(self), indent=2).encode()

    @property
    def holder(self) -> str:
        """Who holds it, for people."""
        return f"run {self.run_id} on host {self.host} (process {self.process})"

    @property
    def expired(self) -> bool:
        """Whether the stored expiry has passed by this machine's clock."""
        return _time(self.expires) <= _now()

    def renewed(self) -> LeaseRecord:
        """The same holding for another time to live, from now on."""
        return replace(self, expires=_iso(_now(self.ttl_s)))

    def freed(self) -> LeaseRecord:
        """The record of a lease that was released now."""
        return replace(self, expires=_iso(_now()), released=True)


def new_record(run_id: str, ttl_s: float) -> LeaseRecord:
    """A holding by this process that begins now, for ``ttl_s`` seconds."""
    now = _now()
    return LeaseRecord(
        token=secrets.token_hex(8),
        run_id=run_id,
        host=socket.gethostname(),
        process=os.getpid(),
        begun=_iso(now),
        expires=_iso(now + datetime.timedelta(seconds=ttl_s)),
        ttl_s=ttl_s,
    )


def _now(plus_s: float = 0) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=plus_s)


def _iso(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _time(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment
