"""What runs inside the triggerer: the wait for batch operations, and the watch for drift. It only reads.

How it reads, and what waits share: :mod:`~airflow_provider_hubassoc.shared_connection`.
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
from airflow_provider_hubassoc.hubspot.object_types import display_name, normalize
from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError
from airflow_provider_hubassoc.limits.wait import Wait
from airflow_provider_hubassoc.shared_connection import shared_connection

if TYPE_CHECKING:
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient
    from airflow_provider_hubassoc.limits.state import DirectionState

log = logging.getLogger(__name__)

OVER = "over"
TIMEOUT = "timeout"
POLL_FAILED = "poll_failed"


class HubSpotAssociationLimitsTrigger(BaseTrigger):
    """Waits until a batch operation is over: by its status link, or by reading the limits of the pair.

    HubSpot cannot cancel a batch, so there is nothing to stop there when the task is killed.

    Its one event is plain JSON with ``outcome``: ``over`` (with the ``operation``), ``timeout`` or ``poll_failed``
    (each with the ``operation`` as last seen and the ``error``). Read it with :func:`operation_from_event`.

    :param hubspot_conn_id: id of the connection; it is read here, no secret is serialized.
    :param operation: the handle of the operation.
    :param timeout: how long the wait may last, seconds; None for no limit. Measured in the triggerer; if a triggerer
        restarts, the wait is measured from there, and Airflow's own timeout of the deferral ends it.
    :param poll_interval: about how long to wait before the first read, seconds; the waits then grow.
    :param max_poll_interval: the longest time between two reads, seconds.
    :param max_poll_failures: number of failed reads in a row that ends the wait.
    :param waited: seconds that were waited before the task was deferred.
    :param hold: seconds from now for which HubSpot has asked not to be read.
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
        super().__init__()  # type: ignore[no-untyped-call]
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
        """Wait, then yield the one event."""
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
        event = await _watched(self.hubspot_conn_id, [wait])
        _log_end(event, wait)
        waited = round(wait.elapsed, 1)
        yield TriggerEvent({**event, "operation": wait.operation.to_dict(), "waited": waited})  # type: ignore[no-untyped-call]


class HubSpotAssociationLimitsSyncTrigger(BaseTrigger):
    """Waits until everything that a sync has written is seen in force. It only reads.

    Its one event has ``outcome`` ``over``, ``timeout`` or ``poll_failed``, the ``operations`` as last seen, and the
    ``report``. Read it with :func:`report_from_event`.

    :param hubspot_conn_id: id of the connection; it is read here, no secret is serialized.
    :param operations: for each direction that was written, the handle of what a read of it shall show.
    :param report: what became of every change, to be handed on.
    :param timeout: how long the wait may last, seconds; measured in the triggerer.
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
        super().__init__()  # type: ignore[no-untyped-call]
        self.hubspot_conn_id = hubspot_conn_id
        self.operations = operations
        self.report = report
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("hubspot_conn_id", "operations", "report", "timeout")
        return _class_path(self), {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
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
        event = await _watched(self.hubspot_conn_id, waits)
        for wait in waits:
            _log_end(event, wait)
        operations = [wait.operation.to_dict() for wait in waits]
        waited = round(max((wait.elapsed for wait in waits), default=0.0), 1)
        yield TriggerEvent(  # type: ignore[no-untyped-call]
            {**event, "operations": operations, "report": self.report, "waited": waited}
        )


class HubSpotAssociationLimitsDriftTrigger(BaseEventTrigger):
    """Fires when the limits of one direction are no longer as declared, for an ``AssetWatcher``.

    HubSpot's reads may show an old state for minutes after a write, so a difference counts as drift only after every
    read has shown the same one for ``settle_seconds``. It fires once for each difference, and again after
    ``repeat_seconds`` if it is still there.

    The event's payload has ``hubspot_conn_id``, ``portal_id`` (None if HubSpot does not tell it),
    ``from_object_type``, ``to_object_type``, ``drift`` (a line of text for each difference) and ``limits``
    (``name``, ``is`` and ``should_be`` of each limit; None for unlimited).

    On Airflow 3.3, watchers of the same direction of the same portal share one poll, and what has fired is kept in
    the asset state store, so that a restart of the triggerer repeats no event. Airflow 3.2 has no such store: there,
    and where several assets use the same watcher, a difference fires again after a restart.

    :param association: what is declared for the direction: one entry of ``associations`` of the file, with ``from``,
        ``to``, and ``limit``, ``labels`` or ``types``.
    :param hubspot_conn_id: id of the connection; it is read here, no secret is serialized.
    :param poll_interval: time between two reads of the direction, seconds.
    :param settle_seconds: how long a difference has to last.
    :param repeat_seconds: after how long the same difference fires again.
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
        super().__init__()  # type: ignore[no-untyped-call]
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
        """Return what watchers must have in common to share one poll."""
        ends = (normalize(str(self.association.get(end))) for end in ("from", "to"))
        return (type(self).__qualname__, self.hubspot_conn_id, *ends, self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[DirectionState]:
        """Read the direction again and again, for ever; a read that fails is only logged."""
        ends = (kwargs["association"]["from"], kwargs["association"]["to"])
        conn_id = kwargs.get("hubspot_conn_id", "hubspot_default")

        from airflow_provider_hubassoc.limits.state import DirectionState

        def read(client: HubSpotClient) -> DirectionState:
            return DirectionState(client.get_limits(*ends), client.get_labels(*ends))

        async with shared_connection(conn_id) as shared:
            while True:
                pause = kwargs.get("poll_interval", 300.0)
                try:
                    state = await shared.call(read)
                except HubSpotError as error:
                    log.warning("The limits %s -> %s (connection %s) could not be read: %s", *ends, conn_id, error)
                    pause = max(pause, error.retry_after or 0.0)
                else:
                    yield state
                await asyncio.sleep(pause)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[DirectionState]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each difference that has lasted."""
        ends = f"{display_name(self.association['from'])} -> {display_name(self.association['to'])}"
        log.info("Watching the limits %s (connection %s) for drift", ends, self.hubspot_conn_id)
        state_key = self._state_key()
        seen, since, fired_at = await self._load(state_key)
        async for state in shared_stream:
            now = time.monotonic()
            lines, limits = self._difference(state)
            if lines != seen:
                seen, since, fired_at = lines, now, -math.inf
                await self._store(state_key, seen, since, fired_at)
                if lines:
                    log.info("Drift fires if it lasts %g s: %s", self.settle_seconds, "; ".join(lines))
                else:
                    log.info("The limits %s (connection %s) are as declared", ends, self.hubspot_conn_id)
            if lines and now - since >= self.settle_seconds and now - fired_at >= self.repeat_seconds:
                fired_at = now
                log.info("Drift (connection %s): %s", self.hubspot_conn_id, "; ".join(lines))
                async with shared_connection(self.hubspot_conn_id) as shared:
                    portal_id = await shared.portal_id()
                yield TriggerEvent(  # type: ignore[no-untyped-call]
                    {
                        "hubspot_conn_id": self.hubspot_conn_id,
                        "portal_id": portal_id,
                        "from_object_type": self.association["from"],
                        "to_object_type": self.association["to"],
                        "drift": lines,
                        "limits": limits,
                    }
                )
                # After the event: if the triggerer dies in between, it fires twice rather than never.
                await self._store(state_key, seen, since, fired_at)

    def _state_key(self) -> str:
        _, kwargs = self.serialize()
        digest = hashlib.sha256(json.dumps(kwargs, sort_keys=True, default=str).encode()).hexdigest()
        return f"hubspot_drift_{digest[:32]}"

    async def _load(self, key: str) -> tuple[list[str], float, float]:
        """Return the difference that was seen last, since when, and when it fired, on this process's clock."""
        nothing: tuple[list[str], float, float] = ([], 0.0, -math.inf)
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return nothing
        try:
            state = await store.aget(key)
            if state is None:
                return nothing
            ages = [None if state[name] is None else max(0.0, time.time() - state[name]) for name in ("since", "fired")]
            now = time.monotonic()
            since, fired = (-math.inf if age is None else now - age for age in ages)
            return [str(line) for line in state["drift"]], since, fired
        except Exception as error:  # of the store's backend, or of what somebody else has written there
            log.warning("The state of the drift watch could not be read; continuing without it: %s", error)
            return nothing

    async def _store(self, key: str, seen: list[str], since: float, fired_at: float) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        epoch = time.time() - time.monotonic()  # the next process may have another monotonic clock
        fired = None if fired_at == -math.inf else epoch + fired_at
        try:
            await store.aset(key, {"drift": seen, "since": epoch + since, "fired": fired})
        except Exception as error:
            log.warning("The state of the drift watch could not be stored; continuing without it: %s", error)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll on its own, where Airflow does not share streams."""
        _, kwargs = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(kwargs)):
            yield event

    def _difference(self, state: DirectionState) -> tuple[list[str], list[dict[str, Any]]]:
        """Return what is not as declared: a line of text each, and the limits among it as data."""
        from airflow_provider_hubassoc.limits.config import load_config
        from airflow_provider_hubassoc.limits.directions import Direction
        from airflow_provider_hubassoc.limits.plan.build import build_plan
        from airflow_provider_hubassoc.limits.state import PortalState
        from airflow_provider_hubassoc.limits.wording import limit_text

        config = load_config({"version": 1, "associations": [self.association]}).resolve()
        direction = Direction(config.associations[0].from_object_type, config.associations[0].to_object_type)
        plan = build_plan(config, PortalState({direction: state}))
        lines = [str(problem) for unfit in plan.unfit for problem in unfit.problems]
        lines += [f'{direction}, label "{label.label}": is missing' for label in plan.new_labels]
        limits = []
        for change in plan.writes:
            if change.unlabeled:
                name = "object limit"
            else:
                name = f'label "{change.label}"' if change.label is not None else change.name
            current, target = limit_text(change.current), limit_text(change.target)
            lines.append(f"{direction}, {name}: is {current}, should be {target}")
            limits.append({"name": name, "is": change.current, "should_be": change.target})
        return lines, limits


def operation_from_event(event: Any) -> BatchOperation:
    """Read the trigger's event in the resumed task. What is not understood counts as a failure.

    :return: the operation, which is over.
    :raises HubSpotOperationTimeoutError: if the time was up.
    :raises HubSpotError: the error that ended the wait.
    :raises HubSpotPollError: if the event is not one of the trigger's.
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
    raise HubSpotPollError("The trigger ended without saying what became of the operation")


def report_from_event(event: Any) -> dict[str, Any]:
    """Read the sync trigger's event in the resumed task.

    Unconfirmed changes that a read has shown count as applied. If the verification ended early, the writes are done
    all the same, so the report says that they are not settled.

    :return: the report, with what the verification found.
    :raises HubSpotPollError: if the event is not one of the trigger's.
    """
    from airflow_provider_hubassoc.limits.apply import ApplyReport

    try:
        if event["outcome"] not in (OVER, TIMEOUT, POLL_FAILED):
            raise ValueError(event["outcome"])
        operations = [BatchOperation.from_dict(handle) for handle in event["operations"]]
        report = ApplyReport.from_dict(event["report"])
    except (KeyError, TypeError, ValueError) as error:
        raise HubSpotPollError("The trigger ended without saying whether the limits have settled") from error
    return report.confirmed_by(operations).to_dict()


async def _watched(hubspot_conn_id: str, waits: Sequence[Wait]) -> dict[str, Any]:
    """Wait for operations, all at the same time; return how it ended, as part of an event."""
    async with shared_connection(hubspot_conn_id) as shared:
        watches = [asyncio.ensure_future(shared.watch(wait)) for wait in waits]
        try:
            await asyncio.gather(*watches)
        except HubSpotOperationTimeoutError as error:
            return {"outcome": TIMEOUT, "error": error.to_dict()}
        except HubSpotError as error:
            return {"outcome": POLL_FAILED, "error": error.to_dict()}
        finally:
            for watch in watches:
                watch.cancel()
    return {"outcome": OVER}


def _log_end(event: dict[str, Any], wait: Wait) -> None:
    """Log what a wait has seen in the end."""
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
