"""Faults waiting to be injected: what HubSpot and the network do on a bad day."""

from __future__ import annotations

import fnmatch
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

JSON_TYPE = "application/json;charset=utf-8"


@dataclass
class Fault:
    """One thing to go wrong, for the next requests it matches.

    :param method: HTTP method; None is any.
    :param path: glob that the request's path must match, e.g. ``*/batch/create``.
    :param status: HTTP status to answer with; None keeps the normal one (200 if the request is not processed).
    :param headers: added to the answer, or replacing its headers of the same name; None removes one. A
        Content-Length may be wrong.
    :param body: answered instead of the normal body: text, bytes, or anything JSON can hold.
    :param delay: seconds to wait before answering.
    :param reset: abort the connection (TCP RST) without an answer; with ``truncate``, in its midst.
    :param truncate: send headers for the full body but only this many bytes of it, then close.
    :param stall: the body begins (``truncate`` bytes of it, else half) and nothing more comes for this many seconds.
    :param times: for how many requests.
    :param after: the portal processes the request, and only its answer is replaced, delayed or lost.
        Otherwise a request that is answered by the fault alone is never seen by the portal.
    """

    method: str | None = None
    path: str = "*"
    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: Any = None
    delay: float = 0.0
    reset: bool = False
    truncate: int | None = None
    stall: float = 0.0
    times: int = 1
    after: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done, now rather than in the middle of a request."""
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be from 200 to 599")
        if self.times < 1:
            raise ValueError("times must be at least 1")
        if self.delay < 0 or self.stall < 0 or (self.truncate is not None and self.truncate < 0):
            raise ValueError("delay, stall and truncate must not be negative")

    def matches(self, method: str, path: str) -> bool:
        """Whether it is meant for this request."""
        return (self.method is None or self.method.upper() == method) and fnmatch.fnmatchcase(path, self.path)

    @property
    def processed(self) -> bool:
        """Whether the portal sees the request."""
        aborted = self.reset and self.truncate is None
        return self.after or not (aborted or self.status is not None or self.body is not None)

    def encoded_body(self) -> tuple[bytes, str]:
        """Return its body and content type."""
        if self.body is None:
            return b"", JSON_TYPE
        if isinstance(self.body, (str, bytes)):
            data = self.body.encode() if isinstance(self.body, str) else self.body
            return data, "text/html;charset=utf-8" if data.lstrip()[:1] == b"<" else JSON_TYPE
        return json.dumps(self.body).encode(), JSON_TYPE

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        values = asdict(self)
        if isinstance(self.body, bytes):
            values["body"] = self.body.decode("latin-1")
        return values


class FaultQueue:
    """Faults in the order they were injected; a request takes the first that matches it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        with self._lock:
            self._faults.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request, one time of it used up, or None."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path):
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def pending(self) -> list[Fault]:
        """Return the faults not used up yet."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()
