"""A plan as data: the changes to make in a portal, stored as JSON and read back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.constants import AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.parsing import parse_json
from airflow_provider_hubassoc.limits.directions import Direction, published_texts
from airflow_provider_hubassoc.limits.state import DirectionRecord, Record, UnreadDirection
from airflow_provider_hubassoc.limits.wording import count_of, limit_text, skipped_directions

ChangeAction = Literal["create", "update", "purge", "unchanged", "unmanaged"]
"""What happens to one limit; ``unmanaged``: the portal has it, the file does not declare a value for it."""

WRITES: tuple[ChangeAction, ...] = ("create", "update", "purge")
"""The actions that send something to HubSpot."""


class StalePlanError(HubassocError, ValueError):
    """The portal has changed since the plan was made.

    :param reasons: one sentence for each difference.
    """

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        head = "The portal has changed since the plan was made, so a new plan is needed:"
        super().__init__("\n".join([head, *(f"  {reason}" for reason in reasons)]))


class Change(DirectionRecord):
    """One limit: as it is now, and as it should be.

    :param action: what happens to it.
    :param category: who defined its association type.
    :param type_id: the id of its association type within the category; None while the label is yet to be created.
    :param unlabeled: whether it is the object limit, the limit of the unlabeled type.
    :param label: its label, if known.
    :param current: the limit now; None for unlimited.
    :param target: the limit that should be in force; None for unlimited.
    :param by_number: whether the file names its type by category and id.
    :param null_in_file: for ``unmanaged``: whether the file says so, with a limit of ``null``.
    """

    action: ChangeAction
    category: str
    type_id: int | None
    unlabeled: bool = False
    label: str | None = None
    current: int | None = None
    target: int | None = None
    by_number: bool = False
    null_in_file: bool = False

    @property
    def identity(self) -> TypeIdentity | None:
        """The association type; None while it is yet to be created."""
        return None if self.type_id is None else (self.category, self.type_id)

    @property
    def name(self) -> str:
        """The name of the association type for people."""
        number = f"{self.category} {self.type_id}"
        if self.by_number and (self.unlabeled or self.label is not None):
            return f"{number} (unlabeled)" if self.unlabeled else f'{number} "{self.label}"'
        if self.unlabeled:
            return "(unlabeled)"
        if self.label is not None:
            return self.label
        # HubSpot publishes the texts of its own labels, so an approver need not look the number up.
        is_hubspots = self.category == AssociationCategory.HUBSPOT_DEFINED.value
        texts = published_texts().get(self.type_id or 0) if is_hubspots else None
        return f'{number} "{texts[0]}"' if texts else number

    @property
    def is_write(self) -> bool:
        """Whether the change has to be sent to HubSpot."""
        return self.action in WRITES

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """The place of the change in a plan: by direction, the object limit first, then by label."""
        return (
            str(self.direction),
            not self.unlabeled,
            self.label is None,
            self.label or "",
            self.category,
            self.type_id or 0,
        )

    def __str__(self) -> str:
        """Name the change for people: ``contacts -> companies "Billing Contact" 5 -> 2``."""
        name = self.name if self.label is None or self.unlabeled or self.by_number else f'"{self.label}"'
        return f"{self.direction} {name} {limit_text(self.current)} -> {limit_text(self.target)}"


class NewLabel(DirectionRecord):
    """A label to create.

    :param label: its text in this direction.
    :param inverse: its text in the inverse direction; None for the same.
    :param name: HubSpot's internal name.
    :param candidates: the portal's labels in this direction that the file does not declare; one of them may be this
        label under another text.
    """

    label: str
    inverse: str | None = None
    name: str
    candidates: list[str] = Field(default_factory=list)

    @property
    def sides(self) -> list[tuple[Direction, str]]:
        """The two directions of the label, and its text in each."""
        return [(self.direction, self.label), (self.direction.inverse, self.inverse or self.label)]

    def texts_in(self, direction: Direction) -> list[str]:
        """Return the texts of the label in a direction in any spelling; none if it belongs to another pair."""
        return [text for side, text in self.sides if side.canonical == direction.canonical]

    def __str__(self) -> str:
        """Name the label for people."""
        inverse = f' (inverse "{self.inverse}")' if self.inverse is not None else ""
        return f'{self.direction} label "{self.label}"{inverse}'


class UnfitDirection(DirectionRecord):
    """A direction whose declaration does not fit the portal, so that nothing in it is changed.

    :param problems: one sentence for each mistake; it begins with its place in the file where that is known.
    :param places: the place of each problem in the file, such as ``limits.yaml:12:7``; empty if no place is known.
    """

    problems: list[str]
    places: list[str] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _leave_out_unknown_places(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Plans that were stored before there were places keep their fingerprint.
        data: dict[str, Any] = handler(self)
        return data if self.places else {key: value for key, value in data.items() if key != "places"}

    @property
    def located_problems(self) -> list[tuple[str, str]]:
        """The place and the text of each problem, apart; the place is empty where it is not known."""
        places = self.places or [""] * len(self.problems)
        return [(place, text.removeprefix(f"{place}: ")) for place, text in zip(places, self.problems, strict=True)]

    def __str__(self) -> str:
        """Name the direction and its problems for people."""
        return f"{self.direction} does not fit the portal and is not changed: {'; '.join(self.problems)}"


class ReadDirection(DirectionRecord):
    """A direction that was read.

    :param labels: whether its labels were read, too.
    """

    labels: bool = False


class Plan(Record):
    """The changes that make a portal match the file.

    :param changes: every limit of the directions of the file, in a fixed order: by direction, the object limit
        first, then by label.
    :param new_labels: labels to create before limits are set.
    :param warnings: points to consider before applying.
    :param directions: the directions that were read to make the plan.
    :param unread: the directions that could not be read.
    :param unfit: the directions whose declaration does not fit the portal.
    :param portal_id: the portal that the plan is for; None if it is unknown.
    """

    version: Literal[1] = 1
    portal_id: int | None = None
    changes: list[Change] = Field(default_factory=list)
    new_labels: list[NewLabel] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    directions: list[ReadDirection] = Field(default_factory=list)
    unread: list[UnreadDirection] = Field(default_factory=list)
    unfit: list[UnfitDirection] = Field(default_factory=list)

    @property
    def writes(self) -> list[Change]:
        """The changes to send to HubSpot."""
        return [change for change in self.changes if change.is_write]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write. Unread and unfit directions do not count."""
        return not self.writes and not self.new_labels

    @property
    def counts(self) -> dict[str, int]:
        """The number of limits of each action."""
        counted = Counter(change.action for change in self.changes)
        return {action: counted[action] for action in (*WRITES, "unchanged", "unmanaged")}

    @property
    def summary(self) -> str:
        """The plan in one line: ``Plan: 2 to create, 1 to update, 0 to purge. 5 unchanged, 1 unmanaged.``."""
        counts = self.counts
        rest = f"{counts['unchanged']} unchanged, {counts['unmanaged']} unmanaged."
        skipped = skipped_directions(len(self.unread), len(self.unfit))
        if self.is_empty:
            no_changes = "No changes in the other directions." if skipped else "No changes, the portal is as declared."
            return f"{skipped}{no_changes} {rest}"
        labels = f"{count_of(len(self.new_labels), 'label')} and " if self.new_labels else ""
        limits = f"{count_of(counts['create'], 'limit')} " if self.new_labels else f"{counts['create']} "
        todo = f"{labels}{limits}to create, {counts['update']} to update, {counts['purge']} to purge."
        return f"{skipped}Plan: {todo} {rest}"

    @property
    def fingerprint(self) -> str:
        """Digest of the whole plan, which shows whether it is still the plan that was approved."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON types, for XCom or a file."""
        return {"fingerprint": self.fingerprint, "summary": self.summary, **self.model_dump(mode="json")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str | bytes) -> Plan:
        """Read the output of :meth:`to_json`, as data or as text.

        :raises ValueError: if it is not a plan, or was changed since; the message names the wrong field.
        """
        try:
            fields = parse_json(data) if isinstance(data, (str, bytes)) else data
            plan = cls.model_validate(fields)
            plan.model_dump_json()  # raises for text that no JSON can hold, such as half a surrogate pair
        except ValidationError as error:
            mistake = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in mistake["loc"])
            raise ValueError(f"not a plan: {where + ': ' if where else ''}{mistake['msg']}") from None
        except ValueError:
            raise ValueError("not a plan: not JSON") from None
        # Every field has a default, so without this check any mapping would pass as an empty plan.
        if not isinstance(fields, Mapping) or fields.get("fingerprint") != plan.fingerprint:
            raise ValueError("not a plan: its fingerprint is missing or does not match its content")
        # Only directions that were read are applied, so a change in another one would be left out silently.
        read = {record.direction for record in plan.directions}
        for record in (*plan.changes, *plan.new_labels):
            if record.direction not in read:
                raise ValueError(f"not a plan: directions: {record.direction} is missing")
        return plan
