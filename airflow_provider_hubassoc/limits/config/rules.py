"""Rules between the declarations of a file: duplicates, contradictions, and declarations without an effect.

Each declaration is read by itself, so that a mistake in one does not hide those in others. Mistakes inside one
declaration are reported by the models.

Sources: HubSpot's changelog "Introducing custom association limits for Associations API" (a label limit never exceeds
the object limit) and its article "Set limits for record associations" (the largest limit of the settings page).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from airflow_provider_hubassoc.hubspot.constants import MAX_INT32, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.limits.config.document import Document
from airflow_provider_hubassoc.limits.config.label_text import canonical_label
from airflow_provider_hubassoc.limits.config.models import AssociationConfig, LabelConfig, TypeConfig
from airflow_provider_hubassoc.limits.config.syntax import missing_space
from airflow_provider_hubassoc.limits.config.values import CATEGORIES, parse_limit
from airflow_provider_hubassoc.limits.directions import Direction, hubspot_directions
from airflow_provider_hubassoc.limits.problems import DataPath, Problem, show, show_exactly

USUAL_MAXIMUM = 10_000
"""Largest limit that HubSpot's settings page accepts."""

_HUBSPOT_DEFINED = AssociationCategory.HUBSPOT_DEFINED.value
_CATEGORIES_OF_ONE_PORTAL = (AssociationCategory.USER_DEFINED.value, AssociationCategory.INTEGRATOR_DEFINED.value)
_IF_INTENDED = "write null if that is intended"


@dataclass(frozen=True)
class _Declaration:
    """One limit that a file declares, and its place in the file.

    :param direction: in its canonical form.
    :param name: label, or identity of the type; None for the object limit.
    """

    path: DataPath
    direction: Direction
    kind: Literal["object", "label", "type"]
    name: str | TypeIdentity | None
    limit: int | Literal["unlimited"] | None
    label: LabelConfig | None = None

    @property
    def key(self) -> tuple[object, ...]:
        return (self.direction, self.kind, self.name)

    def __str__(self) -> str:
        what = "the object limit" if self.kind == "object" else f"the limit of {self.name}"
        return f"{what} of {self.direction}"


_Declared = dict[tuple[object, ...], _Declaration]
"""Declarations of one portal by their key."""


def rule_problems(document: Document) -> list[Problem]:
    """Return the problems between the declarations of a file."""
    rules = _Rules(document)
    rules.check()
    return rules.problems


class _Rules:
    """Check of one file; collects its findings in ``problems``."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def check(self) -> None:
        data = self._document.data if isinstance(self._document.data, Mapping) else {}
        general = self._declared(data, ())
        self._check_portal(general, None)
        if "portals" not in data:
            return
        portals = data["portals"]
        if portals in (None, {}):
            self._warn(("portals",), "is empty and has no effect")
        elif portals:
            self._check_ids_of_one_portal(general.values())
        for name, overrides in portals.items() if isinstance(portals, Mapping) else ():
            path = ("portals", name)
            is_mapping = isinstance(overrides, Mapping)
            if not overrides or (is_mapping and overrides.get("associations", ...) in (None, [])):
                self._warn(path, "has no overrides, so the general limits of the file apply to this portal")
            if is_mapping:
                self._check_portal(general | self._declared(overrides, path), path)

    def _error(self, path: DataPath, message: str, found: object = ...) -> None:
        self.problems.append(self._document.problem(path, message, found=found))

    def _warn(self, path: DataPath, message: str, found: object = ...) -> None:
        self.problems.append(self._document.problem(path, message, found=found, severity="warning"))

    # -- reading --

    def _declared(self, data: Mapping[str, Any], path: DataPath) -> _Declared:
        """Collect the declarations of the file, or of one portal in it, and report those made twice."""
        associations = data.get("associations")
        declared: _Declared = {}
        for index, item in enumerate(associations if isinstance(associations, list) else ()):
            item_path = (*path, "associations", index)
            direction = _direction(item)
            if direction is None:
                continue
            self._check_empty_values(item, direction, item_path)
            for declaration in _declarations(item, direction, item_path):
                first = declared.setdefault(declaration.key, declaration)
                if first is not declaration:
                    self._report_twice(declaration, first)
        return declared

    def _report_twice(self, declaration: _Declaration, first: _Declaration) -> None:
        mark = self._document.marks.get(first.path)
        where = f"on line {mark.line}" if mark else f"at {self._document.problem(first.path, '').path}"
        is_same_object = declaration.direction == declaration.direction.inverse
        reason = "; between records of the same object type, both directions share one limit" if is_same_object else ""
        self._error(declaration.path, f"{declaration} is already declared {where}{reason}", found=declaration.limit)

    # -- values that say nothing --

    def _check_empty_values(self, item: Mapping[str, Any], direction: Direction, path: DataPath) -> None:
        """Warn about values that declare nothing. An explicit ``null`` is intended."""
        empty = self._document.empty
        if (*path, "limit") in empty:
            self._warn((*path, "limit"), f"is empty, so the object limit of {direction} is not managed; {_IF_INTENDED}")
        for key in ("labels", "types"):
            if (*path, key) in empty:
                message = f"is empty, so no limit under {key} of {direction} is managed; {_IF_INTENDED}"
                self._warn((*path, key), message)
        labels = item.get("labels")
        for name, value in labels.items() if isinstance(labels, Mapping) else ():
            self._check_empty_label(name, value, (*path, "labels", name))
        types = item.get("types")
        for index in range(len(types) if isinstance(types, list) else 0):
            type_path = (*path, "types", index, "limit")
            if type_path in empty:
                self._warn(type_path, f"is empty, so the limit is not managed; {_IF_INTENDED}")
        if all(item.get(key, ...) in (..., {}, []) for key in ("limit", "labels", "types")):
            effect = "no limit is set, and pruning removes every limit of the direction"
            if path[0] == "portals":
                effect = "the override has no effect"
            self._warn(path, f"declares no limit of {direction}: {effect}")

    def _check_empty_label(self, name: str, value: Any, path: DataPath) -> None:
        hint = missing_space(name)
        if value is None and hint:
            self._warn(path, f"is read as the label {show(name)} without a limit{hint}")
        elif value == {} or path in self._document.empty or (*path, "limit") in self._document.empty:
            self._warn(path, f"has no limit, so the label is neither managed nor created; {_IF_INTENDED}")

    # -- ids --

    def _check_ids_of_one_portal(self, declarations: Iterable[_Declaration]) -> None:
        """Warn about ids declared for several portals: in another portal they mean something else, or nothing."""
        checked: set[Direction] = set()
        for declaration in declarations:
            if isinstance(declaration.name, tuple) and declaration.name[0] in _CATEGORIES_OF_ONE_PORTAL:
                category, type_id = declaration.name
                self._warn(
                    declaration.path,
                    f"{category} {type_id} is the id of an association type of one portal, but this applies to all "
                    "portals; use the label instead, or declare the id under portals",
                )
            if declaration.direction in checked:
                continue
            checked.add(declaration.direction)
            for object_type in dict.fromkeys(declaration.direction):
                if re.fullmatch(r"2-\d+|p\d+_.+", object_type):
                    self._warn(
                        declaration.path[: declaration.path.index("associations") + 2],
                        f"{object_type} is the id of an object type of one portal, but this applies to all portals; "
                        "write p_<name>",
                    )

    def _check_type(self, declaration: _Declaration, identity: TypeIdentity) -> None:
        category, type_id = identity
        if category not in CATEGORIES or not 1 <= type_id <= MAX_INT32:
            message = f"{category} {type_id} is an association type that this package cannot limit; plans only show it"
            self._warn(declaration.path, message)
            return
        published = hubspot_directions().get(type_id)
        if category == _HUBSPOT_DEFINED and published is not None and published != declaration.direction:
            message = f"{category} {type_id} is an association type of {published}, not of {declaration.direction}"
            self._warn(declaration.path, message)

    # -- one portal --

    def _check_portal(self, declared: _Declared, portal: DataPath | None) -> None:
        """Check HubSpot's rules over all declarations of one portal.

        :param portal: path of the portal's overrides, to report only problems with one of them; None to report all.
        """

        def is_concerned(*declarations: _Declaration) -> bool:
            return portal is None or any(declared.path[: len(portal)] == portal for declared in declarations)

        for label, first, path, text, first_text in _look_alikes(declared.values()):
            if is_concerned(label, first):
                place = self._document.place(first.path)
                where = f" on line {place.line}" if place and place.line else ""
                message = f"looks like the label {show_exactly(first_text)}{where}; use one spelling"
                self.problems.append(self._document.problem(path, message, shown=show_exactly(text)))
        for declaration in declared.values():
            if is_concerned(declaration):
                self._check_maximum(declaration)
                if isinstance(declaration.name, tuple):
                    self._check_type(declaration, declaration.name)
            if declaration.label is not None:
                other = declared.get((declaration.direction.inverse, "label", declaration.label.inverse))
                if other is not None and is_concerned(declaration, other):
                    self._check_inverse(declaration, declaration.label, other)
            object_limit = declared.get((declaration.direction, "object", None))
            if declaration.kind == "label" and object_limit is not None and is_concerned(declaration, object_limit):
                self._check_label_limit(declaration, object_limit, f" in portal {portal[-1]}" if portal else "")

    def _check_maximum(self, declaration: _Declaration) -> None:
        if isinstance(declaration.limit, int) and declaration.limit > USUAL_MAXIMUM:
            message = (
                f"HubSpot's settings page accepts limits up to {USUAL_MAXIMUM:,}; the portal may refuse this limit"
            )
            self._warn(declaration.path, message, found=declaration.limit)

    def _check_inverse(self, declaration: _Declaration, label: LabelConfig, other: _Declaration) -> None:
        inverse_of_other = other.label.inverse if other.label is not None else None
        if inverse_of_other is not None and inverse_of_other != declaration.name:
            message = f'the label "{label.inverse}" is declared with a different inverse, "{inverse_of_other}"'
            self._error((*declaration.path, "inverse"), message, found=label.inverse)

    def _check_label_limit(self, label: _Declaration, object_limit: _Declaration, in_portal: str) -> None:
        if not isinstance(label.limit, int) or not isinstance(object_limit.limit, int):
            return
        what = f"the object limit {object_limit.limit} of {label.direction}{in_portal}"
        if label.limit > object_limit.limit:
            message = f"this label limit is above {what}; HubSpot refuses it"
        elif label.limit == object_limit.limit:
            message = f"this label limit equals {what}; HubSpot's documentation is not clear on whether that is allowed"
        else:
            return
        self._warn(label.path, message, found=label.limit)


def _direction(item: Any) -> Direction | None:
    """Return the canonical direction of an entry; None if it cannot be read."""
    if not isinstance(item, Mapping):
        return None
    try:
        ends = {"from": item.get("from"), "to": item.get("to")}
        return AssociationConfig.model_validate(ends).canonical_direction
    except ValidationError:
        return None


def _declarations(item: Mapping[str, Any], direction: Direction, path: DataPath) -> Iterator[_Declaration]:
    """Read the valid parts of one direction, part by part."""
    if "limit" in item:
        with contextlib.suppress(PydanticCustomError):  # the model reports it
            limit = None if item["limit"] is None else parse_limit(item["limit"])
            yield _Declaration((*path, "limit"), direction, "object", None, limit)
    labels = item.get("labels")
    for name, value in labels.items() if isinstance(labels, Mapping) else ():
        with contextlib.suppress(ValidationError):
            label = LabelConfig.model_validate(value)
            yield _Declaration((*path, "labels", name), direction, "label", name, label.limit, label)
    types = item.get("types")
    for index, value in enumerate(types if isinstance(types, list) else ()):
        with contextlib.suppress(ValidationError):
            exact = TypeConfig.model_validate(value)
            yield _Declaration((*path, "types", index), direction, "type", exact.identity, exact.limit)


def _look_alikes(
    declarations: Iterable[_Declaration],
) -> Iterator[tuple[_Declaration, _Declaration, DataPath, str, str]]:
    """Find labels of one direction that a person cannot tell apart.

    :return: for each the declaration, the earlier one it looks like, the path of its text, and the texts of both.
    """
    seen: dict[tuple[Direction, str], tuple[str, _Declaration]] = {}
    for declaration in declarations:
        label, name = declaration.label, declaration.name
        if label is None or not isinstance(name, str):
            continue
        inverse = label.inverse or (name if label.create_missing else None)
        for path, direction, text in (
            (declaration.path, declaration.direction, name),
            ((*declaration.path, "inverse"), declaration.direction.inverse, inverse),
        ):
            if text is None:
                continue
            first_text, first = seen.setdefault((direction, canonical_label(text)), (text, declaration))
            if first_text != text:
                yield declaration, first, path, text, first_text
