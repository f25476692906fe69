"""Wait until HubSpot has settled a batch of association limits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_hubassoc.arguments import is_literal, mistakes_fail_parsing, plain
from airflow_provider_hubassoc.failures import is_permanent, with_retry_policy
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotOperationTimeoutError
from airflow_provider_hubassoc.operators import OPERATION_XCOM_KEY

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_provider_hubassoc.hooks import HubSpotHook
    from airflow_provider_hubassoc.limits.operation import BatchOperation, Wait

_TRIGGERER_GRACE = 300.0
"""Seconds after the timeout at which Airflow itself ends a deferred wait, if no triggerer has ended it."""


class HubSpotAssociationLimitsSensor(BaseSensorOperator):
    """Waits until a batch operation is over, or until limits that somebody else sets are in force.

    Returns the operation as plain JSON when it is COMPLETE. If it is CANCELED or refused in part, the task fails
    without retries, and the operation with ``applied``, ``refused`` and ``unconfirmed`` is in XCom under
    ``operation``. Modes ``poke``, ``reschedule`` and deferrable behave alike. The wait between two reads begins with
    ``poke_interval`` and grows up to ``max_poll_interval``; ``exponential_backoff`` and ``max_wait`` are not needed.

    Give either ``operation``, or ``from_object_type``, ``to_object_type`` and ``inputs``.

    :param operation: the handle: what :class:`~airflow_provider_hubassoc.operators.HubSpotAssociationLimitsOperator`
        returned or pushed under ``operation``.
    :param from_object_type: object type in any spelling HubSpot takes.
    :param to_object_type: the same, for the other side.
    :param inputs: the limits to wait for: ``{"category", "typeId", "maxToObjectIds"}`` each.
    :param action: ``purge`` to wait until the association types in ``inputs`` have no limit.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param poke_interval: about how long to wait before the second read, seconds (fractions allowed) or timedelta.
    :param max_poll_interval: the longest time between two reads, seconds; from 2.5.
    :param timeout: how long to wait, seconds or timedelta; then the task fails with AirflowSensorTimeout.
    :param max_poll_failures: after so many failed reads in a row the task fails, to be retried.
    :param verify: also wait until a read shows every limit in force.
    :param deferrable: wait in the triggerer instead of a worker.
    """

    template_fields: Sequence[str] = (
        "operation",
        "from_object_type",
        "to_object_type",
        "inputs",
        "action",
        "hubspot_conn_id",
        "max_poll_interval",
    )
    ui_color = "#ffd9c9"

    def __init__(
        self,
        *,
        operation: Any = None,
        from_object_type: str | None = None,
        to_object_type: str | None = None,
        inputs: Sequence[dict[str, Any]] | None = None,
        action: str = "update",
        hubspot_conn_id: str = "hubspot_default",
        poke_interval: float | timedelta = 5.0,
        max_poll_interval: float = 60.0,
        max_poll_failures: int = 5,
        verify: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **with_retry_policy(kwargs))
        self.operation = operation
        self.from_object_type = from_object_type
        self.to_object_type = to_object_type
        self.inputs = inputs
        self.action = action
        self.hubspot_conn_id = hubspot_conn_id
        self.max_poll_interval = max_poll_interval
        self.max_poll_failures = max_poll_failures
        self.verify = verify
        self.deferrable = deferrable
        self._hook: HubSpotHook | None = None
        self._watch: Wait | None = None
        self._check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the operation.

        :return: the operation as plain JSON.
        :raises AirflowFailException: if HubSpot refused all or part of it, or a read can never succeed.
        :raises AirflowSensorTimeout: if the time is up.
        :raises AirflowException: if reading failed ``max_poll_failures`` times in a row.
        """
        from airflow_provider_hubassoc.hooks import HubSpotHook

        with HubSpotHook(self.hubspot_conn_id) as self._hook:
            if not self.deferrable:
                return super().execute(context)  # type: ignore[no-any-return]
            first_look = self.poke(context)
            if not first_look.is_done:
                self._defer(context)
            return first_look.xcom_value  # type: ignore[return-value]  # poke gives it when done

    def poke(self, context: Context) -> PokeReturnValue:
        """Read the operation's state once, unless the handle says already that it is over."""
        with self._airflow_exceptions():
            hook, watch = self._watching(context)
            if not watch.operation.is_over:
                failures = watch.failures
                try:
                    watch.poll(hook.refresh_operation)
                finally:
                    if watch.failures != failures:
                        self._remember_failures(context, watch.failures)
            is_over = watch.operation.is_over
            return PokeReturnValue(is_over, self._finish(context, watch.operation) if is_over else None)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import operation_from_event

        with self._airflow_exceptions():
            return self._finish(context, operation_from_event(event))

    def _check_literals(self) -> None:
        """Check what the DAG file says literally, so that mistakes fail its parsing."""
        from airflow_provider_hubassoc.limits.inputs import check_count, parse_inputs, parse_seconds

        pair = (self.from_object_type, self.to_object_type, self.inputs)
        with mistakes_fail_parsing():
            if (self.operation is None) is any(each is None for each in pair) or (self.operation and any(pair)):
                raise ValueError("Give either operation, or from_object_type, to_object_type and inputs")
            if self.operation is None:
                parse_inputs(*pair, self.action, is_known=is_literal)
            check_count("max_poll_failures", self.max_poll_failures)
            if is_literal(self.max_poll_interval):
                parse_seconds({"max_poll_interval": self.max_poll_interval})

    # -- waiting --

    def _watching(self, context: Context) -> tuple[HubSpotHook, Wait]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.operation import Wait

        if self._hook is None:
            self._hook = HubSpotHook(self.hubspot_conn_id)
        if self._watch is None:
            self._watch = Wait(self._operation(), **self._wait_options())
            self._watch.failures = self._remembered_failures(context)
        return self._hook, self._watch

    def _operation(self) -> BatchOperation:
        from airflow_provider_hubassoc.limits.inputs import parse_inputs
        from airflow_provider_hubassoc.limits.operation import BatchOperation

        if self.from_object_type is not None:
            return BatchOperation(
                action=self.action,  # type: ignore[arg-type]  # parse_inputs checks it
                from_object_type=self.from_object_type,
                to_object_type=self.to_object_type or "",
                inputs=parse_inputs(self.from_object_type, self.to_object_type, plain(self.inputs), self.action),
            )
        operation = BatchOperation.from_dict(self.operation)
        return operation.model_copy(update={"verify": operation.verify or self.verify})

    def _wait_options(self) -> dict[str, Any]:
        from airflow_provider_hubassoc.limits.inputs import parse_seconds

        return {
            **parse_seconds({"max_poll_interval": self.max_poll_interval}),
            "poll_interval": self.poke_interval,
            "timeout": self.timeout,
            # With silent_fail, Airflow's own loop goes on after any failed read; so does the triggerer.
            "max_poll_failures": sys.maxsize if self.silent_fail else self.max_poll_failures,
        }

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        if self._watch is None:
            return self.poke_interval
        with self._airflow_exceptions():
            return self._watch.delay_after(run_duration())

    def _defer(self, context: Context) -> NoReturn:
        from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger

        _, watch = self._watching(context)
        self.defer(
            trigger=HubSpotAssociationLimitsTrigger(
                hubspot_conn_id=self.hubspot_conn_id,
                operation=watch.operation.to_dict(),
                waited=watch.elapsed,
                hold=watch.hold,
                **self._wait_options(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, self.timeout - watch.elapsed) + _TRIGGERER_GRACE),
        )

    # -- failed reads in a row, across reschedules (Airflow 3.3; before, only the timeout bounds them) --

    def _remembered_failures(self, context: Context) -> int:
        store = context.get("task_state_store") if self.reschedule else None
        return store.get(self._store_key(context), 0) if store else 0  # type: ignore[return-value]

    def _remember_failures(self, context: Context, failures: int) -> None:
        if self.reschedule and (store := context.get("task_state_store")):
            store.set(self._store_key(context), failures)

    @staticmethod
    def _store_key(context: Context) -> str:
        return f"failed_polls_of_try_{context['ti'].try_number}"

    # -- the end --

    def _finish(self, context: Context, operation: BatchOperation) -> dict[str, Any]:
        if operation.has_failed:
            context["ti"].xcom_push(OPERATION_XCOM_KEY, operation.to_dict())
        operation.raise_for_failure()
        return operation.to_dict()

    @contextmanager
    def _airflow_exceptions(self) -> Iterator[None]:
        """Turn our errors into those that mean the same to Airflow's sensors, in every mode."""
        try:
            yield
        except (HubSpotError, ValueError) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            if isinstance(error, HubSpotOperationTimeoutError):
                raise AirflowSensorTimeout(str(error)) from error
            if is_permanent(error):
                raise AirflowFailException(str(error)) from error
            raise AirflowException(str(error)) from error
