"""Records, their associations, and the counts of HubSpot's Limits Tracking API. No HTTP here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_hubassoc.simulator.portal import MAX_LABELS_PER_PAIR, Key, Portal

NEAR = 80
"""Percentage of a limit from which a record counts as near it. HubSpot does not document its own."""

MAX_SAMPLES = 10
"""Largest number of records that an answer names."""

_MAX_CUSTOM_OBJECT_TYPES = 10
_MAX_RECORDS = 15_000_000
_MAX_CUSTOM_RECORDS = 1_500_000

Pair = tuple[str, str]


@dataclass
class _Record:
    id: str
    name: str


@dataclass
class _Usage:
    """How full the fullest limit of one record is.

    :param used: associations that count against the limit.
    :param limit: the limit.
    """

    record: _Record
    used: int
    limit: int

    @property
    def percentage(self) -> float:
        return round(100 * self.used / self.limit, 2)


@dataclass
class _View:
    """Everything the API shows at one time."""

    labels: dict[Pair, list[str]] = field(default_factory=dict)
    at_limit: dict[Pair, list[_Usage]] = field(default_factory=dict)
    near_limit: dict[Pair, list[_Usage]] = field(default_factory=dict)
    limits: dict[Pair, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)


class Tracking:
    """Records of a portal, counted against its limits.

    :param portal: the portal that the records are in.
    :param clock: seconds that never run backwards.
    """

    def __init__(self, portal: Portal, clock: Callable[[], float] = time.monotonic) -> None:
        self._portal = portal
        self._clock = clock
        self._records: dict[str, dict[str, _Record]] = {}
        self._associations: dict[Key, dict[str, set[str]]] = {}
        self._next_record_id = 1001
        self._earlier: deque[tuple[float, _View]] = deque()
        portal.before_change(self._keep_view)

    # -- records --

    def add_record(self, object_type: str, name: str) -> str:
        """Add a record and return its id."""
        type_id = self._portal.object_type(object_type).id
        with self._portal.lock:
            self._keep_view()
            record = _Record(str(self._next_record_id), name)
            self._next_record_id += 1
            self._records.setdefault(type_id, {})[record.id] = record
            return record.id

    def associate(
        self, from_type: str, from_record: str, to_type: str, to_record: str, category: str, type_id: int
    ) -> None:
        """Associate two records, in both directions where the type has an inverse. No limit is enforced.

        :raises ValueError: if a record or the association type does not exist.
        """
        from_id, to_id = self._portal.object_type(from_type).id, self._portal.object_type(to_type).id
        for object_id, record in ((from_id, from_record), (to_id, to_record)):
            if record not in self._records.get(object_id, {}):
                raise ValueError(f"no record {record} of {object_id}")
        with self._portal.lock:
            self._keep_view()
            association_type = self._portal.association_type(from_id, to_id, category, type_id)
            if association_type is None:
                raise ValueError(f"no association type {category} {type_id} from {from_id} to {to_id}")
            self._add(association_type.key, from_record, to_record)
            if association_type.inverse_id is not None:
                self._add((to_id, from_id, category, association_type.inverse_id), to_record, from_record)

    def _add(self, key: Key, record: str, other: str) -> None:
        self._associations.setdefault(key, {}).setdefault(record, set()).add(other)

    # -- what the API shows --

    def labels(self) -> dict[str, Any]:
        """Return every direction that has custom labels."""
        view = self._view()
        return {
            "results": [
                {
                    "fromObjectType": self._names(from_id),
                    "toObjectType": self._names(to_id),
                    "limit": MAX_LABELS_PER_PAIR,
                    "usage": len(texts),
                    "percentage": 100 * len(texts) / MAX_LABELS_PER_PAIR,
                    "allLabels": texts,
                }
                for (from_id, to_id), texts in view.labels.items()
            ]
        }

    def object_types_at_limit(self, from_type_id: str | None = None) -> dict[str, Any]:
        """Return the object types that have records at or near a limit.

        :param from_type_id: list the other side of the directions that begin at this object type.
        """
        if from_type_id is not None:
            self._portal.object_type(from_type_id)
        view = self._view()
        found: dict[str, dict[str, bool]] = {}
        for flag, usages in (("hasRecordsAtLimit", view.at_limit), ("hasRecordsNearLimit", view.near_limit)):
            for pair in usages:
                if from_type_id in (None, pair[0]):
                    found.setdefault(pair[0] if from_type_id is None else pair[1], {})[flag] = True
        return {
            "results": [
                {**self._names(type_id), "hasRecordsAtLimit": False, "hasRecordsNearLimit": False, **flags}
                for type_id, flags in found.items()
            ]
        }

    def records_at_limit(self, from_type_id: str, to_type_id: str) -> dict[str, Any]:
        """Return how many records of one direction are at or near a limit, and some of them."""
        pair = self._portal.object_type(from_type_id).id, self._portal.object_type(to_type_id).id
        view = self._view()
        at_limit, near_limit = view.at_limit.get(pair, []), view.near_limit.get(pair, [])
        return {
            "limit": view.limits.get(pair, 0),
            "totalRecordsAtLimit": len(at_limit),
            "totalRecordsNearLimit": len(near_limit),
            "atLimitFromRecordSamples": [
                {"objectId": int(usage.record.id), "label": usage.record.name} for usage in at_limit[:MAX_SAMPLES]
            ],
            "nearLimitFromRecordSamples": [
                {
                    "objectId": int(usage.record.id),
                    "label": usage.record.name,
                    "usage": usage.used,
                    "percentage": usage.percentage,
                }
                for usage in near_limit[:MAX_SAMPLES]
            ],
        }

    def records(self) -> dict[str, Any]:
        """Return how many records there are of each object type; this lists every custom object type."""
        view = self._view()
        standard = [one for one in self._portal.object_types() if not one.custom]
        custom = [one for one in self._portal.object_types() if one.custom]
        usage = sum(view.records.get(one.id, 0) for one in custom)
        return {
            "hubspotDefinedObjectTypes": [
                {
                    **self._names(one.id),
                    "limit": _MAX_RECORDS,
                    "usage": view.records.get(one.id, 0),
                    "percentage": 100 * view.records.get(one.id, 0) / _MAX_RECORDS,
                }
                for one in standard
            ],
            "customObjectTypes": {
                "overallLimit": _MAX_CUSTOM_RECORDS,
                "overallUsage": usage,
                "overallPercentage": 100 * usage / _MAX_CUSTOM_RECORDS,
                "byObjectType": [{**self._names(one.id), "usage": view.records.get(one.id, 0)} for one in custom],
            },
        }

    def custom_object_types(self) -> dict[str, Any]:
        """Return how many custom object types there are."""
        usage = sum(one.custom for one in self._portal.object_types())
        return {
            "limit": _MAX_CUSTOM_OBJECT_TYPES,
            "usage": usage,
            "percentage": 100 * usage / _MAX_CUSTOM_OBJECT_TYPES,
        }

    def _names(self, type_id: str) -> dict[str, str]:
        found = self._portal.object_type(type_id)
        return {"objectTypeId": found.id, "singularLabel": found.singular, "pluralLabel": found.plural}

    # -- lag --

    def _keep_view(self) -> None:
        """Keep what is shown now, before a change, for as long as answers lag."""
        if self._portal.settings.tracking_lag_seconds > 0:
            self._earlier.append((self._clock(), self._current_view()))

    def _view(self) -> _View:
        with self._portal.lock:
            lag = self._portal.settings.tracking_lag_seconds
            while self._earlier and self._earlier[0][0] + lag <= self._clock():
                self._earlier.popleft()
            return self._earlier[0][1] if self._earlier else self._current_view()

    def _current_view(self) -> _View:
        view = _View(records={type_id: len(records) for type_id, records in self._records.items()})
        for kind in self._portal.association_types():
            if kind.category == "USER_DEFINED" and kind.label is not None:
                view.labels.setdefault((kind.from_id, kind.to_id), []).append(kind.label)
        limits: dict[Pair, dict[Key, int]] = {}
        for key, limit in self._portal.limits().items():
            limits.setdefault(key[:2], {})[key] = limit
        for pair, limit_of in limits.items():
            view.limits[pair] = max(limit_of.values())
            for usage in self._usages(pair, limit_of):
                if usage.used >= usage.limit:
                    view.at_limit.setdefault(pair, []).append(usage)
                elif usage.percentage >= NEAR:
                    view.near_limit.setdefault(pair, []).append(usage)
        return view

    def _usages(self, pair: Pair, limit_of: dict[Key, int]) -> list[_Usage]:
        """Return how full the fullest limit of each record of a direction is."""
        usages = []
        for record in self._records.get(pair[0], {}).values():
            used: dict[Key, set[str]] = {
                key: others[record.id]
                for key, others in self._associations.items()
                if key[:2] == pair and record.id in others
            }
            everything: set[str] = set().union(*used.values())
            counts = []
            for key, limit in limit_of.items():
                kind = self._portal.association_type(*key)
                is_object_limit = kind is not None and kind.label is None
                count = len(everything if is_object_limit else used.get(key, set()))
                counts.append((count / limit, count, limit))
            _, count, limit = max(counts)
            if count:
                usages.append(_Usage(record, count, limit))
        return usages
