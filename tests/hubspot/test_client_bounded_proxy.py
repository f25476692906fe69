"""The limits of a direct answer also apply to an answer through a proxy, and to the answer of the proxy itself."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotUnavailableError
from tests.support.wire import ACCOUNT, TOKEN, Listener, Peer, certificate, client_of, limit, response

SHORT = 0.3
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def _head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the client closed the connection")
        head += part
    return head


def _trickle(connection: socket.socket) -> None:
    for part in itertools.chain([b"HTTP/1.1 200 OK\r\nX-Slow: "], itertools.repeat(b"a")):
        connection.sendall(part)
        time.sleep(0.02)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


class Tunnel(Listener):
    """A proxy on loopback that accepts CONNECT only, and forwards bytes to one port.

    :param port: target of every connection, whichever target the client names.
    :param trickles: whether the proxy's own answer has endless headers.
    """

    def __init__(self, port: int, *, trickles: bool = False) -> None:
        super().__init__()
        self._target_port = port
        self._trickles = trickles
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        self.requests.append(_head(connection))
        if self._trickles:
            _trickle(connection)
        connection.sendall(ESTABLISHED)
        with socket.create_connection(("127.0.0.1", self._target_port)) as server:
            back = threading.Thread(target=_pump, args=(server, connection), daemon=True)
            back.start()
            _pump(connection, server)
            back.join(5)


class TricklingServer(Listener):
    """An HTTPS server whose answers have endless headers."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__()
        self._tls = tls

    def serve(self, connection: socket.socket) -> None:
        with self._tls.wrap_socket(connection, server_side=True) as encrypted:
            _head(encrypted)
            _trickle(encrypted)


def client_through(tunnel: Tunnel, trusted: Path) -> HubSpotClient:
    return client_of(
        "https://127.0.0.1:9", proxy=tunnel.url, ca_bundle=str(trusted), timeout=f"{SHORT},{SHORT}", max_retries=0
    )


def test_an_answer_through_a_proxy_is_read(tmp_path: Path) -> None:
    tls, trusted = certificate(tmp_path)
    with Peer(response(ACCOUNT), tls=tls) as peer, Tunnel(peer.port) as tunnel:  # noqa: SIM117
        with client_through(tunnel, trusted) as client:
            assert client.account_info().portal_id == 62515
    assert tunnel.requests[0].startswith(b"CONNECT 127.0.0.1:9 ")


def test_endless_headers_through_a_proxy_fail(tmp_path: Path) -> None:
    tls, trusted = certificate(tmp_path)
    with TricklingServer(tls) as server, Tunnel(server.port) as tunnel:  # noqa: SIM117
        with client_through(tunnel, trusted) as client, pytest.raises(HubSpotUnavailableError) as raised:
            client.update_limits("contacts", "companies", [limit()])
    assert raised.value.outcome_unknown


def test_endless_headers_of_the_proxy_fail(tmp_path: Path) -> None:
    _, trusted = certificate(tmp_path)
    with Tunnel(9, trickles=True) as tunnel, client_through(tunnel, trusted) as client:
        with pytest.raises(HubSpotUnavailableError):
            client.account_info()
        assert TOKEN.encode() not in b"".join(tunnel.requests)
