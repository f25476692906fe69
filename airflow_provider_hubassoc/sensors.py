"""Wait until HubSpot has settled a batch of association limits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralTimeout,
)

from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotOperationTimeoutError
from airflow_provider_hubassoc.operators import OPERATION_XCOM_KEY
from airflow_provider_hubassoc.retry_policy import is_permanent, with_retry_policy
from airflow_provider_hubassoc.task_state import TaskState
from airflow_provider_hubassoc.templating import Mistakes, is_literal, materialized, mistakes_fail_parsing

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_provider_hubassoc.hooks import HubSpotHook
    from airflow_provider_hubassoc.limits.operation import BatchOperation
    from airflow_provider_hubassoc.limits.wait import Wait

_TRIGGERER_GRACE = 300.0
"""Seconds after the timeout at which Airflow itself ends a deferred wait, if no triggerer has ended it."""


class HubSpotAssociationLimitsSensor(BaseSensorOperator):
    """Waits until a batch operation is over, or until limits that somebody else sets are in force.

    Returns the operation as plain JSON when it is COMPLETE. If it is CANCELED or refused in part, or HubSpot set
    another limit than asked for, the task fails without retries, and the operation with ``applied``, ``refused`` and
    ``unconfirmed`` is in XCom under ``operation``. Modes ``poke``, ``reschedule`` and deferrable behave alike. The
    wait between two reads begins with ``poke_interval`` and grows up to ``max_poll_interval``;
    ``exponential_backoff`` and ``max_wait`` are not needed.

    In mode ``reschedule``, Airflow 3.3 keeps the state of the wait in the task state store. Airflow 3.2 has none, so
    failed reads in a row are not counted there, and only ``timeout`` ends a wait whose reads always fail. Airflow
    measures the ``timeout`` of this mode by the clocks of its machines; the other modes use a clock of their own.

    Give either ``operation``, or ``from_object_type``, ``to_object_type`` and ``inputs``. All arguments are
    templated.

    :param operation: the handle: what :class:`~airflow_provider_hubassoc.operators.HubSpotAssociationLimitsOperator`
        returned or pushed under ``operation``.
    :param from_object_type: object type in any spelling HubSpot takes.
    :param to_object_type: the same, for the other side.
    :param inputs: the limits to wait for: ``{"category", "typeId", "maxToObjectIds"}`` each.
    :param action: ``purge`` to wait until the association types in ``inputs`` have no limit.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param poke_interval: about how long to wait before the second read, seconds (fractions allowed) or timedelta.
    :param max_poll_interval: the longest time between two reads, seconds; from 2.5.
    :param timeout: how long to wait, seconds or timedelta; then the task fails with AirflowSensorTimeout. None for
        Airflow's default. At least one read is made.
    :param max_poll_failures: number of failed reads in a row that fails the task, to be retried.
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
        "poke_interval",
        "max_poll_interval",
        "timeout",
        "max_poll_failures",
        "verify",
        "deferrable",
    )
    ui_color = "#ffd9c9"

    def __init__(
        self,
        *,
        operation: Any = None,
        from_object_type: str | None = None,
        to_object_type: str | None = None,
        inputs: Any = None,
        action: str = "update",
        hubspot_conn_id: str = "hubspot_default",
        poke_interval: float | timedelta | str = 5.0,
        max_poll_interval: float | timedelta | str = 60.0,
        timeout: float | timedelta | str | None = None,
        max_poll_failures: int | str = 5,
        verify: bool | str = False,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        # Airflow takes only numbers for poke_interval and timeout; ours may be templates.
        super().__init__(**with_retry_policy(kwargs))
        self.operation = operation
        self.from_object_type = from_object_type
        self.to_object_type = to_object_type
        self.inputs = inputs
        self.action = action
        self.hubspot_conn_id = hubspot_conn_id
        self.poke_interval: Any = poke_interval
        self.max_poll_interval: Any = max_poll_interval
        self.timeout: Any = self.timeout if timeout is None else timeout
        self.max_poll_failures: Any = max_poll_failures
        self.verify: Any = verify
        self.deferrable: Any = deferrable
        self._hook: HubSpotHook | None = None
        self._watch: Wait | None = None
        self._saved: tuple[Any, ...] | None = None
        with mistakes_fail_parsing(self.task_id) as mistakes:
            self._convert_airflows_own(mistakes, kwargs)
            pair = (from_object_type, to_object_type, inputs)
            if (operation is None) is any(each is None for each in pair) or (operation and any(pair)):
                mistakes.add("operation: give either operation, or from_object_type, to_object_type and inputs")
            self._check_arguments(mistakes, is_known=is_literal)

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the operation.

        :return: the operation as plain JSON.
        :raises AirflowFailException: if HubSpot refused all or part of it, or a read can never succeed.
        :raises AirflowSensorTimeout: if the time is up.
        :raises AirflowException: if reading failed ``max_poll_failures`` times in a row.
        """
        from airflow_provider_hubassoc.hooks import HubSpotHook

        with self._airflow_exceptions():
            self._resolve_arguments()
        with HubSpotHook(self.hubspot_conn_id) as self._hook:
            if not self.deferrable:
                return self._execute_here(context)
            first_look = self.poke(context)
            if not first_look.is_done:
                self._defer(context)
            return first_look.xcom_value  # type: ignore[return-value]  # poke gives it when done

    def _execute_here(self, context: Context) -> dict[str, Any]:
        try:
            return super().execute(context)  # type: ignore[no-any-return]
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            if self._watch is None or error.__cause__ is not None:
                raise
            # Airflow's own timeout, which does not say what is missing.
            raise type(error)(self._watch.timeout_message(self.timeout)) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Read the operation's state once, unless the handle says already that it is over.

        Where that completes a batch which is to be verified, its limits are read at once.
        """
        from airflow_provider_hubassoc.limits.operation import refresh

        with self._airflow_exceptions():
            hook, watch = self._watching(context)
            try:
                while not watch.operation.is_over:
                    watch.poll(lambda operation: refresh(hook.client.without_retries(), operation))
                    if not watch.reads_now:
                        break
            finally:
                self._save(context, watch)
            is_over = watch.operation.is_over
            return PokeReturnValue(is_over, self._finish(context, watch.operation) if is_over else None)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import operation_from_event

        with self._airflow_exceptions():
            return self._finish(context, operation_from_event(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; a timeout of Airflow's own says what to look at."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout as error:
            if not isinstance(error.__cause__, TaskDeferralTimeout):
                raise
            raise AirflowSensorTimeout(
                f"No triggerer ended the wait for association limits (connection {self.hubspot_conn_id}) by its timeout"
                f" of {self.timeout} s. Check that a triggerer is running and has room for the trigger."
            ) from error

    # -- arguments --

    def _convert_airflows_own(self, mistakes: Mistakes, given: Mapping[str, Any]) -> None:
        """Convert the booleans of Airflow's own sensor, for which any text would be true."""
        from airflow_provider_hubassoc.limits.inputs import parse_boolean

        names = ("soft_fail", "silent_fail", "never_fail", "exponential_backoff")
        mistakes.convert(self, [name for name in names if isinstance(given.get(name), str)], parse_boolean)

    def _resolve_arguments(self) -> None:
        """Convert the rendered arguments.

        :raises InvalidArgumentsError: with every mistake in them.
        """
        with mistakes_fail_parsing(self.task_id, is_parsing=False) as mistakes:
            self._check_arguments(mistakes)

    def _check_arguments(self, mistakes: Mistakes, is_known: Callable[[Any], bool] = lambda value: True) -> None:
        """Check and convert what is known of the arguments."""
        from airflow_provider_hubassoc.limits.inputs import (
            check_count,
            check_inputs,
            check_seconds,
            connection_id,
            from_text,
            parse_boolean,
            stripped,
        )

        for name in ("from_object_type", "to_object_type", "action"):
            setattr(self, name, stripped(getattr(self, name)))
        mistakes.convert(self, ["hubspot_conn_id"], connection_id, is_known)
        if self.from_object_type is not None and self.inputs is not None:
            pair = (self.from_object_type, self.to_object_type)
            with mistakes.collected():
                check_inputs(*pair, materialized(self.inputs), self.action, is_known=is_known)
        else:
            mistakes.convert(self, ["operation"], from_text, is_known)
        # Airflow allows 0: read without a pause, or once.
        own = [(name, getattr(self, name)) for name in ("poke_interval", "timeout")]
        intervals = [name for name, value in own if isinstance(value, bool) or value != 0]
        mistakes.convert(self, [*intervals, "max_poll_interval"], check_seconds, is_known)
        mistakes.convert(self, ["max_poll_failures"], check_count, is_known)
        mistakes.convert(self, ["verify", "deferrable"], parse_boolean, is_known)

    # -- waiting --

    def _watching(self, context: Context) -> tuple[HubSpotHook, Wait]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.wait import Wait

        if self._hook is None:
            self._hook = HubSpotHook(self.hubspot_conn_id)
        if self._watch is None:
            self._resolve_arguments()
            operation = self._operation()
            state = self._recalled(context, operation)
            if state is None:
                self.log.info("Waiting for %s (connection %s)", operation.title, self.hubspot_conn_id)
            self._watch = Wait(
                operation if state is None else state[0],
                **self._wait_options(),
                connection_name=self.hubspot_conn_id,
                token_worked=state is not None,
                on_change=self.log.info,
            )
            self._watch.failures = 0 if state is None else state[1]
        return self._hook, self._watch

    def _operation(self) -> BatchOperation:
        from airflow_provider_hubassoc.limits.inputs import PASS_DATA, LimitInputsError, parse_inputs
        from airflow_provider_hubassoc.limits.operation import BatchOperation

        if self.from_object_type is not None:
            return BatchOperation(
                action=self.action,  # type: ignore[arg-type]  # parse_inputs checks it
                from_object_type=self.from_object_type,
                to_object_type=self.to_object_type or "",
                inputs=parse_inputs(self.from_object_type, self.to_object_type, materialized(self.inputs), self.action),
            )
        if isinstance(self.operation, str):
            raise LimitInputsError([f"operation: not the handle of a HubSpot batch operation: it is text; {PASS_DATA}"])
        operation = BatchOperation.from_dict(self.operation)
        return operation.model_copy(update={"verify": operation.verify or self.verify})

    def _wait_options(self) -> dict[str, Any]:
        return {
            "poll_interval": self.poke_interval,
            "max_poll_interval": self.max_poll_interval,
            "timeout": self.timeout,
            # With silent_fail, Airflow's own loop goes on after any failed read; so does the triggerer.
            "max_poll_failures": sys.maxsize if self.silent_fail else self.max_poll_failures,
        }

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        if self._watch is None:
            return float(self.poke_interval)
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

    # -- what the processes of mode reschedule hand on (Airflow 3.3) --

    def _recalled(self, context: Context, operation: BatchOperation) -> tuple[BatchOperation, int] | None:
        """Return what earlier processes of this try have learned, and how many reads have failed in a row."""
        from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError

        if not self.reschedule or self.deferrable:
            return None
        state = TaskState(context, self.log).get(_state_key(context))
        try:
            known, failures = BatchOperation.from_dict(state["operation"]), int(state["failures"])
        except (KeyError, TypeError, ValueError, OperationHandleError):  # none, or of another version
            return None
        asked = ("action", "from_object_type", "to_object_type", "inputs", "verify", "correlation_id")
        if any(getattr(known, name) != getattr(operation, name) for name in asked):
            return None
        self._saved = _learned(known, failures)
        return known, failures

    def _save(self, context: Context, watch: Wait) -> None:
        learned = _learned(watch.operation, watch.failures)
        if self.reschedule and not self.deferrable and not watch.operation.is_over and learned != self._saved:
            state = {"operation": watch.operation.to_dict(), "failures": watch.failures}
            TaskState(context, self.log).set(_state_key(context), state)
            self._saved = learned

    # -- the end --

    def _finish(self, context: Context, operation: BatchOperation) -> dict[str, Any]:
        if operation.has_failed:
            context["ti"].xcom_push(OPERATION_XCOM_KEY, operation.to_dict())
        operation.raise_for_failure(self.hubspot_conn_id)
        self.log.info("%s (connection %s) is %s", operation.title, self.hubspot_conn_id, operation.status.value)
        return operation.to_dict()

    @contextmanager
    def _airflow_exceptions(self) -> Iterator[None]:
        """Turn our errors into those that mean the same to Airflow's sensors, in every mode."""
        try:
            yield
        except (HubSpotError, ValueError) as error:
            if self.soft_fail or self.never_fail:
                self.log.info("%s", error)  # after a deferral, Airflow's own sensor drops the message of the skip
                raise AirflowSkipException(str(error)) from error
            if isinstance(error, HubSpotOperationTimeoutError):
                raise AirflowSensorTimeout(str(error)) from error
            if is_permanent(error):
                raise AirflowFailException(str(error)) from error
            raise AirflowException(str(error)) from error


def _state_key(context: Context) -> str:
    return f"hubspot_wait_of_try_{context['ti'].try_number}"


def _learned(operation: BatchOperation, failures: int) -> tuple[Any, ...]:
    """Return what makes a difference to the next process."""
    return (operation.status, operation.status_link, operation.results, operation.errors, failures)
