"""A TCP proxy on loopback between the code and HubSpot, which fails on request.

The simulator answers badly by itself (`Simulator.inject`); what only a network can do is done here: nobody listens,
a connection is reset before its request is read or when the answer is due, an answer stops, ends or never ends, the
other side shows a certificate that nobody knows.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Break = Callable[["Proxy", socket.socket, bytes], None]
"""Deals with a client's request instead of the proxy: `forward` it or not, answer it or not."""

_HUGE = 100 * 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """A request that reached the proxy, whether or not it was let through."""

    method: str
    path: str
    at: float


class Proxy:
    """Passes requests on to a port of this machine, one connection for each, and breaks selected ones.

    :param port: of the HubSpot behind it.
    :param tls: what it shows to clients; None for plain HTTP.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.seen: list[Seen] = []
        self._hubspot_port = port
        self._breaks: list[tuple[str, str, Break, int]] = []
        self._then: list[tuple[str, str, Callable[[], None]]] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self.port = 0
        self._listen()

    # -- life --

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self.refuse()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def refuse(self, seconds: float | None = None) -> None:
        """Close the port: connections are refused from now on, for so many seconds or until `accept`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            listener.close()
        if seconds is not None:
            self._start(lambda: self._stopping.wait(seconds) or self.accept())

    def accept(self) -> None:
        """Open the port again."""
        if self._listener is None and not self._stopping.is_set():
            self._listen()

    def _listen(self) -> None:
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        listener = self._listener
        self._start(lambda: self._serve(listener))

    def _start(self, work: Callable[[], object]) -> None:
        thread = threading.Thread(target=work, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._start(lambda connection=connection: self._talk(connection))  # type: ignore[misc]

    # -- what a test does --

    def break_(self, method: str, path: str, how: Break, times: int) -> None:
        """Break the next requests with this method, and this path (a glob)."""
        with self._lock:
            self._breaks.append((method, path, how, times))

    def after(self, method: str, path: str, then: Callable[[], None]) -> None:
        """Do something once the next request with this method and path is through, before its answer is passed on."""
        with self._lock:
            self._then.append((method, path, then))

    def end_faults(self) -> None:
        """Pass all further requests on."""
        with self._lock:
            self._breaks.clear()
            self._then.clear()
        self.accept()

    # -- one connection --

    def _talk(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            # A reset, a client that has gone, a TLS handshake that fails: all of them end this connection alone.
            with contextlib.suppress(OSError), connection:
                connection.settimeout(30)
                if self.tls is None:
                    self._answer(connection)
                else:
                    with self.tls.wrap_socket(connection, server_side=True) as encrypted:
                        self._answer(encrypted)
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            # Only looked at: what resets a connection before the request is read must leave it unread.
            head = connection.recv(65536, socket.MSG_PEEK) if self.tls is None else connection.recv(65536)
            if not head:
                return
        method, path = head.split(b" ", 2)[:2]
        self._take(method.decode(), path.decode().partition("?")[0])(
            self, connection, b"" if self.tls is None else head
        )

    def _take(self, method: str, path: str) -> Break:
        with self._lock:
            how = pass_on
            for i, (for_method, glob, broken, times) in enumerate(self._breaks):
                if for_method == method and fnmatch.fnmatchcase(path, glob):
                    how = broken
                    self._breaks[i : i + 1] = [(for_method, glob, how, times - 1)] if times > 1 else []
                    break
            else:
                for i, (for_method, glob, then) in enumerate(self._then):
                    if for_method == method and fnmatch.fnmatchcase(path, glob):
                        how = _pass_on_then(then)
                        del self._then[i]
                        break
            self.seen.append(Seen(method, path, time.time()))
        return how

    def forward(self, connection: socket.socket, request: bytes = b"") -> bytes:
        """Read a client's request, let HubSpot answer it, and return the whole answer."""
        while b"\r\n\r\n" not in request:
            request += _some(connection)
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while len(body) < int(length[1] if length else 0):
            body += _some(connection)
        head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head) + b"\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self._hubspot_port), timeout=30) as hubspot:
            hubspot.sendall(head + body)
            return b"".join(iter(lambda: hubspot.recv(65536), b""))

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the proxy's own end."""
        self._stopping.wait(seconds)


def _some(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise ConnectionError("the client has gone")
    return part


def reset(connection: socket.socket) -> None:
    """End a connection with an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def pass_on(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    connection.sendall(proxy.forward(connection, request))


def _pass_on_then(then: Callable[[], None]) -> Break:
    def how(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
        answer = proxy.forward(connection, request)
        then()
        connection.sendall(answer)

    return how


# -- ways to break ---------------------------------------------------------------------------------------------


def reset_before(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Reset before HubSpot has seen anything."""
    reset(connection)


def reset_after(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Let HubSpot do its work, and reset when its answer is due."""
    proxy.forward(connection, request)
    reset(connection)


def reset_amid_body(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    head, body = _parted(proxy.forward(connection, request))
    connection.sendall(head + body[: len(body) // 2])
    proxy.pause(0.05)  # an RST overtakes what the client has not read yet
    reset(connection)


def stall(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    head, body = _parted(proxy.forward(connection, request))
    connection.sendall(head + body[: len(body) // 2])
    connection.recv(1)  # until the client closes the connection


def trickle(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Send byte after byte, each in time, so that the end is never reached."""
    head, body = _parted(proxy.forward(connection, request))
    connection.sendall(_with_length(head, 1_000_000) + body)
    while not proxy._stopping.is_set():
        connection.sendall(b" ")
        proxy.pause(0.05)


def trickle_headers(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Send the headers byte after byte, each in time, so that their end is never reached."""
    proxy.forward(connection, request)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    while not proxy._stopping.is_set():
        connection.sendall(b".")
        proxy.pause(0.05)


def interim_answers(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Send interim answers only."""
    proxy.forward(connection, request)
    while not proxy._stopping.is_set():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        proxy.pause(0.05)


def endless_headers(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    proxy.forward(connection, request)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(_HUGE // 32768):
        connection.sendall(b"X-Filler-%d: %s\r\n" % (number, b"x" * 32768))


def end_early(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    head, body = _parted(proxy.forward(connection, request))
    connection.sendall(head + body[: len(body) // 2])


def promise_more(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Send a Content-Length that is too long, then nothing more."""
    head, body = _parted(proxy.forward(connection, request))
    connection.sendall(_with_length(head, len(body) + 100) + body)


def promise_less(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    """Send a Content-Length that is too short."""
    head, body = _parted(proxy.forward(connection, request))
    connection.sendall(_with_length(head, len(body) - 10) + body)


def huge(proxy: Proxy, connection: socket.socket, request: bytes) -> None:
    head, _ = _parted(proxy.forward(connection, request))
    connection.sendall(_with_length(head, _HUGE))
    for _ in range(_HUGE // 65536):
        connection.sendall(b" " * 65536)


def _parted(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def _with_length(head: bytes, length: int) -> bytes:
    return re.sub(rb"(?i)content-length: \d+", b"content-length: %d" % length, head)
