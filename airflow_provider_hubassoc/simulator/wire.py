"""Access to the wire: records every request, injects faults, and writes answers that HTTP does not allow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from fastapi.datastructures import Headers
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_hubassoc.simulator.faults import Fault, FaultQueue
from airflow_provider_hubassoc.simulator.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTROL_PREFIX = "/_simulator/"


class Protocol(H11Protocol):
    """HTTP/1.1 protocol that gives the application the transport of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport into the state that uvicorn passes to the application with each request."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@dataclass
class RequestRecord:
    """One request as it arrived, and the status of its answer.

    :param path: path, percent-decoded.
    :param query: query string as sent.
    :param headers: headers; their names are case-insensitive.
    :param body: parsed JSON, or else text; None if the body is empty.
    :param status: HTTP status of the answer; None before the answer, and if the connection was aborted.
    :param connection: ``ip:port`` of the client; identifies the TCP connection.
    :param received_at: time of arrival, seconds since the epoch.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    status: int | None
    connection: str
    received_at: float

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON."""
        return asdict(self) | {"headers": dict(self.headers)}


class RequestLog:
    """The requests received, in order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def add(self, record: RequestRecord) -> None:
        """Append a record."""
        with self._lock:
            self._records.append(record)

    def records(self) -> list[RequestRecord]:
        """Return the records so far."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Remove all records."""
        with self._lock:
            self._records.clear()


@dataclass
class Answer:
    """A complete HTTP answer before it is sent. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    async def send(self, send: Send) -> None:
        """Send the answer through uvicorn."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def head(self) -> bytes:
        """Return the status line and headers in the format of HTTP."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}", f"date: {formatdate(usegmt=True)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _StoppedError(Exception):
    """The simulator stops, so the answer is not needed."""


class FrontDoor:
    """ASGI application in front of the API, for all requests and answers.

    :param app: ASGI application of the API.
    :param settings: latency; a change takes effect at the next request.
    :param log: records the requests.
    :param faults: the faults to inject.
    """

    def __init__(self, app: ASGIApp, settings: Settings, log: RequestLog, faults: FaultQueue) -> None:
        self.app = app
        self.settings = settings
        self.log = log
        self.faults = faults
        # An asyncio.Event binds to the event loop in which it is first awaited: the server's.
        self.stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self.app(scope, receive, send)
            return
        received_at = time.time()
        body = await _read(receive)
        if body is None:
            return
        record = _record(scope, body, received_at)
        self.log.add(record)
        fault = self.faults.take(record.method, record.path)
        try:
            if fault is None:
                await self._pause(self.settings.latency_seconds)
                answer = await self._ask(scope, body)
                record.status = answer.status
                await answer.send(send)
                return
            if await self._answer_with_fault(fault, record, scope, body, send):
                return
        except _StoppedError:
            scope["state"]["transport"].abort()
        # uvicorn logs an error if the application ends without an answer while the client is connected.
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _ask(self, scope: Scope, body: bytes) -> Answer:
        """Return the answer of the API."""
        correlation_id = str(uuid.uuid4())
        scope["state"]["correlation_id"] = correlation_id
        request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        start: Message = {}
        chunks: list[bytes] = []

        async def receive() -> Message:
            nonlocal request
            message, request = request, None
            return message or {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))

        await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        headers["x-hubspot-correlation-id"] = correlation_id
        return Answer(start["status"], headers, b"".join(chunks))

    async def _answer_with_fault(
        self, fault: Fault, record: RequestRecord, scope: Scope, body: bytes, send: Send
    ) -> bool:
        """Answer as the fault says. Return whether the answer was sent through uvicorn."""
        if fault.after:
            answer = await self._ask(scope, body)
            await self._pause(fault.delay)
        else:
            await self._pause(fault.delay + self.settings.latency_seconds)
            answer = await self._ask(scope, body) if fault.processed else Answer(200, {}, b"")
        transport: asyncio.Transport = scope["state"]["transport"]
        if fault.reset and fault.truncate is None:
            _reset(transport)
            return False
        raw = _overlay(answer, fault)
        record.status = answer.status
        if raw:
            await self._send_raw(transport, answer, fault)
        else:
            await answer.send(send)
        return not raw

    async def _send_raw(self, transport: asyncio.Transport, answer: Answer, fault: Fault) -> None:
        """Write an answer that HTTP does not allow, then close the connection."""
        length = len(answer.body)
        if fault.truncate is not None:
            length = fault.truncate
        elif fault.stall:
            length //= 2
        transport.write(answer.head() + answer.body[:length])
        await self._pause(fault.stall)
        if fault.reset:
            # An RST discards the bytes that the client has not read yet; give it time to read the start of the body.
            await self._pause(0.05)
            _reset(transport)
        else:
            transport.close()

    async def _pause(self, seconds: float) -> None:
        """Sleep.

        :raises _StoppedError: if the simulator stops in the meantime.
        """
        if seconds > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), seconds)
                raise _StoppedError


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body of a request; None if the client has disconnected."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _record(scope: Scope, body: bytes, received_at: float) -> RequestRecord:
    parsed: Any = body.decode("utf-8", "replace") or None
    if parsed is not None:
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(body)
    host, port = scope["client"]
    return RequestRecord(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=Headers(raw=scope["headers"]),
        body=parsed,
        status=None,
        connection=f"{host}:{port}",
        received_at=received_at,
    )


def _overlay(answer: Answer, fault: Fault) -> bool:
    """Replace the status, headers and body of an answer as the fault says.

    :return: whether the answer must be written without uvicorn, which would correct it.
    """
    if fault.status is not None or fault.body is not None:
        # Such an answer comes from a gateway and has none of the API's headers.
        answer.headers = {}
        answer.body, answer.headers["content-type"] = fault.encoded_body()
        answer.headers["content-length"] = str(len(answer.body))
        answer.status = answer.status if fault.status is None else fault.status
    for name, value in fault.headers.items():
        if value is None:
            answer.headers.pop(name.lower(), None)
        else:
            answer.headers[name.lower()] = value
    framing = {name.lower() for name in fault.headers} & {"content-length", "transfer-encoding", "connection"}
    bodyless = answer.status in (204, 304) and bool(answer.body)
    return bool(framing) or bodyless or fault.truncate is not None or fault.stall > 0


def _reset(transport: asyncio.Transport) -> None:
    """Abort a connection, so that the client gets "connection reset by peer"."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
