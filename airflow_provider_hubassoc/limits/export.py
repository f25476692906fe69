"""A portal's present limits as a file that declares them, with names.

HubSpot lists all limits of a portal in one answer, but does not say between which object types they are. So that
answer is used to know what there is, and pairs are read until all of it is found:

1. the directions of HubSpot's own types, whose ids are published;
2. for the portal's own types (labels, and everything about custom objects) the likely directions first: between
   contacts, companies, deals and tickets, then those with the custom objects that the caller names, then all others
   that HubSpot publishes. The search ends as soon as nothing is missing.

What is not found is named, and never left out silently. A direction's labels are read where it has other limits than
the published unlabeled type's, to write names only where they mean one type.

HubSpot's object schemas would tell the pairs, but need scopes (``crm.schemas.*``) that limits do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, product
from typing import Any

import yaml

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotMissingScopesError, HubSpotUnknownObjectTypeError
from airflow_provider_hubassoc.hubspot.models import (
    AssociationCategory,
    AssociationLabel,
    AssociationLimit,
    TypeIdentity,
)
from airflow_provider_hubassoc.hubspot.object_types import OBJECT_TYPE_IDS, display_name, normalize
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Pacer, Progress, concurrently
from airflow_provider_hubassoc.limits.config import canonical_label, label_problem
from airflow_provider_hubassoc.limits.directions import Direction, hubspot_directions, unlabeled_type_id

_LIKELY = [OBJECT_TYPE_IDS[name] for name in ("contacts", "companies", "deals", "tickets")]


_LONGEST_KEY = 1_000
"""Characters; YAML takes keys of up to 1024, and everything may have to be escaped."""


class _Dumper(yaml.SafeDumper):
    """Writes text with control characters, such as odd line breaks in a label, in escapes, so that they survive.

    A label stays on the line of its limit, however long it is: a file may not hold keys of the form ``? key``.
    """

    def check_simple_key(self) -> bool:
        """Return whether the next key is written on one line."""
        return bool(super().check_simple_key()) or isinstance(self.event, yaml.ScalarEvent)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)


@dataclass(frozen=True)
class Export:
    """A portal's limits.

    :param config: what :func:`~.config.load_config` takes.
    :param missing: limits whose object types were not found.
    :param skipped: directions that could not be read, or only in part, and why: the token may not see an object type,
        or HubSpot's endpoint does not know it.
    """

    config: dict[str, Any]
    missing: list[AssociationLimit] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def to_yaml(self, title: str = "HubSpot association limits", *, allow_unicode: bool = True) -> str:
        """Return the file. The same limits give the same text, so that a diff shows what has changed.

        :param title: of the comment at the top; one line.
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
    :param object_types: custom objects to look at, in HubSpot's spelling (``p_<name>`` or ``2-<n>``); also other
        object types that this package does not know.
    :param max_concurrency: requests at the same time.
    :param progress: called after each direction.
    :raises HubSpotUnknownObjectTypeError: if the portal does not have one of ``object_types``.
    :raises HubSpotError: if anything else cannot be read; half an export would look like a whole one.
    """
    pacer = Pacer(client, 2 * max_concurrency)
    missing = {row.identity: row for row in pacer.call(client.get_all_limits) if row.max_to_object_ids is not None}
    found: dict[Direction, list[AssociationLimit]] = {}
    skipped: dict[Direction, str] = {}
    unknown: dict[Direction, str] = {}
    named = {normalize(name): name for name in object_types}

    for name in named.values():  # an unknown one is an error, also where no limit leads to it
        pacer.call(lambda name=name: client.get_limits(name, _LIKELY[0]))  # type: ignore[misc]

    def read(direction: Direction) -> list[AssociationLimit]:
        try:
            rows = pacer.call(lambda: client.get_limits(*direction))
        except HubSpotUnknownObjectTypeError as error:
            unknown[direction] = str(error)
            return []
        except HubSpotMissingScopesError as error:
            skipped[direction] = str(error)
            return []
        return [row for row in rows if row.max_to_object_ids is not None]

    certain = {
        hubspot_directions()[type_id]: None
        for category, type_id in missing
        if category == AssociationCategory.HUBSPOT_DEFINED.value and type_id in hubspot_directions()
    }
    candidates = (each for each in _candidates(list(named.values())) if each not in found)
    batch = list(certain)
    while missing:
        batch = batch or list(dict.fromkeys(islice(candidates, 2 * max_concurrency)))
        if not batch:
            break
        for direction, rows in concurrently("read", batch, read, max_concurrency, progress).items():
            found[direction] = rows
            for row in rows:
                missing.pop(row.identity, None)
        batch = []
    limited = {direction: rows for direction, rows in found.items() if rows}
    with_names = [direction for direction, rows in limited.items() if not _only_published(direction, rows)]

    def read_labels(direction: Direction) -> list[AssociationLabel]:
        try:
            return pacer.call(lambda: client.get_labels(*direction))
        except (HubSpotMissingScopesError, HubSpotUnknownObjectTypeError) as error:
            skipped[direction] = f"its limits are written by number, as its labels could not be read: {error}"
            return []

    labels = concurrently("read labels", with_names, read_labels, max_concurrency, progress)
    if missing:
        # A portal without, say, leads does not know them, which matters only where limits were to be expected.
        skipped |= {
            direction: reason
            for direction, reason in unknown.items()
            if direction in certain or any(normalize(name) in named for name in direction)
        }
    associations = []
    for direction in sorted(limited, key=str):
        associations.append(_association(direction, limited[direction], labels.get(direction, [])))
    reasons = sorted((str(direction), reason) for direction, reason in skipped.items())
    return Export({"version": 1, "associations": associations}, list(missing.values()), reasons)


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


def _published(direction: Direction) -> TypeIdentity | None:
    type_id = unlabeled_type_id(direction)
    return None if type_id is None else (AssociationCategory.HUBSPOT_DEFINED.value, type_id)


def _only_published(direction: Direction, rows: Sequence[AssociationLimit]) -> bool:
    return all(row.identity == _published(direction) for row in rows)


def _association(
    direction: Direction, rows: Sequence[AssociationLimit], labels: Sequence[AssociationLabel]
) -> dict[str, Any]:
    """Write one direction's limits, by name where the name means one type only and a file can hold it."""
    unlabeled = _published(direction)
    if unlabeled is None:
        candidates = {row.identity for row in labels if not row.label}
        unlabeled = candidates.pop() if len(candidates) == 1 else None
    names = {
        row.identity: row.label
        for row in labels
        if row.label
        and not label_problem(row.label)
        and len(row.label.encode("unicode_escape")) <= _LONGEST_KEY
        and sum(_same(other.label, row.label) for other in labels) == 1
    }
    entry: dict[str, Any] = {"from": display_name(direction[0]), "to": display_name(direction[1])}
    by_name: dict[str, int | None] = {}
    exact: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row.category, row.type_id)):
        name = names.get(row.identity)
        if row.identity == unlabeled:
            entry["limit"] = row.max_to_object_ids
        elif name is not None:
            by_name[name] = row.max_to_object_ids
        else:
            exact.append({"category": row.category, "typeId": row.type_id, "limit": row.max_to_object_ids})
    if by_name:
        entry["labels"] = dict(sorted(by_name.items()))
    if exact:
        entry["types"] = exact
    return entry


def _same(one: str | None, other: str) -> bool:
    return one is not None and canonical_label(one) == canonical_label(other)
