"""Export the limits of a portal as a file that declares them, with names.

HubSpot lists all limits of a portal in one answer, but not between which object types they are. The export takes from
that answer which limits there are, and reads pairs of object types until it has found all of them:

1. the directions of HubSpot's own types, whose ids are published;
2. for the portal's own types (labels, and everything about custom objects) the likely directions first: between
   contacts, companies, deals and tickets, then those with the custom objects that the caller names, then all others
   that HubSpot publishes. The search ends as soon as nothing is missing.

A limit that is not found is named, and never left out silently. The labels of a direction are read where it has other
limits than that of the published unlabeled type, because a name is written only where it means one type.

HubSpot's object schemas would show the pairs, but need scopes (``crm.schemas.*``) that limits do not need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, product
from typing import Any

import yaml

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.hubspot.errors import HubSpotMissingScopesError, HubSpotUnknownObjectTypeError
from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit
from airflow_provider_hubassoc.hubspot.object_types import OBJECT_TYPE_IDS, display_name, normalize
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Pacer, Progress, concurrently
from airflow_provider_hubassoc.limits.config.label_text import canonical_label, label_problem
from airflow_provider_hubassoc.limits.directions import Direction, hubspot_directions
from airflow_provider_hubassoc.limits.plan.names import published_direction, published_unlabeled_type

_LIKELY = [OBJECT_TYPE_IDS[name] for name in ("contacts", "companies", "deals", "tickets")]

_MAX_KEY_LENGTH = 1_000
"""Characters; YAML accepts keys of up to 1024, and every character may have to be escaped."""


class _Dumper(yaml.SafeDumper):
    """Writes text with control characters, such as odd line breaks in a label, as escapes, so that they survive.

    A label stays on the line of its limit, however long it is: a file may not hold keys of the form ``? key``.
    """

    def check_simple_key(self) -> bool:
        """Return True if the next key is written on one line."""
        return bool(super().check_simple_key()) or isinstance(self.event, yaml.ScalarEvent)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)


@dataclass(frozen=True)
class Export:
    """The limits of a portal.

    :param config: the content of a file for :func:`~.config.load_config`.
    :param missing: the limits whose object types were not found.
    :param skipped: the directions that could not be read, or only in part, and the reason: the token may not read an
        object type, or HubSpot's endpoint does not know it.
    """

    config: dict[str, Any]
    missing: list[AssociationLimit] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def to_yaml(self, title: str = "HubSpot association limits", *, allow_unicode: bool = True) -> str:
        """Return the file. The same limits give the same text, so that a diff shows only changes.

        :param title: text of the comment in the first line.
        :param allow_unicode: False writes characters outside ASCII as escapes, with the same meaning.
        """
        text = yaml.dump(self.config, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=110)
        return f"# {' '.join(title.split())}\n{text}"


def export_limits(
    client: HubSpotClient,
    *,
    object_types: Sequence[str] = (),
    max_concurrency: int = MAX_CONCURRENCY,
    progress: Progress | None = None,
) -> Export:
    """Read all limits of a portal.

    :param client: of the portal.
    :param object_types: custom objects to search, in HubSpot's spelling (``p_<name>`` or ``2-<n>``); also other
        object types that this package does not know.
    :param max_concurrency: requests at the same time.
    :param progress: called after each direction.
    :raises HubSpotUnknownObjectTypeError: if the portal does not have one of ``object_types``.
    :raises HubSpotError: if anything else cannot be read, because half an export would look like a whole one.
    """
    search = _Search(client, object_types, max_concurrency, progress)
    search.check_object_types()
    search.find_all()
    limited = {direction: rows for direction, rows in search.found.items() if rows}
    labels = search.read_labels([direction for direction, rows in limited.items() if _needs_labels(direction, rows)])
    associations = [
        _association(direction, limited[direction], labels.get(direction, [])) for direction in sorted(limited, key=str)
    ]
    return Export({"version": 1, "associations": associations}, list(search.missing.values()), search.skipped())


class _Search:
    """Reads directions until every limit of a portal is found.

    ``missing`` has the limits that are not found yet, ``found`` the limits of each direction that was read.
    """

    def __init__(
        self,
        client: HubSpotClient,
        object_types: Sequence[str],
        max_concurrency: int,
        progress: Progress | None,
    ) -> None:
        self._client = client
        self._object_types = {normalize(name): name for name in object_types}
        self._max_concurrency = max_concurrency
        self._progress = progress
        self._pacer = Pacer(client, 2 * max_concurrency)
        rows = self._pacer.call(client.get_all_limits)
        self.missing = {row.identity: row for row in rows if row.max_to_object_ids is not None}
        self.found: dict[Direction, list[AssociationLimit]] = {}
        published = (published_direction(identity) for identity in self.missing)
        self._certain = list(dict.fromkeys(direction for direction in published if direction is not None))
        self._skipped: dict[Direction, str] = {}
        self._unknown: dict[Direction, str] = {}

    def check_object_types(self) -> None:
        """Read every object type that the caller names, because an unknown one is an error.

        The search itself may end before it gets to an object type.

        :raises HubSpotUnknownObjectTypeError: for the first one that the portal does not have.
        """
        for name in self._object_types.values():
            self._pacer.call(partial(self._client.get_limits, name, _LIKELY[0]))

    def find_all(self) -> None:
        """Read the certain directions, then the candidates, until nothing is missing."""
        if self.missing:
            self._read(self._certain)
        candidates = (
            direction for direction in _candidates(list(self._object_types.values())) if direction not in self.found
        )
        while self.missing:
            batch = list(dict.fromkeys(islice(candidates, 2 * self._max_concurrency)))
            if not batch:
                break
            self._read(batch)

    def read_labels(self, directions: Sequence[Direction]) -> dict[Direction, list[AssociationLabel]]:
        """Return the labels of the directions; none for a direction whose labels cannot be read."""

        def read(direction: Direction) -> list[AssociationLabel]:
            try:
                return self._pacer.call(lambda: self._client.get_labels(*direction))
            except (HubSpotMissingScopesError, HubSpotUnknownObjectTypeError) as error:
                self._skipped[direction] = (
                    f"its limits are written by number because its labels could not be read: {error}"
                )
                return []

        return concurrently("read labels", directions, read, self._max_concurrency, self._progress)

    def skipped(self) -> list[tuple[str, str]]:
        """Return the directions that could not be read, or only in part, and the reason."""
        skipped = dict(self._skipped)
        if self.missing:
            # A portal may not know leads, for example. That matters only where limits were to be expected.
            skipped |= {
                direction: reason for direction, reason in self._unknown.items() if self._is_expected(direction)
            }
        return sorted((str(direction), reason) for direction, reason in skipped.items())

    def _is_expected(self, direction: Direction) -> bool:
        return direction in self._certain or any(normalize(name) in self._object_types for name in direction)

    def _read(self, directions: Sequence[Direction]) -> None:
        def read(direction: Direction) -> list[AssociationLimit]:
            try:
                rows = self._pacer.call(lambda: self._client.get_limits(*direction))
            except HubSpotUnknownObjectTypeError as error:
                self._unknown[direction] = str(error)
                return []
            except HubSpotMissingScopesError as error:
                self._skipped[direction] = str(error)
                return []
            return [row for row in rows if row.max_to_object_ids is not None]

        found = concurrently("read", directions, read, self._max_concurrency, self._progress)
        self.found |= found
        for rows in found.values():
            for row in rows:
                self.missing.pop(row.identity, None)


def _candidates(custom: Sequence[str]) -> Iterator[Direction]:
    """Return directions that may hold limits of the portal's own types, the likely ones first."""
    others = [type_id for type_id in OBJECT_TYPE_IDS.values() if type_id not in _LIKELY]
    return map(
        Direction._make,
        chain(
            product(_LIKELY, _LIKELY),
            product(custom, [*custom, *_LIKELY]),
            product(_LIKELY, custom),
            hubspot_directions().values(),
            product(custom, others),
            product(others, custom),
        ),
    )


def _needs_labels(direction: Direction, rows: Sequence[AssociationLimit]) -> bool:
    """Return True if a direction has other limits than that of the published unlabeled type."""
    return any(row.identity != published_unlabeled_type(direction) for row in rows)


def _association(
    direction: Direction, rows: Sequence[AssociationLimit], labels: Sequence[AssociationLabel]
) -> dict[str, Any]:
    """Write the limits of one direction: by name where a file can hold the name and it means one type only."""
    unlabeled = published_unlabeled_type(direction)
    if unlabeled is None:
        candidates = {row.identity for row in labels if not row.label}
        unlabeled = candidates.pop() if len(candidates) == 1 else None
    names = _usable_names(labels)
    entry: dict[str, Any] = {
        "from": display_name(direction.from_object_type),
        "to": display_name(direction.to_object_type),
    }
    by_name: dict[str, int | None] = {}
    by_number: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row.category, row.type_id)):
        name = names.get(row.identity)
        if row.identity == unlabeled:
            entry["limit"] = row.max_to_object_ids
        elif name is not None:
            by_name[name] = row.max_to_object_ids
        else:
            by_number.append({"category": row.category, "typeId": row.type_id, "limit": row.max_to_object_ids})
    if by_name:
        entry["labels"] = dict(sorted(by_name.items()))
    if by_number:
        entry["types"] = by_number
    return entry


def _usable_names(labels: Sequence[AssociationLabel]) -> Mapping[TypeIdentity, str]:
    """Return the labels that a file can hold and that no other label could be mistaken for."""
    canonical = [canonical_label(row.label) for row in labels if row.label]
    return {
        row.identity: row.label
        for row in labels
        if row.label
        and not label_problem(row.label)
        and len(row.label.encode("unicode_escape")) <= _MAX_KEY_LENGTH
        and canonical.count(canonical_label(row.label)) == 1
    }
