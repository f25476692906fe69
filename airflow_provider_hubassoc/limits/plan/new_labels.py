"""Labels that a plan creates, and reasons against creating one that the portal has under another text."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Collection, Sequence

from airflow_provider_hubassoc.hubspot.object_types import display_name
from airflow_provider_hubassoc.limits.config.models import AssociationConfig, LabelConfig, ResolvedConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import NewLabel
from airflow_provider_hubassoc.limits.plan.names import look_alike_message, look_alikes, types_published_as
from airflow_provider_hubassoc.limits.problems import show
from airflow_provider_hubassoc.limits.state import USER_DEFINED, DirectionState, PortalState

LabelSide = tuple[Direction, str]
"""One side of a label: the canonical direction, and the text in it."""


def labels_to_create(config: ResolvedConfig, state: PortalState) -> list[NewLabel]:
    """Return the labels that a plan would create, judged by the directions of the file alone."""
    declared = [association for association in config.associations if association.direction in state.directions]
    return new_labels(declared, config.associations, state)


def new_labels(
    associations: Sequence[AssociationConfig],
    declared: Sequence[AssociationConfig],
    state: PortalState,
    blocked: Collection[LabelSide] = (),
) -> list[NewLabel]:
    """Return the labels to create. One definition makes both sides, so a label declared both ways is created once.

    :param associations: the directions that may create labels.
    :param declared: all directions; the inverse one may say how a label is created.
    :param blocked: sides of labels that must not be created.
    """
    by_direction = {association.canonical_direction: association for association in declared}
    created: list[NewLabel] = []
    for association in associations:
        direction = association.direction
        inverse_association = by_direction.get(direction.canonical.inverse)
        inverse_labels = inverse_association.labels if inverse_association else {}
        direction_state = state.directions[direction]
        for text, label in association.labels.items():
            is_missing = (
                label.is_created
                and (direction.canonical, text) not in blocked
                and not _is_present(text, direction_state, direction)
            )
            if is_missing and not any(text in new.texts_in(direction) for new in created):
                candidates = {row.label for row in direction_state.custom_labels if row.label}
                new = _new_label(direction, text, label, inverse_labels)
                created.append(new.model_copy(update={"candidates": sorted(candidates - set(association.labels))}))
    return created


def _is_present(text: str, state: DirectionState, direction: Direction) -> bool:
    """Return True if the direction has the label, or one that could be mistaken for it."""
    return bool(
        state.types_labelled(text) or types_published_as(text, state, direction) or look_alikes(text, state.label_rows)
    )


def _new_label(direction: Direction, text: str, label: LabelConfig, inverse_labels: dict[str, LabelConfig]) -> NewLabel:
    """Combine the declarations of a label in its direction and in the inverse one."""
    inverse = label.inverse or next((name for name, other in inverse_labels.items() if other.inverse == text), None)
    inverse_label = inverse_labels.get(inverse or text, LabelConfig())
    return NewLabel(
        from_object_type=direction.from_object_type,
        to_object_type=direction.to_object_type,
        label=text,
        inverse=None if inverse == text else inverse,
        name=label.name or inverse_label.name or internal_name(direction, text),
    )


def internal_name(direction: Direction, label: str) -> str:
    """Make HubSpot's internal name of a label: unique in the portal, no hyphens, no digit first.

    The object types are part of it, because the same label on two pairs needs two names.
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    words = [plain, display_name(direction.from_object_type), display_name(direction.to_object_type)]
    slug = re.sub(r"[^a-z0-9]+", "_", " ".join(words).lower()).strip("_")
    if len(plain) < len(label) or re.search(r"[^\w\s]", label):
        slug += f"_{zlib.crc32(label.encode()):08x}"  # tells labels apart that differ only in dropped characters
    return f"label_{slug}" if slug[:1].isdigit() else slug


def usual_names(label: NewLabel) -> set[str]:
    """Return the internal names that this package gives to a label whose name the file does not say."""
    return {internal_name(direction, text) for direction, text in label.sides}


def blocked_labels(labels: Sequence[NewLabel], state: PortalState) -> dict[LabelSide, str]:
    """Return the sides of the labels that must not be created, and the reason."""
    blocked: dict[LabelSide, str] = {}
    for label in labels:
        reason = reason_against_creating(label, state)
        if reason is not None:
            blocked |= {(direction.canonical, text): reason for direction, text in label.sides}
    return blocked


def reason_against_creating(label: NewLabel, state: PortalState) -> str | None:
    """Return why a label must not be created: the portal has it under another text. None if it may be created."""
    names = state.names.get(label.from_object_type, {})
    ids = frozenset[int]().union(*(names.get(name.casefold(), ()) for name in {label.name, *usual_names(label)}))
    for direction, text in label.sides:
        side_state = state.state_of(direction)
        rows = side_state.custom_labels if side_state else []
        present = sorted({row.label for row in rows if row.label and row.label != text and row.type_id in ids})
        if present:
            return renamed_message(text, present)
    inverse, text = label.sides[1]
    inverse_state = state.state_of(inverse)
    if inverse_state is None:
        return None
    if any(category == USER_DEFINED for category, _ in inverse_state.types_labelled(text)):
        return inverse_exists_message(inverse, text, label.label)
    similar = look_alikes(text, inverse_state.label_rows)
    return f"in {inverse}, {look_alike_message(text, similar)}" if similar else None


def inverse_exists_message(direction: Direction, text: str, label: str) -> str:
    """Say that a label must not be created because its other side exists."""
    return (
        f"the portal already has its inverse label {show(text)} in {direction}, which would be created a second time; "
        f"{show(label)} was probably renamed: write its current text in the file, or rename it back in HubSpot"
    )


def renamed_message(label: str, present: Sequence[str]) -> str:
    """Say that a label has another text in the portal now, with advice."""
    texts = " or ".join(map(show, present))
    return (
        f"the label {show(label)} was renamed to {texts} in HubSpot: write {texts} in the file, or rename the label "
        "back in HubSpot"
    )
