"""Send one batch of limits and wait until HubSpot has settled it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.constants import Action
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotOperationTimeoutError
from airflow_provider_hubassoc.hubspot.models import LimitInput
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh, submit
from airflow_provider_hubassoc.limits.sync import find_portal
from airflow_provider_hubassoc.limits.wait import Wait
from airflow_provider_hubassoc.tasks.run import OPERATION_XCOM_KEY, Deferral, TaskRun
from airflow_provider_hubassoc.tasks.store import BatchStore
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger, operation_from_event


@dataclass(frozen=True)
class BatchOptions:
    """The checked arguments of :class:`~airflow_provider_hubassoc.operators.HubSpotAssociationLimitsOperator`."""

    action: Action
    from_object_type: str
    to_object_type: str
    inputs: list[dict[str, Any]]
    wait_for_completion: bool
    deferrable: bool
    poll_interval: float
    max_poll_interval: float
    timeout: float | None
    max_poll_failures: int
    verify: bool


def run_batch(run: TaskRun, options: BatchOptions) -> dict[str, Any] | Deferral:
    """Send the batch, or find it sent by an earlier try; publish its handle; wait.

    :return: the operation as plain JSON, or the deferral that continues the wait.
    """
    asked = BatchOperation(
        action=options.action,
        from_object_type=options.from_object_type,
        to_object_type=options.to_object_type,
        inputs=[LimitInput.model_validate(limit_input) for limit_input in options.inputs],
        verify=options.verify,
    )
    store = BatchStore(run.state, run.conn_id)
    with HubSpotHook(run.conn_id, sleep=run.sleep) as hook:
        run.publish_portal(find_portal(hook.client, required=False))
        sent_before = store.find(asked, options.timeout) if run.is_later_try else None
        if sent_before is not None:
            operation, waited = sent_before
            run.log.info("An earlier try has sent %s (status %s).", operation.title, operation.status.value)
        else:
            operation, waited = _submit(run, hook.client, asked), 0.0
        if operation.is_over:
            return _finish(run, operation)
        store.keep(operation, waited)  # before anything else: a worker may die at any time
        run.push(OPERATION_XCOM_KEY, operation.to_dict())
        if not options.wait_for_completion:
            store.forget()
            run.log.info("Not waiting for the batch (wait_for_completion=False).")
            return operation.to_dict()
        where = "the triggerer" if options.deferrable else "this worker"
        bound = "without a timeout" if options.timeout is None else f"for up to {options.timeout:g} s"
        run.log.info("Waiting in %s %s.", where, bound)
        if options.deferrable:
            return _deferral(run, options, operation, waited)
        try:
            operation = _wait(run, options, hook.client, operation, waited)
        except HubSpotOperationTimeoutError:
            store.forget()
            raise
        return _finish(run, operation)


def complete_batch(run: TaskRun, event: Any) -> dict[str, Any]:
    """Resume after the wait in the triggerer.

    :param event: of the trigger.
    :return: the operation as plain JSON.
    """
    try:
        operation = operation_from_event(event)
    except HubSpotOperationTimeoutError:
        BatchStore(run.state, run.conn_id).forget()
        raise
    return _finish(run, operation, event)


def _submit(run: TaskRun, client: HubSpotClient, asked: BatchOperation) -> BatchOperation:
    run.log.info("Sending %s.", asked.title)
    run.sleep(0)  # raises if the task has been killed meanwhile
    operation = submit(client, asked, resend=run.is_later_try)
    if operation.action == "create" and operation.has_failed:
        # Somebody else may have set the requested limits in the meantime.
        try:
            operation = refresh(client.without_retries(), operation)
        except HubSpotError as error:
            run.log.info("HubSpot refused the create, and the limits could not be read: %s", error)
    run.log.info(
        "HubSpot answered %s: %d applied, %d refused, %d not confirmed%s.",
        *(operation.status.value, len(operation.applied), len(operation.refused), len(operation.unconfirmed)),
        f" (correlation id {operation.correlation_id})" if operation.correlation_id else "",
    )
    return operation


def _wait(
    run: TaskRun, options: BatchOptions, client: HubSpotClient, operation: BatchOperation, waited: float
) -> BatchOperation:
    wait = Wait(
        operation,
        waited=waited,
        timeout=options.timeout,
        poll_interval=options.poll_interval,
        max_poll_interval=options.max_poll_interval,
        max_poll_failures=options.max_poll_failures,
        connection_name=run.conn_id,
        on_change=run.log.info,
    )
    while not wait.operation.is_over:
        run.sleep(wait.next_delay())
        wait.poll(lambda operation: refresh(client.without_retries(), operation))
    return wait.operation


def _deferral(run: TaskRun, options: BatchOptions, operation: BatchOperation, waited: float) -> Deferral:
    # Airflow does not apply execution_timeout to a task that waits in the triggerer.
    timeouts = [] if options.timeout is None else [options.timeout]
    if run.execution_timeout is not None:
        timeouts.append(waited + run.execution_timeout.total_seconds())
    timeout = min(timeouts, default=None)
    trigger = HubSpotAssociationLimitsTrigger(
        hubspot_conn_id=run.conn_id,
        operation=operation.to_dict(),
        waited=waited,
        timeout=timeout,
        poll_interval=options.poll_interval,
        max_poll_interval=options.max_poll_interval,
        max_poll_failures=options.max_poll_failures,
    )
    return Deferral(trigger, None if timeout is None else timeout - waited)


def _finish(run: TaskRun, operation: BatchOperation, event: Any = None) -> dict[str, Any]:
    """Publish how the batch ended.

    :raises HubSpotOperationError: if HubSpot refused all or part of it.
    """
    BatchStore(run.state, run.conn_id).forget()
    run.push(OPERATION_XCOM_KEY, operation.to_dict())
    operation.raise_for_failure(run.conn_id)
    in_force = f", {len(operation.in_force)} seen in force" if operation.in_force is not None else ""
    run.log.info(
        "Done %s: %s is %s (connection %s), %d applied%s.",
        *(run.duration_text(event), operation.title, operation.status.value, run.conn_id),
        *(len(operation.applied), in_force),
    )
    return operation.to_dict()
