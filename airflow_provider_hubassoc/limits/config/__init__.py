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

What a file does not mention is left alone, unless somebody asks for pruning. A limit that is written as ``null``, or
with nothing behind the colon, is not managed: it is left alone in any case, and in a portal's overrides it takes back
what the top of the file declares.

Sources: HubSpot's guide "Associations schema" (what a limit is, names of labels) and its changelog "Introducing custom
association limits for Associations API" (a label's limit is never above the object limit).
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from airflow_provider_hubassoc.hubspot.models import MAX_INT32, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.object_types import OBJECT_TYPE_IDS, normalize
from airflow_provider_hubassoc.limits.config.document import Document, read
from airflow_provider_hubassoc.limits.config.syntax import COMMENT, find_slip
from airflow_provider_hubassoc.limits.directions import Direction, hubspot_directions
from airflow_provider_hubassoc.limits.inputs import whole_number
from airflow_provider_hubassoc.limits.problems import (
    ConfigError,
    DataPath,
    Place,
    Problem,
    is_invisible,
    show,
    show_exactly,
)

__all__ = [
    "AssociationConfig",
    "ConfigError",
    "LabelConfig",
    "Limit",
    "LimitsConfig",
    "Place",
    "PortalConfig",
    "Problem",
    "ResolvedConfig",
    "TypeConfig",
    "canonical_label",
    "check_config",
    "json_schema",
    "label_problem",
    "load_config",
    "nearest",
]

USUAL_MAXIMUM = 10_000
"""HubSpot's settings page takes limits up to this number ("Set limits for record associations")."""

_CATEGORIES = [category.value for category in AssociationCategory]
_CATEGORIES_ALLOWED = f"allowed: {', '.join(_CATEGORIES)}"
_LIMIT_ALLOWED = f'allowed: a whole number from 1 to {MAX_INT32}, or "unlimited"'


def _number(value: object) -> object:
    """Return the whole number that a value means, anything else as it is."""
    number = whole_number(value)
    return value if number is None else number


def _limit(value: object) -> int | Literal["unlimited"]:
    if isinstance(value, str) and value.strip() == "unlimited":
        return "unlimited"
    number = whole_number(value)
    if number is not None and 1 <= number <= MAX_INT32:
        return number
    hint = ""
    if isinstance(value, str):
        is_nothing = value.strip().lower() in ("", "~", "none", "null", "nil")
        hint = "; for a limit that is not managed write null" if is_nothing else nearest(value, ["unlimited"])
    raise PydanticCustomError("limit", "{allowed}", {"allowed": _LIMIT_ALLOWED + hint})


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


def canonical_label(text: str) -> str:
    """Return the form in which two labels are compared that may look the same to a person.

    Composed and decomposed Unicode, upper and lower case, and every run of white space are the same. Compatibility
    forms (NFKC: full-width letters, ligatures, non-breaking blanks) are, too: a person cannot tell most of them apart,
    and a near miss is only reported, so that being strict costs a question and being lax a second label. Characters
    without a width do not count.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
    visible = (char for char in folded if char.isspace() or not is_invisible(char))
    return " ".join("".join(visible).split())


def nearest(word: str, words: list[str]) -> str:
    """Return ``; did you mean "..."?`` with the nearest of the words, or an empty string if none is near."""
    lowered = {each.lower(): each for each in words}
    matches = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f'; did you mean "{lowered[matches[0]]}"?' if matches else ""


def _object_type(value: str) -> str:
    value = value.strip()
    if re.fullmatch(r"\d+-\d+|p\d*_\w+", normalize(value), re.ASCII | re.IGNORECASE):
        return value
    hint = nearest(value, list(OBJECT_TYPE_IDS))
    raise PydanticCustomError(
        "object_type",
        "allowed: a name of HubSpot's such as contacts, an object type id such as 0-1 or 2-123, or for custom "
        "objects p_<name>{hint}",
        {"hint": hint},
    )


def label_problem(text: str) -> str | None:
    """Say why a text cannot be a label in a file; None if it can.

    A label with blanks at its ends, or with characters that nobody sees, is a slip more often than a wish. One that a
    portal has all the same can be declared by its id, under ``types``.
    """
    if text != text.strip():
        return "must not have blanks at its ends"
    for index, char in enumerate(text):
        if is_invisible(char) and not _belongs_to_neighbours(text, index):
            name = unicodedata.name(char, "a control character")
            return f"must not hold the invisible character U+{ord(char):04X} ({name})"
    return None


def _belongs_to_neighbours(text: str, index: int) -> bool:
    """Whether an invisible character shapes what stands around it, as in emoji, Persian or Hindi."""
    before, after = text[:index], text[index + 1 :]
    if 0xFE00 <= ord(text[index]) <= 0xFE0F:
        return bool(before) and unicodedata.category(before[-1]) in ("So", "Sm", "Sk", "Po", "Nd", "Lo")
    is_joiner = text[index] in "\u200c\u200d" and before and after
    return bool(is_joiner) and all(
        unicodedata.category(each) in ("Lo", "Mn", "Mc", "So", "Sk", "Cn") for each in (before[-1], after[0])
    )


def _visible_text(value: str) -> str:
    problem = label_problem(value)
    if problem is None:
        return value
    raise PydanticCustomError("text", "{problem}", {"problem": problem})


def _internal_name(value: str) -> str:
    if re.fullmatch(r"[^\d\s-][^\s-]*", value):
        return _visible_text(value)
    raise PydanticCustomError("internal_name", "allowed: no hyphens, no spaces, no digit at the beginning")


ObjectType = Annotated[
    str,
    AfterValidator(_object_type),
    Field(
        description="Object type: a name such as contacts, an id such as 0-1 or 2-123, or p_<name>",
        examples=[*OBJECT_TYPE_IDS, "p_my_object"],
    ),
]


def _category(value: object) -> str:
    if isinstance(value, AssociationCategory):
        return value.value
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("category", _CATEGORIES_ALLOWED)
    category = value.strip()
    if category in _CATEGORIES:
        return category
    # HubSpot may name a category that this package does not know; a misspelled one is a mistake.
    spelling = category.upper()
    meant = [each for each in _CATEGORIES if each.startswith(spelling)]
    meant += difflib.get_close_matches(spelling, _CATEGORIES, n=1, cutoff=0.85)
    if meant:
        message = f'{_CATEGORIES_ALLOWED}; did you mean "{meant[0]}"?'
        raise PydanticCustomError("category", "{message}", {"message": message})
    return category


def _type_id(value: object) -> int:
    number = whole_number(value)
    if number is None:
        raise PydanticCustomError("type_id", "allowed: a whole number")
    return number


Category = Annotated[
    str,
    PlainValidator(_category),
    WithJsonSchema({"type": "string", "examples": _CATEGORIES, "minLength": 1}),
    Field(description="Who defined the association type"),
]

TypeId = Annotated[
    int,
    PlainValidator(_type_id),
    WithJsonSchema({"type": "integer"}),
    Field(description="With the category the identity of the association type"),
]


class _Strict(BaseModel):
    """Base of what a person writes: an unknown key is a mistake, 5.0 is no whole number, and 1 is no text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    _place: Place | None = PrivateAttr(default=None)

    @property
    def place(self) -> Place | None:
        """Where this is declared; None if it came from no text."""
        return self._place

    def __eq__(self, other: object) -> bool:
        # Two declarations that say the same are equal, wherever they are written.
        return type(self) is type(other) and self.__dict__ == other.__dict__


def _none_to_empty(empty: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda value: empty() if value is None else value


class LabelConfig(_Strict):
    """A label's limit; in a file also written as the limit alone.

    :param limit: the limit; None if the file does not manage it.
    :param create_missing: create the label where the portal has none of this name.
    :param inverse: when created, the label people see from the other side; None for the same one.
    :param name: when created, HubSpot's internal name; made from the label and the object types by default.
    """

    limit: Limit | None = Field(default=None, description="How many records may have this label; null: not managed")
    create_missing: bool = Field(default=False, description="Create the label if the portal does not have it")
    inverse: Annotated[str, Field(min_length=1), AfterValidator(_visible_text)] | None = Field(
        default=None, description="When created: the label seen from the other side"
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

    @property
    def is_created(self) -> bool:
        """Whether the label is created where the portal lacks it: never if its limit is empty or null."""
        return self.create_missing and not (self.limit is None and "limit" in self.model_fields_set)

    @property
    def is_on_purpose(self) -> bool:
        """Whether the file says something of the label; an empty value, which may be a slip, says nothing."""
        says_how = self.model_fields_set & {"inverse", "name"} and "limit" not in self.model_fields_set
        return self.create_missing or self.limit is not None or bool(says_how)


class TypeConfig(_Strict):
    """The limit of an association type named exactly.

    :param category: who defined the type.
    :param type_id: its id; with the category its identity.
    :param limit: the limit; None if the file does not manage it.
    """

    category: Category
    type_id: TypeId = Field(alias="typeId")
    limit: Limit | None

    @property
    def identity(self) -> TypeIdentity:
        """The association type this is about."""
        return (self.category, self.type_id)


class AssociationConfig(_Strict):
    """The limits of one direction.

    A limit that is written as null (in YAML also: with nothing behind the colon) is not managed; it is in the model,
    with None. What is not written at all is not in the model, and ``limit`` not in ``model_fields_set``.

    :param from_object_type: whose records have the associations (``from``).
    :param to_object_type: what they are associated with (``to``).
    :param limit: the object limit: of the unlabeled association type; None if the file does not manage it.
    :param labels: label -> its limit.
    :param types: limits of association types named exactly.
    """

    from_object_type: ObjectType = Field(alias="from")
    to_object_type: ObjectType = Field(alias="to")
    limit: Limit | None = Field(default=None, description="Limit of the unlabeled association; null: not managed")
    labels: Annotated[
        dict[Annotated[str, Field(min_length=1), AfterValidator(_visible_text)], LabelConfig],
        BeforeValidator(_none_to_empty(dict), json_schema_input_type=dict[str, LabelConfig] | None),
    ] = Field(default_factory=dict, description="Label -> how many records may have it")
    types: Annotated[
        list[TypeConfig], BeforeValidator(_none_to_empty(list), json_schema_input_type=list[TypeConfig] | None)
    ] = Field(default_factory=list, description="Limits of types named by category and id")

    _unmanaged: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="wrap")
    @classmethod
    def _note_null(cls, value: Any, handler: ModelWrapValidatorHandler[AssociationConfig]) -> AssociationConfig:
        association = handler(value)
        if isinstance(value, Mapping):
            association._unmanaged = frozenset(
                key for key in ("labels", "types") if key in value and value[key] is None
            )
        return association

    @property
    def direction(self) -> Direction:
        """The direction, in the form in which directions are compared."""
        return Direction(self.from_object_type, self.to_object_type).canonical

    @property
    def is_prunable(self) -> bool:
        """Whether limits of the direction that the file does not mention may be pruned.

        False where ``labels`` or ``types`` is written as null: which limits that leaves unmanaged cannot be told.
        """
        return not self._unmanaged


class PortalConfig(_Strict):
    """What is different in one portal; a limit of ``null`` means: not managed there."""

    associations: Annotated[
        list[AssociationConfig],
        BeforeValidator(_none_to_empty(list), json_schema_input_type=list[AssociationConfig] | None),
    ]

    @model_validator(mode="before")
    @classmethod
    def _from_nothing(cls, value: Any) -> Any:
        return {"associations": None} if value is None else value


class LimitsConfig(_Strict):
    """All declared limits.

    :param version: of this format.
    :param associations: the limits of each direction.
    :param portals: portal id or connection id -> what is different there.
    :param json_schema: where editors find the JSON Schema; JSON has no comments to say it in (``$schema``).
    """

    model_config = ConfigDict(title="HubSpot association limits")

    json_schema: str | None = Field(default=None, alias="$schema")
    version: Annotated[Literal[1], BeforeValidator(_number)]
    associations: list[AssociationConfig]
    portals: Annotated[
        dict[Annotated[str, AfterValidator(_visible_text)], PortalConfig],
        BeforeValidator(_none_to_empty(dict), json_schema_input_type=dict[str, PortalConfig] | None),
    ] = Field(default_factory=dict, description="Portal id or connection id -> what is different there")

    def resolve(
        self,
        *,
        conn_id: str | None = None,
        portal_id: str | int | None = None,
        named: str | int | None = None,
    ) -> ResolvedConfig:
        """Return the limits declared for one portal, with its overrides applied.

        Without ``named``, the overrides of the connection apply, otherwise those of the portal's id, otherwise none.

        :param conn_id: id of the Airflow connection.
        :param portal_id: id of the portal; None if it is not known.
        :param named: key under ``portals`` that somebody chose explicitly; the file has to have it.
        :raises ConfigError: if ``named`` is not under ``portals``. It lists the keys there are, and the nearest one.
        """
        names = [str(name).strip() for name in (conn_id, portal_id) if name is not None]
        portal = next((name for name in names if name in self.portals), None)
        if named is not None:
            portal = self._require_portal(str(named).strip())
        merged: dict[Direction, AssociationConfig] = {}
        overrides = [] if portal is None else self.portals[portal].associations
        for association in (*self.associations, *overrides):
            base = merged.get(association.direction)
            merged[association.direction] = association if base is None else _merged(base, association)
        return ResolvedConfig(
            associations=list(merged.values()),
            portal=portal,
            note=self._note(portal, names),
            needs_portal_id=bool(self.portals) and portal is None and portal_id is None,
        )

    def _require_portal(self, name: str) -> str:
        if name in self.portals:
            return name
        names = list(self.portals)
        message = f"the file has no such portal; it has {', '.join(map(show, names)) or 'none'}"
        raise ConfigError([Problem(message + nearest(name, names), "portal", found=show(name))])

    def _note(self, portal: str | None, names: Sequence[str]) -> str | None:
        if not self.portals:
            return None
        if portal is not None:
            return f"The overrides of portal {show(portal)} in the file apply."
        none_matches = f", and none is called {' or '.join(map(show, names))}" if names else ""
        return f"No overrides apply: the file has portals {', '.join(map(show, self.portals))}{none_matches}."


@dataclass(frozen=True)
class ResolvedConfig:
    """The limits declared for one portal: each direction once, with the overrides of the portal applied.

    :param associations: the limits of each direction.
    :param portal: key under ``portals`` whose overrides apply; None if none do.
    :param note: sentence for a log about which overrides apply; None if the file has no ``portals``.
    :param needs_portal_id: True if the file has overrides, and only the portal's id, which was not given, can tell
        whether they apply.
    """

    associations: list[AssociationConfig]
    portal: str | None = None
    note: str | None = None
    needs_portal_id: bool = False

    def with_missing_labels(self, create: bool | None) -> ResolvedConfig:
        """Return the same limits with ``create_missing`` of every label decided.

        :param create: True to create every label that the portal lacks, False to create none, None to follow the
            file. A label with an empty value is never created.
        """
        if create is None:
            return self
        associations = [
            association.model_copy(
                update={
                    "labels": {
                        name: label.model_copy(update={"create_missing": create and label.is_on_purpose})
                        for name, label in association.labels.items()
                    }
                }
            )
            for association in self.associations
        ]
        return replace(self, associations=associations)


def _merged(base: AssociationConfig, over: AssociationConfig) -> AssociationConfig:
    """Apply an override: what it mentions wins, null included."""
    changes: dict[str, Any] = {}
    if "limit" in over.model_fields_set:
        changes["limit"] = over.limit
    if "labels" in over.model_fields_set:
        nothing = LabelConfig(limit=None)
        hidden = base.labels if "labels" in over._unmanaged else {}
        labels = base.labels | {name: _merged_label(label, nothing) for name, label in hidden.items()}
        changes["labels"] = labels | {
            name: _merged_label(base.labels.get(name), label) for name, label in over.labels.items()
        }
    if "types" in over.model_fields_set:
        hides = "types" in over._unmanaged
        types = {each.identity: each.model_copy(update={"limit": None}) if hides else each for each in base.types}
        changes["types"] = list((types | {each.identity: each for each in over.types}).values())
    merged = base.model_copy(update=changes)
    merged._place = over.place or base.place
    merged._unmanaged = base._unmanaged | over._unmanaged
    return merged


def _merged_label(base: LabelConfig | None, over: LabelConfig) -> LabelConfig:
    """Let an override that is only another limit keep how the label is created."""
    if base is None:
        return over
    changes = {name: getattr(over, name) for name in over.model_fields_set}
    if over.limit is None and "limit" in over.model_fields_set:
        changes = {"create_missing": False, **changes}  # a label that is not managed here is not created here
    merged = base.model_copy(update=changes)
    merged._place = over.place or base.place
    return merged


def load_config(
    source: str | Path | Mapping[str, Any] | LimitsConfig,
    *,
    on_warning: Callable[[Problem], None] | None = None,
) -> LimitsConfig:
    """Read declared limits, and refuse them with every mistake at once.

    :param source: the path of a YAML or JSON file; its text (anything with a line break or a leading brace); a
        dict; or what an earlier call returned.
    :param on_warning: called with each warning, such as an empty value.
    :return: the whole file; :meth:`LimitsConfig.resolve` gives what is declared for one portal.
    :raises ConfigError: with every mistake of the file, whichever portal it is about.
    """
    if isinstance(source, LimitsConfig):
        config = source
    else:
        document = read(source)
        checked, problems = _check(document)
        if checked is None:
            raise ConfigError([problem for problem in problems if problem.severity == "error"], document.name)
        if on_warning is not None:
            for problem in problems:
                on_warning(problem)
        config = checked
    return config


def check_config(source: str | Path | Mapping[str, Any]) -> tuple[LimitsConfig | None, list[Problem]]:
    """Read declared limits and return everything that can be said about them.

    :param source: as in :func:`load_config`.
    :return: the model, None if it cannot be made, and the errors and warnings in the order of the text.
    """
    try:
        document = read(source)
    except ConfigError as error:
        return None, error.problems
    return _check(document)


def _check(document: Document) -> tuple[LimitsConfig | None, list[Problem]]:
    config, problems = None, []
    try:
        config = LimitsConfig.model_validate(document.data)
    except ValidationError as error:
        problems = [_problem(document, mistake) for mistake in error.errors(include_url=False)]
    problems += _cross_checks(document)
    order = {id(problem): index for index, problem in enumerate(problems)}
    problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0, order[id(problem)]))
    if config is None or any(problem.severity == "error" for problem in problems):
        return None, problems
    _locate(config, document)
    return config, problems


def _locate(config: LimitsConfig, document: Document) -> None:
    """Note where everything is declared."""
    layers: dict[DataPath, list[AssociationConfig]] = {(): config.associations}
    layers |= {("portals", name): portal.associations for name, portal in config.portals.items()}
    for layer, associations in layers.items():
        for index, association in enumerate(associations):
            path = (*layer, "associations", index)
            association._place = document.place(path)
            for name, label in association.labels.items():
                label._place = document.place((*path, "labels", name))
            for number, exact in enumerate(association.types):
                exact._place = document.place((*path, "types", number))


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


# -- mistakes in one place -------------------------------------------------------------------------------------


def _problem(document: Document, mistake: Mapping[str, Any]) -> Problem:
    """Say one of pydantic's errors in the words of the file."""
    path: DataPath = mistake["loc"]
    kind, found = mistake["type"], mistake["input"]
    if path[-1:] == ("[key]",) and kind != "extra_forbidden":  # pydantic's word for the key itself
        path = path[:-1]
    if kind == "missing":
        return document.problem(path, "is missing")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path)
        hint = _missing_blank(str(path[-1])) or nearest(str(path[-1]), allowed)
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
    if isinstance(found, str) and kind in ("model_type", "dict_type", "list_type"):
        message += _slip(document, path, found)
    if isinstance(found, str) and kind == "limit" and path[-2:-1] == ("labels",):
        place = document.place(path)
        slip = find_slip(document.lines, place.line) if place and place.line else None
        message += f"; {slip.reason}; {slip.cure}" if slip and slip.reason == COMMENT else ""
    return document.problem(path, message, found=found)


def _missing_blank(text: str) -> str:
    """Return a hint where a text is a key and its value, run together: ``Owner:1``."""
    found = re.fullmatch(r"([^:]*[^:\s]):([^:\s/]*)", text)
    return f"; a blank is missing after the colon; write {found[1]}: {found[2]}".rstrip() if found else ""


def _slip(document: Document, path: DataPath, found: str) -> str:
    """Return a hint where YAML has read less than stands there: ``Contract #1: 2`` is "Contract" and a comment."""
    place = document.place(path)
    line = place.line if place and place.line else 0
    slips = (find_slip(document.lines, number) for number in (line, line + 1))
    slip = next((each for each in slips if each), None)
    return f"; {slip.reason}; {slip.cure}" if slip else _missing_blank(found)


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
    if portals:
        problems += _ids_of_one_portal(document, base)
    elif "portals" in data and portals in (None, {}):
        problems.append(document.problem(("portals",), "is empty, which changes nothing", severity="warning"))
    for portal, overrides in portals.items() if isinstance(portals, Mapping) else ():
        path = ("portals", portal)
        if not overrides or (isinstance(overrides, Mapping) and overrides.get("associations", ...) in (None, [])):
            message = "has no overrides: the limits at the top of the file apply to this portal"
            problems.append(document.problem(path, message, severity="warning"))
        if isinstance(overrides, Mapping):
            over = _layer(document, overrides, path, problems)
            problems += _broken_rules(document, base | over, path)
    return problems


def _ids_of_one_portal(document: Document, base: Mapping[tuple[object, ...], _Declaration]) -> Iterator[Problem]:
    """Find ids at the top of a file for several portals that mean something else, or nothing, in the next one."""
    own = (AssociationCategory.USER_DEFINED.value, AssociationCategory.INTEGRATOR_DEFINED.value)
    directions: set[Direction] = set()
    for each in base.values():
        if each.kind == "type" and isinstance(each.name, tuple) and each.name[0] in own:
            message = f"{each.name[0]} {each.name[1]} is an id of one portal, and this is for all of them"
            cure = "name the label instead, or declare the id under portals"
            yield document.problem(each.path, f"{message}; {cure}", severity="warning")
        if each.direction in directions:
            continue
        directions.add(each.direction)
        for end in dict.fromkeys(each.direction):
            if re.fullmatch(r"2-\d+|p\d+_.+", end):
                message = f"{end} is an id of one portal, and this is for all of them; write p_<name>"
                yield document.problem(each.path[: each.path.index("associations") + 2], message, severity="warning")


def _empty_values(
    document: Document, item: Mapping[str, Any], direction: Direction, path: DataPath
) -> Iterator[Problem]:
    """Find values that say nothing, and say what that means. An explicit ``null`` is on purpose."""

    def warn(where: tuple[str | int, ...], message: str) -> Problem:
        return document.problem((*path, *where), message, severity="warning")

    on_purpose = "write null to say that on purpose"
    if (*path, "limit") in document.empty:
        yield warn(("limit",), f"is empty: the object limit of {direction} is not managed here; {on_purpose}")
    for key in ("labels", "types"):
        if (*path, key) in document.empty:
            yield warn((key,), f"is empty: no limit of {direction} is managed under {key}; {on_purpose}")
    labels = item.get("labels")
    for name, value in labels.items() if isinstance(labels, Mapping) else ():
        slip = _missing_blank(name)
        if value is None and slip:
            yield warn(("labels", name), f"is read as a label {show(name)} without a limit{slip}")
        elif (
            value == {}
            or (*path, "labels", name) in document.empty
            or (*path, "labels", name, "limit") in document.empty
        ):
            yield warn(("labels", name), f"has no limit: it is not managed here, and not created; {on_purpose}")
    types = item.get("types")
    for index, _ in enumerate(types if isinstance(types, list) else ()):
        if (*path, "types", index, "limit") in document.empty:
            yield warn(("types", index, "limit"), f"is empty: the limit is not managed here; {on_purpose}")
    if all(item.get(key, ...) in (..., {}, []) for key in ("limit", "labels", "types")):
        is_override = path[0] == "portals"
        means = (
            "it changes nothing" if is_override else "nothing is set, and pruning removes every limit of the direction"
        )
        yield warn((), f"declares no limit of {direction}: {means}")


def _layer(
    document: Document, data: Mapping[str, Any], path: DataPath, problems: list[Problem]
) -> dict[tuple[object, ...], _Declaration]:
    """Collect the declarations of a file, or of one portal in it, and report those made twice."""
    associations = data.get("associations")
    found: dict[tuple[object, ...], _Declaration] = {}
    for index, item in enumerate(associations if isinstance(associations, list) else ()):
        item_path = (*path, "associations", index)
        direction = _direction(item)
        if direction is None:
            continue
        problems += _empty_values(document, item, direction, item_path)
        for each in _declarations(item, direction, item_path):
            first = found.setdefault(each.key, each)
            if first is each:
                continue
            mark = document.marks.get(first.path)
            where = f"on line {mark.line}" if mark else f"at {document.problem(first.path, '').path}"
            same_object = each.direction == each.direction.inverse
            reason = "; between records of one object type both ways have one limit" if same_object else ""
            problems.append(
                document.problem(each.path, f"{each} is declared already {where}{reason}", found=each.limit)
            )
    return found


def _direction(item: Any) -> Direction | None:
    """Return the direction of an entry; None if it has none that could be read."""
    if not isinstance(item, Mapping):
        return None
    try:
        return AssociationConfig.model_validate({"from": item.get("from"), "to": item.get("to")}).direction
    except ValidationError:
        return None


def _declarations(item: Mapping[str, Any], direction: Direction, path: DataPath) -> Iterator[_Declaration]:
    """Read what can be read of one direction, part by part, so that one mistake does not hide another."""
    if "limit" in item:
        with contextlib.suppress(PydanticCustomError):  # the model reports it
            limit = None if item["limit"] is None else _limit(item["limit"])
            yield _Declaration((*path, "limit"), direction, "object", None, limit)
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

    yield from _look_alikes(document, declared, concerned)
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
            yield document.problem(
                each.path,
                f"a label's limit above {above}; HubSpot refuses to set this",
                found=each.limit,
                severity="warning",
            )
        elif each.limit == top.limit:
            yield document.problem(
                each.path,
                f"equal to {above}; HubSpot's documentation is not clear on whether it takes that",
                found=each.limit,
                severity="warning",
            )


def _look_alikes(
    document: Document,
    declared: Mapping[tuple[object, ...], _Declaration],
    concerned: Callable[..., bool],
) -> Iterator[Problem]:
    """Find two labels of one direction that a person would take for one."""
    seen: dict[tuple[Direction, str], tuple[str, _Declaration]] = {}
    for each in declared.values():
        if each.label is None or not isinstance(each.name, str):
            continue
        inverse = each.label.inverse or (each.name if each.label.create_missing else None)
        for path, direction, text in (
            (each.path, each.direction, each.name),
            ((*each.path, "inverse"), each.direction.inverse, inverse),
        ):
            if text is None:
                continue
            other, first = seen.setdefault((direction, canonical_label(text)), (text, each))
            if other != text and concerned(each, first):
                place = document.place(first.path)
                where = f" on line {place.line}" if place and place.line else ""
                message = f"looks like the label {show_exactly(other)}{where}; use one spelling"
                problem = document.problem(path, message)
                yield replace(problem, found=show_exactly(text))


def _misplaced(document: Document, each: _Declaration) -> Iterator[Problem]:
    assert isinstance(each.name, tuple)
    category, type_id = each.name
    if category not in _CATEGORIES or not 1 <= type_id <= MAX_INT32:
        message = f"{category} {type_id} is not a type that this package sends; its limit is shown, never changed"
        yield document.problem(each.path, message, severity="warning")
        return
    home = hubspot_directions().get(type_id)
    if category == AssociationCategory.HUBSPOT_DEFINED.value and home is not None and home != each.direction:
        yield document.problem(
            each.path,
            f"{category} {type_id} is a type of {home}, not of {each.direction}",
            severity="warning",
        )
