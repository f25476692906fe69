"""Sharing between the waits in one triggerer: one client per connection, one read at a time per direction.

A thousand waits for the limits of one direction need one answer from HubSpot at a time, not a thousand: the wait that
is due first reads, and the result counts for all of them. A transient error of a read counts only for the waits that
become due before the next read; otherwise the wait with the shortest interval would exhaust every wait's
``max_poll_failures``.

Every request runs in a thread, through the same client as in a worker. Each connection has its own threads, so that a
slow portal does not delay the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError, HubSpotError, HubSpotPollError
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh
from airflow_provider_hubassoc.limits.wait import Wait

if TYPE_CHECKING:
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient
    from airflow_provider_hubassoc.hubspot.models import AssociationLimit

log = logging.getLogger(__name__)

T = TypeVar("T")

_Outcome = Callable[[BatchOperation], BatchOperation]
"""Result of a read. Called with a batch, it returns the batch updated by the read, or raises the error of the read."""

_THREADS_PER_CONNECTION = 8
"""Number of concurrent requests through one connection. HubSpot permits 10 to 19 requests per second."""

_CONNECTION_SECONDS = 300.0
"""Age at which a connection is read again, seconds: tokens are rotated while waits last hours, and watches months."""


class SharedConnection:
    """A connection that all waits of one event loop share. Get it from :func:`shared_connection`.

    :param hubspot_conn_id: id of the connection.
    """

    def __init__(self, hubspot_conn_id: str) -> None:
        self.users = 0
        self._conn_id = hubspot_conn_id
        self._hook: HubSpotHook | None = None
        self._fingerprint: int | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._held_until = 0.0
        self._held_by: HubSpotError | None = None
        self._portal_id: int | None = None
        self._threads = ThreadPoolExecutor(_THREADS_PER_CONNECTION, thread_name_prefix="hubspot")

    def close(self) -> None:
        """Close the network connections. The threads end with the requests in progress."""
        for direction in self._directions.values():
            direction.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._hook is not None:
            self._hook.close()

    async def watch(self, wait: Wait) -> None:
        """Wait until a batch is over.

        :raises HubSpotOperationTimeoutError: if the timeout has passed.
        :raises HubSpotError: if reading failed too often, or no later read can succeed.
        """
        since = time.monotonic()
        while not wait.operation.is_over:
            delay = wait.next_delay()
            if wait.reads_now:
                since = time.monotonic()  # earlier reads do not show that the batch is complete
            if wait.operation.link_to_read:
                await asyncio.sleep(delay)
                wait.poll(await self._read_link(wait.operation))
            else:
                direction = self._direction(wait.operation.from_object_type, wait.operation.to_object_type)
                wait.poll(await direction.next_outcome(delay, since))

    async def call(self, read: Callable[[HubSpotClient], T]) -> T:
        """Read once, in a thread. While a pause lasts that HubSpot asked for, no request is sent.

        :raises HubSpotError: as the client raises it.
        """
        client = await self._client()
        if self._held_by is not None and (left := self._held_until - time.monotonic()) > 0:
            raise HubSpotError.from_dict({**self._held_by.to_dict(), "retry_after": left})
        try:
            try:
                return await self._in_thread(read, client.without_retries())
            except HubSpotAuthenticationError:
                newer = await self._client(rejected=client)
                if newer is client:
                    raise
                return await self._in_thread(read, newer.without_retries())
        except HubSpotError as error:
            if error.retry_after:
                self._held_until, self._held_by = time.monotonic() + error.retry_after, error.with_traceback(None)
            raise

    async def portal_id(self) -> int | None:
        """Return the portal's id; None if HubSpot does not say it."""
        if self._portal_id is None:
            try:
                self._portal_id = (await self.call(lambda client: client.account_info())).portal_id
            except HubSpotError as error:
                log.info("HubSpot did not say which portal the connection %s leads to: %s", self._conn_id, error)
        return self._portal_id

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _client(self, rejected: HubSpotClient | None = None) -> HubSpotClient:
        """Return the client. Read the connection again if it is old, or its client has a rejected token.

        :param rejected: the client whose token HubSpot has rejected.
        """
        async with self._lock:
            hook = self._hook
            is_old = time.monotonic() - self._read_at > _CONNECTION_SECONDS
            if hook is None or is_old or hook.client is rejected:
                hook = self._hook = await self._read_connection(hook)
            return hook.client

    async def _read_connection(self, known: HubSpotHook | None) -> HubSpotHook:
        """Read the connection; return the known hook if the connection is unchanged or unusable."""
        try:
            connection = await _connection(self._conn_id)
        except Exception as error:  # any error of a secrets backend
            if known is not None:
                return known
            reason = error if isinstance(error, AirflowNotFoundException) else type(error).__name__
            raise HubSpotPollError(f"The connection {self._conn_id} could not be read: {reason}") from None
        self._read_at = time.monotonic()
        fields = ("conn_type", "host", "port", "schema", "login", "password", "extra")
        fingerprint = hash(tuple(getattr(connection, name) for name in fields))
        if known is not None and fingerprint == self._fingerprint:
            return known
        hook = HubSpotHook(self._conn_id, connection=connection)
        try:
            await self._in_thread(hook.get_conn)
        except HubSpotError as error:
            if known is None:
                raise
            log.warning(
                "The connection %s has been changed but is invalid now; continuing with the previous one: %s",
                self._conn_id,
                error,
            )
            return known
        self._fingerprint = fingerprint
        self._held_by = self._portal_id = None  # it may lead to another portal
        if known is not None:
            known.close()
        return hook

    def _direction(self, from_object_type: str, to_object_type: str) -> _Direction:
        key = normalize(from_object_type), normalize(to_object_type)
        if key not in self._directions:
            self._directions[key] = _Direction(self, from_object_type, to_object_type)
        return self._directions[key]

    async def _read_link(self, operation: BatchOperation) -> _Outcome:
        try:
            read = await self.call(lambda client: refresh(client, operation))
        except HubSpotError as error:
            return _failure(error)
        return lambda _: read


class _Direction:
    """The limits of one direction, read once for all waits."""

    def __init__(self, connection: SharedConnection, from_object_type: str, to_object_type: str) -> None:
        self._connection = connection
        self._direction = from_object_type, to_object_type
        self._reading: asyncio.Task[tuple[float, _Outcome]] | None = None
        self._failed: tuple[float, _Outcome] | None = None
        self._shown: asyncio.Future[tuple[float, _Outcome]] = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """Cancel the read in progress."""
        if self._reading is not None:
            self._reading.cancel()

    async def next_outcome(self, delay: float, since: float) -> _Outcome:
        """Return the next outcome that is not a transient error, from any wait; read after the delay.

        :param delay: time after which this wait reads itself, seconds.
        :param since: time (``time.monotonic``) before which a read is too old for this wait.
        """
        entered = time.monotonic()
        due = entered + delay
        while True:
            if (left := due - time.monotonic()) > 0:
                done, _ = await asyncio.wait({self._shown}, timeout=left)
                if not done:
                    continue
                began, outcome = done.pop().result()
            elif self._failed is not None and self._failed[0] >= entered:
                return self._failed[1]  # another wait has just made the read that is due now
            else:
                if self._reading is None:
                    # A separate task, because the wait that starts it may be cancelled while others need it.
                    self._reading = asyncio.create_task(self._read())
                began, outcome = await asyncio.shield(self._reading)
            if began >= since:
                return outcome

    async def _read(self) -> tuple[float, _Outcome]:
        began = time.monotonic()
        try:
            outcome = _success(await self._connection.call(lambda client: client.get_limits(*self._direction)))
        except HubSpotError as error:
            outcome = _failure(error)
            if error.retryable:
                self._failed = began, outcome
                return self._failed
        finally:
            self._reading = None
        self._failed = None
        shown, self._shown = self._shown, asyncio.get_running_loop().create_future()
        shown.set_result((began, outcome))
        return began, outcome


_CONNECTIONS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedConnection]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_connection(hubspot_conn_id: str) -> AsyncIterator[SharedConnection]:
    """Share a connection with all its current users in this event loop. The last user closes it.

    :param hubspot_conn_id: id of the connection; it is read at the first request.
    """
    connections = _CONNECTIONS.setdefault(asyncio.get_running_loop(), {})
    if hubspot_conn_id not in connections:
        connections[hubspot_conn_id] = SharedConnection(hubspot_conn_id)
    shared = connections[hubspot_conn_id]
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            del connections[hubspot_conn_id]
            shared.close()


def _success(limits: list[AssociationLimit]) -> _Outcome:
    return lambda operation: operation.with_limits(limits)


def _failure(error: HubSpotError) -> _Outcome:
    def outcome(operation: BatchOperation) -> BatchOperation:
        raise error.with_traceback(None)  # raised once per wait, the traceback would grow each time

    return outcome


async def _connection(hubspot_conn_id: str) -> Any:
    try:
        return await BaseHook.aget_connection(hubspot_conn_id)
    except AirflowNotFoundException:
        # In dag.test(), aget_connection sees only connections in the environment.
        return await asyncio.to_thread(BaseHook.get_connection, hubspot_conn_id)
