"""Submit a batch of association limits to HubSpot, and wait until HubSpot has settled it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowException

from airflow_provider_hubassoc.failures import task_failure, with_retry_policy
from airflow_provider_hubassoc.links import PORTAL_XCOM_KEY, HubSpotObjectSettingsLink

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_provider_hubassoc.hooks import HubSpotHook
    from airflow_provider_hubassoc.hubspot.models import LimitInput
    from airflow_provider_hubassoc.limits.operation import BatchOperation

OPERATION_XCOM_KEY = "operation"
"""XCom key of the operation's handle: there before the wait begins, brought up to date when it ends."""

_STORE_KEY = "hubspot_operation"

_TRIGGERER_GRACE = 300.0
"""Seconds after its time at which a wait is ended by Airflow itself, if no triggerer runs that could end it."""


class HubSpotAssociationLimitsOperator(BaseOperator):
    """Sets, changes or removes the limits of association types of one direction, in one batch.

    Returns the operation as plain JSON: ``action``, ``from_object_type``, ``to_object_type``, ``inputs``, ``status``,
    HubSpot's ``results`` and ``errors``, and what became of each input: ``applied``, ``refused``, ``unconfirmed``.
    The same is in XCom under ``operation`` before the wait begins, and after it ends badly.

    Mistakes in literal arguments fail the parsing of the DAG file, those in templates and XComs the task, before
    anything is sent. HubSpot's refusals and other errors that a retry cannot mend fail without using up ``retries``.

    Sources: HubSpot's guide "Associations schema", "Limit the number of associations".

    :param from_object_type: object type in any spelling HubSpot takes: ``contacts``, ``0-1``, ``p_my_object``.
    :param to_object_type: the same, for the other side. Limits of the other direction are a batch of their own.
    :param inputs: ``{"category", "typeId", "maxToObjectIds"}`` each; for purge without ``maxToObjectIds``.
    :param action: ``create``; ``update``, which HubSpot also takes for types without a limit; or ``purge``.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param wait_for_completion: False to return the handle at once, for a sensor to wait on.
    :param deferrable: wait in the triggerer instead of a worker.
    :param poll_interval: about how long after the submission to read for the first time, seconds. The waits grow.
    :param max_poll_interval: the longest time between two reads, seconds.
    :param timeout: how long to wait, seconds or timedelta; None for ever.
    :param max_poll_failures: after so many failed reads in a row the task fails, to be retried.
    :param verify: also wait until a read shows every limit in force.
    """

    template_fields: Sequence[str] = (
        "from_object_type",
        "to_object_type",
        "inputs",
        "action",
        "hubspot_conn_id",
        "poll_interval",
        "max_poll_interval",
        "timeout",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"inputs": "json"}
    operator_extra_links = (HubSpotObjectSettingsLink(),)
    ui_color = "#ffd9c9"

    def __init__(
        self,
        *,
        from_object_type: str,
        to_object_type: str,
        inputs: Sequence[dict[str, Any]],
        action: str = "create",
        hubspot_conn_id: str = "hubspot_default",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5.0,
        max_poll_interval: float = 60.0,
        timeout: float | timedelta | None = 600.0,
        max_poll_failures: int = 5,
        verify: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.from_object_type = from_object_type
        self.to_object_type = to_object_type
        self.inputs = inputs
        self.action = action
        self.hubspot_conn_id = hubspot_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout
        self.max_poll_failures = max_poll_failures
        self.verify = verify
        self._killed = False
        self._check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the batch, publish its handle, wait.

        :return: the operation as plain JSON.
        :raises HubSpotOperationError: if HubSpot refused all or part of it.
        :raises HubSpotOperationTimeoutError: if it was not settled in time.
        :raises HubSpotError: any other error of HubSpot's.
        :raises LimitInputsError: if the rendered arguments cannot be sent.
        """
        with _task_failures():
            return self._execute(context)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import operation_from_event

        with _task_failures():
            return self._finish(context, lambda: operation_from_event(event))

    def on_kill(self) -> None:
        """End the wait. HubSpot cannot cancel a batch, so there is nothing to stop over there."""
        self._killed = True

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.inputs import parse_inputs

        inputs = parse_inputs(self.from_object_type, self.to_object_type, self.inputs, self.action)
        wait_options = self._parse_wait_options()
        with HubSpotHook(self.hubspot_conn_id, sleep=self._sleep) as hook:
            self._publish_portal(context, hook)
            operation = self._sent_before(context, inputs)
            if operation is None:
                operation = hook.submit_operation(
                    self.action,  # type: ignore[arg-type]  # parse_inputs has checked it
                    self.from_object_type,
                    self.to_object_type,
                    inputs,
                    verify=self.verify,
                    resend=context["ti"].try_number > 1,
                )
            self._publish(context, operation)
            if operation.is_over:
                return self._finish(context, lambda: operation)
            if not self.wait_for_completion:
                return operation.to_dict()
            self._remember(context, operation)
            self.log.info("%s is %s; waiting", _title(operation), operation.status.value)
            if self.deferrable:
                self._defer(operation, wait_options)
            return self._finish(context, lambda: self._wait(hook, operation, wait_options))

    # -- arguments --

    def _check_literals(self) -> None:
        """Check what the DAG file says literally, so that mistakes fail its parsing."""
        from airflow_provider_hubassoc.limits.inputs import parse_inputs

        parse_inputs(self.from_object_type, self.to_object_type, self.inputs, self.action, is_known=_is_literal)
        self._parse_wait_options()

    def _parse_wait_options(self) -> dict[str, Any]:
        from airflow_provider_hubassoc.limits.inputs import parse_seconds

        names = ("poll_interval", "max_poll_interval", "timeout")
        values = {name: getattr(self, name) for name in names}
        known = {name: value for name, value in values.items() if _is_literal(value) and value is not None}
        return {**values, **parse_seconds(known), "max_poll_failures": self.max_poll_failures}

    # -- waiting --

    def _wait(self, hook: HubSpotHook, operation: BatchOperation, wait_options: dict[str, Any]) -> BatchOperation:
        from airflow_provider_hubassoc.limits.operation import Wait

        wait = Wait(operation, started_at=time.time(), **wait_options)
        while not wait.operation.is_over:
            self._sleep(wait.next_delay(time.time()))
            wait.poll(hook.refresh_operation)
        return wait.operation

    def _defer(self, operation: BatchOperation, wait_options: dict[str, Any]) -> NoReturn:
        from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger

        # Airflow does not apply execution_timeout to a task that waits in the triggerer.
        limits = [wait_options["timeout"], self.execution_timeout and self.execution_timeout.total_seconds()]
        timeout = min((limit for limit in limits if limit is not None), default=None)
        self.defer(
            trigger=HubSpotAssociationLimitsTrigger(
                hubspot_conn_id=self.hubspot_conn_id,
                operation=operation.to_dict(),
                started_at=time.time(),
                **{**wait_options, "timeout": timeout},
            ),
            method_name="execute_complete",
            timeout=None if timeout is None else timedelta(seconds=timeout + _TRIGGERER_GRACE),
        )

    def _sleep(self, seconds: float) -> None:
        """Sleep in short pieces, so that a killed task ends soon: Airflow only calls :meth:`on_kill` and goes on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._killed:
                raise AirflowException("The task was killed while it waited for HubSpot")
            time.sleep(min(left, 0.5))

    # -- what others see --

    def _publish_portal(self, context: Context, hook: HubSpotHook) -> None:
        """Say which portal it is, for the log and the extra link, before anything is changed there."""
        from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError, HubSpotError

        try:
            portal = hook.client.without_retries().account_info()
        except HubSpotAuthenticationError:
            raise
        except HubSpotError as error:
            self.log.info("HubSpot did not say which portal this is: %s", error)
            return
        self.log.info("HubSpot portal %s (%s)", portal.portal_id, portal.account_type)
        context["ti"].xcom_push(PORTAL_XCOM_KEY, {"portal_id": portal.portal_id, "ui_domain": portal.ui_domain})

    def _publish(self, context: Context, operation: BatchOperation) -> None:
        context["ti"].xcom_push(OPERATION_XCOM_KEY, operation.to_dict())

    def _finish(self, context: Context, wait: Callable[[], BatchOperation]) -> dict[str, Any]:
        """Account for the end of the wait, good or bad."""
        from airflow_provider_hubassoc.hubspot.errors import HubSpotOperationTimeoutError

        try:
            operation = wait()
        except HubSpotOperationTimeoutError:
            self._forget(context)
            raise
        self._forget(context)
        self._publish(context, operation)
        operation.raise_for_failure()
        self.log.info("%s is %s: %d applied", _title(operation), operation.status.value, len(operation.applied))
        return operation.to_dict()

    # -- across tries (Airflow 3.3) --

    def _remember(self, context: Context, operation: BatchOperation) -> None:
        """Keep the handle where the next try finds it, should this one break off while it waits."""
        if store := context.get("task_state_store"):
            store.set(_STORE_KEY, operation.to_dict())

    def _forget(self, context: Context) -> None:
        if (store := context.get("task_state_store")) and store.get(_STORE_KEY):
            store.delete(_STORE_KEY)

    def _sent_before(self, context: Context, inputs: list[LimitInput]) -> BatchOperation | None:
        """Return the operation that an earlier try has sent and not seen the end of, if it was the same."""
        from airflow_provider_hubassoc.limits.operation import BatchOperation

        store = context.get("task_state_store")
        handle = store.get(_STORE_KEY) if store and context["ti"].try_number > 1 else None
        if handle is None:
            return None
        sent = BatchOperation.from_dict(handle)
        asked = (self.action, self.from_object_type, self.to_object_type, inputs)
        if (sent.action, sent.from_object_type, sent.to_object_type, sent.inputs) != asked:
            return None
        self.log.info("%s was sent by an earlier try; waiting for it", _title(sent))
        return sent


@contextmanager
def _task_failures() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = task_failure(error)
        if failure is error:
            raise
        raise failure from error


def _is_literal(value: Any) -> bool:
    """Whether a value is what it will be: plain data, and no template."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    return value is None or isinstance(value, (int, float, timedelta, Mapping, list, tuple, bytes, set))


def _title(operation: BatchOperation) -> str:
    return f"The {operation.action} of {len(operation.inputs)} limit(s) {operation.direction}"
