"""What the waits inside one triggerer share: for each connection one client, for each direction one read.

A thousand operations that wait for the limits of one direction need one answer of HubSpot's at a time, not a thousand:
whoever is due first reads, and what the read shows counts for all. A read that fails and may yet succeed counts for
those alone who come to be due before the next one; otherwise the wait with the shortest interval would exhaust every
wait's ``max_poll_failures``.

Every request runs in a thread, through the same client as in a worker. Each connection has threads of its own, so
that a portal which answers slowly delays no other.
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
"""What a read makes of an operation: the operation with what was read, or the error of the read."""

_THREADS_PER_CONNECTION = 8
"""Requests to one portal at the same time. HubSpot permits 10 to 19 requests a second."""

_CONNECTION_SECONDS = 300.0
"""How long a connection is taken to be as it was read: waits go on for hours, watches for months, and tokens are
rotated."""


class SharedConnection:
    """A connection that all waits of one event loop share. Get it from :func:`shared_connection`.

    :param hubspot_conn_id: id of the connection.
    """

    def __init__(self, hubspot_conn_id: str) -> None:
        self.users = 0
        self._conn_id = hubspot_conn_id
        self._hook: HubSpotHook | None = None
        self._fingerprint: int | None = None
        self._looked_up_at = 0.0
        self._lock = asyncio.Lock()
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._held_until = 0.0
        self._held_by: HubSpotError | None = None
        self._portal_id: int | None = None
        self._threads = ThreadPoolExecutor(_THREADS_PER_CONNECTION, thread_name_prefix="hubspot")

    def close(self) -> None:
        """Close the network connections, and let the threads end with the requests they are making."""
        for direction in self._directions.values():
            direction.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._hook is not None:
            self._hook.close()

    async def watch(self, wait: Wait) -> None:
        """Wait until an operation is over.

        :raises HubSpotOperationTimeoutError: if the time is up.
        :raises HubSpotError: if reading failed too often, or no later read can succeed.
        """
        since = time.monotonic()
        while not wait.operation.is_over:
            delay = wait.next_delay()
            if wait.reads_now:
                since = time.monotonic()  # the batch has just been completed, which earlier reads do not show
            if wait.operation.link_to_read:
                await asyncio.sleep(delay)
                wait.poll(await self._read_link(wait.operation))
            else:
                ends = wait.operation.from_object_type, wait.operation.to_object_type
                wait.poll(await self._direction(*ends).next_outcome(delay, since))

    async def call(self, read: Callable[[HubSpotClient], T]) -> T:
        """Make a read in a thread, once; without a request as long as HubSpot has asked to be left alone.

        :raises HubSpotError: as the client raises it.
        """
        client = await self._client()
        if self._held_by is not None and (left := self._held_until - time.monotonic()) > 0:
            raise HubSpotError.from_dict({**self._held_by.to_dict(), "retry_after": left})
        try:
            try:
                return await self._in_thread(read, client.without_retries())
            except HubSpotAuthenticationError:
                newer = await self._client(but_not=client)
                if newer is client:
                    raise
                return await self._in_thread(read, newer.without_retries())
        except HubSpotError as error:
            if error.retry_after:
                self._held_until, self._held_by = time.monotonic() + error.retry_after, error.with_traceback(None)
            raise

    async def portal_id(self) -> int | None:
        """Return the portal's id; None if HubSpot does not tell it."""
        if self._portal_id is None:
            try:
                self._portal_id = (await self.call(lambda client: client.account_info())).portal_id
            except HubSpotError as error:
                log.info("HubSpot did not tell which portal the connection %s leads to: %s", self._conn_id, error)
        return self._portal_id

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _client(self, but_not: HubSpotClient | None = None) -> HubSpotClient:
        """Return the client; read the connection if that was long ago, or brought a client that is of no use."""
        async with self._lock:
            hook = self._hook
            is_old = time.monotonic() - self._looked_up_at > _CONNECTION_SECONDS
            if hook is None or is_old or hook.client is but_not:
                hook = self._hook = await self._looked_up(hook)
            return hook.client

    async def _looked_up(self, known: HubSpotHook | None) -> HubSpotHook:
        """Read the connection; return the known hook if it is as before, or cannot be read."""
        try:
            connection = await _connection(self._conn_id)
        except Exception as error:  # of the secrets backend, whichever that is
            if known is not None:
                return known
            reason = error if isinstance(error, AirflowNotFoundException) else type(error).__name__
            raise HubSpotPollError(f"The connection {self._conn_id} could not be read: {reason}") from None
        self._looked_up_at = time.monotonic()
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
            log.warning("The connection %s has been changed, and is used as it was before: %s", self._conn_id, error)
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
    """The limits of one direction of a portal, read once for all who wait for them."""

    def __init__(self, connection: SharedConnection, from_object_type: str, to_object_type: str) -> None:
        self._connection = connection
        self._ends = from_object_type, to_object_type
        self._reading: asyncio.Task[tuple[float, _Outcome]] | None = None
        self._failed: tuple[float, _Outcome] | None = None
        self._shown: asyncio.Future[tuple[float, _Outcome]] = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """End a read that nobody waits for."""
        if self._reading is not None:
            self._reading.cancel()

    async def next_outcome(self, delay: float, since: float) -> _Outcome:
        """Return the next read that decides something, whoever makes it; if none has within the delay, make one.

        :param delay: seconds.
        :param since: a read that began before (``time.monotonic``) may be older than what is waited for.
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
                return self._failed[1]  # the read that would be made now was made while this wait slept
            else:
                if self._reading is None:
                    # A task of its own: whoever began it may be cancelled, and others wait for it too.
                    self._reading = asyncio.create_task(self._read())
                began, outcome = await asyncio.shield(self._reading)
            if began >= since:
                return outcome

    async def _read(self) -> tuple[float, _Outcome]:
        began = time.monotonic()
        try:
            outcome = _success(await self._connection.call(lambda client: client.get_limits(*self._ends)))
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
    """Share a connection with all others who use it now in this event loop; the last one closes it.

    :param hubspot_conn_id: id of the connection; it is read with the first request.
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
        raise error.with_traceback(None)  # it is raised once for each who waits, and would grow with each

    return outcome


async def _connection(hubspot_conn_id: str) -> Any:
    try:
        return await BaseHook.aget_connection(hubspot_conn_id)
    except AirflowNotFoundException:
        # Where triggers run inside dag.test(), the asynchronous way sees only connections of the environment.
        return await asyncio.to_thread(BaseHook.get_connection, hubspot_conn_id)
