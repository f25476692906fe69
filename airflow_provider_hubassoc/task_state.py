"""Values that a task keeps across its processes and tries, in Airflow's task state store (Airflow 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


class TaskState:
    """Optional access to the task state store: if the store fails or Airflow has none, the task continues without it.

    :param context: the task's context.
    :param log: where failures of the store are reported.
    """

    def __init__(self, context: Context, log: Any) -> None:
        self._store: Any = context.get("task_state_store")
        self._log = log

    def get(self, key: str, default: Any = None) -> Any:
        """Return the stored value; the default if there is none, or it cannot be read."""
        if not self._store:
            return default
        try:
            return self._store.get(key, default)
        except Exception as error:  # of the store's backend
            self._log.warning("The task state %s could not be read; continuing without it: %s", key, error)
            return default

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        if not self._store:
            return
        try:
            self._store.set(key, value)
        except Exception as error:
            self._log.warning("The task state %s could not be stored; continuing without it: %s", key, error)

    def delete(self, key: str) -> None:
        """Remove a value."""
        if not self._store:
            return
        try:
            self._store.delete(key)
        except Exception as error:
            self._log.warning("The task state %s could not be removed; continuing: %s", key, error)
