"""Directions of limits, and which of them HubSpot's own association types belong to.

Source: HubSpot's guide "Associate records", the list of association type ids. It may grow, so nothing is refused
for not being in it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from airflow_provider_hubassoc.hubspot.object_types import display_name, normalize


class Direction(NamedTuple):
    """From one object type to another.

    Both as they are sent to HubSpot. Directions are the same if their object types are the same when normalised;
    a config and what is made from it hold each direction in one spelling.
    """

    from_object_type: str
    to_object_type: str

    def __str__(self) -> str:
        """Name the direction for people: ``contacts -> companies``."""
        return f"{display_name(self.from_object_type)} -> {display_name(self.to_object_type)}"

    @property
    def inverse(self) -> Direction:
        """The other way round."""
        return Direction(self.to_object_type, self.from_object_type)

    @property
    def canonical(self) -> Direction:
        """The same direction in the one spelling in which directions are compared."""
        return Direction(normalize(self.from_object_type), normalize(self.to_object_type))


@cache
def hubspot_directions() -> dict[int, Direction]:
    """Return the direction of every HUBSPOT_DEFINED type that HubSpot publishes, by type id."""
    return {row["typeId"]: Direction(row["fromObjectTypeId"], row["toObjectTypeId"]) for row in published_rows()}


def unlabeled_type_id(direction: Direction) -> int | None:
    """Return the typeId of the unlabeled HUBSPOT_DEFINED type of a direction; None if HubSpot publishes none."""
    return _unlabeled_types().get(direction.canonical)


@cache
def _unlabeled_types() -> dict[Direction, int]:
    return {
        Direction(row["fromObjectTypeId"], row["toObjectTypeId"]): row["typeId"]
        for row in published_rows()
        if row["label"] is None
    }


@cache
def published_texts() -> dict[int, tuple[str, ...]]:
    """Return the labels of HUBSPOT_DEFINED types: the text of real answers, and an older one from HubSpot's guide."""
    return {
        row["typeId"]: tuple(text for text in (row["label"], row.get("olderLabel")) if text)
        for row in published_rows()
        if row["label"]
    }


@cache
def published_rows() -> list[dict[str, Any]]:
    """Return HubSpot's published table of association types, one dict for each."""
    text = files("airflow_provider_hubassoc").joinpath("association_types.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows
