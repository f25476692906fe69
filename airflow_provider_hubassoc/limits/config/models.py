"""Models of declared limits: the whole file, its parts, and its declarations for one portal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)
from pydantic_core import CoreSchema

from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.limits.config.values import (
    Category,
    InternalName,
    Label,
    Limit,
    ObjectType,
    PortalKey,
    TypeId,
    Version,
)
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.problems import ConfigError, Place, Problem, did_you_mean, show

_LIMIT_VALUES = 'A whole number of at least 1, "unlimited" to remove any limit, or null to leave the limit unmanaged.'


class _Declaration(BaseModel):
    """Base of the parts of a file: unknown keys are mistakes, and a value of another type is not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    _place: Place | None = PrivateAttr(default=None)

    @property
    def place(self) -> Place | None:
        """Where this is declared; None if it came from no text."""
        return self._place

    def set_place(self, place: Place | None) -> None:
        """Note where this is declared."""
        self._place = place

    def __eq__(self, other: object) -> bool:
        # Declarations with the same content are equal, wherever they are written.
        return type(self) is type(other) and self.__dict__ == other.__dict__


def _null_means(empty: Callable[[], Any], schema_type: Any) -> BeforeValidator:
    """Return a validator that replaces null by an empty list or dict."""
    return BeforeValidator(lambda value: empty() if value is None else value, json_schema_input_type=schema_type)


class LabelConfig(_Declaration):
    """Limit of a label. A file may also give the limit alone.

    :param limit: the label limit; None if the file does not manage it.
    :param create_missing: create the label if the portal does not have it.
    :param inverse: label of the opposite direction for a label that is created; None for the same text.
    :param name: internal name for a label that is created; None to derive it from the label and the object types.
    """

    limit: Limit | None = Field(
        default=None,
        description=f"Label limit: how many associations with this label a record may have. {_LIMIT_VALUES}",
        examples=[1, "unlimited", None],
    )
    create_missing: bool = Field(
        default=False, description="Create the label if the portal does not have it.", examples=[True]
    )
    inverse: Label | None = Field(
        default=None,
        description="Label of the opposite direction, used when the label is created. "
        "By default both directions get the same label.",
        examples=["Decides on"],
    )
    name: InternalName | None = Field(
        default=None,
        description="Internal name in HubSpot, used when the label is created; unique in the portal. "
        "By default it is derived from the label and the object types.",
        examples=["decision_maker"],
    )

    @model_validator(mode="before")
    @classmethod
    def _from_limit_alone(cls, value: Any) -> Any:
        return value if isinstance(value, (Mapping, LabelConfig)) else {"limit": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the limit alone to the JSON Schema."""
        full = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [*full["properties"]["limit"]["anyOf"], full]}

    @property
    def is_created(self) -> bool:
        """True if the label is created where the portal lacks it; never with a limit that is empty or null."""
        return self.create_missing and not (self.limit is None and "limit" in self.model_fields_set)

    @property
    def is_intended(self) -> bool:
        """True if the file says something about the label; an empty value may be a slip and says nothing."""
        describes_label = self.model_fields_set & {"inverse", "name"} and "limit" not in self.model_fields_set
        return self.create_missing or self.limit is not None or bool(describes_label)

    def overridden_by(self, override: LabelConfig) -> LabelConfig:
        """Return this label with the values of an override. A new limit alone keeps how the label is created."""
        changes = {name: getattr(override, name) for name in override.model_fields_set}
        if override.limit is None and "limit" in override.model_fields_set:
            changes = {"create_missing": False, **changes}  # a label that becomes unmanaged is not created either
        merged = self.model_copy(update=changes)
        merged.set_place(override.place or self.place)
        return merged


class TypeConfig(_Declaration):
    """Limit of an association type given by category and id.

    :param category: who defined the type.
    :param type_id: id of the type; only with the category it identifies the type.
    :param limit: the limit; None if the file does not manage it.
    """

    category: Category = Field(description="Category of the association type: who defined it.")
    type_id: TypeId = Field(
        alias="typeId",
        description="Id of the association type. Only category and id together identify a type.",
        examples=[5],
    )
    limit: Limit | None = Field(
        description=f"Limit of the association type. {_LIMIT_VALUES}", examples=[1, "unlimited", None]
    )

    @property
    def identity(self) -> TypeIdentity:
        """Identity of the association type."""
        return (self.category, self.type_id)


class AssociationConfig(_Declaration):
    """Limits of one direction.

    A limit written as null (in YAML also: with nothing after the colon) is not managed: it is in the model, as None.
    A key that the file does not have is not in ``model_fields_set``.

    :param from_object_type: object type whose records are limited (``from``).
    :param to_object_type: object type of the associated records (``to``).
    :param limit: the object limit, of the unlabeled association type; None if the file does not manage it.
    :param labels: label limits by label.
    :param types: limits of association types given by category and id.
    """

    from_object_type: ObjectType = Field(
        alias="from",
        description="Object type whose records are limited: a name such as contacts, an id such as 0-1 or 2-123, or "
        "p_<name> for a custom object.",
    )
    to_object_type: ObjectType = Field(
        alias="to", description="Object type of the associated records, spelled in the same way as from."
    )
    limit: Limit | None = Field(
        default=None,
        description="Object limit: how many records of the other object type a record may be associated with. "
        f"{_LIMIT_VALUES}",
        examples=[5, "unlimited", None],
    )
    labels: Annotated[dict[Label, LabelConfig], _null_means(dict, dict[str, LabelConfig] | None)] = Field(
        default_factory=dict,
        description="Label limits by label. The value is the limit, or a mapping with the keys of a label.",
        examples=[{"Billing contact": 1, "Decision maker": {"limit": 2, "create_missing": True}}],
    )
    types: Annotated[list[TypeConfig], _null_means(list, list[TypeConfig] | None)] = Field(
        default_factory=list,
        description="Limits of association types given by category and id, such as types without a label.",
        examples=[[{"category": "HUBSPOT_DEFINED", "typeId": 5, "limit": 1}]],
    )

    _null_keys: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="wrap")
    @classmethod
    def _note_null(cls, value: Any, handler: ModelWrapValidatorHandler[AssociationConfig]) -> AssociationConfig:
        association = handler(value)
        if isinstance(value, Mapping):
            association._null_keys = frozenset(
                key for key in ("labels", "types") if key in value and value[key] is None
            )
        return association

    @property
    def direction(self) -> Direction:
        """Direction, with the object types as they are written."""
        return Direction(self.from_object_type, self.to_object_type)

    @property
    def canonical_direction(self) -> Direction:
        """Direction in the form in which directions are compared."""
        return self.direction.canonical

    @property
    def is_prunable(self) -> bool:
        """True if limits of the direction that the file does not mention may be pruned.

        False where ``labels`` or ``types`` is null, because the file does not tell which limits that leaves unmanaged.
        """
        return not self._null_keys

    def overridden_by(self, override: AssociationConfig) -> AssociationConfig:
        """Return these limits with the values of an override, null included."""
        changes: dict[str, Any] = {}
        if "limit" in override.model_fields_set:
            changes["limit"] = override.limit
        if "labels" in override.model_fields_set:
            labels = dict(self.labels)
            if "labels" in override._null_keys:
                labels = {name: label.overridden_by(LabelConfig(limit=None)) for name, label in labels.items()}
            for name, label in override.labels.items():
                labels[name] = labels[name].overridden_by(label) if name in labels else label
            changes["labels"] = labels
        if "types" in override.model_fields_set:
            types = {exact.identity: exact for exact in self.types}
            if "types" in override._null_keys:
                types = {identity: exact.model_copy(update={"limit": None}) for identity, exact in types.items()}
            changes["types"] = list((types | {exact.identity: exact for exact in override.types}).values())
        merged = self.model_copy(update=changes)
        merged.set_place(override.place or self.place)
        merged._null_keys = self._null_keys | override._null_keys
        return merged


class PortalConfig(_Declaration):
    """Limits that differ in one portal. A limit of null is not managed there."""

    associations: Annotated[list[AssociationConfig], _null_means(list, list[AssociationConfig] | None)] = Field(
        description="Limits that differ in this portal, written as in the general list of associations. A limit that "
        "is not mentioned here stays as declared there; null leaves it unmanaged in this portal.",
        examples=[[{"from": "contacts", "to": "companies", "limit": 3}]],
    )

    @model_validator(mode="before")
    @classmethod
    def _from_nothing(cls, value: Any) -> Any:
        return {"associations": None} if value is None else value


class LimitsConfig(_Declaration):
    """Association limits of HubSpot portals.

    :param version: version of the file format.
    :param associations: the limits of each direction, for all portals.
    :param portals: overrides by portal id or connection id.
    :param json_schema: address of the JSON Schema for editors (``$schema``).
    """

    model_config = ConfigDict(title="HubSpot association limits")

    json_schema: str | None = Field(
        default=None,
        alias="$schema",
        description="Address of the JSON Schema, for editors. It is for JSON files, which have no comments.",
        examples=["./hubassoc.schema.json"],
    )
    version: Version = Field(description="Version of the file format: 1.", examples=[1])
    associations: list[AssociationConfig] = Field(
        description="Limits of each direction, for all portals.",
        examples=[[{"from": "contacts", "to": "companies", "limit": 5, "labels": {"Billing contact": 1}}]],
    )
    portals: Annotated[dict[PortalKey, PortalConfig], _null_means(dict, dict[str, PortalConfig] | None)] = Field(
        default_factory=dict,
        description="Limits that differ between portals, by portal id or Airflow connection id.",
        examples=[{"12345": {"associations": [{"from": "contacts", "to": "companies", "limit": 3}]}}],
    )

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
            direction = association.canonical_direction
            base = merged.get(direction)
            merged[direction] = association if base is None else base.overridden_by(association)
        return ResolvedConfig(
            associations=list(merged.values()),
            portal=portal,
            note=self._note(portal, names),
            needs_portal_id=bool(self.portals) and portal is None and portal_id is None,
        )

    def _require_portal(self, name: str) -> str:
        if name in self.portals:
            return name
        names = ", ".join(map(show, self.portals)) or "none"
        message = f"the file has no such portal; it has {names}{did_you_mean(name, self.portals)}"
        raise ConfigError([Problem(message, "portal", found=show(name))])

    def _note(self, portal: str | None, names: Sequence[str]) -> str | None:
        if not self.portals:
            return None
        if portal is not None:
            return f"The overrides of portal {show(portal)} in the file apply."
        none_matches = f", and none is called {' or '.join(map(show, names))}" if names else ""
        return f"No overrides apply: the file has portals {', '.join(map(show, self.portals))}{none_matches}."


@dataclass(frozen=True)
class ResolvedConfig:
    """Limits declared for one portal: each direction once, with the overrides of the portal applied.

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
        return replace(self, associations=[_with_missing_labels(entry, create) for entry in self.associations])


def _with_missing_labels(association: AssociationConfig, create: bool) -> AssociationConfig:
    labels = {
        text: label.model_copy(update={"create_missing": create and label.is_intended})
        for text, label in association.labels.items()
    }
    return association.model_copy(update={"labels": labels})
