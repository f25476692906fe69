"""What runs inside the triggerer: the wait for batch operations, and the watch for drift. It only reads.

How it reads, and what waits share: :mod:`~airflow_provider_hubassoc.shared_reads`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import TYPE_CHECKING, Any, get_args

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotOperationTimeoutError,
    HubSpotPollError,
    is_retry_after,
)
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError, Wait
from airflow_provider_hubassoc.shared_reads import portal

if TYPE_CHECKING:
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient
    from airflow_provider_hubassoc.limits.plan import DirectionState

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
    :param started_at: when the wait began, seconds since the epoch.
    :param timeout: how long it may last, seconds; None for ever.
    :param poll_interval: about how long to wait before the first read, seconds; the waits then grow.
    :param max_poll_interval: the longest time between two reads, seconds.
    :param max_poll_failures: after so many failed reads in a row the wait is given up.
    :param not_before: when HubSpot may be asked again, if it has said so already; seconds since the epoch.
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
        not_before: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.hubspot_conn_id = hubspot_conn_id
        self.operation = operation
        self.started_at = started_at
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.max_poll_failures = max_poll_failures
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; after a restart the wait goes on where its clock says."""
        names = (
            *("hubspot_conn_id", "operation", "started_at", "timeout"),
            *("poll_interval", "max_poll_interval", "max_poll_failures", "not_before"),
        )
        return _class_path(self), {name: getattr(self, name) for name in names}

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
        wait.not_sooner = max(0.0, self.not_before - time.time())
        event = await _watched(self.hubspot_conn_id, [wait])
        yield TriggerEvent({**event, "operation": wait.operation.to_dict()})  # type: ignore[no-untyped-call]


class HubSpotAssociationLimitsSyncTrigger(BaseTrigger):
    """Waits until everything that a sync has written is seen in force. It only reads.

    Its one event has ``outcome`` ``over``, ``timeout`` or ``poll_failed``, the ``operations`` as last seen, and the
    ``report``. Read it with :func:`report_from_event`.

    :param hubspot_conn_id: id of the connection; it is read here, no secret is serialized.
    :param operations: for each direction that was written, the handle of what a read of it shall show.
    :param report: what became of every change, to be handed on.
    :param started_at: when the wait began, seconds since the epoch.
    :param timeout: how long it may last, seconds.
    """

    def __init__(
        self,
        *,
        hubspot_conn_id: str,
        operations: list[dict[str, Any]],
        report: dict[str, Any],
        started_at: float,
        timeout: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.hubspot_conn_id = hubspot_conn_id
        self.operations = operations
        self.report = report
        self.started_at = started_at
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        names = ("hubspot_conn_id", "operations", "report", "started_at", "timeout")
        return _class_path(self), {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        waits = [
            Wait(
                BatchOperation.from_dict(handle),
                started_at=self.started_at,
                timeout=self.timeout,
                poll_interval=1.0,
                max_poll_interval=15.0,
                max_poll_failures=5,
            )
            for handle in self.operations
        ]
        event = await _watched(self.hubspot_conn_id, waits)
        operations = [wait.operation.to_dict() for wait in waits]
        yield TriggerEvent({**event, "operations": operations, "report": self.report})  # type: ignore[no-untyped-call]


class HubSpotAssociationLimitsDriftTrigger(BaseEventTrigger):
    """Fires when the limits of one direction are no longer as declared, for an ``AssetWatcher``.

    HubSpot's reads may show the old state for minutes after a write, and nothing in them tells that from somebody's
    edit. So a difference counts as drift only when every read has shown the same one for ``settle_seconds``. It
    fires once for each difference, and again only after ``repeat_seconds`` if nobody has mended it by then.

    On Airflow 3.3, watchers of the same direction of the same portal share one poll.

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

        from airflow_provider_hubassoc.limits.plan import DirectionState

        def read(client: HubSpotClient) -> DirectionState:
            return DirectionState(client.get_limits(*ends), client.get_labels(*ends))

        async with portal(conn_id) as shared:
            while True:
                pause = kwargs.get("poll_interval", 300.0)
                try:
                    state = await shared.call(read)
                except HubSpotError as error:
                    log.warning("The limits %s -> %s could not be read: %s", *ends, error)
                    pause = max(pause, error.retry_after or 0.0)
                else:
                    yield state
                await asyncio.sleep(pause)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[DirectionState]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each difference that has lasted."""
        seen: list[str] = []
        since = fired_at = 0.0
        async for state in shared_stream:
            now = time.monotonic()
            difference = self._difference(state)
            if difference != seen:
                seen, since, fired_at = difference, now, -math.inf
            if difference and now - since >= self.settle_seconds and now - fired_at >= self.repeat_seconds:
                fired_at = now
                yield TriggerEvent(  # type: ignore[no-untyped-call]
                    {
                        "hubspot_conn_id": self.hubspot_conn_id,
                        "from_object_type": self.association["from"],
                        "to_object_type": self.association["to"],
                        "drift": difference,
                    }
                )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll on its own, where Airflow does not share streams."""
        _, kwargs = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(kwargs)):
            yield event

    def _difference(self, state: DirectionState) -> list[str]:
        """Say what is not as declared, one line each: from how it is declared to how it is."""
        from airflow_provider_hubassoc.limits.association_types import Direction
        from airflow_provider_hubassoc.limits.config import load_config
        from airflow_provider_hubassoc.limits.plan import PortalState, build_plan

        config = load_config({"version": 1, "associations": [self.association]})
        direction = Direction(config.associations[0].from_object_type, config.associations[0].to_object_type)
        plan = build_plan(config, PortalState({direction: state}))
        problems = [problem for unfit in plan.unfit for problem in unfit.problems]
        return problems + [str(change) for change in (*plan.new_labels, *plan.writes)]


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

    What was sent and never answered is applied if a read has shown it. Whatever ended the verification early: the
    writes are done, so it is told as "not settled", with the full account.

    :return: the report, with what the verification found.
    :raises HubSpotPollError: if the event is not one of the trigger's.
    """
    from airflow_provider_hubassoc.limits.apply import ApplyReport, Outcome, Status
    from airflow_provider_hubassoc.limits.plan import Change, NewLabel, UnfitDirection, UnreadDirection

    try:
        if event["outcome"] not in (OVER, TIMEOUT, POLL_FAILED):
            raise ValueError(event["outcome"])
        account = event["report"]
        retryable, retry_after, portal_id = (account[name] for name in ("retryable", "retry_after", "portal_id"))
        is_known = isinstance(retryable, bool) and isinstance(portal_id, (int, type(None)))
        if not is_known or not is_retry_after(retry_after):
            raise TypeError("retryable, portal_id or retry_after is of a wrong type")
        in_force = set()
        for handle in event["operations"]:
            operation = BatchOperation.from_dict(handle)
            ends = operation.from_object_type, operation.to_object_type
            in_force |= {(*ends, *identity) for identity in operation.in_force or ()}
        report = ApplyReport(
            unread=[UnreadDirection.model_validate(each) for each in account["unread"]],
            unfit=[UnfitDirection.model_validate(each) for each in account.get("unfit", ())],
        )
        statuses: tuple[Status, ...] = get_args(Status)
        for status in statuses:
            for each in account[status.replace(" ", "_")]:
                change = (Change if "action" in each else NewLabel).model_validate(each)
                report.outcomes.append(Outcome(change, status, each["reason"]))
    except (KeyError, TypeError, ValueError, OperationHandleError) as error:
        message = "The trigger ended without saying whether the limits have settled"
        raise HubSpotPollError(message) from error

    def is_seen(change: Change | NewLabel) -> bool:
        ends = change.from_object_type, change.to_object_type
        return isinstance(change, Change) and (*ends, change.category, change.type_id) in in_force

    report.settled = all(is_seen(each.change) for each in report.of("applied") if isinstance(each.change, Change))
    report.outcomes = [
        Outcome(each.change, "applied") if each.status == "unconfirmed" and is_seen(each.change) else each
        for each in report.outcomes
    ]
    told = report.to_dict()
    # What the errors behind the outcomes said of a retry did not come along.
    if told["refused"] or told["unconfirmed"] or told["unread"]:
        told["retryable"] = retryable
    return {**account, **told, "retry_after": retry_after}


async def _watched(hubspot_conn_id: str, waits: Sequence[Wait]) -> dict[str, Any]:
    """Wait for operations, all at the same time; return how it ended, as part of an event."""
    async with portal(hubspot_conn_id) as shared:
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


def _class_path(trigger: BaseTrigger) -> str:
    return f"{type(trigger).__module__}.{type(trigger).__qualname__}"


def _error_of(event: dict[str, Any]) -> HubSpotError:
    try:
        return HubSpotError.from_dict(event.get("error") or {})
    except ValueError as error:
        return HubSpotPollError(f"The trigger's event cannot be used: {error}")
