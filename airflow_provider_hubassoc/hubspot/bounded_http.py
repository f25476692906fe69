"""HTTP connections that limit the duration of a whole answer and the size of its headers and body.

The read timeout of a socket restarts with every byte, and Python's HTTP client accepts any number of interim (1xx)
answers. Without these limits, a server that sends one byte from time to time could block a request forever.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from airflow_provider_hubassoc.hubspot.errors import HubSpotRefusedAnswerError

MAX_HEADER_BYTES = 256 * 1024
"""Maximum size of the headers of one answer, interim answers included; HubSpot's are about two kilobytes."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Maximum size of the body of one answer; the limits and labels of a portal take some kilobytes."""

TIMEOUTS_PER_ANSWER = 4
"""Maximum duration of a whole answer, as a multiple of the read timeout."""


class _BoundedReader(io.RawIOBase):
    """Reader of a socket with a deadline for all reads and the read timeout for each read."""

    def __init__(self, source: io.RawIOBase, sock: socket.socket) -> None:
        self._source = source
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._deadline = None if self._timeout is None else time.monotonic() + TIMEOUTS_PER_ANSWER * self._timeout
        self.bytes_left: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None and self._timeout is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("The answer was not complete in time")
            self._sock.settimeout(min(self._timeout, left))
        size: int | None = self._source.readinto(buffer)
        if self.bytes_left is not None and size:
            self.bytes_left -= size
            if self.bytes_left < 0:
                raise http.client.HTTPException(f"the headers are larger than {MAX_HEADER_BYTES} bytes")
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _BoundedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        self._reader.bytes_left = MAX_HEADER_BYTES
        super().begin()
        self._reader.bytes_left = None

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim answers such as 103; http.client skips only 100 and would return them as the answer."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in typeshed
            if not 101 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _BoundedConnection(HTTPConnection):
    response_class = _BoundedResponse


class _BoundedTLSConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTLSConnection


class BoundedAdapter(HTTPAdapter):
    """Transport adapter of requests with bounded connections, direct or through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the manager of pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


def read_body(response: requests.Response) -> bytes:
    """Read the body of an answer.

    :raises HubSpotRefusedAnswerError: if it is larger than :data:`MAX_BODY_BYTES`.
    :raises requests.RequestException: if it breaks off.
    """
    body = response.content if response.raw.closed else b""  # a hook of requests, such as tracing, may have read it
    try:
        while part := response.raw.read1(64 * 1024, decode_content=True):
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise HubSpotRefusedAnswerError(
                    f"HubSpot's answer is larger than {MAX_BODY_BYTES} bytes and is not read",
                    status=response.status_code,
                )
    except ReadTimeoutError as error:  # same conversion as in requests, whose iter_content() cannot read any size
        raise requests.ConnectionError(error) from None
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from None
    return body
