"""Wait for a batch in a sensor, and keep its state for the next process of the same try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.models import LimitInput
from airflow_provider_hubassoc.limits.inputs import PASS_DATA, LimitInputsError
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh
from airflow_provider_hubassoc.limits.wait import Wait
from airflow_provider_hubassoc.task_state import TaskState
from airflow_provider_hubassoc.tasks.run import Deferral
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


@dataclass(frozen=True)
class SensorOptions:
    """The checked arguments of :class:`~airflow_provider_hubassoc.sensors.HubSpotAssociationLimitsSensor`.

    :param keeps_state: whether every read may happen in another process (mode ``reschedule``).
    """

    conn_id: str
    operation: Any
    from_object_type: str | None
    to_object_type: str | None
    inputs: list[dict[str, Any]]
    action: str
    verify: bool
    poke_interval: float
    max_poll_interval: float
    timeout: float
    max_poll_failures: int
    keeps_state: bool


class SensorWait:
    """The wait of one process of a sensor.

    :param context: of the task.
    :param options: arguments of the sensor.
    :param log: logger of the task.
    """

    def __init__(self, context: Context, options: SensorOptions, log: Any) -> None:
        self._options = options
        asked = _asked_operation(options)
        self._store = _WaitStore(context, log) if options.keeps_state else None
        known = self._store.find(asked) if self._store else None
        if known is None:
            log.info("Waiting for %s (connection %s)", asked.title, options.conn_id)
        operation, failures = known or (asked, 0)
        self._wait = Wait(
            operation,
            timeout=options.timeout,
            poll_interval=options.poke_interval,
            max_poll_interval=options.max_poll_interval,
            max_poll_failures=options.max_poll_failures,
            connection_name=options.conn_id,
            token_worked=known is not None,
            on_change=log.info,
        )
        self._wait.failures = failures
        self._hook = HubSpotHook(options.conn_id)

    def close(self) -> None:
        """Close the network connection."""
        self._hook.close()

    def read(self) -> BatchOperation:
        """Read the state of the batch once, unless it is over.

        If the read completes a batch that needs verification, its limits are read immediately.

        :raises HubSpotError: as :meth:`~airflow_provider_hubassoc.limits.wait.Wait.poll`.
        """
        try:
            while not self._wait.operation.is_over:
                self._wait.poll(lambda operation: refresh(self._hook.client.without_retries(), operation))
                if not self._wait.reads_now:
                    break
        finally:
            if self._store is not None and not self._wait.operation.is_over:
                self._store.keep(self._wait.operation, self._wait.failures)
        return self._wait.operation

    def delay_after(self, elapsed: float) -> float:
        """Return the time until the next read, seconds.

        :param elapsed: seconds since the sensor started.
        """
        return self._wait.delay_after(elapsed)

    def timeout_message(self) -> str:
        """Return the message of a timeout: the missing limits, and advice."""
        return self._wait.timeout_message(self._options.timeout)

    def deferral(self) -> Deferral:
        """Return how the triggerer continues the wait."""
        trigger = HubSpotAssociationLimitsTrigger(
            hubspot_conn_id=self._options.conn_id,
            operation=self._wait.operation.to_dict(),
            waited=self._wait.elapsed,
            hold=self._wait.hold,
            timeout=self._options.timeout,
            poll_interval=self._options.poke_interval,
            max_poll_interval=self._options.max_poll_interval,
            max_poll_failures=self._options.max_poll_failures,
        )
        return Deferral(trigger, self._options.timeout - self._wait.elapsed)


def _asked_operation(options: SensorOptions) -> BatchOperation:
    """Return the batch to wait for, as the arguments describe it."""
    if options.from_object_type is not None:
        return BatchOperation(
            action=options.action,  # type: ignore[arg-type]  # checked
            from_object_type=options.from_object_type,
            to_object_type=options.to_object_type or "",
            inputs=[LimitInput.model_validate(limit_input) for limit_input in options.inputs],
        )
    if isinstance(options.operation, str):
        raise LimitInputsError([f"operation: not the handle of a HubSpot batch operation: it is text; {PASS_DATA}"])
    operation = BatchOperation.from_dict(options.operation)
    return operation.model_copy(update={"verify": operation.verify or options.verify})


class _WaitStore:
    """Keeps the state of a wait in Airflow's task state store (Airflow 3.3)."""

    def __init__(self, context: Context, log: Any) -> None:
        self._state = TaskState(context, log)
        self._key = f"hubspot_wait_of_try_{context['ti'].try_number}"
        self._kept: tuple[Any, ...] | None = None

    def find(self, asked: BatchOperation) -> tuple[BatchOperation, int] | None:
        """Return the batch as earlier processes of this try know it, and the number of failed reads in a row.

        :param asked: the batch that the sensor waits for.
        :return: None if nothing is kept, or only for another batch.
        """
        state = self._state.get(self._key)
        try:
            known, failures = BatchOperation.from_dict(state["operation"]), int(state["failures"])
        except (KeyError, TypeError, ValueError):  # nothing, or from another version
            return None
        names = ("action", "from_object_type", "to_object_type", "inputs", "verify", "correlation_id")
        if any(getattr(known, name) != getattr(asked, name) for name in names):
            return None
        self._kept = _changing_facts(known, failures)
        return known, failures

    def keep(self, operation: BatchOperation, failures: int) -> None:
        """Keep the state, if it has changed.

        :param failures: number of failed reads in a row.
        """
        facts = _changing_facts(operation, failures)
        if facts != self._kept:
            self._state.set(self._key, {"operation": operation.to_dict(), "failures": failures})
            self._kept = facts


def _changing_facts(operation: BatchOperation, failures: int) -> tuple[Any, ...]:
    return (operation.status, operation.status_link, operation.results, operation.errors, failures)
