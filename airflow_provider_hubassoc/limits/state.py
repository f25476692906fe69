"""The state of a portal as it was read: the limits and labels of each direction, and the directions left unread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel, ConfigDict

from airflow_provider_hubassoc.hubspot.constants import AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit
from airflow_provider_hubassoc.limits.directions import Direction

USER_DEFINED = AssociationCategory.USER_DEFINED.value


class Record(BaseModel):
    """An immutable part of a plan or a state; its fields are plain JSON types."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DirectionRecord(Record):
    """A record about one direction."""

    from_object_type: str
    to_object_type: str

    @property
    def direction(self) -> Direction:
        """The direction that the record is about."""
        return Direction(self.from_object_type, self.to_object_type)


class UnreadDirection(DirectionRecord):
    """A direction that could not be read, so that its limits are unknown.

    :param reason: HubSpot's error.
    :param retryable: whether a later attempt may succeed.
    :param retry_after: seconds to wait before the next attempt, if HubSpot named a time.
    """

    reason: str
    retryable: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        """Name the direction and the reason for people."""
        return f"{self.direction} could not be read: {self.reason}"


@dataclass(frozen=True)
class DirectionState:
    """The limits and labels of one direction.

    :param limits: the rows of the limits read.
    :param labels: the rows of the labels read; None if they were not read.
    """

    limits: Sequence[AssociationLimit]
    labels: Sequence[AssociationLabel] | None = None

    @property
    def in_force(self) -> dict[TypeIdentity, int]:
        """The limit of each association type that has one."""
        return {row.identity: row.max_to_object_ids for row in self.limits if row.max_to_object_ids is not None}

    @property
    def rows(self) -> list[AssociationLabel | AssociationLimit]:
        """All rows, of the limits and of the labels."""
        return [*self.limits, *(self.labels or ())]

    @property
    def label_rows(self) -> Sequence[AssociationLabel | AssociationLimit]:
        """The rows that show the labels: of the labels, or of the limits if the labels were not read."""
        return self.limits if self.labels is None else self.labels

    @property
    def custom_labels(self) -> list[AssociationLabel | AssociationLimit]:
        """The rows of the labels that the portal defines itself."""
        return [row for row in self.label_rows if row.label and row.category == USER_DEFINED]

    def types_labelled(self, text: str) -> list[TypeIdentity]:
        """Return the association types with exactly this label."""
        return list(dict.fromkeys(row.identity for row in self.label_rows if row.label == text))


@dataclass(frozen=True)
class PortalState:
    """The state of a portal.

    :param directions: the state of each direction that was read.
    :param unread: the directions that could not be read.
    :param portal_id: the portal's id; None if it is unknown.
    :param inverse_labels: the labels of the inverse directions of labels to create, by canonical direction.
    :param names: object type -> internal name, case folded -> ids of the portal's own association types with that
        name; read only where labels are to be created and the token may read object schemas.
    """

    directions: Mapping[Direction, DirectionState]
    unread: Mapping[Direction, UnreadDirection] = field(default_factory=dict)
    portal_id: int | None = None
    inverse_labels: Mapping[Direction, Sequence[AssociationLabel]] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)

    def lacks_label(self, direction: Direction, text: str) -> bool:
        """Return True if the direction was read and does not have the label."""
        state = self.directions.get(direction)
        return state is not None and not state.types_labelled(text)

    def state_of(self, direction: Direction) -> DirectionState | None:
        """Return the state of a direction in any spelling; None if it was not read."""
        if state := self._by_canonical_direction.get(direction.canonical):
            return state
        labels = self.inverse_labels.get(direction.canonical)
        return None if labels is None else DirectionState([], labels)

    @cached_property
    def _by_canonical_direction(self) -> dict[Direction, DirectionState]:
        states: dict[Direction, DirectionState] = {}
        for direction, state in self.directions.items():
            states.setdefault(direction.canonical, state)
        return states
