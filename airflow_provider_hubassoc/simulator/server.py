"""The simulator's server: one portal behind a loopback socket, in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import uvicorn

from airflow_provider_hubassoc.simulator.app import create_app
from airflow_provider_hubassoc.simulator.faults import Fault, FaultQueue
from airflow_provider_hubassoc.simulator.gateway import DEFAULT_TOKEN, Gateway, OAuthApp
from airflow_provider_hubassoc.simulator.portal import Key, Portal
from airflow_provider_hubassoc.simulator.settings import Settings
from airflow_provider_hubassoc.simulator.tracking import Tracking
from airflow_provider_hubassoc.simulator.wire import FrontDoor, Protocol, RequestLog, RequestRecord

HOST = "127.0.0.1"

_KEEP_ALIVE_SECONDS = 75
"""How long idle connections stay open. With uvicorn's 5 seconds, a client would lose them between two polls."""


class _Server(uvicorn.Server):
    """A uvicorn server that starts and stops at once, instead of checking every tenth of a second."""

    def __init__(self, config: uvicorn.Config, front_door: FrontDoor) -> None:
        super().__init__(config)
        self._front_door = front_door

    async def main_loop(self) -> None:
        """Wait until the simulator stops; the tick updates the Date header."""
        while not self._front_door.stopping.is_set():
            await self.on_tick(0)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._front_door.stopping.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections without waiting for answers."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=5)


class Simulator:
    """Simulator of one HubSpot portal. Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param port: port on 127.0.0.1; 0 takes a free one.
    :param options: parameters of :class:`~.settings.Settings`.
    """

    def __init__(self, port: int = 0, **options: Any) -> None:
        self.settings = Settings(**options)
        self._requested_port = port
        self._portal = Portal(self.settings)
        self._tracking = Tracking(self._portal)
        self._gateway = Gateway(self.settings, self._portal.local_time)
        self._log = RequestLog()
        self._faults = FaultQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._front_door: FrontDoor | None = None
        self._failure: BaseException | None = None
        self.port = 0

    # -- lifecycle --

    def __enter__(self) -> Simulator:
        """Start the simulator."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the simulator."""
        self.stop()

    def start(self) -> None:
        """Start to listen, and return as soon as requests are answered.

        :raises OSError: if the port is in use.
        """
        if self._thread is not None:
            raise RuntimeError("the simulator is running already")
        # asyncio turns off Nagle's algorithm (a delay of 40 ms) only for sockets made with an explicit protocol.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # Connections of an earlier run in TIME_WAIT must not block the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self._requested_port))
            listener.listen(1024)
        except BaseException:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener, ready), name=f"hubspot-simulator-{self.port}", daemon=True
        )
        self._thread.start()
        ready.wait()
        failure = self._failure
        if failure is not None:
            self.stop()
            raise RuntimeError("the simulator did not start") from failure

    def stop(self) -> None:
        """Close every connection and free the port. A second call has no effect."""
        thread, loop, front_door = self._thread, self._loop, self._front_door
        if thread is None:
            return
        if loop is not None and front_door is not None:
            # The loop may have ended already.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(front_door.stopping.set)
        thread.join()
        self._thread = self._loop = self._front_door = self._failure = None

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(listener, ready))
        except BaseException as error:
            self._failure = error
        finally:
            listener.close()
            ready.set()

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        app = create_app(self.settings, self._portal, self._tracking, self._gateway, self._log, self._faults)
        self._front_door = FrontDoor(app, self.settings, self._log, self._faults)
        self._loop = asyncio.get_running_loop()
        config = uvicorn.Config(
            self._front_door,
            http=Protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        server = _Server(config, self._front_door)
        # The socket listens already, so a request sent from now on is answered as soon as the loop runs.
        self._loop.call_soon(ready.set)
        await server.serve(sockets=[listener])

    # -- state and controls --

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    @property
    def token(self) -> str:
        """Access token with every scope; the same in every run."""
        return DEFAULT_TOKEN

    @property
    def oauth(self) -> OAuthApp:
        """Client id, client secret and refresh token; set ``expires_in`` and ``scopes`` for new tokens."""
        return self._gateway.oauth

    @property
    def portal_id(self) -> int:
        """Id of the portal."""
        return self.settings.portal_id

    @property
    def requests(self) -> list[RequestRecord]:
        """Requests since the start or the last :meth:`clear_requests`, except those under ``/_simulator/``."""
        return self._log.records()

    def clear_requests(self) -> None:
        """Remove the requests recorded so far."""
        self._log.clear()

    def limits(self) -> dict[Key, int]:
        """Return the limits in force, including those that stale reads do not show.

        :return: ``{(from_id, to_id, category, typeId): maxToObjectIds}``
        """
        return self._portal.limits()

    def set_limit(
        self,
        from_object_type: str,
        to_object_type: str,
        category: str,
        type_id: int,
        max_to_object_ids: int | None,
    ) -> None:
        """Set or remove a limit as an admin does in HubSpot's settings; reads show it at once.

        :param max_to_object_ids: the limit; None removes it.
        :raises ValueError: if the association type does not exist.
        """
        self._portal.set_limit(from_object_type, to_object_type, category, type_id, max_to_object_ids)

    def add_object_type(self, name: str) -> str:
        """Add a custom object type.

        :return: its id, ``2-<n>``
        """
        return self._portal.add_object_type(name)

    def add_label(
        self,
        from_object_type: str,
        to_object_type: str,
        *,
        label: str,
        inverse_label: str | None = None,
        name: str,
    ) -> tuple[int, int]:
        """Add a label.

        :param inverse_label: text on the other side; None for the same text on both sides.
        :return: type ids of the direction and of its inverse; they are equal for a symmetric label within one object
            type.
        """
        created = self._portal.create_label(
            from_object_type, to_object_type, name=name, label=label, inverse_label=inverse_label
        )
        return created[-1].type_id, created[0].type_id

    def add_record(self, object_type: str, name: str) -> str:
        """Add a record and return its id."""
        return self._tracking.add_record(object_type, name)

    def associate(
        self,
        from_object_type: str,
        from_record: str,
        to_object_type: str,
        to_record: str,
        *,
        category: str = "HUBSPOT_DEFINED",
        type_id: int,
    ) -> None:
        """Associate two records, in both directions. No limit is enforced.

        :param from_record: id of the record (:meth:`add_record`).
        :raises ValueError: if a record or the association type does not exist.
        """
        self._tracking.associate(from_object_type, from_record, to_object_type, to_record, category, type_id)

    def issue_token(self, scopes: Iterable[str] | None = None) -> str:
        """Return a new access token; by default with every scope."""
        return self._gateway.issue_token(scopes)

    def revoke(self, token: str) -> None:
        """Revoke an access token, or the refresh token."""
        self._gateway.revoke(token)

    def inject(
        self,
        *,
        method: str | None = None,
        path: str = "*",
        status: int | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: Any = None,
        delay: float = 0.0,
        reset: bool = False,
        truncate: int | None = None,
        stall: float = 0.0,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Queue a fault for the next requests that match; see :class:`~.faults.Fault` for the parameters."""
        self._faults.add(
            Fault(
                method=method,
                path=path,
                status=status,
                headers=headers or {},
                body=body,
                delay=delay,
                reset=reset,
                truncate=truncate,
                stall=stall,
                times=times,
                after=after,
            )
        )

    @property
    def faults(self) -> list[Fault]:
        """Faults that are not used up."""
        return self._faults.pending()

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._faults.clear()
