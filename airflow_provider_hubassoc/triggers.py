"""The wait for a batch operation, inside the triggerer. It only reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotOperationTimeoutError,
    HubSpotPollError,
    HubSpotSettingsError,
)
from airflow_provider_hubassoc.limits.operation import BatchOperation, Wait

OVER = "over"
TIMEOUT = "timeout"
POLL_FAILED = "poll_failed"


class HubSpotAssociationLimitsTrigger(BaseTrigger):
    """Waits until a batch operation is over: by its status link, or by reading the limits of the pair.

    Every request runs in a thread, through the same client as in a worker. HubSpot cannot cancel a batch, so there
    is nothing to stop there when the task is killed.

    Its one event is plain JSON with ``outcome``: ``over`` (with the ``operation``), ``timeout`` or ``poll_failed``
    (each with the ``operation`` as last seen and the ``error``). Read it with :func:`operation_from_event`.

    :param hubspot_conn_id: id of the connection; it is read here, no secret is serialized.
    :param operation: the handle of the operation.
    :param started_at: when the wait began, seconds since the epoch.
    :param timeout: how long it may last, seconds; None for ever.
    :param poll_interval: about how long to wait before the first read, seconds; the waits then grow.
    :param max_poll_interval: the longest time between two reads, seconds.
    :param max_poll_failures: after so many failed reads in a row the wait is given up.
    """

    def __init__(
        self,
        *,
        hubspot_conn_id: str,
        operation: dict[str, Any],
        started_at: float,
        timeout: float | None,
        poll_interval: float,
        max_poll_interval: float,
        max_poll_failures: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.hubspot_conn_id = hubspot_conn_id
        self.operation = operation
        self.started_at = started_at
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.max_poll_failures = max_poll_failures

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; after a restart the wait goes on where its clock says."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "hubspot_conn_id": self.hubspot_conn_id,
                "operation": self.operation,
                "started_at": self.started_at,
                "timeout": self.timeout,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "max_poll_failures": self.max_poll_failures,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        wait = Wait(
            BatchOperation.from_dict(self.operation),
            started_at=self.started_at,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            max_poll_failures=self.max_poll_failures,
        )
        event: dict[str, Any] = {"outcome": OVER}
        try:
            with HubSpotHook(self.hubspot_conn_id, connection=await self._connection()) as hook:
                while not wait.operation.is_over:
                    await asyncio.sleep(wait.next_delay(time.time()))
                    await asyncio.to_thread(wait.poll, hook.refresh_operation)
        except HubSpotOperationTimeoutError as error:
            event = {"outcome": TIMEOUT, "error": error.to_dict()}
        except HubSpotError as error:
            event = {"outcome": POLL_FAILED, "error": error.to_dict()}
        yield TriggerEvent({**event, "operation": wait.operation.to_dict()})  # type: ignore[no-untyped-call]

    async def _connection(self) -> Any:
        try:
            return await BaseHook.aget_connection(self.hubspot_conn_id)
        except AirflowNotFoundException:
            # Where triggers run inside dag.test(), the asynchronous way sees only connections of the environment.
            try:
                return await asyncio.to_thread(BaseHook.get_connection, self.hubspot_conn_id)
            except AirflowNotFoundException as error:
                raise HubSpotSettingsError(str(error)) from None


def operation_from_event(event: Any) -> BatchOperation:
    """Read the trigger's event in the resumed task. What is not understood counts as a failure.

    :return: the operation, which is over.
    :raises HubSpotOperationTimeoutError: if the time was up.
    :raises HubSpotError: the error that ended the wait.
    :raises HubSpotPollError: if the event is not one of the trigger's.
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    try:
        if outcome == OVER:
            operation = BatchOperation.from_dict(event.get("operation"))
            if operation.is_over:
                return operation
        elif outcome in (TIMEOUT, POLL_FAILED):
            raise HubSpotError.from_dict(event.get("error") or {})
    except ValueError as error:
        raise HubSpotPollError(f"The trigger's event cannot be used: {error}") from None
    raise HubSpotPollError("The trigger ended without saying what became of the operation")
