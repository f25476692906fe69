"""State and rules of one portal, without HTTP: object types, association types, labels and limits."""

from __future__ import annotations

import heapq
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal
from zoneinfo import ZoneInfo

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.object_types import (
    AssociationType,
    ObjectType,
    custom_object_type,
    hubspot_association_types,
    standard_object_types,
)
from airflow_provider_hubassoc.simulator.settings import Settings

Key = tuple[str, str, str, int]
"""(from object type id, to object type id, category, type id) of a limit."""

Action = Literal["create", "update", "purge"]

CATEGORIES = {"HUBSPOT_DEFINED": 0, "USER_DEFINED": 1, "INTEGRATOR_DEFINED": 2, "WORK": 3}
"""Category -> its number in messages, which name a type by both numbers: "0-4 is not a valid association type"."""

MAX_LABELS_PER_PAIR = 50


@dataclass(frozen=True)
class Input:
    """One input of a batch; ``max_to_object_ids`` is None in a purge."""

    category: str
    type_id: int
    max_to_object_ids: int | None = None


@dataclass
class Operation:
    """A submitted batch and its state.

    :param slow: whether the batch was PENDING when it was submitted.
    :param half_time: when it becomes PROCESSING, seconds of the portal's clock.
    :param due: when it ends, seconds of the portal's clock.
    """

    action: Action
    from_id: str
    to_id: str
    inputs: list[Input]
    requested_at: datetime
    slow: bool
    half_time: float
    due: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "PENDING"
    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    started_at: datetime | None = None
    completed_at: datetime | None = None


class Portal:
    """One HubSpot portal. Threads can share it.

    :param settings: behavior of the portal; changes take effect at the next call.
    :param clock: returns the seconds of a monotonic clock.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        self._object_types: dict[str, ObjectType] = {}
        self._spellings: dict[str, ObjectType] = {}
        for object_type in standard_object_types():
            self._register(object_type)
        self._types: dict[Key, AssociationType] = {}
        self._types_of_pair: dict[tuple[str, str], list[AssociationType]] = {}
        for association_type in hubspot_association_types():
            self._add_type(association_type)
        # Ids of users' types start at 1, so they collide with HubSpot's own (1 is also "Contact to primary company"),
        # as they do in real portals. A client that identifies a type by its id alone fails its tests.
        self._next_type_id = 1
        self._next_object_number = 130001
        # A purged limit stays as None: HubSpot still lists the type.
        self._limits: dict[Key, int | None] = {}
        # The limits that reads show. A change waits in the queue, with its time, until reads show it.
        self._shown: dict[Key, int | None] = {}
        self._unseen: deque[tuple[float, Key, int | None]] = deque()
        self._read_old = False
        self._operations: dict[str, Operation] = {}
        self._running: list[tuple[float, int, Operation]] = []

    # -- object types --

    def _register(self, object_type: ObjectType) -> None:
        self._object_types[object_type.id] = object_type
        for spelling in object_type.spellings:
            self._spellings[spelling] = object_type

    def object_type(self, spelling: str) -> ObjectType:
        """Return the object type of an id or a name.

        :raises RefusalError: if the type is unknown; HubSpot's answer has no category then.
        """
        with self._lock:
            found = self._object_types.get(spelling) or self._spellings.get(spelling.lower())
        if found is None:
            raise RefusalError(400, f"Unable to infer object type from: {spelling}", None)
        return found

    def add_object_type(self, name: str) -> str:
        """Add a custom object type and return its id, ``2-<n>``."""
        with self._lock:
            object_id = f"2-{self._next_object_number}"
            object_type = custom_object_type(object_id, name, self.settings.portal_id)
            if object_type.spellings[0] in self._spellings:
                raise ValueError(f"the custom object type {name} exists already")
            self._next_object_number += 1
            self._register(object_type)
            return object_id

    # -- association types and labels --

    def _add_type(self, association_type: AssociationType) -> None:
        pair = (association_type.from_id, association_type.to_id)
        self._types[association_type.key] = association_type
        self._types_of_pair.setdefault(pair, []).append(association_type)

    def _drop_type(self, key: Key) -> None:
        association_type = self._types.pop(key)
        self._types_of_pair[key[:2]].remove(association_type)
        self._limits.pop(key, None)
        self._shown.pop(key, None)
        self._unseen = deque(entry for entry in self._unseen if entry[1] != key)

    def _add_user_types(
        self, from_id: str, to_id: str, name: str, label: str | None, inverse_label: str | None
    ) -> list[AssociationType]:
        """Add a type for each direction, or a single one if both directions are the same."""
        first = self._next_type_id
        symmetric = from_id == to_id and label == inverse_label
        second = first if symmetric else first + 1
        self._next_type_id = second + 1
        types = [AssociationType(from_id, to_id, "USER_DEFINED", first, label, second, name)]
        if not symmetric:
            types.append(AssociationType(to_id, from_id, "USER_DEFINED", second, inverse_label, first, name))
        for association_type in types:
            self._add_type(association_type)
        return types

    def _types_between(self, from_id: str, to_id: str) -> list[AssociationType]:
        """Return the types of one direction.

        The unlabeled type of a pair with a custom object exists from the beginning, and is USER_DEFINED.
        """
        custom = self._object_types[from_id].custom or self._object_types[to_id].custom
        if custom and (from_id, to_id) not in self._types_of_pair:
            name = f"{self._object_types[from_id].name}_to_{self._object_types[to_id].name}".lower()
            self._add_user_types(from_id, to_id, name, None, None)
        return self._types_of_pair.get((from_id, to_id), [])

    def _type(self, from_id: str, to_id: str, category: str, type_id: int) -> AssociationType | None:
        self._types_between(from_id, to_id)
        return self._types.get((from_id, to_id, category, type_id))

    def labels(self, from_type: str, to_type: str) -> list[AssociationType]:
        """Return the association types from one object type to another."""
        from_id, to_id = self.object_type(from_type).id, self.object_type(to_type).id
        with self._lock:
            return list(self._types_between(from_id, to_id))

    def schema(self, object_type: str) -> dict[str, Any]:
        """Return an object's schema, with the internal names of the association types from and to it."""
        found = self.object_type(object_type)
        with self._lock:
            types = [
                association_type
                for association_type in self._types.values()
                if found.id in (association_type.from_id, association_type.to_id)
            ]
        return {
            "id": found.id,
            "objectTypeId": found.id,
            "name": found.name.lower(),
            "associations": [
                {
                    "id": str(association_type.type_id),
                    "name": association_type.name,
                    "fromObjectTypeId": association_type.from_id,
                    "toObjectTypeId": association_type.to_id,
                }
                for association_type in types
            ],
        }

    def create_label(
        self, from_type: str, to_type: str, *, name: str, label: str, inverse_label: str | None = None
    ) -> list[AssociationType]:
        """Create a label with one text for both sides or a text for each side.

        :return: the new types; HubSpot lists the inverse first.
        """
        source, target = self.object_type(from_type), self.object_type(to_type)
        if not label.strip() or (inverse_label is not None and not inverse_label.strip()):
            raise RefusalError(400, "Association label must not be blank")
        if not name or "-" in name or name[0].isdigit():
            raise RefusalError(
                400, f"Association name {name!r} must not include hyphens or begin with a numerical character"
            )
        with self._lock:
            user_types = [
                association_type
                for association_type in self._types.values()
                if association_type.category == "USER_DEFINED"
            ]
            if any(association_type.name.lower() == name.lower() for association_type in user_types):
                raise RefusalError(400, f"An association definition with the name {name} already exists")
            definitions = {
                min(association_type.type_id, association_type.inverse_id or association_type.type_id)
                for association_type in user_types
                if association_type.label is not None
                and {association_type.from_id, association_type.to_id} == {source.id, target.id}
            }
            if len(definitions) >= MAX_LABELS_PER_PAIR:
                raise RefusalError(
                    437,
                    f"No more than {MAX_LABELS_PER_PAIR} association types are allowed between "
                    f"{source.name} and {target.name}",
                )
            self._types_between(source.id, target.id)
            created = self._add_user_types(
                source.id, target.id, name, label, label if inverse_label is None else inverse_label
            )
            return created[::-1]

    def update_label(
        self, from_type: str, to_type: str, *, type_id: int, label: str, inverse_label: str | None = None
    ) -> None:
        """Change the text of a label; without an inverse label, both sides get the text."""
        from_id, to_id = self.object_type(from_type).id, self.object_type(to_type).id
        if not label.strip() or (inverse_label is not None and not inverse_label.strip()):
            raise RefusalError(400, "Association label must not be blank")
        with self._lock:
            found = self._type(from_id, to_id, "USER_DEFINED", type_id)
            if found is None or found.label is None:
                raise RefusalError(400, f"Association type {type_id} is not a label that can be updated")
            found.label = label
            if found.inverse_id is not None and found.inverse_id != type_id:
                self._types[(to_id, from_id, "USER_DEFINED", found.inverse_id)].label = (
                    label if inverse_label is None else inverse_label
                )

    def delete_label(self, from_type: str, to_type: str, type_id: int) -> None:
        """Delete a label in both directions, by the id of either."""
        from_id, to_id = self.object_type(from_type).id, self.object_type(to_type).id
        with self._lock:
            found = self._type(from_id, to_id, "USER_DEFINED", type_id) or self._type(
                to_id, from_id, "USER_DEFINED", type_id
            )
            if found is None or found.label is None:
                raise RefusalError(400, f"Association type {type_id} is not a label that can be deleted")
            self._drop_type((found.from_id, found.to_id, found.category, found.type_id))
            if found.inverse_id is not None and found.inverse_id != found.type_id:
                self._drop_type((found.to_id, found.from_id, found.category, found.inverse_id))

    # -- reading limits --

    def _visible(self) -> dict[Key, int | None]:
        """Return the limits that a read shows now."""
        now = self._clock()
        while self._unseen and self._unseen[0][0] + self.settings.stale_seconds <= now:
            _, key, value = self._unseen.popleft()
            self._shown[key] = value
        if self._unseen and self.settings.flip_flop:
            # The first read after a change shows the old state, the second the new one, and so on.
            self._read_old = not self._read_old
            return self._shown if self._read_old else self._limits
        self._read_old = False
        return self._shown

    def _limit_row(self, key: Key, value: int | None) -> dict[str, Any]:
        return {
            "category": key[2],
            "typeId": key[3],
            "userEnforcedMaxToObjectIds": value,
            "label": self._types[key].label,
        }

    def limits_between(self, from_type: str, to_type: str) -> list[dict[str, Any]]:
        """Return the rows of one direction: types that have a limit, and those that had one (null)."""
        pair = (self.object_type(from_type).id, self.object_type(to_type).id)
        with self._lock:
            self._run_due()
            return [self._limit_row(key, value) for key, value in self._visible().items() if key[:2] == pair]

    def all_limits(self) -> list[dict[str, Any]]:
        """Return the rows of all directions and of the inverse types; rows do not name their direction."""
        with self._lock:
            self._run_due()
            visible = self._visible()
            rows: dict[Key, int | None] = {}
            for key, value in visible.items():
                rows[key] = value
                inverse = self._types[key].inverse_id
                if inverse is not None:
                    inverse_key = (key[1], key[0], key[2], inverse)
                    rows.setdefault(inverse_key, visible.get(inverse_key))
            return [self._limit_row(key, value) for key, value in rows.items()]

    def limits(self) -> dict[Key, int]:
        """Return the limits in force, including those that reads do not show yet."""
        with self._lock:
            self._run_due()
            return {key: value for key, value in self._limits.items() if value is not None}

    # -- writing limits --

    def set_limit(self, from_type: str, to_type: str, category: str, type_id: int, value: int | None) -> None:
        """Set or remove a limit as an admin does in HubSpot's settings: rules do not apply, and reads show it at once.

        :raises ValueError: if the association type does not exist.
        """
        from_id, to_id = self.object_type(from_type).id, self.object_type(to_type).id
        key = (from_id, to_id, category, type_id)
        with self._lock:
            self._run_due()
            if self._type(*key) is None:
                raise ValueError(f"no association type {category} {type_id} from {from_id} to {to_id}")
            self._limits[key] = self._shown[key] = value
            self._unseen = deque(entry for entry in self._unseen if entry[1] != key)

    def submit(self, action: Action, from_type: str, to_type: str, inputs: list[Input]) -> Operation:
        """Accept a batch. Its limits come into force when it is COMPLETE.

        :raises RefusalError: if an object type is unknown, or the rule between limits refuses the whole request.
        """
        from_id, to_id = self.object_type(from_type).id, self.object_type(to_type).id
        seconds = self.settings.processing_seconds
        with self._lock:
            self._run_due()
            if action != "purge" and self.settings.limit_rule_status == 400:
                self._refuse_whole_batch(from_id, to_id, inputs)
            now = self._clock()
            operation = Operation(
                action,
                from_id,
                to_id,
                inputs,
                requested_at=datetime.now(timezone.utc),
                slow=seconds > 0,
                half_time=now + seconds / 2,
                due=now + seconds,
            )
            if operation.slow:
                operation.started_at = operation.requested_at + timedelta(seconds=seconds / 2)
                operation.completed_at = operation.requested_at + timedelta(seconds=seconds)
                self._operations[operation.id] = operation
                heapq.heappush(self._running, (operation.due, len(self._operations), operation))
            else:
                operation.started_at = operation.requested_at
                self._finish(operation)
                operation.completed_at = datetime.now(timezone.utc)
            return operation

    def operation(self, operation_id: str) -> Operation:
        """Return a slow batch in its current state."""
        with self._lock:
            self._run_due()
            found = self._operations.get(operation_id)
            if found is None:
                raise RefusalError(404, f"No operation with the id {operation_id}", "OBJECT_NOT_FOUND")
            if found.status == "PENDING" and self._clock() >= found.half_time:
                found.status = "PROCESSING"
            return found

    def _run_due(self) -> None:
        """Finish the slow batches that are due, in the order of their ends."""
        now = self._clock()
        while self._running and self._running[0][0] <= now:
            self._finish(heapq.heappop(self._running)[2])

    def _finish(self, operation: Operation) -> None:
        if self.settings.canceled:
            operation.status = "CANCELED"
            return
        seen: set[tuple[str, int]] = set()
        for batch_input in operation.inputs:
            identity = (batch_input.category, batch_input.type_id)
            error = self._refusal_of(operation, batch_input, identity in seen)
            seen.add(identity)
            if error is not None:
                operation.errors.append(error)
                continue
            key = (operation.from_id, operation.to_id, *identity)
            if operation.action == "purge" and key not in self._limits:
                continue
            self._limits[key] = batch_input.max_to_object_ids
            self._unseen.append((operation.due, key, batch_input.max_to_object_ids))
            if operation.action != "purge":
                result = {
                    "category": batch_input.category,
                    "typeId": batch_input.type_id,
                    "userEnforcedMaxToObjectIds": batch_input.max_to_object_ids,
                }
                if operation.action == "create":
                    result["label"] = self._types[key].label
                operation.results.append(result)
        if not operation.errors:
            operation.status = "COMPLETE"
        elif len(operation.errors) == len(operation.inputs):
            operation.status = "CANCELED"
        else:
            operation.status = self.settings.partial_status

    def _refusal_of(self, operation: Operation, batch_input: Input, duplicate: bool) -> dict[str, Any] | None:
        """Return the entry in ``errors`` for an input that is refused; None if it is accepted."""
        from_name = self._object_types[operation.from_id].name
        to_name = self._object_types[operation.to_id].name
        spec = f"{CATEGORIES.get(batch_input.category, 0)}-{batch_input.type_id}"
        context = {"type": [spec], "fromObjectType": [from_name], "toObjectType": [to_name]}

        def refusal(sub_category: str, message: str) -> dict[str, Any]:
            return {
                "status": "error",
                "category": "VALIDATION_ERROR",
                "subCategory": f"crm.associations.{sub_category}",
                "message": message,
                "context": context,
            }

        key = (operation.from_id, operation.to_id, batch_input.category, batch_input.type_id)
        if self._type(*key) is None:
            return refusal(
                "INVALID_ASSOCIATION_TYPE",
                f"{spec} is not a valid association type between {from_name} and {to_name}",
            )
        if duplicate:
            return refusal("DUPLICATE_ASSOCIATION_TYPE", f"{spec} is in the batch more than once")
        if operation.action == "purge":
            return None
        exists = self._limits.get(key) is not None
        if operation.action == "create" and exists and self.settings.create_existing == "error":
            return refusal("ASSOCIATION_LIMIT_ALREADY_EXISTS", f"{spec} has an association limit already")
        broken_rule = self._broken_rule(key, batch_input.max_to_object_ids or 0, self._limits)
        return None if broken_rule is None else refusal("INVALID_ASSOCIATION_LIMIT", broken_rule)

    def _broken_rule(self, key: Key, value: int, limits: dict[Key, int | None]) -> str | None:
        """Return HubSpot's message if a label limit would exceed the object limit; else None.

        Source: HubSpot's changelog of July 2024, "Introducing custom association limits for Associations API": a label
        limit must be less than or equal to the object limit, if there is one. Its examples refuse equality.
        """
        others = [
            (self._types[other], limit)
            for other, limit in limits.items()
            if other[:2] == key[:2] and other != key and limit is not None
        ]
        allow_equal = self.settings.equal_limits_allowed
        if self._types[key].label is not None:
            for other, limit in others:
                highest = limit if allow_equal else limit - 1
                if other.label is None and value > highest:
                    return f"{value} is not a valid limit for a label: the valid range is 1-{highest}"
            return None
        labelled = max((limit for other, limit in others if other.label is not None), default=0)
        if labelled and (value < labelled or (value == labelled and not allow_equal)):
            sign = ">=" if allow_equal else ">"
            return f"{value} must be greater than the existing label limits (i.e., {sign}{labelled})"
        return None

    def _refuse_whole_batch(self, from_id: str, to_id: str, inputs: list[Input]) -> None:
        limits = dict(self._limits)
        for batch_input in inputs:
            key = (from_id, to_id, batch_input.category, batch_input.type_id)
            if self._type(*key) is None:
                continue
            broken_rule = self._broken_rule(key, batch_input.max_to_object_ids or 0, limits)
            if broken_rule is not None:
                raise RefusalError(400, broken_rule)
            limits[key] = batch_input.max_to_object_ids

    # -- the portal --

    def account_info(self) -> dict[str, Any]:
        """Return the answer of HubSpot's "Account information" API."""
        offset = self.local_time().utcoffset() or timedelta()
        minutes = int(offset.total_seconds() // 60)
        sign = "-" if minutes < 0 else "+"
        return {
            "portalId": self.settings.portal_id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": self.settings.time_zone,
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}",
            "utcOffsetMilliseconds": minutes * 60_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }

    def local_time(self) -> datetime:
        """Return the time in the portal's time zone."""
        return datetime.now(ZoneInfo(self.settings.time_zone))

    def state(self) -> dict[str, Any]:
        """Return object types, labels and limits in force as JSON, for people."""
        with self._lock:
            in_force = self.limits()
            return {
                "portalId": self.settings.portal_id,
                "objectTypes": [
                    {"id": object_type.id, "name": object_type.name} for object_type in self._object_types.values()
                ],
                "labels": [
                    {
                        "fromObjectTypeId": association_type.from_id,
                        "toObjectTypeId": association_type.to_id,
                        "category": association_type.category,
                        "typeId": association_type.type_id,
                        "label": association_type.label,
                        "name": association_type.name,
                    }
                    for association_type in self._types.values()
                ],
                "limits": [
                    {
                        "fromObjectTypeId": key[0],
                        "fromObjectType": self._object_types[key[0]].name,
                        "toObjectTypeId": key[1],
                        "toObjectType": self._object_types[key[1]].name,
                        "category": key[2],
                        "typeId": key[3],
                        "label": self._types[key].label,
                        "name": self._types[key].name,
                        "maxToObjectIds": value,
                    }
                    for key, value in in_force.items()
                ],
            }
