"""Records that one try of a task keeps for the next one, in Airflow's task state store (Airflow 3.3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.task_state import TaskState

_BATCH_KEY = "hubspot_operation"
_INTENDED_KEY = "hubspot_intended"

_CHANGES_PER_ENTRY = 200
"""Changes under one key of the store, whose values are limited in size."""

_OLDEST_BATCH = 86_400.0
"""Seconds after which a later try no longer waits for a batch, if the wait has no timeout."""


class BatchStore:
    """Keeps the handle of a batch while the task waits for it, so that the next try does not send it again.

    :param state: of the task.
    :param conn_id: of the connection that the batch goes through.
    """

    def __init__(self, state: TaskState, conn_id: str) -> None:
        self._state = state
        self._conn_id = conn_id

    def keep(self, operation: BatchOperation, waited: float) -> None:
        """Keep the handle.

        :param waited: seconds that earlier tries have waited for the batch.
        """
        handle = {**operation.to_dict(), "started_at_epoch": time.time() - waited, "conn_id": self._conn_id}
        self._state.set(_BATCH_KEY, handle)

    def forget(self) -> None:
        """Remove the handle: there is nothing left to wait for."""
        self._state.delete(_BATCH_KEY)

    def find(self, asked: BatchOperation, timeout: float | None) -> tuple[BatchOperation, float] | None:
        """Return the batch that an earlier try has sent without seeing its end, and the seconds waited for it.

        The clocks of two workers may differ. If a wait seems too old, the batch is sent again, which is harmless; if
        its start seems to be in the future, the wait begins now.

        :param asked: the batch that this try would send.
        :param timeout: of the wait, seconds; None for no limit.
        :return: None if there is none, if it was another batch, or if its time is up: then the portal may have
            changed much since.
        """
        handle: Any = self._state.get(_BATCH_KEY)
        try:
            sent = BatchOperation.from_dict(handle)
            started_at, conn_id = float(handle["started_at_epoch"]), handle["conn_id"]
        except (ArithmeticError, KeyError, TypeError, ValueError):  # none, or of another version
            return None
        same = ("action", "from_object_type", "to_object_type", "inputs")
        if conn_id != self._conn_id or any(getattr(sent, name) != getattr(asked, name) for name in same):
            return None
        waited = max(0.0, time.time() - started_at)
        return (sent, waited) if waited < (_OLDEST_BATCH if timeout is None else timeout) else None


class IntendedChanges:
    """Keeps the changes that each try of a sync intends, before it sends any of them.

    A try that is killed cannot report its applied changes. The next try finds them in force in the portal.

    :param state: of the task.
    """

    def __init__(self, state: TaskState) -> None:
        self._state = state
        self._entries: list[list[dict[str, Any]]] = []
        while isinstance(entry := state.get(self._key(len(self._entries))), list):
            self._entries.append(entry)

    def add(self, plan: Plan) -> None:
        """Keep the changes of this try beside those of earlier tries."""
        changes = [{**_json(change), "text": str(change)} for change in (*plan.new_labels, *plan.writes)]
        for start in range(0, len(changes), _CHANGES_PER_ENTRY):
            entry = changes[start : start + _CHANGES_PER_ENTRY]
            self._state.set(self._key(len(self._entries)), entry)
            self._entries.append(entry)

    def forget(self) -> None:
        """Remove everything: the sync is complete."""
        for number in range(len(self._entries)):
            self._state.delete(self._key(number))

    def in_force(self, plan: Plan) -> list[dict[str, Any]]:
        """Return the changes that are in force by now.

        :param plan: made from the portal after the tries that intended the changes.
        """
        planned = {key for change in (*plan.new_labels, *plan.writes) for key in change_keys(_json(change))}
        read = {read.direction for read in plan.directions} - {unfit.direction for unfit in plan.unfit}
        current = {key: change.current for change in plan.changes for key in change_keys(_json(change))}
        applied = {}
        for change in (change for entry in self._entries for change in entry):
            key = change_keys(change)[0]
            was_read = (change["from_object_type"], change["to_object_type"]) in read
            # A limit that was removed need not be in the plan at all.
            is_in_force = "action" not in change or current.get(key) == change["target"]
            if was_read and is_in_force and key not in planned:
                applied[key] = {**change, "reason": None}
        return list(applied.values())

    @staticmethod
    def _key(number: int) -> str:
        return f"{_INTENDED_KEY}_{number}"


def _json(change: BaseModel) -> dict[str, Any]:
    return change.model_dump(mode="json")


def change_keys(change: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the keys of a change, or of a label to create, in the plans of all tries; the most exact key first.

    :param change: as plain JSON.
    """
    direction = (change["from_object_type"], change["to_object_type"])
    if "action" not in change:
        return [(*direction, "new label", change["label"])]
    keys: list[tuple[Any, ...]] = []
    if change["type_id"] is not None:
        keys.append((*direction, change["category"], change["type_id"]))
    if change["label"] is not None:
        keys.append((*direction, "label", change["label"]))
    return keys
