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

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.limits.inputs import (
    check_count,
    check_inputs,
    check_seconds,
    connection_id,
    from_text,
    parse_boolean,
    stripped,
)
from airflow_provider_hubassoc.operators import OPERATION_XCOM_KEY
from airflow_provider_hubassoc.retry_policy import is_permanent, with_retry_policy
from airflow_provider_hubassoc.templating import Mistakes, is_literal, materialized, mistakes_fail_parsing

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_provider_hubassoc.limits.operation import BatchOperation
    from airflow_provider_hubassoc.tasks.wait import SensorWait


class HubSpotAssociationLimitsSensor(BaseSensorOperator):
    """Waits until HubSpot has settled a batch, or until given limits are in force, whoever sets them.

    Returns the batch as plain JSON when it is COMPLETE. If HubSpot cancels the batch, refuses part of it or sets
    another limit, the task fails without retries. The batch with ``applied``, ``refused`` and ``unconfirmed`` is then
    in XCom under ``operation``. Modes ``poke``, ``reschedule`` and deferrable behave alike. The time between two reads
    starts at ``poke_interval`` and grows up to ``max_poll_interval``, so ``exponential_backoff`` and ``max_wait`` are
    not needed.

    In mode ``reschedule``, Airflow 3.3 keeps the state of the wait in the task state store. Airflow 3.2 has no such
    store: failed reads in a row are not counted there, and only ``timeout`` ends a wait whose reads always fail. In
    this mode, Airflow measures the ``timeout`` by the system clocks of its machines; the other modes use a monotonic
    clock.

    Pass either ``operation``, or ``from_object_type``, ``to_object_type`` and ``inputs``. All arguments are
    templated.

    :param operation: the batch to wait for: what
        :class:`~airflow_provider_hubassoc.operators.HubSpotAssociationLimitsOperator` returned or pushed under
        ``operation``.
    :param from_object_type: object type, as a name or an id that HubSpot accepts.
    :param to_object_type: object type on the other side.
    :param inputs: the limits to wait for: a list of ``{"category", "typeId", "maxToObjectIds"}``.
    :param action: ``purge`` to wait until the association types in ``inputs`` have no limit.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param poke_interval: approximate time before the second read, seconds (fractions allowed) or timedelta.
    :param max_poll_interval: maximum time between two reads, seconds; at least 2.5.
    :param timeout: maximum duration of the wait, seconds or timedelta; then the task fails with
        AirflowSensorTimeout. None for Airflow's default. At least one read is made.
    :param max_poll_failures: number of failed reads in a row that fails the task; Airflow may retry it.
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
        self._checked_inputs: list[dict[str, Any]] = []
        self.action = action
        self.hubspot_conn_id = hubspot_conn_id
        self.poke_interval: Any = poke_interval
        self.max_poll_interval: Any = max_poll_interval
        self.timeout: Any = self.timeout if timeout is None else timeout
        self.max_poll_failures: Any = max_poll_failures
        self.verify: Any = verify
        self.deferrable: Any = deferrable
        self._wait: SensorWait | None = None
        with mistakes_fail_parsing(self.task_id) as mistakes:
            self._convert_airflows_own(mistakes, kwargs)
            pair = (from_object_type, to_object_type, inputs)
            if (operation is None) is any(value is None for value in pair) or (operation and any(pair)):
                mistakes.add("operation: pass either operation, or from_object_type, to_object_type and inputs")
            self._check_arguments(mistakes, is_known=is_literal)

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for the batch.

        :return: the batch as plain JSON.
        :raises AirflowFailException: if HubSpot refused all or part of it, or no read can succeed.
        :raises AirflowSensorTimeout: if the timeout has passed.
        :raises AirflowException: if reading failed ``max_poll_failures`` times in a row.
        """
        try:
            with self._airflow_exceptions():
                self._sensor_wait(context)  # checks the arguments, deferrable among them
            if not self.deferrable:
                return self._execute_in_worker(context)
            first_poke = self.poke(context)
            if not first_poke.is_done:
                self._defer(context)
            return first_poke.xcom_value  # type: ignore[return-value]  # poke sets it when done
        finally:
            if self._wait is not None:
                self._wait.close()

    def _execute_in_worker(self, context: Context) -> dict[str, Any]:
        try:
            return super().execute(context)  # type: ignore[no-any-return]  # the xcom_value of poke
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            if self._wait is None or error.__cause__ is not None:
                raise
            # Airflow's own timeout, which does not say what is missing.
            raise type(error)(self._wait.timeout_message()) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Read the state of the batch once, unless its handle says that it is over."""
        with self._airflow_exceptions():
            operation = self._sensor_wait(context).read()
            return PokeReturnValue(operation.is_over, self._finish(context, operation) if operation.is_over else None)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import operation_from_event  # imported here as in _sensor_wait

        with self._airflow_exceptions():
            return self._finish(context, operation_from_event(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; if Airflow's own timeout ended it, add advice to the message."""
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
        """Convert the booleans of Airflow's own sensor, which takes any text for True."""
        names = ("soft_fail", "silent_fail", "never_fail", "exponential_backoff")
        mistakes.convert(self, [name for name in names if isinstance(given.get(name), str)], parse_boolean)

    def _resolve_arguments(self) -> None:
        """Check and convert the rendered arguments.

        :raises InvalidArgumentsError: with every mistake in them.
        """
        with mistakes_fail_parsing(self.task_id, is_parsing=False) as mistakes:
            self._check_arguments(mistakes)

    def _check_arguments(self, mistakes: Mistakes, is_known: Callable[[Any], bool] = lambda value: True) -> None:
        """Check and convert the arguments whose values are known."""
        for name in ("from_object_type", "to_object_type", "action"):
            setattr(self, name, stripped(getattr(self, name)))
        mistakes.convert(self, ["hubspot_conn_id"], connection_id, is_known)
        if self.from_object_type is not None and self.inputs is not None:
            pair = (self.from_object_type, self.to_object_type)
            with mistakes.collected():
                self._checked_inputs = check_inputs(*pair, materialized(self.inputs), self.action, is_known=is_known)
        else:
            mistakes.convert(self, ["operation"], from_text, is_known)
        # Airflow allows 0: read without a pause, or once.
        own = [(name, getattr(self, name)) for name in ("poke_interval", "timeout")]
        intervals = [name for name, value in own if isinstance(value, bool) or value != 0]
        mistakes.convert(self, [*intervals, "max_poll_interval"], check_seconds, is_known)
        mistakes.convert(self, ["max_poll_failures"], check_count, is_known)
        mistakes.convert(self, ["verify", "deferrable"], parse_boolean, is_known)

    # -- waiting --

    def _sensor_wait(self, context: Context) -> SensorWait:
        """Return the body of the task; start it at the first call.

        The body is imported here, because a DAG file that constructs a sensor does not need HTTP and models.
        """
        from airflow_provider_hubassoc.tasks.wait import SensorOptions, SensorWait

        if self._wait is None:
            self._resolve_arguments()
            options = SensorOptions(
                conn_id=self.hubspot_conn_id,
                operation=self.operation,
                from_object_type=self.from_object_type,
                to_object_type=self.to_object_type,
                inputs=self._checked_inputs,
                action=self.action,
                verify=self.verify,
                poke_interval=self.poke_interval,
                max_poll_interval=self.max_poll_interval,
                timeout=self.timeout,
                # With silent_fail, Airflow's own loop continues after any failed read; so does the triggerer.
                max_poll_failures=sys.maxsize if self.silent_fail else self.max_poll_failures,
                keeps_state=self.reschedule and not self.deferrable,
            )
            self._wait = SensorWait(context, options, self.log)
        return self._wait

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        if self._wait is None:
            return float(self.poke_interval)
        with self._airflow_exceptions():
            return self._wait.delay_after(run_duration())

    def _defer(self, context: Context) -> NoReturn:
        deferral = self._sensor_wait(context).deferral()
        self.defer(trigger=deferral.trigger, method_name="execute_complete", timeout=deferral.timeout)

    def _finish(self, context: Context, operation: BatchOperation) -> dict[str, Any]:
        """Return the settled batch.

        :raises HubSpotOperationError: if HubSpot refused all or part of it.
        """
        if operation.has_failed:
            context["ti"].xcom_push(OPERATION_XCOM_KEY, operation.to_dict())
        operation.raise_for_failure(self.hubspot_conn_id)
        self.log.info("%s (connection %s) is %s", operation.title, self.hubspot_conn_id, operation.status.value)
        return operation.to_dict()

    @contextmanager
    def _airflow_exceptions(self) -> Iterator[None]:
        """Convert errors to the exceptions with the same meaning for Airflow's sensors, in every mode."""
        try:
            yield
        except (HubassocError, ValueError) as error:
            from airflow_provider_hubassoc.hubspot.errors import HubSpotOperationTimeoutError  # not for DAG files

            if self.soft_fail or self.never_fail:
                self.log.info("%s", error)  # after a deferral, Airflow's own sensor drops the message of the skip
                raise AirflowSkipException(str(error)) from error
            if isinstance(error, HubSpotOperationTimeoutError):
                raise AirflowSensorTimeout(str(error)) from error
            if is_permanent(error):
                raise AirflowFailException(str(error)) from error
            raise AirflowException(str(error)) from error
