"""Directions of limits, and HubSpot's published association types by direction.

Source: HubSpot's guide "Associate records", table of association type ids. The table may grow, so a type that is not
in it is never refused for that reason.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from airflow_provider_hubassoc.hubspot.object_types import direction_name, normalize


class Direction(NamedTuple):
    """From one object type to another.

    Both are spelled as they are sent to HubSpot. Two directions are the same if their canonical forms are equal. A
    config, and everything made from it, holds each direction in one spelling.
    """

    from_object_type: str
    to_object_type: str

    def __str__(self) -> str:
        """Name the direction for people: ``contacts -> companies``."""
        return direction_name(*self)

    @property
    def inverse(self) -> Direction:
        """The opposite direction."""
        return Direction(self.to_object_type, self.from_object_type)

    @property
    def canonical(self) -> Direction:
        """The same direction in the form in which directions are compared."""
        return self.canonical_in(None)

    def canonical_in(self, portal_id: int | None) -> Direction:
        """Return the canonical form in one portal, in which ``p_<name>`` and ``p<portalId>_<name>`` are equal.

        :param portal_id: id of the portal; None if it is not known.
        """
        return Direction(normalize(self.from_object_type, portal_id), normalize(self.to_object_type, portal_id))


@cache
def hubspot_directions() -> dict[int, Direction]:
    """Return the canonical direction of every published HUBSPOT_DEFINED type, by type id."""
    return {row["typeId"]: _direction_of(row) for row in published_rows()}


def unlabeled_type_id(direction: Direction) -> int | None:
    """Return the type id of the unlabeled HUBSPOT_DEFINED type of a direction; None if HubSpot publishes none."""
    return _unlabeled_type_ids().get(direction.canonical)


@cache
def _unlabeled_type_ids() -> dict[Direction, int]:
    return {_direction_of(row): row["typeId"] for row in published_rows() if row["label"] is None}


@cache
def published_texts() -> dict[int, tuple[str, ...]]:
    """Return the labels of HUBSPOT_DEFINED types by type id: as in real answers, then as in the older guide."""
    return {
        row["typeId"]: tuple(text for text in (row["label"], row.get("olderLabel")) if text)
        for row in published_rows()
        if row["label"]
    }


@cache
def published_rows() -> list[dict[str, Any]]:
    """Return HubSpot's published table of association types, one dict for each row."""
    text = files("airflow_provider_hubassoc").joinpath("association_types.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def _direction_of(row: dict[str, Any]) -> Direction:
    return Direction(row["fromObjectTypeId"], row["toObjectTypeId"])
