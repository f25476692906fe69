"""Triggers: wait for batches, wait until a sync is in force, watch for drift. They only read.

They share clients and reads: see :mod:`~airflow_provider_hubassoc.shared_connection`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotOperationTimeoutError,
    HubSpotPollError,
)
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError
from airflow_provider_hubassoc.limits.state import DirectionState
from airflow_provider_hubassoc.limits.wait import Wait
from airflow_provider_hubassoc.shared_connection import shared_connection

if TYPE_CHECKING:
    from airflow_provider_hubassoc.drift import Drift
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient

log = logging.getLogger(__name__)

OVER = "over"
TIMEOUT = "timeout"
POLL_FAILED = "poll_failed"


class HubSpotAssociationLimitsTrigger(BaseTrigger):
    """Waits until HubSpot has settled a batch, by its status link or by reading the limits of its direction.

    HubSpot cannot cancel a batch, so there is nothing to stop in HubSpot when the task is killed.

    The only event is plain JSON with ``outcome``: ``over`` (with the ``operation``), ``timeout`` or ``poll_failed``
    (with the latest ``operation`` and the ``error``). Read it with :func:`operation_from_event`.

    :param hubspot_conn_id: id of the connection. The trigger reads it; no secret is serialized.
    :param operation: the handle of the batch.
    :param timeout: maximum duration of the wait, seconds; None for no limit. It is measured in the triggerer and
        starts again if the triggerer restarts; then Airflow's own timeout of the deferral ends the wait.
    :param poll_interval: approximate time before the first read, seconds; later intervals grow.
    :param max_poll_interval: maximum time between two reads, seconds.
    :param max_poll_failures: number of failed reads in a row that ends the wait.
    :param waited: seconds already waited before the task was deferred.
    :param hold: pause that HubSpot asked for, seconds from now.
    :param started_at: ignored; triggers stored by earlier versions have it.
    :param not_before: ignored; triggers stored by earlier versions have it.
    """

    def __init__(
        self,
        *,
        hubspot_conn_id: str,
        operation: dict[str, Any],
        timeout: float | None,
        poll_interval: float,
        max_poll_interval: float,
        max_poll_failures: int,
        waited: float = 0.0,
        hold: float = 0.0,
        started_at: float | None = None,
        not_before: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not annotated
        self.hubspot_conn_id = hubspot_conn_id
        self.operation = operation
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.max_poll_failures = max_poll_failures
        self.waited = waited
        self.hold = hold

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = (
            *("hubspot_conn_id", "operation", "timeout"),
            *("poll_interval", "max_poll_interval", "max_poll_failures", "waited", "hold"),
        )
        return _class_path(self), {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the event."""
        wait = Wait(
            BatchOperation.from_dict(self.operation),
            waited=self.waited,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            max_poll_failures=self.max_poll_failures,
            connection_name=self.hubspot_conn_id,
            token_worked=True,
            on_change=log.info,
        )
        wait.hold = self.hold
        log.info("Waiting for %s (connection %s)", wait.operation.title, self.hubspot_conn_id)
        event = await _wait_for_all(self.hubspot_conn_id, [wait])
        _log_end(event, wait)
        waited = round(wait.elapsed, 1)
        yield TriggerEvent({**event, "operation": wait.operation.to_dict(), "waited": waited})  # type: ignore[no-untyped-call]  # not annotated


class HubSpotAssociationLimitsSyncTrigger(BaseTrigger):
    """Waits until reads show everything that a sync has written.

    The only event has ``outcome`` (``over``, ``timeout`` or ``poll_failed``), the latest ``operations`` and the
    ``report``. Read it with :func:`report_from_event`.

    :param hubspot_conn_id: id of the connection. The trigger reads it; no secret is serialized.
    :param operations: for each direction with writes, the handle of an operation with the limits that it should have.
    :param report: the report of the sync, which the event returns.
    :param timeout: maximum duration of the wait, seconds; measured in the triggerer.
    :param started_at: ignored; triggers stored by earlier versions have it.
    """

    def __init__(
        self,
        *,
        hubspot_conn_id: str,
        operations: list[dict[str, Any]],
        report: dict[str, Any],
        timeout: float,
        started_at: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not annotated
        self.hubspot_conn_id = hubspot_conn_id
        self.operations = operations
        self.report = report
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("hubspot_conn_id", "operations", "report", "timeout")
        return _class_path(self), {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the event."""
        waits = [
            Wait(
                BatchOperation.from_dict(handle),
                timeout=self.timeout,
                poll_interval=1.0,
                max_poll_interval=15.0,
                max_poll_failures=5,
                connection_name=self.hubspot_conn_id,
                token_worked=True,
            )
            for handle in self.operations
        ]
        log.info("Verifying %d directions (connection %s)", len(waits), self.hubspot_conn_id)
        event = await _wait_for_all(self.hubspot_conn_id, waits)
        for wait in waits:
            _log_end(event, wait)
        operations = [wait.operation.to_dict() for wait in waits]
        waited = round(max((wait.elapsed for wait in waits), default=0.0), 1)
        yield TriggerEvent(  # type: ignore[no-untyped-call]  # not annotated
            {**event, "operations": operations, "report": self.report, "waited": waited}
        )


class HubSpotAssociationLimitsDriftTrigger(BaseEventTrigger):
    """Fires when the limits of one direction are no longer as declared, for an ``AssetWatcher``.

    Reads may show an old state for minutes after a write. The trigger therefore reports drift only after every read
    has shown the same difference for ``settle_seconds``. It fires once for each difference, and again after
    ``repeat_seconds`` if the difference remains.

    The payload of the event has ``hubspot_conn_id``, ``portal_id`` (None if HubSpot does not say it),
    ``from_object_type``, ``to_object_type``, ``drift`` (one line of text for each difference) and ``limits``
    (``name``, ``is`` and ``should_be`` of each limit; None for unlimited).

    On Airflow 3.3, watchers of the same direction and connection share their reads. The asset state store keeps what
    has fired, so that a restart of the triggerer repeats no event. Airflow 3.2 has no such store: a difference fires
    again after a restart. The same applies if several assets use the same watcher.

    :param association: the declaration: one entry of ``associations`` of a limits file, with ``from``, ``to``, and
        ``limit``, ``labels`` or ``types``.
    :param hubspot_conn_id: id of the connection. The trigger reads it; no secret is serialized.
    :param poll_interval: time between two reads of the direction, seconds.
    :param settle_seconds: how long a difference has to last, seconds.
    :param repeat_seconds: time after which the same difference fires again, seconds.
    """

    def __init__(
        self,
        *,
        association: dict[str, Any],
        hubspot_conn_id: str = "hubspot_default",
        poll_interval: float = 300.0,
        settle_seconds: float = 300.0,
        repeat_seconds: float = 3600.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not annotated
        self.association = association
        self.hubspot_conn_id = hubspot_conn_id
        self.poll_interval = poll_interval
        self.settle_seconds = settle_seconds
        self.repeat_seconds = repeat_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("association", "hubspot_conn_id", "poll_interval", "settle_seconds", "repeat_seconds")
        return _class_path(self), {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable:
        """Return the key of the reads that this trigger shares with others."""
        object_types = (normalize(str(self.association.get(side))) for side in ("from", "to"))
        return (type(self).__qualname__, self.hubspot_conn_id, *object_types, self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[DirectionState]:
        """Read the direction at regular intervals, without end. A failed read is only logged."""
        direction = Direction(kwargs["association"]["from"], kwargs["association"]["to"])
        conn_id = kwargs.get("hubspot_conn_id", "hubspot_default")

        def read(client: HubSpotClient) -> DirectionState:
            return DirectionState(client.get_limits(*direction), client.get_labels(*direction))

        async with shared_connection(conn_id) as shared:
            while True:
                pause = kwargs.get("poll_interval", 300.0)
                try:
                    state = await shared.call(read)
                except HubSpotError as error:
                    log.warning("The limits %s (connection %s) could not be read: %s", direction, conn_id, error)
                    pause = max(pause, error.retry_after or 0.0)
                else:
                    yield state
                await asyncio.sleep(pause)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[DirectionState]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each difference that lasts."""
        # Plans and limits files take 150 ms to import, and the other triggers do not need them.
        from airflow_provider_hubassoc.drift import DriftHistory, find_drift

        direction = Direction(self.association["from"], self.association["to"])
        log.info("Watching the limits %s (connection %s) for drift", direction, self.hubspot_conn_id)
        history = DriftHistory(getattr(self, "asset_state_store", None), self._state_key())
        await history.load()
        async for state in shared_stream:
            now = time.monotonic()
            drift = find_drift(self.association, state)
            if drift.lines != history.lines:
                history.lines, history.since, history.fired_at = drift.lines, now, -math.inf
                await history.save()
                if drift.lines:
                    log.info("Drift, reported if it lasts %g s: %s", self.settle_seconds, "; ".join(drift.lines))
                else:
                    log.info("The limits %s (connection %s) are as declared", direction, self.hubspot_conn_id)
            has_settled = now - history.since >= self.settle_seconds
            if drift.lines and has_settled and now - history.fired_at >= self.repeat_seconds:
                history.fired_at = now
                log.info("Drift (connection %s): %s", self.hubspot_conn_id, "; ".join(drift.lines))
                yield await self._event(drift)
                # After the event: if the triggerer dies in between, the trigger fires twice rather than never.
                await history.save()

    async def _event(self, drift: Drift) -> TriggerEvent:
        async with shared_connection(self.hubspot_conn_id) as shared:
            portal_id = await shared.portal_id()
        return TriggerEvent(  # type: ignore[no-untyped-call]  # not annotated
            {
                "hubspot_conn_id": self.hubspot_conn_id,
                "portal_id": portal_id,
                "from_object_type": self.association["from"],
                "to_object_type": self.association["to"],
                "drift": drift.lines,
                "limits": drift.limits,
            }
        )

    def _state_key(self) -> str:
        _, kwargs = self.serialize()
        digest = hashlib.sha256(json.dumps(kwargs, sort_keys=True, default=str).encode()).hexdigest()
        return f"hubspot_drift_{digest[:32]}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll in this trigger alone, if Airflow does not share streams."""
        _, kwargs = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(kwargs)):
            yield event


def operation_from_event(event: Any) -> BatchOperation:
    """Read the event of :class:`HubSpotAssociationLimitsTrigger` in the resumed task.

    :return: the batch, which is over.
    :raises HubSpotOperationTimeoutError: if the wait timed out.
    :raises HubSpotError: the error that ended the wait.
    :raises HubSpotPollError: if the event cannot be understood.
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    if outcome == OVER:
        try:
            operation = BatchOperation.from_dict(event.get("operation"))
        except OperationHandleError as error:
            raise HubSpotPollError(f"The trigger's event cannot be used: {error}") from None
        if operation.is_over:
            return operation
    elif outcome in (TIMEOUT, POLL_FAILED):
        raise _error_of(event)
    raise HubSpotPollError("The trigger ended without the final state of the batch")


def report_from_event(event: Any) -> dict[str, Any]:
    """Read the sync trigger's event in the resumed task.

    Unconfirmed changes that a read has shown count as applied. If the verification ended early, the writes are done
    nevertheless, so the report says that they are not settled.

    :return: the report, with the result of the verification.
    :raises HubSpotPollError: if the event is not one of the trigger's.
    """
    from airflow_provider_hubassoc.limits.apply import ApplyReport  # imported here as in filter_shared_stream

    try:
        if event["outcome"] not in (OVER, TIMEOUT, POLL_FAILED):
            raise ValueError(event["outcome"])
        operations = [BatchOperation.from_dict(handle) for handle in event["operations"]]
        report = ApplyReport.from_dict(event["report"])
    except (KeyError, TypeError, ValueError) as error:
        raise HubSpotPollError("The trigger ended without saying whether the limits have settled") from error
    return report.confirmed_by(operations).to_dict()


async def _wait_for_all(hubspot_conn_id: str, waits: Sequence[Wait]) -> dict[str, Any]:
    """Wait for batches concurrently.

    :return: the outcome, and the error if there is one, for the event.
    """
    async with shared_connection(hubspot_conn_id) as shared:
        tasks = [asyncio.ensure_future(shared.watch(wait)) for wait in waits]
        try:
            await asyncio.gather(*tasks)
        except HubSpotOperationTimeoutError as error:
            return {"outcome": TIMEOUT, "error": error.to_dict()}
        except HubSpotError as error:
            return {"outcome": POLL_FAILED, "error": error.to_dict()}
        finally:
            for task in tasks:
                task.cancel()
    return {"outcome": OVER}


def _log_end(event: dict[str, Any], wait: Wait) -> None:
    """Log the final state of a wait."""
    operation = wait.operation
    if event["outcome"] == OVER or not operation.missing:
        log.info("The limits %s are %s after %.1f s", operation.direction, operation.status.value, wait.elapsed)
    else:
        log.info("The limits %s after %.1f s: %s", operation.direction, wait.elapsed, "; ".join(operation.missing))


def _class_path(trigger: BaseTrigger) -> str:
    return f"{type(trigger).__module__}.{type(trigger).__qualname__}"


def _error_of(event: dict[str, Any]) -> HubSpotError:
    try:
        return HubSpotError.from_dict(event.get("error") or {})
    except ValueError as error:
        return HubSpotPollError(f"The trigger's event cannot be used: {error}")
