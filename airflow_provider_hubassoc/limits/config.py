"""Declared limits: a file (YAML or JSON), its text or a dict -> a validated model, or every mistake in it at once.

    version: 1
    associations:
      - from: contacts
        to: companies
        limit: 5                    # the object limit: the limit of the unlabeled association type
        labels:
          Decision maker: 2
      - from: p_subscription_plan
        to: companies
        limit: unlimited            # no limit; one that is there is removed
    portals:
      "12345":                      # what is different in one portal
        associations:
          - {from: contacts, to: companies, limit: 3}

What a file does not mention is left alone.

Sources: HubSpot's guide "Associations schema" (what a limit is, names of labels) and its changelog "Introducing custom
association limits for Associations API" (a label's limit is never above the object limit).
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from airflow_provider_hubassoc.hubspot.models import MAX_INT32, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.object_types import OBJECT_TYPE_IDS, normalize
from airflow_provider_hubassoc.limits.association_types import Direction, hubspot_directions
from airflow_provider_hubassoc.limits.source import ConfigError, DataPath, Document, Problem, read, show

__all__ = [
    "AssociationConfig",
    "ConfigError",
    "LabelConfig",
    "Limit",
    "LimitsConfig",
    "PortalConfig",
    "Problem",
    "TypeConfig",
    "check_config",
    "json_schema",
    "load_config",
    "nearest",
]

USUAL_MAXIMUM = 10_000
"""HubSpot's settings page takes limits up to this number ("Set limits for record associations")."""

_LIMIT_ALLOWED = f'allowed: a whole number from 1 to {MAX_INT32}, or "unlimited"'


def _limit(value: object) -> int | Literal["unlimited"]:
    # Digits as text are what a templated value is after rendering.
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,9}", value):
        value = int(value)
    if value == "unlimited":
        return "unlimited"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_INT32:
        return value
    raise PydanticCustomError("limit", _LIMIT_ALLOWED)


Limit = Annotated[
    int | Literal["unlimited"],
    PlainValidator(_limit),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_INT32},
                {"const": "unlimited"},
            ],
        }
    ),
]
"""How many records may be associated; ``unlimited`` for no limit."""


def nearest(word: str, words: list[str]) -> str:
    """Return ``; did you mean "..."?`` with the nearest of the words, or an empty string if none is near."""
    lowered = {each.lower(): each for each in words}
    matches = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f'; did you mean "{lowered[matches[0]]}"?' if matches else ""


def _object_type(value: str) -> str:
    normal = normalize(value)
    if re.fullmatch(r"\d+-\d+|p\d*_\w+", normal, re.ASCII | re.IGNORECASE):
        return value
    hint = nearest(value, list(OBJECT_TYPE_IDS))
    raise PydanticCustomError(
        "object_type",
        "allowed: a name of HubSpot's such as contacts, an object type id such as 0-1 or 2-123, or for custom "
        "objects p_<name>{hint}",
        {"hint": hint},
    )


def _internal_name(value: str) -> str:
    if re.fullmatch(r"[^\d\s-][^\s-]*", value):
        return value
    raise PydanticCustomError("internal_name", "allowed: no hyphens, no spaces, no digit at the beginning")


ObjectType = Annotated[
    str,
    AfterValidator(_object_type),
    Field(
        description="Object type: a name such as contacts, an id such as 0-1 or 2-123, or p_<name>",
        examples=[*OBJECT_TYPE_IDS, "p_my_object"],
    ),
]


class _Strict(BaseModel):
    """Base of what a person writes: an unknown key is a mistake, 5.0 is no whole number, and 1 is no text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class LabelConfig(_Strict):
    """A label's limit; in a file also written as the limit alone.

    :param limit: the limit; None to leave it as it is.
    :param create_missing: create the label where the portal has none of this name.
    :param inverse: when created, the label people see from the other side; None for the same one.
    :param name: when created, HubSpot's internal name; made from the label and the object types by default.
    """

    limit: Limit | None = Field(default=None, description="How many records may have this label")
    create_missing: bool = Field(default=False, description="Create the label if the portal does not have it")
    inverse: str | None = Field(
        default=None, min_length=1, description="When created: the label seen from the other side"
    )
    name: Annotated[str, AfterValidator(_internal_name)] | None = Field(
        default=None, description="When created: HubSpot's internal name, unique in the portal"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_limit_alone(cls, value: Any) -> Any:
        return value if isinstance(value, (Mapping, LabelConfig)) else {"limit": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors that the limit alone will do."""
        full = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [*full["properties"]["limit"]["anyOf"], full]}


class TypeConfig(_Strict):
    """The limit of an association type named exactly.

    :param category: who defined the type.
    :param type_id: its id; with the category its identity.
    :param limit: the limit.
    """

    category: Annotated[AssociationCategory, Field(strict=False)]
    type_id: int = Field(alias="typeId", ge=1, le=MAX_INT32)
    limit: Limit

    @property
    def identity(self) -> TypeIdentity:
        """The association type this is about."""
        return (self.category.value, self.type_id)


class AssociationConfig(_Strict):
    """The limits of one direction.

    :param from_object_type: whose records have the associations (``from``).
    :param to_object_type: what they are associated with (``to``).
    :param limit: the object limit: of the unlabeled association type; None to leave it as it is.
    :param labels: label -> its limit.
    :param types: limits of association types named exactly.
    """

    from_object_type: ObjectType = Field(alias="from")
    to_object_type: ObjectType = Field(alias="to")
    limit: Limit | None = Field(default=None, description="Limit of the unlabeled association")
    labels: dict[Annotated[str, Field(min_length=1)], LabelConfig] = Field(
        default_factory=dict, description="Label -> how many records may have it"
    )
    types: list[TypeConfig] = Field(default_factory=list, description="Limits of types named by category and id")

    @property
    def direction(self) -> Direction:
        """The direction, in the form in which directions are compared."""
        return Direction(normalize(self.from_object_type), normalize(self.to_object_type))


class PortalConfig(_Strict):
    """What is different in one portal; a limit of ``null`` means: not managed there."""

    associations: list[AssociationConfig]


class LimitsConfig(_Strict):
    """All declared limits.

    :param version: of this format.
    :param associations: the limits of each direction.
    :param portals: portal id or connection id -> what is different there.
    :param json_schema: where editors find the JSON Schema; JSON has no comments to say it in (``$schema``).
    """

    model_config = ConfigDict(title="HubSpot association limits")

    json_schema: str | None = Field(default=None, alias="$schema")
    version: Literal[1]
    associations: list[AssociationConfig]
    portals: dict[str, PortalConfig] = Field(
        default_factory=dict, description="Portal id or connection id -> what is different there"
    )

    def for_portal(self, *implied: str | int | None, named: str | int | None = None) -> LimitsConfig:
        """Return the limits declared for one portal: every direction once, its overrides applied, no ``portals``.

        :param implied: names the portal may have in ``portals``, such as its connection's id and its own; the first
            that is there counts. If none is there, no overrides apply.
        :param named: the name that somebody gave explicitly; it has to be there.
        :raises ConfigError: if ``named`` is not in ``portals``.
        """
        name = self.portal_key(*implied, named=named)
        layers = [self.associations]
        layers += [self.portals[name].associations] if name is not None else []
        merged: dict[Direction, AssociationConfig] = {}
        for layer in layers:
            for each in layer:
                key = each.direction
                merged[key] = _merged(merged[key], each) if key in merged else each
        return LimitsConfig(version=self.version, associations=list(merged.values()))

    def portal_key(self, *implied: str | int | None, named: str | int | None = None) -> str | None:
        """Return the name under ``portals`` whose overrides apply; None if none do.

        :raises ConfigError: if ``named`` is not in ``portals``; it lists the names there are, and the nearest.
        """
        if named is not None:
            name = str(named).strip()
            if name not in self.portals:
                names = list(self.portals)
                message = f"the file has no such portal; it has {', '.join(map(show, names)) or 'none'}"
                raise ConfigError([Problem(message + nearest(name, names), "portal", found=show(name))])
            return name
        return next((str(name) for name in implied if str(name) in self.portals), None)

    def portal_note(self, *implied: str | int | None, named: str | int | None = None) -> str | None:
        """Say which overrides apply, for a log; None if the file has no ``portals``."""
        if not self.portals:
            return None
        name = self.portal_key(*implied, named=named)
        if name is not None:
            return f"The overrides of portal {show(name)} in the file apply."
        tried = " or ".join(show(str(each)) for each in implied if each is not None)
        names = ", ".join(map(show, self.portals))
        return f"No overrides apply: the file has portals {names}, and none is called {tried}."

    def with_missing_labels(self, create: bool | None) -> LimitsConfig:
        """Return the same with ``create_missing`` of every label decided.

        :param create: create every label that the portal lacks, or none; None for what each label says.
        """
        if create is None:
            return self
        associations = [
            each.model_copy(
                update={
                    "labels": {
                        name: label.model_copy(update={"create_missing": create}) for name, label in each.labels.items()
                    }
                }
            )
            for each in self.associations
        ]
        return self.model_copy(update={"associations": associations})


def _merged(base: AssociationConfig, over: AssociationConfig) -> AssociationConfig:
    types = {each.identity: each for each in (*base.types, *over.types)}
    return base.model_copy(
        update={
            "limit": over.limit if "limit" in over.model_fields_set else base.limit,
            "labels": base.labels
            | {name: _merged_label(base.labels.get(name), label) for name, label in over.labels.items()},
            "types": list(types.values()),
        }
    )


def _merged_label(base: LabelConfig | None, over: LabelConfig) -> LabelConfig:
    """Let an override that is only another limit keep how the label is created."""
    if base is None:
        return over
    return base.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})


def load_config(
    source: str | Path | Mapping[str, Any] | LimitsConfig, *, portal: str | int | None = None
) -> LimitsConfig:
    """Read declared limits, and refuse them with every mistake at once.

    :param source: the path of a YAML or JSON file; its text (anything with a line break or a leading brace); a
        dict; or what an earlier call returned.
    :param portal: what the portal is called in the file's ``portals``: its id or its connection's.
    :return: what is declared for the portal; without ``portal`` the whole file
        (:meth:`LimitsConfig.for_portal` comes later then).
    :raises ConfigError: with every mistake of the file, whichever portal it is about.
    """
    config: LimitsConfig | None
    if isinstance(source, LimitsConfig):
        config = source
    else:
        config, problems = check_config(source)
        if config is None:
            errors = [problem for problem in problems if problem.severity == "error"]
            raise ConfigError(errors, str(source) if _is_path(source) else "")
    return config if portal is None else config.for_portal(portal)


def check_config(source: str | Path | Mapping[str, Any]) -> tuple[LimitsConfig | None, list[Problem]]:
    """Read declared limits and tell everything there is to say about them.

    :param source: as in :func:`load_config`.
    :return: the model, None if it cannot be made, and the errors and warnings in the order of the text.
    """
    try:
        document = read(source)
    except ConfigError as error:
        return None, error.problems
    config, problems = None, []
    try:
        config = LimitsConfig.model_validate(document.data)
    except ValidationError as error:
        problems = [_problem(document, mistake) for mistake in error.errors(include_url=False)]
    problems += _cross_checks(document)
    order = {id(problem): index for index, problem in enumerate(problems)}
    problems.sort(key=lambda problem: (problem.line or 0, order[id(problem)]))
    return (None if any(problem.severity == "error" for problem in problems) else config), problems


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors (``# yaml-language-server: $schema=...``)."""
    schema = LimitsConfig.model_json_schema(by_alias=True)
    for part in (schema, *schema["$defs"].values()):
        # Editors show descriptions; the rest of a docstring is for those who read the code.
        for each in (part, *part.get("anyOf", [])):
            if "description" in each:
                each["description"] = each["description"].split("\n\n")[0]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return the JSON Schema as it is shipped in the package."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _is_path(source: object) -> bool:
    return isinstance(source, Path) or (
        isinstance(source, str) and "\n" not in source and not source.lstrip().startswith("{")
    )


# -- mistakes in one place -------------------------------------------------------------------------------------


def _problem(document: Document, mistake: Mapping[str, Any]) -> Problem:
    """Say one of pydantic's errors in the words of the file."""
    path: DataPath = tuple(part for part in mistake["loc"] if part != "[key]")
    kind, found = mistake["type"], mistake["input"]
    if kind == "missing":
        return document.problem(path, "is missing")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path)
        hint = nearest(str(path[-1]), allowed)
        return document.problem(path, f"unknown key; allowed: {', '.join(allowed)}{hint}")
    if path and path[-1] == "limit" and not _holds(document.data, path):
        path = path[:-1]  # a label's limit written alone
    messages = {
        "model_type": "allowed: a mapping",
        "dict_type": "allowed: a mapping",
        "list_type": "allowed: a list",
        "string_type": "allowed: text",
        "string_too_short": "must not be empty",
        "bool_type": "allowed: true or false",
        "int_type": "allowed: a whole number",
    }
    if kind in ("enum", "literal_error"):
        message = f"allowed: {mistake['ctx']['expected']}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        message = f"allowed: a whole number from 1 to {MAX_INT32}"
    else:
        message = messages.get(kind, str(mistake["msg"]))
    return document.problem(path, message, found=found)


_MODELS_BY_KEY: dict[str, type[BaseModel]] = {
    "associations": AssociationConfig,
    "labels": LabelConfig,
    "types": TypeConfig,
    "portals": PortalConfig,
}


def _allowed_keys(path: DataPath) -> list[str]:
    """Return the keys that may stand beside the last one of a path."""
    # The key itself comes last, and its parent is an item (an index, a label, a portal) of one of the lists above.
    model = _MODELS_BY_KEY[str(path[-3])] if len(path) > 2 else LimitsConfig
    return [field.alias or name for name, field in model.model_fields.items()]


def _holds(data: Any, path: DataPath) -> bool:
    for part in path:
        inside = range(len(data)) if isinstance(data, list) else data
        if not isinstance(data, (list, Mapping)) or part not in inside:
            return False
        data = data[part]  # type: ignore[index]
    return True


# -- mistakes between places -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Declaration:
    """One limit of a file: what it is of, and where it stands."""

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


def _cross_checks(document: Document) -> list[Problem]:
    """Compare the declarations of a file with one another; what is wrong in itself is left out."""
    data = document.data if isinstance(document.data, Mapping) else {}
    problems: list[Problem] = []
    base = _layer(document, data, (), problems)
    problems += _broken_rules(document, base, None)
    portals = data.get("portals")
    for portal, overrides in portals.items() if isinstance(portals, Mapping) else ():
        if isinstance(overrides, Mapping):
            path = ("portals", portal)
            over = _layer(document, overrides, path, problems)
            problems += _broken_rules(document, base | over, path)
    return problems


def _layer(
    document: Document, data: Mapping[str, Any], path: DataPath, problems: list[Problem]
) -> dict[tuple[object, ...], _Declaration]:
    """Collect the declarations of a file, or of one portal in it, and report those made twice."""
    associations = data.get("associations")
    found: dict[tuple[object, ...], _Declaration] = {}
    for index, item in enumerate(associations if isinstance(associations, list) else ()):
        for each in _declarations(item, (*path, "associations", index)):
            first = found.setdefault(each.key, each)
            if first is each:
                continue
            line = document.lines.get(first.path)
            where = f"on line {line}" if line else f"at {document.problem(first.path, '').path}"
            same_object = each.direction == each.direction.inverse
            reason = "; between records of one object type both ways have one limit" if same_object else ""
            problems.append(
                document.problem(each.path, f"{each} is declared already {where}{reason}", found=each.limit)
            )
    return found


def _declarations(item: Any, path: DataPath) -> Iterator[_Declaration]:
    """Read what can be read of one direction, part by part, so that one mistake does not hide another."""
    if not isinstance(item, Mapping):
        return
    try:
        ends = AssociationConfig.model_validate({"from": item.get("from"), "to": item.get("to")})
    except ValidationError:
        return
    direction = ends.direction
    if item.get("limit") is not None:
        with contextlib.suppress(PydanticCustomError):  # the model reports it
            yield _Declaration((*path, "limit"), direction, "object", None, _limit(item["limit"]))
    labels = item.get("labels")
    for name, value in labels.items() if isinstance(labels, Mapping) else ():
        try:
            label = LabelConfig.model_validate(value)
        except ValidationError:
            continue
        yield _Declaration((*path, "labels", name), direction, "label", name, label.limit, label)
    types = item.get("types")
    for index, value in enumerate(types if isinstance(types, list) else ()):
        try:
            exact = TypeConfig.model_validate(value)
        except ValidationError:
            continue
        yield _Declaration((*path, "types", index), direction, "type", exact.identity, exact.limit)


def _broken_rules(
    document: Document, declared: Mapping[tuple[object, ...], _Declaration], only: DataPath | None
) -> Iterator[Problem]:
    """Check HubSpot's rules over all declarations of one portal.

    :param only: report what involves a declaration under this path; None for everything.
    """

    def concerned(*declarations: _Declaration) -> bool:
        return only is None or any(each.path[: len(only)] == only for each in declarations)

    for each in declared.values():
        if isinstance(each.limit, int) and each.limit > USUAL_MAXIMUM and concerned(each):
            yield document.problem(
                each.path,
                f"HubSpot's settings page takes limits up to {USUAL_MAXIMUM:,}; the portal may refuse it",
                found=each.limit,
                severity="warning",
            )
        if each.kind == "type" and isinstance(each.name, tuple) and concerned(each):
            yield from _misplaced(document, each)
        if each.label is not None:
            inverse = each.label.inverse
            other = declared.get((each.direction.inverse, "label", inverse))
            back = other.label.inverse if other is not None and other.label is not None else None
            if other is not None and back is not None and back != each.name and concerned(each, other):
                yield document.problem(
                    (*each.path, "inverse"),
                    f'"{inverse}" is declared with another inverse, "{back}"',
                    found=inverse,
                )
        top = declared.get((each.direction, "object", None))
        is_label = each.kind == "label" and isinstance(each.limit, int)
        if not is_label or top is None or not isinstance(top.limit, int) or not concerned(each, top):
            continue
        assert isinstance(each.limit, int)
        above = f"the object limit {top.limit} of {each.direction}"
        above += f" in portal {only[-1]}" if only else ""
        if each.limit > top.limit:
            yield document.problem(each.path, f"a label's limit must not be above {above}", found=each.limit)
        elif each.limit == top.limit:
            yield document.problem(
                each.path,
                f"equal to {above}; HubSpot's documentation is not clear on whether it takes that",
                found=each.limit,
                severity="warning",
            )


def _misplaced(document: Document, each: _Declaration) -> Iterator[Problem]:
    assert isinstance(each.name, tuple)
    category, type_id = each.name
    home = hubspot_directions().get(type_id)
    if category == AssociationCategory.HUBSPOT_DEFINED.value and home is not None and home != each.direction:
        yield document.problem(
            each.path,
            f"{category} {type_id} is a type of {home}, not of {each.direction}",
            severity="warning",
        )
