"""Faults of HubSpot and the network that a test injects into answers."""

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
    """One fault, injected into the answers to the next requests that match.

    :param method: HTTP method to match; None matches any.
    :param path: glob that the path of the request must match, such as ``*/batch/create``.
    :param status: HTTP status of the answer; None keeps the normal one (200 if the portal does not see the request).
    :param headers: headers to add to the answer or to replace; None removes one. A Content-Length may be wrong.
    :param body: body of the answer in place of the normal one: text, bytes, or a value that JSON can represent.
    :param delay: seconds to wait before the answer.
    :param reset: abort the connection (TCP RST) without an answer; with ``truncate``, in the middle of the answer.
    :param truncate: number of bytes of the body to send before the connection closes; the headers announce all.
    :param stall: seconds of silence after the beginning of the body (``truncate`` bytes of it, or else half).
    :param times: number of requests that get the fault.
    :param after: True to let the portal process the request, and replace, delay or lose its answer only. By default
        the portal does not see a request that the fault answers alone.
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
        """Refuse invalid values now rather than in the middle of a request."""
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be from 200 to 599")
        if self.times < 1:
            raise ValueError("times must be at least 1")
        if self.delay < 0 or self.stall < 0 or (self.truncate is not None and self.truncate < 0):
            raise ValueError("delay, stall and truncate must not be negative")

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault applies to a request."""
        return (self.method is None or self.method.upper() == method) and fnmatch.fnmatchcase(path, self.path)

    @property
    def processed(self) -> bool:
        """Whether the portal sees the request."""
        aborted = self.reset and self.truncate is None
        return self.after or not (aborted or self.status is not None or self.body is not None)

    def encoded_body(self) -> tuple[bytes, str]:
        """Return the body and its content type."""
        if self.body is None:
            return b"", JSON_TYPE
        if isinstance(self.body, (str, bytes)):
            data = self.body.encode() if isinstance(self.body, str) else self.body
            return data, "text/html;charset=utf-8" if data.lstrip()[:1] == b"<" else JSON_TYPE
        return json.dumps(self.body).encode(), JSON_TYPE

    def as_dict(self) -> dict[str, Any]:
        """Return the fault as JSON."""
        values = asdict(self)
        if isinstance(self.body, bytes):
            values["body"] = self.body.decode("latin-1")
        return values


class FaultQueue:
    """Faults in the order of their injection; a request takes the first one that matches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        with self._lock:
            self._faults.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request and count it as used once; None if no fault matches."""
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
        """Return the faults that are not used up."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()
