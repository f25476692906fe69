"""Clients for tests, and servers that send any bytes, which the simulator cannot do."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.simulator import Simulator

TOKEN = "pat-na1-canary-0815"

ACCOUNT = b'{"portalId": 62515, "accountType": "STANDARD"}'


class Pauses(list[float]):
    """Records how long the client would sleep, instead of sleeping."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client_of(
    hubspot: Simulator | str,
    *,
    pauses: Pauses | None = None,
    on_new_token: Callable[[str], None] = lambda token: None,
    inputs_per_request: int | None = None,
    **options: Any,
) -> HubSpotClient:
    """Return a client of a simulator or of an address; it does not sleep.

    :param options: raw values of the settings.
    """
    address, token = (hubspot, TOKEN) if isinstance(hubspot, str) else (hubspot.url, hubspot.token)
    settings = HubSpotSettings.parse({"base_url": address, "access_token": token, **options})
    client = HubSpotClient(settings, sleep=Pauses() if pauses is None else pauses, on_new_token=on_new_token)
    if inputs_per_request is not None:
        client.inputs_per_request = inputs_per_request
    return client


def limit(type_id: int = 279, maximum: int | None = 5, category: str = "HUBSPOT_DEFINED") -> dict[str, Any]:
    entry: dict[str, Any] = {"category": category, "typeId": type_id}
    return entry if maximum is None else entry | {"maxToObjectIds": maximum}


def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


L = TypeVar("L", bound="Listener")


class Listener:
    """A socket on loopback that serves one connection after the other in its own thread."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self: L) -> L:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Serve a connection, which is closed afterwards."""
        raise NotImplementedError


class Peer(Listener):
    """A socket on loopback that reads a request, writes given bytes and closes the connection.

    :param answers: bytes to write, one answer for each request; the last one is repeated. None closes the connection
        without an answer.
    :param tls: context for HTTPS; None for HTTP.
    """

    def __init__(self, *answers: bytes | None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._answers = list(answers)
        self._tls = tls
        self.received: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(1)
        self._talk(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection)

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            request = b""
            while b"\r\n\r\n" not in request and not request.startswith(
                b"\x16\x03"
            ):  # or the beginning of a TLS handshake
                part = connection.recv(65536)
                if not part:
                    return
                request += part
            self.received.append(request)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if answer is not None:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)  # until the client has read all of it and disconnects


def closed_port() -> int:
    """Return a port on loopback on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a self-signed certificate for 127.0.0.1.

    :return: the TLS context of a server with this certificate, and the file with which a client trusts it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    shown, private = folder / "certificate.pem", folder / "key.pem"
    shown.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, private)
    return context, shown
