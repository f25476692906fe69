"""What goes over the wire to HubSpot's Associations Schema API, both ways.

Readers are tolerant: unknown fields are ignored, missing optional fields are fine (HubSpot's real answers lack
fields that its specification calls required), a wrong type is an error that names the field.

Source: HubSpot's guide "Associations schema" and published captures of real answers.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from airflow_provider_hubassoc.hubspot.errors import MAX_TEXT

Action = Literal["create", "update", "purge"]
"""What a batch does with limits; the last part of the path of HubSpot's batch endpoints."""

MAX_ERRORS = 500
"""Errors that are taken over from one answer; a batch is of 100 inputs at most."""

MAX_INT32 = 2**31 - 1
"""Largest ``typeId`` and ``maxToObjectIds``: HubSpot types both as int32."""

TypeIdentity = tuple[str, int]
"""(category, typeId): the identity of an association type. ``typeId`` alone is not one: HubSpot numbers its own
types and the portal's independently."""


class AssociationCategory(str, Enum):
    """Who defined an association type."""

    HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
    USER_DEFINED = "USER_DEFINED"
    INTEGRATOR_DEFINED = "INTEGRATOR_DEFINED"
    WORK = "WORK"


class BatchStatus(str, Enum):
    """Status of a batch operation."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETE = "COMPLETE"
    CANCELED = "CANCELED"

    @property
    def is_terminal(self) -> bool:
        """Whether HubSpot will do nothing more about the operation."""
        return self in (BatchStatus.COMPLETE, BatchStatus.CANCELED)


def _none_to_empty(value: Any) -> Any:
    return {} if value is None else value


def _none_to_list(value: Any) -> Any:
    return [] if value is None else value


def _shortened(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _short_context(value: Any) -> Any:
    """Keep what is no payload: HubSpot's contexts are lists of a name or two."""
    if not isinstance(value, dict):
        return _none_to_empty(value)
    return {name: each for name, each in list(value.items())[:20] if len(name) + len(str(each)) <= MAX_TEXT}


def _first_errors(value: Any) -> Any:
    """Take the first errors only: each is told of every input it may speak of."""
    return _none_to_list(value[:MAX_ERRORS] if isinstance(value, list) else value)


class WireModel(BaseModel):
    """Base of all models: camelCase on the wire, snake_case in Python, immutable, tolerant of unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_wire(self) -> dict[str, Any]:
        """Return the model as HubSpot writes it (camelCase keys, plain JSON types)."""
        return self.model_dump(mode="json", by_alias=True)


class LimitInput(WireModel):
    """One input of a batch: which association type, and for create and update its limit."""

    category: AssociationCategory
    type_id: int = Field(strict=True, ge=1, le=MAX_INT32)
    max_to_object_ids: int | None = Field(default=None, strict=True, ge=1, le=MAX_INT32)

    @property
    def identity(self) -> TypeIdentity:
        """The association type this input is about."""
        return (self.category.value, self.type_id)

    def to_wire(self) -> dict[str, Any]:
        """Return the input as HubSpot takes it; a purge input has no ``maxToObjectIds``."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class AssociationLimit(WireModel):
    """The limit of one association type in one direction; ``max_to_object_ids`` None means unlimited."""

    category: str
    type_id: int
    max_to_object_ids: int | None = Field(default=None, alias="userEnforcedMaxToObjectIds")
    label: str | None = None

    @property
    def identity(self) -> TypeIdentity:
        """The association type this limit is about."""
        return (self.category, self.type_id)


class AssociationLabel(WireModel):
    """One association type of one direction; the unlabeled type has no label.

    Source: HubSpot's guide; an unlabeled type of a pair with a custom object is USER_DEFINED.
    """

    category: str
    type_id: int
    label: str | None = None

    @property
    def identity(self) -> TypeIdentity:
        """The association type this label names."""
        return (self.category, self.type_id)


class AssociationName(WireModel):
    """The internal name of one association type, as an object's schema lists it. It never changes.

    Source: a published live capture of "Object schemas"; its rows do not say who defined the type.
    """

    type_id: int = Field(alias="id")
    name: str | None = None


class ErrorDetail(WireModel):
    """One error inside an answer of HubSpot. Every field is optional, as HubSpot asks of those who parse errors."""

    category: Annotated[str | None, BeforeValidator(_shortened)] = None
    sub_category: Annotated[str | None, BeforeValidator(lambda v: v if v is None else _shortened(str(v)))] = None
    message: Annotated[str, BeforeValidator(lambda v: "" if v is None else _shortened(v))] = ""
    context: Annotated[dict[str, Any], BeforeValidator(_short_context)] = Field(default_factory=dict)


class BatchAnswer(WireModel):
    """HubSpot's answer to a batch of limits, or the state of the operation it started."""

    status: BatchStatus
    results: Annotated[list[AssociationLimit], BeforeValidator(_none_to_list)] = Field(default_factory=list)
    errors: Annotated[list[ErrorDetail], BeforeValidator(_first_errors)] = Field(default_factory=list)
    num_errors: Annotated[int, BeforeValidator(lambda v: 0 if v is None else v)] = 0
    links: Annotated[dict[str, Any], BeforeValidator(_none_to_empty)] = Field(default_factory=dict)
    requested_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    correlation_id: str | None = None


class AccountInfo(WireModel):
    """The portal behind a token. Source: HubSpot's "Account information" API."""

    portal_id: int
    account_type: str = "UNKNOWN"
    time_zone: str | None = None
    ui_domain: str = "app.hubspot.com"
