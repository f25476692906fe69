"""One run of a task, as its body needs it: sleeping, logging, XComs. Cheap to import."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from airflow_provider_hubassoc.links import PORTAL_XCOM_KEY
from airflow_provider_hubassoc.task_state import TaskState

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_hubassoc.hubspot.models import AccountInfo

OPERATION_XCOM_KEY = "operation"
"""XCom key of a batch's handle: pushed before the wait begins, and again when it ends."""

_LONGEST_NAP = 0.5
"""Seconds after which a sleeping task notices at the latest that it was killed."""

_GRACE_OF_THREADS = 0.5
"""Seconds that Airflow has to interrupt the main thread, before the other threads end by themselves."""

_GRACE_OF_TRIGGERER = 300.0
"""Seconds after the timeout of a deferred wait at which Airflow itself ends it, if no triggerer has."""


class Deferral:
    """A wait that the triggerer takes over.

    :param trigger: the trigger that waits.
    :param seconds: maximum duration of the wait; None for no limit.
    """

    def __init__(self, trigger: BaseTrigger, seconds: float | None) -> None:
        self.trigger = trigger
        self.seconds = seconds

    @property
    def timeout(self) -> timedelta | None:
        """When Airflow itself ends the wait."""
        return None if self.seconds is None else timedelta(seconds=max(0.0, self.seconds) + _GRACE_OF_TRIGGERER)


class TaskRun:
    """One process of one try of a task.

    :param context: Airflow's context of the task.
    :param conn_id: of the connection to HubSpot.
    :param log: the logger of the task.
    :param execution_timeout: of the task; its threads end when it is over.
    """

    def __init__(self, context: Context, *, conn_id: str, log: Any, execution_timeout: timedelta | None = None) -> None:
        self.context = context
        self.conn_id = conn_id
        self.log = log
        self.state = TaskState(context, log)
        self.execution_timeout = execution_timeout
        self.portal: Mapping[str, Any] | None = None
        """The XCom of the portal, once it is published."""
        self._began = time.monotonic()
        self._ends_at = math.inf
        if execution_timeout is not None:
            # Airflow interrupts the main thread only, and calls on_kill only after that has waited for the others.
            self._ends_at = self._began + execution_timeout.total_seconds() + _GRACE_OF_THREADS
        self._is_killed = False

    @property
    def is_later_try(self) -> bool:
        """Whether an earlier try of the task may have sent something."""
        return bool(self.context["ti"].try_number > 1)

    def kill(self) -> None:
        """Let every sleep end with an error."""
        self._is_killed = True

    def sleep(self, seconds: float) -> None:
        """Sleep in short pieces, so that the task ends soon after it was killed.

        :raises AirflowException: if the task was killed, or its ``execution_timeout`` is over.
        """
        end = time.monotonic() + seconds
        while True:
            if self._is_killed:
                raise AirflowException("The task was killed. Limits that were sent to HubSpot stay in force.")
            if time.monotonic() > self._ends_at:
                raise AirflowException(f"The task's execution_timeout of {self.execution_timeout} is over")
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(left, _LONGEST_NAP))

    def push(self, key: str, value: Any) -> None:
        """Push an XCom."""
        self.context["ti"].xcom_push(key, value)

    def publish_portal(self, portal: AccountInfo | None) -> None:
        """Log which portal the connection leads to, and push it for the extra link.

        :param portal: of the connection; None if it is not known.
        """
        if portal is not None:
            self.log.info(
                "Connection %s leads to HubSpot portal %s (%s).", self.conn_id, portal.portal_id, portal.account_type
            )
        self.portal = {
            "portal_id": portal.portal_id if portal else None,
            "ui_domain": portal.ui_domain if portal else None,
        }
        # Also if it is not known: reading an XCom that is missing leaves an error in the log.
        self.push(PORTAL_XCOM_KEY, self.portal)

    def duration_text(self, event: Any = None) -> str:
        """Return how long the task took, for a log.

        :param event: of the trigger, in a task that resumes after its wait.
        """
        waited = event.get("waited") if isinstance(event, dict) else None
        if isinstance(waited, (int, float)):
            return f"after {waited:.1f} s of waiting in the triggerer"
        return f"after {time.monotonic() - self._began:.1f} s"
