"""The association types behind the names of one direction of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.limits.config.models import AssociationConfig, LabelConfig, TypeConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import NewLabel
from airflow_provider_hubassoc.limits.plan.names import (
    is_sendable,
    list_types,
    look_alike_message,
    look_alikes,
    published_direction,
    published_unlabeled_type,
    types_published_as,
)
from airflow_provider_hubassoc.limits.plan.new_labels import LabelSide
from airflow_provider_hubassoc.limits.problems import Place, Problem, did_you_mean, show, show_exactly
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState

TypeKey = TypeIdentity | str
"""An association type, or the text of a label that is yet to be created."""


class DeclaredLimit(NamedTuple):
    """A limit that the file declares, with the association type that it is for.

    :param where: the key in the file, for messages.
    :param key: the association type, or the new label.
    :param limit: None for unlimited.
    :param place: the place in the file.
    """

    where: str
    key: TypeKey
    limit: int | None
    place: Place | None


class UnmanagedTypes(NamedTuple):
    """The association types that the file names with a limit of ``null``, which pruning leaves alone.

    :param types: those that the portal has.
    :param has_missing: whether the portal lacks one of them, which may have been renamed.
    """

    types: set[TypeIdentity]
    has_missing: bool


class Findings:
    """The problems and warnings of one direction."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def problem(self, where: str, message: str, place: Place | None = None) -> None:
        """Add a problem.

        :param where: the key in the file.
        :param message: what is wrong, and what to do.
        :param place: the place in the file.
        """
        place = place or Place("")
        self.problems.append(Problem(message, where, place.line, column=place.column, source=place.source))


class TypeResolver:
    """Finds the association types that one direction of the file names.

    :param association: the direction of the file.
    :param portal: the state of the portal.
    :param new_labels: the labels that the plan creates.
    :param blocked: sides of labels that must not be created, and the reason.
    :param findings: problems and warnings are added to it.
    """

    def __init__(
        self,
        association: AssociationConfig,
        portal: PortalState,
        new_labels: Sequence[NewLabel],
        blocked: Mapping[LabelSide, str],
        findings: Findings,
    ) -> None:
        self.direction = association.direction
        self._association = association
        self._state = portal.directions[self.direction]
        self._new_labels = new_labels
        self._blocked = blocked
        self._findings = findings
        self.labels = {row.identity: row.label for row in self._state.rows if row.label}
        self.unlabeled = _unlabeled_type(self.direction, self._state)

    def declared(self) -> list[DeclaredLimit]:
        """Return every limit that the file declares with a value."""
        association = self._association
        found: list[DeclaredLimit] = []
        if association.limit is not None:
            unlabeled = self._required_unlabeled()
            if unlabeled:
                found.append(DeclaredLimit("limit", unlabeled, limit_of(association.limit), association.place))
        for text, label in association.labels.items():
            if label.limit is None and not label.is_created:
                continue
            key = self._find_label(text, label)
            if key is not None and label.limit is not None:
                found.append(DeclaredLimit(f"labels[{show(text)}]", key, limit_of(label.limit), label.place))
        for exact in association.types:
            if exact.limit is not None and self._is_of_direction(exact):
                found.append(DeclaredLimit(_where(exact), exact.identity, limit_of(exact.limit), exact.place))
        # A label that is yet to be created is unlimited already.
        return [limit for limit in found if not (isinstance(limit.key, str) and limit.limit is None)]

    def unmanaged(self, prune: bool) -> UnmanagedTypes:
        """Return the association types that the file names with a limit of ``null``.

        :param prune: whether limits are to be pruned; if so, a label that the portal lacks is a warning.
        """
        association = self._association
        types = {exact.identity for exact in association.types if exact.limit is None}
        if association.limit is None and "limit" in association.model_fields_set:
            types |= {self.unlabeled} if self.unlabeled else {row.identity for row in self._state.rows if not row.label}
        has_missing = False
        for text, label in association.labels.items():
            if label.limit is not None:
                continue
            found = self._state.types_labelled(text) or types_published_as(text, self._state, self.direction)
            types |= set(found)
            if found or (label.is_created and not self._findings.problems):
                continue
            similar = look_alikes(text, self._state.label_rows)
            if similar and not label.is_created:
                self._findings.problem(f"labels[{show(text)}]", look_alike_message(text, similar), label.place)
            elif prune and any(self.labels.get(identity) for identity in self._state.in_force):
                has_missing = True
                self._findings.warnings.append(
                    f"{self.direction}: nothing is pruned, because the file leaves the label {show(text)} unmanaged "
                    "and the portal has no such label; remove the label from the file, or write its current text"
                )
        return UnmanagedTypes(types, has_missing)

    def _required_unlabeled(self) -> TypeIdentity | None:
        """Return the unlabeled type; None after a problem."""
        if self.unlabeled is None:
            unlabeled = {row.identity for row in self._state.labels or () if not row.label}
            them = f": {list_types(unlabeled)}; declare the one you mean under types" if unlabeled else ""
            number = "several" if unlabeled else "no"
            message = f"the portal has {number} unlabeled association types in this direction{them}"
            self._findings.problem("limit", message, self._association.place)
        return self.unlabeled

    def _is_of_direction(self, exact: TypeConfig) -> bool:
        """Return True if the direction has the association type; False after a problem."""
        where = _where(exact)
        rows = self._state.rows
        if any(row.identity == exact.identity for row in rows) or not is_sendable(exact.identity):
            return True
        published = published_direction(exact.identity)
        if published is not None:
            if published == self.direction.canonical:
                return True
            message = f"belongs to {published}, not to this direction; declare it there"
            self._findings.problem(where, message, exact.place)
            return False
        if self._state.labels is None:
            return True
        them = list_types({row.identity for row in rows}, self.labels) or "none"
        self._findings.problem(
            where, f"the portal has no such association type in this direction; it has {them}", exact.place
        )
        return False

    def _find_label(self, text: str, label: LabelConfig) -> TypeKey | None:
        """Return the type that a label names; the label itself if it is to be created; None after a problem."""
        where = f"labels[{show(text)}]"
        found = self._state.types_labelled(text)
        if not found:
            found = types_published_as(text, self._state, self.direction)
            if len(found) == 1:
                present = self.labels[found[0]]
                self._findings.warnings.append(
                    f"{self.direction} {where}: HubSpot calls this label {show(present)}; write that text in the file"
                )
        if len(found) == 1:
            return found[0]
        is_new = any(text in new.texts_in(self.direction) for new in self._new_labels)
        if found:
            message = f"several association types have this label: {list_types(set(found))}"
            message += "; declare the one you mean under types"
        elif similar := look_alikes(text, self._state.label_rows):
            message = look_alike_message(text, similar)
        elif reason := self._blocked.get((self.direction.canonical, text)):
            message = reason
        elif is_new:
            self._warn_of_candidates(text)
            return text
        else:
            message = self._no_such_label(text)
        self._findings.problem(where, message, label.place)
        return None

    def _no_such_label(self, text: str) -> str:
        labels = sorted(set(self.labels.values()))
        them = ", ".join(map(show_exactly, labels)) or "none"
        hint = did_you_mean(text, labels) or "; to create it, set create_missing: true"
        return f"the portal has no such label in this direction; it has {them}{hint}"

    def _warn_of_candidates(self, text: str) -> None:
        """Name the labels that a missing one may have been renamed to."""
        new = next(label for label in self._new_labels if text in label.texts_in(self.direction))
        if new.direction == self.direction and new.candidates:
            self._findings.warnings.append(
                f"{self.direction}: the label {show(new.label)} will be created. If it was renamed to "
                f"{' or '.join(map(show, new.candidates))}, write that text in the file instead"
            )


def limit_of(limit: int | str | None) -> int | None:
    """Return a limit of the file as a number; None for unlimited."""
    return limit if isinstance(limit, int) else None


def _where(exact: TypeConfig) -> str:
    return f"types: {exact.category} {exact.type_id}"


def _unlabeled_type(direction: Direction, state: DirectionState) -> TypeIdentity | None:
    """Return the unlabeled association type of a direction; None if it is not known."""
    published = published_unlabeled_type(direction)
    if state.labels is None:
        return published
    found = {row.identity for row in state.labels if not row.label}
    if published in found:
        return published
    return found.pop() if len(found) == 1 else None
