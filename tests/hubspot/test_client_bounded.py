"""The duration of an answer and the size of its headers are bounded, even if the server never stops sending."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotUnavailableError
from tests.support.wire import ACCOUNT, Peer, client_of, limit, response


@contextlib.contextmanager
def sender(parts: Iterable[bytes], pause: float) -> Iterator[str]:
    """Serve one connection that sends the parts with a pause after each; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(5)


ENDLESS = {
    "headers that trickle": (itertools.chain([b"HTTP/1.1 200 OK\r\nX-Slow: "], itertools.repeat(b"a")), 0.02),
    "100": (itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.02),
    "103": (itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), 0.02),
    "too many headers": (itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nX: " + 60_000 * b"a" + b"\r\n\r\n"), 0.0),
}


@pytest.mark.parametrize("name", list(ENDLESS))
def test_an_endless_answer_fails(name: str) -> None:
    with sender(*ENDLESS[name]) as address:  # noqa: SIM117
        with client_of(address, timeout=0.2, max_retries=0) as client:
            with pytest.raises(HubSpotUnavailableError) as raised:
                client.update_limits("contacts", "companies", [limit()])
    assert raised.value.outcome_unknown


@pytest.mark.parametrize("fits", [True, False])
def test_the_size_of_all_headers_is_bounded(fits: bool) -> None:
    """Headers of 60,000 bytes each, below the limit of Python's HTTP client for one line."""
    interim = b"HTTP/1.1 103 Early Hints\r\nX: " + 60_000 * b"a" + b"\r\n\r\n"
    count = 256 * 1024 // len(interim) + (not fits)
    with (
        Peer(count * interim + response(ACCOUNT)) as peer,
        client_of(f"http://127.0.0.1:{peer.port}", max_retries=0) as client,
    ):
        if fits:
            assert client.account_info().portal_id == 62515
        else:
            with pytest.raises(HubSpotError):
                client.account_info()


def test_interim_answers_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with Peer(interim + response(ACCOUNT)) as peer, client_of(f"http://127.0.0.1:{peer.port}") as client:
        assert client.account_info().portal_id == 62515
