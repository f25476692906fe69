"""Association types and their names: labels, published texts, and labels that look alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence

from airflow_provider_hubassoc.hubspot.constants import MAX_INT32, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.config.label_text import canonical_label
from airflow_provider_hubassoc.limits.directions import (
    Direction,
    hubspot_directions,
    published_texts,
    unlabeled_type_id,
)
from airflow_provider_hubassoc.limits.problems import is_invisible, show
from airflow_provider_hubassoc.limits.state import DirectionState

_CATEGORIES = frozenset(category.value for category in AssociationCategory)


def is_sendable(identity: TypeIdentity) -> bool:
    """Return True if HubSpot's API accepts the association type in a batch, as far as this package knows."""
    return identity[0] in _CATEGORIES and 1 <= identity[1] <= MAX_INT32


def published_direction(identity: TypeIdentity) -> Direction | None:
    """Return the canonical direction of one of HubSpot's published types; None for all others."""
    return hubspot_directions().get(identity[1]) if identity[0] == AssociationCategory.HUBSPOT_DEFINED.value else None


def published_unlabeled_type(direction: Direction) -> TypeIdentity | None:
    """Return HubSpot's unlabeled type of a direction; None if HubSpot publishes none."""
    type_id = unlabeled_type_id(direction)
    return None if type_id is None else (AssociationCategory.HUBSPOT_DEFINED.value, type_id)


def types_published_as(text: str, state: DirectionState, direction: Direction) -> list[TypeIdentity]:
    """Return HubSpot's own types of a direction that were published under a label; the portal may show another text."""
    found = [
        row.identity
        for row in state.label_rows
        if row.label
        and published_direction(row.identity) == direction.canonical
        and text in published_texts().get(row.type_id, ())
    ]
    return list(dict.fromkeys(found))


def list_types(identities: Collection[TypeIdentity], labels: Mapping[TypeIdentity, str] | None = None) -> str:
    """Write association types with their labels, as far as these are known, for a message."""
    labels = labels or {}
    return ", ".join(
        f"{category} {type_id}" + (f" {show(labels[category, type_id])}" if (category, type_id) in labels else "")
        for category, type_id in sorted(identities)
    )


def look_alikes(text: str, rows: Sequence[AssociationLabel | AssociationLimit]) -> list[str]:
    """Return the labels among the rows that a person could mistake for this one."""
    canonical = canonical_label(text)
    others = {row.label for row in rows if row.label and row.label != text}
    return sorted(other for other in others if canonical_label(other) == canonical)


def look_alike_message(text: str, similar: Sequence[str]) -> str:
    """Say which labels of the portal look like one, and make the difference visible."""
    shown = " and ".join(_show_difference(other, text) for other in similar)
    return (
        f"{_show_difference(text, similar[0])} looks like {shown}, which the portal has; use exactly that text, "
        "or rename one of the two"
    )


def _show_difference(text: str, other: str) -> str:
    """Quote a text, with code points for the characters that a person cannot tell from those of the other text."""

    def shown(index: int, char: str) -> str:
        is_outer_blank = char == " " and (index in (0, len(text) - 1) or text[index - 1] == " ")
        is_hidden = is_invisible(char) or unicodedata.combining(char) or (not char.isascii() and char not in other)
        is_odd_blank = char.isspace() and char != " "
        return f"<U+{ord(char):04X}>" if is_outer_blank or is_hidden or is_odd_blank else char

    return '"' + "".join(shown(index, char) for index, char in enumerate(text)) + '"'


def may_be_same(one: Direction, other: Direction) -> bool:
    """Return True if two directions may have the same object types in other spellings (``p_car`` and ``2-123``)."""
    for names in zip(map(normalize, one), map(normalize, other), strict=True):
        if len(set(names)) > 1 and any(name.startswith("0-") for name in names):
            return False
    return True
