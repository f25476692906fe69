"""Apply a plan: create its labels, set its limits, and read back until they are in force.

It sends as few requests as it can: one read of the labels of each direction where labels are to be created, one batch
for each direction and action that has changes, and one read of each direction that was written. Directions do not
depend on one another and are written concurrently; within one, a batch is only sent when the one before is in force.

An apply that was interrupted at any point can be repeated: each limit is either as it was or as it should be, and a
new plan holds only the remaining changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.hubspot.errors import HubSpotError
from airflow_provider_hubassoc.hubspot.models import BatchStatus
from airflow_provider_hubassoc.limits.apply.labels import LabelSide, create_labels, label_side
from airflow_provider_hubassoc.limits.apply.report import ApplyReport, Outcome
from airflow_provider_hubassoc.limits.apply.session import ApplySession, wait_for
from airflow_provider_hubassoc.limits.apply.writing import DirectionWriter, limit_input
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Progress
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan.model import Change, Plan
from airflow_provider_hubassoc.limits.plan.names import is_sendable

log = logging.getLogger(__name__)

_BATCH_TIMEOUT = 60.0
"""How long to wait for a slow batch if the limits are not verified, seconds."""


def apply_plan(
    plan: Plan,
    client: HubSpotClient,
    *,
    max_concurrency: int = MAX_CONCURRENCY,
    verify_timeout: float | None = 60.0,
    resend: bool = False,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
    on_outcomes: Callable[[Sequence[Outcome]], None] | None = None,
) -> ApplyReport:
    """Make the changes of a plan, and read back until they are settled.

    The report names everything that goes wrong with HubSpot; the failure of one direction does not stop the others.
    Only an error that every request would meet stops everything, such as a token that HubSpot rejects.

    :param plan: made from the portal as it is; an older one goes through :func:`~.plan.rebase` first.
    :param client: of the portal.
    :param max_concurrency: directions at the same time.
    :param verify_timeout: how long to wait for a slow batch to end and, after the writes, for reads to show
        everything in force, seconds; None not to verify (the wait for a slow batch then lasts up to 60 s).
    :param resend: True if an earlier attempt may have sent the same changes, which reads need not show yet. Limits to
        create are then sent as an update, which is safe to repeat.
    :param progress: called after each direction.
    :param sleep: waits, seconds; it may raise to end everything early.
    :param on_outcomes: called with the outcomes of each request as soon as they are known, by one thread at a time;
        also with those of a request that ``sleep`` interrupts.
    :return: the outcome of every change.
    """
    session = ApplySession(
        client, max_concurrency=max_concurrency, progress=progress, sleep=sleep, on_outcomes=on_outcomes
    )
    outcomes, types = create_labels(plan, session, resend=resend)
    changes, without_type = _with_types(plan.changes, types)
    outcomes += without_type
    by_direction: dict[Direction, list[Change]] = {}
    for change in changes:
        by_direction.setdefault(change.direction, []).append(change)

    def write(direction: Direction) -> list[Outcome]:
        writer = DirectionWriter(
            session,
            direction,
            _values(by_direction[direction]),
            batch_timeout=_BATCH_TIMEOUT if verify_timeout is None else verify_timeout,
            resend=resend,
        )
        return writer.write(by_direction[direction])

    to_write = [direction for direction, of_direction in by_direction.items() if any(c.is_write for c in of_direction)]
    written = session.for_each("write", to_write, write)
    report = ApplyReport(
        outcomes=[*outcomes, *(outcome for direction in to_write for outcome in written[direction])],
        unread=list(plan.unread),
        to_verify=[
            operation for direction in to_write if (operation := _operation_to_verify(direction, written[direction]))
        ],
        unfit=list(plan.unfit),
        portal_id=plan.portal_id,
    )
    if verify_timeout is None or not report.to_verify or session.stopped:
        return report
    return _verified(report, session, verify_timeout)


def _with_types(
    changes: Sequence[Change], types: Mapping[LabelSide, TypeIdentity]
) -> tuple[list[Change], list[Outcome]]:
    """Add the types of new labels to the changes of their limits.

    :return: the changes, and the outcomes of those that cannot be made because their type is not known.
    """
    known: list[Change] = []
    outcomes: list[Outcome] = []
    for change in changes:
        if not change.is_write or change.type_id is not None:
            known.append(change)
            continue
        identity = types.get(label_side(change.direction, change.label))
        if identity is None:
            reason = "its label was not created, or its type id could not be read"
            outcomes.append(Outcome(change, "not attempted", reason))
            continue
        change = change.model_copy(update={"category": identity[0], "type_id": identity[1]})
        if is_sendable(identity):
            known.append(change)
        else:
            reason = "HubSpot gave its label an association type that cannot be sent in a batch"
            outcomes.append(Outcome(change, "refused", reason, retryable=False))
    return known, outcomes


def _values(changes: Sequence[Change]) -> dict[TypeIdentity, set[int | None]]:
    """Return the values that reads may show of each limit as long as nobody else changes it."""
    return {change.identity: {change.current, change.target} for change in changes if change.identity is not None}


def _operation_to_verify(direction: Direction, outcomes: Sequence[Outcome]) -> BatchOperation | None:
    """Return the operation that is over when a read of the direction shows every change in force.

    A purged limit becomes an input without a limit: in this operation, it means that no limit is expected.

    :return: None if nothing has been written.
    """
    changes = [
        outcome.change
        for outcome in outcomes
        if isinstance(outcome.change, Change) and outcome.status in ("applied", "unconfirmed")
    ]
    if not changes:
        return None
    return BatchOperation(
        action="update",
        from_object_type=direction.from_object_type,
        to_object_type=direction.to_object_type,
        inputs=[limit_input(change) for change in changes],
        status=BatchStatus.COMPLETE,
        verify=True,
    )


def _verified(report: ApplyReport, session: ApplySession, timeout: float) -> ApplyReport:
    """Read every direction that was written until it shows the applied changes, or time is up.

    The same reads may show unconfirmed changes, but are not repeated for them: they may never come into force.
    """
    operations = {operation.direction: operation for operation in report.to_verify}
    applied: dict[Direction, set[TypeIdentity | None]] = {direction: set() for direction in operations}
    for outcome in report.of("applied"):
        if isinstance(outcome.change, Change):
            applied[outcome.change.direction].add(outcome.change.identity)

    def read(direction: Direction) -> BatchOperation:
        wait = wait_for(operations[direction], timeout)
        try:
            session.follow(
                wait,
                lambda operation: not wait.reads_now and applied[direction] <= set(operation.in_force or ()),
            )
        except HubSpotError as error:
            log.info("The limits %s could not be verified: %s", direction, error)
        return wait.operation

    return report.confirmed_by(session.for_each("verify", list(operations), read).values())
