"""Declared limits x the portal's limits -> what to change. Pure: nothing is read or written here.

A :class:`Plan` holds every limit that the file or the portal has in the directions of the file, as it is now and as
it should be. So it can be shown, stored as JSON, approved, and later be held against the portal again.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.models import (
    MAX_INT32,
    AssociationCategory,
    AssociationLabel,
    AssociationLimit,
    TypeIdentity,
)
from airflow_provider_hubassoc.hubspot.object_types import display_name, normalize
from airflow_provider_hubassoc.hubspot.parsing import parse_json
from airflow_provider_hubassoc.limits.config import (
    USUAL_MAXIMUM,
    AssociationConfig,
    LabelConfig,
    ResolvedConfig,
    TypeConfig,
    canonical_label,
    nearest,
)
from airflow_provider_hubassoc.limits.directions import (
    Direction,
    hubspot_directions,
    published_texts,
    unlabeled_type_id,
)
from airflow_provider_hubassoc.limits.problems import Place, is_invisible, show, show_exactly

if TYPE_CHECKING:
    from rich.console import RenderableType

ChangeAction = Literal["create", "update", "purge", "unchanged", "unmanaged"]
"""What becomes of one limit; ``unmanaged``: the portal has it, the file does not mention it."""

_WRITES: tuple[ChangeAction, ...] = ("create", "update", "purge")
_SYMBOLS = {"create": "+", "update": "~", "purge": "-", "unchanged": "=", "unmanaged": "?"}
_STYLES = {"create": "green", "update": "yellow", "purge": "red", "unchanged": "", "unmanaged": "dim"}
_USER_DEFINED = AssociationCategory.USER_DEFINED.value
_CATEGORIES = frozenset(category.value for category in AssociationCategory)
_AS_DECLARED = "the portal is as declared"
_COMMENT_LENGTH = 65_536
"""Characters that GitHub takes in one comment."""


class StalePlanError(HubassocError, ValueError):
    """The portal has changed since the plan was made.

    :param reasons: one sentence for each difference.
    """

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        head = "The plan does not fit the portal any more; make a new one:"
        super().__init__("\n".join([head, *(f"  {reason}" for reason in reasons)]))


@dataclass(frozen=True)
class DirectionState:
    """What was read of one direction.

    :param limits: the rows of the limits read.
    :param labels: the rows of the labels read; None if it was not needed.
    """

    limits: Sequence[AssociationLimit]
    labels: Sequence[AssociationLabel] | None = None

    @property
    def in_force(self) -> dict[TypeIdentity, int]:
        """The limits; types without one are left out."""
        return {row.identity: row.max_to_object_ids for row in self.limits if row.max_to_object_ids is not None}


@dataclass(frozen=True)
class PortalState:
    """What was read of a portal.

    :param directions: the state of each direction of the file.
    :param unread: the directions that could not be read, and why.
    :param portal_id: the portal's id, where it is known.
    :param inverse_labels: the labels of the other sides of labels to create, by canonical direction.
    :param names: object type -> internal name, case folded -> ids of the portal's own association types that have it;
        read only where labels are to be created and the token may read object schemas.
    """

    directions: Mapping[Direction, DirectionState]
    unread: Mapping[Direction, UnreadDirection] = field(default_factory=dict)
    portal_id: int | None = None
    inverse_labels: Mapping[Direction, Sequence[AssociationLabel]] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)

    def has_label(self, label: NewLabel) -> bool:
        """Return whether the label is there, or its direction was not read, so that nobody knows."""
        read = self.directions.get(label.direction)
        return read is None or bool(_by_label(read, label.label))

    @cached_property
    def _by_canonical(self) -> dict[Direction, DirectionState]:
        found: dict[Direction, DirectionState] = {}
        for direction, state in self.directions.items():
            found.setdefault(direction.canonical, state)
        return found

    def state_of(self, direction: Direction) -> DirectionState | None:
        """Return what was read of a direction, however it is spelled; None if nothing was."""
        if found := self._by_canonical.get(direction.canonical):
            return found
        labels = self.inverse_labels.get(direction.canonical)
        return None if labels is None else DirectionState([], labels)


class _Json(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _InDirection(_Json):
    from_object_type: str
    to_object_type: str

    @property
    def direction(self) -> Direction:
        """The direction this is about."""
        return Direction(self.from_object_type, self.to_object_type)


class Change(_InDirection):
    """One limit: as it is now, and as it should be.

    :param action: what becomes of it.
    :param category: who defined its association type.
    :param type_id: with the category the identity of its type; None while the label is yet to be created.
    :param unlabeled: whether it is the object limit, that is, of the unlabeled type.
    :param label: its label, as far as it is known.
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
        """The association type, if it exists yet."""
        return None if self.type_id is None else (self.category, self.type_id)

    @property
    def name(self) -> str:
        """What people call the association type."""
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
        """Whether it has to be sent to HubSpot."""
        return self.action in _WRITES

    def __str__(self) -> str:
        """Name the change for people: ``contacts -> companies "Billing Contact" 5 -> 2``."""
        name = self.name if self.label is None or self.unlabeled or self.by_number else f'"{self.label}"'
        return f"{self.direction} {name} {limit_text(self.current)} -> {limit_text(self.target)}"


class NewLabel(_InDirection):
    """A label to create.

    :param label: as seen from this direction.
    :param inverse: as seen from the other one; None for the same.
    :param name: HubSpot's internal name.
    :param candidates: the portal's labels in this direction that the file does not declare: one of them may be this
        label under another text.
    """

    label: str
    inverse: str | None = None
    name: str
    candidates: list[str] = []

    @property
    def sides(self) -> list[tuple[Direction, str]]:
        """The two directions of the label, and what it is called in each."""
        return [(self.direction, self.label), (self.direction.inverse, self.inverse or self.label)]

    @property
    def usual_names(self) -> set[str]:
        """The internal names that this package gives a label whose name the file does not say."""
        return {internal_name(direction, text) for direction, text in self.sides}

    def __str__(self) -> str:
        """Name the label for people."""
        inverse = f' (inverse "{self.inverse}")' if self.inverse is not None else ""
        return f'{self.direction} label "{self.label}"{inverse}'


class UnreadDirection(_InDirection):
    """A direction that could not be read, so that nothing is known about it.

    :param reason: what HubSpot said.
    :param retryable: whether a later attempt may succeed.
    :param retry_after: seconds after which it makes sense, if HubSpot named a time.
    """

    reason: str
    retryable: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        """Name the direction and the reason for people."""
        return f"{self.direction} could not be read: {self.reason}"


class UnfitDirection(_InDirection):
    """A direction whose declaration does not fit the portal, so that nothing in it is changed.

    :param problems: one sentence for each mistake; it begins with its place in the file where that is known.
    """

    problems: list[str]

    def __str__(self) -> str:
        """Name the direction and its problems for people."""
        return f"{self.direction} does not fit the portal and is left as it is: {'; '.join(self.problems)}"


class ReadDirection(_InDirection):
    """A direction that was read.

    :param labels: whether its labels were read, too.
    """

    labels: bool = False


class Plan(_Json):
    """What has to change in a portal, and what need not.

    :param changes: every limit of the directions of the file, in a fixed order: by direction, the object limit
        first, then by label.
    :param new_labels: labels to create before limits are set.
    :param warnings: what to think about before applying.
    :param directions: what was read to make the plan.
    :param unread: directions that could not be read.
    :param unfit: directions whose declaration does not fit the portal.
    :param portal_id: the portal it is for, where that is known.
    """

    version: Literal[1] = 1
    portal_id: int | None = None
    changes: list[Change] = []
    new_labels: list[NewLabel] = []
    warnings: list[str] = []
    directions: list[ReadDirection] = []
    unread: list[UnreadDirection] = []
    unfit: list[UnfitDirection] = []

    # -- what it says --

    @property
    def writes(self) -> list[Change]:
        """The changes to make."""
        return [change for change in self.changes if change.is_write]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write. Directions that are unread or unfit are not covered by this."""
        return not self.writes and not self.new_labels

    @property
    def counts(self) -> dict[str, int]:
        """How many limits there are of each action."""
        counted = Counter(change.action for change in self.changes)
        return {action: counted[action] for action in (*_WRITES, "unchanged", "unmanaged")}

    @property
    def summary(self) -> str:
        """One line: ``Plan: 2 to create, 1 to update, 0 to purge. 5 unchanged, 1 unmanaged.``"""
        counts = self.counts
        rest = f"{counts['unchanged']} unchanged, {counts['unmanaged']} unmanaged."
        wrong = trouble(len(self.unread), len(self.unfit))
        if self.is_empty:
            return f"{wrong}No changes in the others. {rest}" if wrong else f"No changes, {_AS_DECLARED}. {rest}"
        labels = f"{count_of(len(self.new_labels), 'label')} and " if self.new_labels else ""
        limits = f"{count_of(counts['create'], 'limit')} " if self.new_labels else f"{counts['create']} "
        todo = f"{labels}{limits}to create, {counts['update']} to update, {counts['purge']} to purge."
        return f"{wrong}Plan: {todo} {rest}"

    @property
    def fingerprint(self) -> str:
        """Digest of the whole plan, to notice when it is no longer what was approved."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]

    # -- from and to plain JSON --

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON types, for XCom or a file."""
        return {"fingerprint": self.fingerprint, "summary": self.summary, **self.model_dump(mode="json")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str | bytes) -> Plan:
        """Read what :meth:`to_json` returned, or its text.

        :raises ValueError: if it is no such plan, or no longer the same; the message names what is wrong.
        """
        try:
            fields = parse_json(data) if isinstance(data, (str, bytes)) else data
            plan = cls.model_validate(fields)
            plan.model_dump_json()  # half a surrogate pair, say, could be written nowhere
        except ValidationError as error:
            mistake = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in mistake["loc"])
            raise ValueError(f"not a plan: {where + ': ' if where else ''}{mistake['msg']}") from None
        except ValueError:
            raise ValueError("not a plan: not JSON") from None
        # Every field has a default, so that anything would pass for an empty plan without this.
        if not isinstance(fields, Mapping) or fields.get("fingerprint") != plan.fingerprint:
            raise ValueError("not a plan: its fingerprint is missing or not that of its content")
        # What is in no direction that was read would never be held against the portal, and be left out in silence.
        read = {each.direction for each in plan.directions}
        for each in (*plan.changes, *plan.new_labels):
            if each.direction not in read:
                raise ValueError(f"not a plan: directions: {each.direction} is missing")
        return plan

    # -- for people --

    def to_rich(self, *, show_unchanged: bool = False) -> RenderableType:
        """Return the plan for a terminal or a task log.

        :param show_unchanged: list the limits that stay as they are, too.
        """
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        parts: list[RenderableType] = []
        rows = self._rows(show_unchanged)
        if rows:
            table = Table(box=None, pad_edge=False, header_style="bold")
            table.add_column("", no_wrap=True)
            table.add_column("From -> to", overflow="fold")
            table.add_column("Association type", overflow="fold")
            table.add_column("Now", justify="right", no_wrap=True)
            table.add_column("Then", justify="right", no_wrap=True)
            before = None
            for change in rows:
                style = _STYLES[change.action]
                direction = str(change.direction) if change.direction != before else ""
                before = change.direction
                cells = [f"{_SYMBOLS[change.action]} {change.action}", direction, change.name, *_now_then(change)]
                # Text, not markup: a label may be called "[red]".
                table.add_row(*(Text(one_line(cell), style=style) for cell in cells))
            parts += [table, Text()]
        parts += [Text(one_line(f"+ {label}"), style="green") for label in self.new_labels]
        parts += [Text(one_line(f"Warning: {warning}"), style="yellow") for warning in self.warnings]
        parts += [Text(one_line(f"Error: {each}"), style="red") for each in (*self.unfit, *self.unread)]
        return Group(*parts, Text(self.summary, style="bold"))

    def to_text(self, *, width: int = 120) -> str:
        """Return the same as plain text, for logs; with more than one line it begins on a line of its own.

        :param width: of the longest line, characters.
        """
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=width, color_system=None).print(self.to_rich())
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join(["", *lines] if len(lines) > 1 else lines)

    def to_markdown(self, *, summary: bool = False) -> str:
        """Return the plan as Markdown, for people in Airflow's UI.

        :param summary: what fits into one comment of a pull request: counts for each direction, and as much of the
            rest as there is room for, with a line that says how much is left out.
        """
        return self._markdown_summary() if summary else self._markdown_in_full()

    def _markdown_in_full(self) -> str:
        lines = [f"**{self.summary}**"]
        rows = self._rows(show_unchanged=False)
        if rows:
            lines += ["", "| | From -> to | Association type | Now | Then |", "|---|---|---|---:|---:|"]
        for change in rows:
            cells = [change.action, str(change.direction), change.name, *_now_then(change)]
            lines.append(f"| {' | '.join(_markdown(cell) for cell in cells)} |")
        notes = [f"New: {label}" for label in self.new_labels]
        notes += [f"Warning: {warning}" for warning in self.warnings]
        notes += [f"Error: {each}" for each in (*self.unfit, *self.unread)]
        if notes:
            lines += ["", *(f"- {_markdown(note)}" for note in notes)]
        return "\n".join(lines) + "\n"

    def _markdown_summary(self) -> str:
        written: dict[Direction, Counter[str]] = {}
        for change in self.writes:
            written.setdefault(change.direction, Counter())[change.action] += 1
        counts = [
            f"| {_markdown(str(direction))} | {' | '.join(str(counted[action]) for action in _WRITES)} |"
            for direction, counted in written.items()
        ]
        errors = [f"- {_markdown(f'Error: {each}')}" for each in (*self.unfit, *self.unread)]
        cells = [(change.action, str(change.direction), change.name, *_now_then(change)) for change in self.writes]
        changes = [f"| {' | '.join(map(_markdown, row))} |" for row in cells]
        notes = [f"- {_markdown(f'New: {label}')}" for label in self.new_labels]
        notes += [f"- {_markdown(f'Warning: {warning}')}" for warning in self.warnings]
        sections = [
            ([], errors, "errors"),
            (["| From -> to | create | update | purge |", "|---|---:|---:|---:|"], counts, "directions"),
            (["| | From -> to | Association type | Now | Then |", "|---|---|---|---:|---:|"], changes, "changes"),
            ([], notes, "notes"),
        ]
        lines = [f"**{self.summary}**"]
        room = _COMMENT_LENGTH - len(lines[0]) - 1_000  # for headings, and for what is said of lines left out
        for heading, rows, what in sections:
            shown = []
            for row in rows:
                row = row if len(row) <= 2_000 else _cut_markdown(row)
                if room < len(row) + 1:
                    break
                room -= len(row) + 1
                shown.append(row)
            if shown:
                lines += ["", *heading, *shown]
            if len(shown) < len(rows):
                lines += ["", f"... and {len(rows) - len(shown)} more {what}; the whole plan has them."]
        return "\n".join(lines) + "\n"

    def _rows(self, show_unchanged: bool) -> list[Change]:
        return [change for change in self.changes if show_unchanged or change.action != "unchanged"]

    # -- against the portal again --

    def rebased(self, state: PortalState) -> Plan:
        """Hold the plan against the portal as it is now.

        A limit may be as it was when the plan was made, or as the plan wants it already: an apply that was cut off
        goes on. Anything else makes the plan stale. A direction that could not be read again is among
        :attr:`unread`, and nothing in it is changed.

        :param state: read again, the directions (and labels) of :attr:`directions`.
        :return: the plan, with what is done already as ``unchanged``.
        :raises StalePlanError: with every difference.
        """
        reasons: list[str] = []
        if self.portal_id is not None and self.portal_id != state.portal_id:
            is_known = state.portal_id is not None
            this = f"this is portal {state.portal_id}" if is_known else "the token may not read which portal this is"
            reasons.append(f"it was made for portal {self.portal_id}, {this}")
        changes: list[Change] = []
        for direction, now in state.directions.items():
            mine = [change for change in self.changes if change.direction == direction]
            seen = now.in_force
            for change in mine:
                if change.type_id is None:
                    found = _by_label(now, change.label or "")
                    if found:
                        change = change.model_copy(update={"category": found[0][0], "type_id": found[0][1]})
                elif change.action != "unmanaged" and not _same_name(change, now.labels):
                    number = f"{change.category} {change.type_id}"
                    reasons.append(f"{change.direction}: {number} is no longer called {show(change.name)}")
                actual = seen.pop(change.identity, None) if change.identity else None
                if actual == change.target and change.is_write:
                    change = change.model_copy(update={"action": "unchanged", "current": actual})
                elif actual != change.current:
                    reasons.append(
                        f"{change.direction} {change.name}: the limit was {limit_text(change.current)}, "
                        f"now it is {limit_text(actual)}"
                    )
                changes.append(change)
            reasons += [
                f"{direction} {category} {type_id}: has a limit of {limit} now"
                for (category, type_id), limit in seen.items()
            ]
        new_labels = []
        for label in self.new_labels:
            if label.direction not in state.directions or state.has_label(label):
                continue
            new_labels.append(label)
            if reason := why_blocked(label, state):  # this looks at the other side, too
                reasons.append(f"{label.direction}: {reason}")
            if near := near_labels(label.label, _labelled(state.directions[label.direction])):
                reasons.append(f"{label.direction}: {look_alike(label.label, near)}")
        if reasons:
            raise StalePlanError(list(dict.fromkeys(reasons)))
        warnings = list(dict.fromkeys([*_warnings(changes), *(each for each in self.warnings if _is_of_file(each))]))
        return self.model_copy(
            update={
                "changes": sorted(changes, key=_order),
                "new_labels": new_labels,
                "warnings": warnings,
                "directions": [read for read in self.directions if read.direction in state.directions],
                "unread": [*self.unread, *sorted(state.unread.values(), key=str)],
            }
        )


def limit_text(limit: int | None) -> str:
    """Write a limit as in a file."""
    return "unlimited" if limit is None else str(limit)


def needs_labels(association: AssociationConfig, limits: Sequence[AssociationLimit]) -> bool:
    """Whether a direction's labels have to be read to plan it, given its limits.

    They are not where every name is known without them: HubSpot's own unlabeled types have published ids, and
    labels that have a limit already come with the limits. A direction that is as declared takes one read.
    """
    direction = Direction(*_ends(association))
    actual = DirectionState(limits).in_force
    with_limit = [each for each in association.types if each.limit is not None]
    wanted: dict[TypeIdentity, int | None] = {each.identity: _target_of(each.limit) for each in with_limit}
    listed = {row.identity for row in limits}
    # Whether an id exists in this direction is certain only where HubSpot publishes it, or a limit shows it.
    if any(_home(each.identity) is None and each.identity not in listed for each in with_limit):
        return True
    named: set[TypeIdentity] = set()
    missing_null = False
    for name, label in association.labels.items():
        found = {row.identity for row in limits if row.label == name}
        named |= found
        if label.limit is None and not label.is_created:
            missing_null = missing_null or not found
            continue
        if len(found) != 1:
            return True
        if label.limit is not None:
            wanted[next(iter(found))] = _target_of(label.limit)
    by_type = {each.identity for each in association.types}
    others = [row for row in limits if row.identity in actual and row.identity not in named | by_type]
    if missing_null and any(row.label for row in others):
        return True  # a label that is not managed may have been renamed: pruning must not remove its limit
    unlabeled = unlabeled_type_id(direction)
    if unlabeled is not None:
        return False
    if association.limit is not None or ("limit" in association.model_fields_set and others):
        return True
    # Which of several types is the unlabeled one decides the order of the changes, so it matters if there are any.
    changed = any(limit is not None and actual.get(identity) != limit for identity, limit in wanted.items())
    return changed and len(wanted.keys() | actual.keys()) > 1


def build_plan(config: ResolvedConfig, state: PortalState, *, prune: bool = False) -> Plan:
    """Compare what is declared with what the portal has.

    A direction whose declaration does not fit the portal is in :attr:`Plan.unfit`, and nothing in it is changed; it
    does not stop the others.

    :param config: of one portal (:meth:`~.config.LimitsConfig.resolve`).
    :param state: what was read of the portal (:func:`~.apply.read_state`).
    :param prune: purge the limits that the portal has in the directions of the file and the file does not mention.
    :return: the plan.
    """
    declared = [each for each in config.associations if Direction(*_ends(each)) in state.directions]
    unfit: dict[Direction, list[str]] = {}
    blocked = _blocked_labels(_new_labels(declared, config.associations, state), state)
    while True:
        # A label that an unfit direction would create is missing in the inverse direction as well.
        fit = [each for each in declared if Direction(*_ends(each)) not in unfit]
        new_labels = _new_labels(fit, config.associations, state, blocked)
        changes: list[Change] = []
        warnings: list[str] = []
        found: dict[Direction, list[str]] = {}
        for association in fit:
            direction = Direction(*_ends(association))
            resolver = _Resolver(association, state, new_labels, blocked)
            changes += resolver.changes(prune)
            warnings += resolver.warnings
            if resolver.problems:
                found[direction] = resolver.problems
        if not found:
            read = {direction: each for direction, each in state.directions.items() if direction not in unfit}
            found = _spelled_twice(changes, read)
        if not found:
            break
        unfit |= found
    changes.sort(key=_order)
    return Plan(
        portal_id=state.portal_id,
        changes=changes,
        new_labels=sorted(new_labels, key=lambda label: (str(label.direction), label.label)),
        warnings=[*_warnings(changes), *sorted(warnings)],
        directions=[
            ReadDirection(
                from_object_type=direction.from_object_type,
                to_object_type=direction.to_object_type,
                labels=read.labels is not None,
            )
            for direction, read in sorted(state.directions.items(), key=lambda item: str(item[0]))
            if direction not in unfit
        ],
        unread=sorted(state.unread.values(), key=str),
        unfit=sorted(
            (
                UnfitDirection(from_object_type=direction[0], to_object_type=direction[1], problems=problems)
                for direction, problems in unfit.items()
            ),
            key=str,
        ),
    )


# -- names -----------------------------------------------------------------------------------------------------


class _Resolver:
    """Finds the association types behind the names of one direction."""

    def __init__(
        self,
        association: AssociationConfig,
        portal: PortalState,
        new_labels: Sequence[NewLabel],
        blocked: Mapping[tuple[Direction, str], str],
    ) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._association = association
        self._direction = Direction(*_ends(association))
        self._state = portal.directions[self._direction]
        self._new_labels = new_labels
        self._blocked = blocked
        self._labels = {row.identity: row.label for row in self._state.limits if row.label}
        self._labels |= {row.identity: row.label for row in self._state.labels or () if row.label}
        self._unlabeled = self._find_unlabeled()
        self._missing_unmanaged = False

    def changes(self, prune: bool) -> list[Change]:
        """Return every limit of the direction."""
        declared: dict[TypeIdentity | str, int | None] = {}
        declarations = self._declared()
        for what, key, limit, place in declarations:
            if key in declared:
                self._problem(
                    what, "names an association type that is declared under another name already; keep one", place
                )
            declared[key] = limit
        unmanaged = self._unmanaged(prune)
        for what, key, _, place in declarations:
            if key in unmanaged:
                message = "has a limit here and null (not managed) under another name of the same association type"
                self._problem(what, f"{message}; keep one", place)
        actual = self._state.in_force
        changes = []
        for key, target in declared.items():
            current = None if isinstance(key, str) else actual.get(key)
            action: ChangeAction = "unchanged"
            if target != current:
                action = "create" if current is None else "purge" if target is None else "update"
            if action != "unchanged" and not isinstance(key, str) and not is_sendable(key):
                self.warnings.append(
                    f"{self._direction} {key[0]} {key[1]}: declared as {limit_text(target)}, is {limit_text(current)}; "
                    "this package cannot change limits of such a type"
                )
                action, target = "unmanaged", current
            changes.append(self._change(action, key, current, target))
        prune = prune and self._association.is_prunable and not self._missing_unmanaged
        for identity, limit in actual.items():
            if identity in declared:
                continue
            if prune and identity not in unmanaged and is_sendable(identity):
                changes.append(self._change("purge", identity, limit, None))
            else:
                change = self._change("unmanaged", identity, limit, limit)
                is_null = identity in unmanaged or not self._association.is_prunable
                changes.append(change.model_copy(update={"null_in_file": is_null}))
        self._check_rule(changes)
        return changes

    def _declared(self) -> list[tuple[str, TypeIdentity | str, int | None, Place | None]]:
        """Return (words, association type or new label, limit, place in the file) of every limit declared."""
        association = self._association
        found: list[tuple[str, TypeIdentity | str, int | None, Place | None]] = []
        if association.limit is not None:
            unlabeled = self._required_unlabeled()
            if unlabeled:
                found.append(("limit", unlabeled, _target_of(association.limit), association.place))
        for name, label in association.labels.items():
            if label.limit is None and not label.is_created:
                continue
            key = self._find_label(name, label)
            if key is not None and label.limit is not None:
                found.append((f"labels[{show(name)}]", key, _target_of(label.limit), label.place))
        for each in association.types:
            if each.limit is not None and self._is_of_direction(each):
                what = f"types: {each.category} {each.type_id}"
                found.append((what, each.identity, _target_of(each.limit), each.place))
        # A label that is yet to be created has no limit already.
        return [each for each in found if not (isinstance(each[1], str) and each[2] is None)]

    def _unmanaged(self, prune: bool) -> set[TypeIdentity]:
        """Return the association types that the file names with a limit of ``null``, which pruning leaves alone."""
        association = self._association
        found = {each.identity for each in association.types if each.limit is None}
        if association.limit is None and "limit" in association.model_fields_set:
            rows = _rows_of(self._state)
            unlabeled = {row.identity for row in rows if not row.label}
            found |= {self._unlabeled} if self._unlabeled else unlabeled
        for name, label in association.labels.items():
            if label.limit is not None:
                continue
            types = _by_label(self._state, name) or _by_published_text(self._state, self._direction, name)
            found |= set(types)
            if types or (label.is_created and not self.problems):
                continue
            near = near_labels(name, _labelled(self._state))
            if near and not label.is_created:
                self._problem(f"labels[{show(name)}]", look_alike(name, near), label.place)
            elif prune and any(self._labels.get(identity) for identity in self._state.in_force):
                self._missing_unmanaged = True
                self.warnings.append(
                    f"{self._direction}: nothing is pruned: the file leaves the label {show(name)} unmanaged, and the "
                    "portal has no such label; remove it from the file, or write its present text"
                )
        return found

    def _is_of_direction(self, each: TypeConfig) -> bool:
        """Whether the direction has an association type that the file names by its number; reports it if not."""
        where = f"types: {each.category} {each.type_id}"
        rows = _rows_of(self._state)
        if any(row.identity == each.identity for row in rows) or not is_sendable(each.identity):
            return True
        home = _home(each.identity)
        if home is not None and home == self._direction.canonical:
            return True
        if home is not None:
            self._problem(
                where, f"is an association type of {home}, not of this direction; declare it there", each.place
            )
            return False
        if self._state.labels is None:
            return True
        there = _listed({row.identity for row in rows}, self._labels) or "none"
        self._problem(where, f"the portal has no such association type here; it has {there}", each.place)
        return False

    def _find_unlabeled(self) -> TypeIdentity | None:
        published = unlabeled_type_id(self._direction)
        own = None if published is None else (AssociationCategory.HUBSPOT_DEFINED.value, published)
        if self._state.labels is None:
            return own
        found = {row.identity for row in self._state.labels if not row.label}
        if own in found:
            return own
        return found.pop() if len(found) == 1 else None

    def _required_unlabeled(self) -> TypeIdentity | None:
        if self._unlabeled is None:
            unlabeled = {row.identity for row in self._state.labels or () if not row.label}
            them = f": {_listed(unlabeled)}; name the one you mean under types" if unlabeled else ""
            number = "several" if unlabeled else "no"
            message = f"the portal has {number} unlabeled association types here{them}"
            self._problem("limit", message, self._association.place)
        return self._unlabeled

    def _find_label(self, name: str, label: LabelConfig) -> TypeIdentity | str | None:
        """Return the type a label names; the label itself if it is to be created; None after a problem."""
        where = f"labels[{show(name)}]"
        found = _by_label(self._state, name)
        if not found:
            found = _by_published_text(self._state, self._direction, name)
            if len(found) == 1:
                present = self._labels[found[0]]
                self.warnings.append(
                    f"{self._direction} {where}: HubSpot calls this label {show(present)}; write that text"
                )
        if len(found) == 1:
            return found[0]
        if found:
            message = (
                f"several association types have this label: {_listed(set(found))}; name the one you mean under types"
            )
            self._problem(where, message, label.place)
            return None
        near = near_labels(name, _labelled(self._state))
        if near:
            self._problem(where, look_alike(name, near), label.place)
            return None
        if reason := self._blocked.get((self._direction.canonical, name)):
            self._problem(where, reason, label.place)
            return None
        for new in self._new_labels:
            if name in _sides(new, self._direction):
                if new.direction == self._direction and new.candidates:
                    self._note_candidates(new)
                return name
        labels = sorted(set(self._labels.values()))
        them = ", ".join(map(show_exactly, labels)) or "none"
        hint = nearest(name, labels) or "; to have it created, declare it with create_missing: true"
        self._problem(where, f"the portal has no such label here; it has {them}{hint}", label.place)
        return None

    def _note_candidates(self, new: NewLabel) -> None:
        """Name the labels that the missing one may have been renamed to."""
        self.warnings.append(
            f"{self._direction}: the label {show(new.label)} will be created. If it was renamed to "
            f"{' or '.join(map(show, new.candidates))}, write that text in the file instead"
        )

    def _change(self, action: ChangeAction, key: TypeIdentity | str, current: int | None, target: int | None) -> Change:
        category, type_id = (AssociationCategory.USER_DEFINED.value, None) if isinstance(key, str) else key
        return Change(
            action=action,
            from_object_type=self._direction.from_object_type,
            to_object_type=self._direction.to_object_type,
            category=category,
            type_id=type_id,
            unlabeled=key == self._unlabeled,
            label=key if isinstance(key, str) else self._labels.get(key),
            current=current,
            target=target,
            by_number=any(each.identity == key for each in self._association.types),
        )

    def _check_rule(self, changes: list[Change]) -> None:
        """Find what HubSpot will certainly refuse: a label limit above the object limit."""
        top = next((change for change in changes if change.unlabeled), None)
        if top is None or top.target is None:
            return
        for change in changes:
            touched = change.is_write or top.is_write
            if touched and not change.unlabeled and change.target is not None and change.target > top.target:
                whose = [
                    f"{each.target} ({'not in the file' if each.action == 'unmanaged' else 'declared'})"
                    for each in (change, top)
                ]
                message = f"its limit would be {whose[0]}, above the object limit of {whose[1]}; lower it or raise that"
                where = show_exactly(change.label) if change.label is not None else change.name
                self._problem(where, message, self._association.place)

    def _problem(self, where: str, message: str, place: Place | None = None) -> None:
        at = f"{place}: " if place else ""
        self.problems.append(f"{at}{where}: {message}")


def is_sendable(identity: TypeIdentity) -> bool:
    """Whether HubSpot's API takes an association type in a batch, as far as this package knows."""
    return identity[0] in _CATEGORIES and 1 <= identity[1] <= MAX_INT32


def _home(identity: TypeIdentity) -> Direction | None:
    """Return the direction of a published type of HubSpot's own; None for all others."""
    return hubspot_directions().get(identity[1]) if identity[0] == AssociationCategory.HUBSPOT_DEFINED.value else None


def _rows_of(state: DirectionState) -> list[AssociationLabel | AssociationLimit]:
    return [*state.limits, *(state.labels or ())]


def _labelled(state: DirectionState) -> Sequence[AssociationLabel | AssociationLimit]:
    """Return the rows with labels: of the limits if the labels were not read."""
    return state.limits if state.labels is None else state.labels


def _by_label(state: DirectionState, name: str) -> list[TypeIdentity]:
    """Return the association types with exactly this label."""
    return list(dict.fromkeys(row.identity for row in _labelled(state) if row.label == name))


def _by_published_text(state: DirectionState, direction: Direction, name: str) -> list[TypeIdentity]:
    """Return HubSpot's own types that were published under this label; their text in the portal may be another."""
    found = []
    for row in _labelled(state):
        is_of_direction = _home(row.identity) == direction.canonical
        if row.label and is_of_direction and name in published_texts().get(row.type_id, ()):
            found.append(row.identity)
    return list(dict.fromkeys(found))


def near_labels(name: str, rows: Sequence[AssociationLabel | AssociationLimit]) -> list[str]:
    """Return the labels among the rows that a person could take for this one."""
    wanted = canonical_label(name)
    texts = {row.label for row in rows if row.label and row.label != name}
    return sorted(text for text in texts if canonical_label(text) == wanted)


def look_alike(name: str, near: Sequence[str]) -> str:
    """Say which labels of the portal look like one, with what is different made visible."""
    shown = " and ".join(_apart(text, name) for text in near)
    return f"{_apart(name, near[0])} looks like {shown}, which the portal has; write exactly that text, or rename one"


def inverse_exists(direction: Direction, text: str, name: str) -> str:
    """Say that a label must not be created because its other side exists."""
    return (
        f"the portal has the label {show(text)} in {direction} already, so that a second one would be created; "
        f"{show(name)} was probably renamed: write its present text in the file, or rename it back in HubSpot"
    )


def renamed(name: str, present: Sequence[str]) -> str:
    """Say that a label has another text in the portal now, and what to do."""
    texts = " or ".join(map(show, present))
    return (
        f"the label {show(name)} was renamed to {texts} in HubSpot: adopt it (write {texts} in the file) or rename it "
        "back in HubSpot"
    )


def _apart(text: str, other: str) -> str:
    """Show a text with the code points of what a person cannot tell from the other text."""

    def shown(index: int, char: str) -> str:
        at_end = char == " " and (index in (0, len(text) - 1) or text[index - 1] == " ")
        hidden = is_invisible(char) or unicodedata.combining(char) or (not char.isascii() and char not in other)
        return f"<U+{ord(char):04X}>" if at_end or hidden or (char.isspace() and char != " ") else char

    return '"' + "".join(shown(index, char) for index, char in enumerate(text)) + '"'


def _same_name(change: Change, labels: Sequence[AssociationLabel] | None) -> bool:
    """Whether an association type is still called what it was; exact types without a known name always are."""
    if labels is None or (change.label is None and not change.unlabeled):
        return True
    return any(row.identity == change.identity and (row.label or None) == change.label for row in labels)


def _ends(association: AssociationConfig) -> tuple[str, str]:
    return association.from_object_type, association.to_object_type


def _listed(identities: set[TypeIdentity], labels: Mapping[TypeIdentity, str] | None = None) -> str:
    names = labels or {}
    return ", ".join(
        f"{each[0]} {each[1]}" + (f" {show(names[each])}" if each in names else "") for each in sorted(identities)
    )


def _target_of(limit: int | str | None) -> int | None:
    return limit if isinstance(limit, int) else None


def count_of(count: int, noun: str) -> str:
    """Write a number of things: ``1 direction``, ``2 directions``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def trouble(unread: int, unfit: int) -> str:
    """Say how many directions could not be handled; the beginning of a summary, empty if there are none."""
    unfit_text = f"{count_of(unfit, 'direction')} {'does' if unfit == 1 else 'do'} not fit the portal. "
    return (f"{count_of(unread, 'direction')} could not be read. " if unread else "") + (unfit_text if unfit else "")


# -- labels to create ------------------------------------------------------------------------------------------


def _sides(label: NewLabel, direction: Direction) -> list[str]:
    """Return what a new label will be called in a direction; nothing if it is of another pair."""
    return [text for side, text in label.sides if side.canonical == direction.canonical]


def labels_to_create(config: ResolvedConfig, state: PortalState) -> list[NewLabel]:
    """Return the labels that a plan would create, as far as the directions of the file show."""
    declared = [each for each in config.associations if Direction(*_ends(each)) in state.directions]
    return _new_labels(declared, config.associations, state)


def _new_labels(
    associations: Sequence[AssociationConfig],
    declared: Sequence[AssociationConfig],
    state: PortalState,
    blocked: Collection[tuple[Direction, str]] = (),
) -> list[NewLabel]:
    """Return the labels to create. One definition makes both sides, so a label declared both ways is made once.

    :param associations: the directions that may create labels.
    :param declared: all directions, whose declarations say how a label is created.
    :param blocked: sides of labels that must not be created.
    """
    by_direction = {association.direction: association for association in declared}
    found: list[NewLabel] = []
    for association in associations:
        direction = Direction(*_ends(association))
        there = by_direction.get(association.direction.inverse)
        others = there.labels if there else {}
        here = state.directions[direction]
        own = {row.label for row in _labelled(here) if row.label and row.category == _USER_DEFINED}
        for name, label in association.labels.items():
            is_there = (
                _by_label(here, name) or _by_published_text(here, direction, name) or near_labels(name, _labelled(here))
            )
            is_new = not is_there and (direction.canonical, name) not in blocked
            if not label.is_created or not is_new or any(name in _sides(made, direction) for made in found):
                continue
            inverse = label.inverse or next((text for text, other in others.items() if other.inverse == name), None)
            other = others.get(inverse or name, LabelConfig())
            found.append(
                NewLabel(
                    from_object_type=direction.from_object_type,
                    to_object_type=direction.to_object_type,
                    label=name,
                    inverse=None if inverse == name else inverse,
                    name=label.name or other.name or internal_name(direction, name),
                    candidates=sorted(own - set(association.labels)),
                )
            )
    return found


def _blocked_labels(labels: Sequence[NewLabel], state: PortalState) -> dict[tuple[Direction, str], str]:
    """Return the sides of labels that the portal has under another text, and why they must not be created."""
    blocked: dict[tuple[Direction, str], str] = {}
    for label in labels:
        reason = why_blocked(label, state)
        if reason is not None:
            blocked |= {(direction.canonical, text): reason for direction, text in label.sides}
    return blocked


def why_blocked(label: NewLabel, state: PortalState) -> str | None:
    """Return why a label must not be created: the portal has it under another text. None if it can be."""
    names = state.names.get(label.from_object_type, {})
    ids = frozenset[int]().union(*(names.get(name.casefold(), ()) for name in {label.name, *label.usual_names}))
    for direction, text in label.sides:
        there = state.state_of(direction)
        rows = [row for row in _labelled(there) if row.label and row.category == _USER_DEFINED] if there else []
        present = sorted({row.label for row in rows if row.label and row.label != text and row.type_id in ids})
        if present:
            return renamed(text, present)
    inverse, text = label.sides[1]
    there = state.state_of(inverse)
    if there is None:
        return None
    if any(category == _USER_DEFINED for category, _ in _by_label(there, text)):
        return inverse_exists(inverse, text, label.label)
    near = near_labels(text, _labelled(there))
    return f"in {inverse}, {look_alike(text, near)}" if near else None


def internal_name(direction: Direction, label: str) -> str:
    """Make HubSpot's internal name of a label: unique in the portal, no hyphens, no digit first.

    The object types are part of it, because the same label on two pairs needs two names.
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    words = [plain, display_name(direction.from_object_type), display_name(direction.to_object_type)]
    slug = re.sub(r"[^a-z0-9]+", "_", " ".join(words).lower()).strip("_")
    if len(plain) < len(label) or re.search(r"[^\w\s]", label):
        slug += f"_{zlib.crc32(label.encode()):08x}"  # labels that differ only in what was left out
    return f"label_{slug}" if slug[:1].isdigit() else slug


# -- the whole -------------------------------------------------------------------------------------------------


def _spelled_twice(changes: Sequence[Change], states: Mapping[Direction, DirectionState]) -> dict[Direction, list[str]]:
    """Find directions that turn out to be one, such as from ``p_car`` and from ``2-123``; both are unfit.

    Only the portal knows: one association type shows up in both.
    """
    problems: dict[Direction, list[str]] = {}
    first: dict[TypeIdentity, Direction] = {}
    there = [(change.identity, change.direction) for change in changes if change.identity is not None]
    there += [(row.identity, direction) for direction, state in states.items() for row in _rows_of(state)]
    for identity, direction in there:
        other = first.setdefault(identity, direction)
        if other != direction and all(map(_may_be_same, direction, other)):
            for one, two in ((direction, other), (other, direction)):
                message = f"{identity[0]} {identity[1]} is in {two} as well, which has the same object types"
                problems.setdefault(one, [f"{message}; use one spelling"])
    return problems


def twins(directions: Sequence[Direction]) -> set[Direction]:
    """Return the directions that may be the same as another one in other words; their labels have to be read."""
    custom = [each for each in directions if not all(normalize(end).startswith("0-") for end in each)]
    return {one for one in custom for other in custom if one != other and all(map(_may_be_same, one, other))}


def _may_be_same(one: str, other: str) -> bool:
    names = {normalize(one), normalize(other)}
    return len(names) == 1 or not any(name.startswith("0-") for name in names)


def _order(change: Change) -> tuple[Any, ...]:
    return (
        str(change.direction),
        not change.unlabeled,
        change.label is None,
        change.label or "",
        change.category,
        change.type_id or 0,
    )


def _warnings(changes: Sequence[Change]) -> list[str]:
    """Return what to think about; one line for each kind."""
    tops = {change.direction: change for change in changes if change.unlabeled}
    equal, large, lowered = [], [], []
    for change in changes:
        top = tops.get(change.direction)
        if (
            top is not None
            and top is not change
            and change.target is not None
            and change.target == top.target
            and (change.is_write or top.is_write)
        ):
            equal.append(change)
        if change.is_write and (change.target or 0) > USUAL_MAXIMUM:
            large.append(change)
        if change.current is not None and change.target is not None and change.target < change.current:
            lowered.append(change)
    found = {"lowered": lowered, "equal": equal, "large": large}
    return [f"{text}: {'; '.join(map(str, found[kind]))}" for kind, text in _KINDS if found[kind]]


_KINDS = [
    ("lowered", "HubSpot does not enforce a lowered limit on associations that exist already"),
    ("equal", "HubSpot's documentation is not clear on whether a label's limit may equal the object limit"),
    ("large", f"HubSpot's settings page takes limits up to {USUAL_MAXIMUM:,}; the portal may refuse more"),
]


def _now_then(change: Change) -> tuple[str, str]:
    now = limit_text(change.current)
    if change.null_in_file:
        return now, "null in the file"
    return now, limit_text(change.target) if change.is_write else ""


def _is_of_file(warning: str) -> bool:
    """Whether a warning is about the file rather than about the changes, which are judged again."""
    return not warning.startswith(tuple(text for _, text in _KINDS))


def _cut_markdown(row: str) -> str:
    """Shorten a line; not inside an escape or an entity."""
    return re.sub(r"(&[a-z]*|\\)$", "", row[:1_900]) + (" ... |" if row.startswith("|") else " ...")


def one_line(text: str) -> str:
    """Take out what a label could do to a terminal or a table."""
    return "".join(char if char.isprintable() else " " for char in text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(one_line(text), quote=False).replace("&gt;", ">"))
