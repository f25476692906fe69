"""Requests to and answers of HubSpot's Associations Schema API, as pydantic models.

Parsing is tolerant: unknown fields are ignored, and fields may be missing, because HubSpot's answers lack fields that
its specification calls required. A field of a wrong type is an error that names the field.

Source: HubSpot's guide "Associations schema" and published captures of real answers.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from airflow_provider_hubassoc.hubspot.constants import MAX_INT32, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.parsing import MAX_TEXT

MAX_ERRORS = 500
"""Maximum number of errors kept from one answer; a request has at most 100 inputs."""

MAX_CONTEXT_ENTRIES = 20
"""Maximum number of entries kept of the context of one error."""


class BatchStatus(str, Enum):
    """Status of a batch."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETE = "COMPLETE"
    CANCELED = "CANCELED"

    @property
    def is_terminal(self) -> bool:
        """Whether HubSpot has finished the batch."""
        return self in (BatchStatus.COMPLETE, BatchStatus.CANCELED)


def _none_to_empty(value: Any) -> Any:
    return {} if value is None else value


def none_to_list(value: Any) -> Any:
    """Return an empty list for a field that HubSpot answers with null."""
    return [] if value is None else value


def _shortened(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _short_context(value: Any) -> Any:
    """Drop long and surplus entries: HubSpot's contexts are lists of one or two names."""
    if not isinstance(value, dict):
        return _none_to_empty(value)
    entries = list(value.items())[:MAX_CONTEXT_ENTRIES]
    return {name: entry for name, entry in entries if len(name) + len(str(entry)) <= MAX_TEXT}


def _first_errors(value: Any) -> Any:
    """Keep the first errors only; a report may repeat an error for every input that it concerns."""
    return none_to_list(value[:MAX_ERRORS] if isinstance(value, list) else value)


class WireModel(BaseModel):
    """Base class of all models: camelCase on the wire, snake_case in Python, immutable, unknown fields ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_wire(self) -> dict[str, Any]:
        """Return the model in HubSpot's format (camelCase keys, plain JSON types)."""
        return self.model_dump(mode="json", by_alias=True)


class LimitInput(WireModel):
    """One input of a batch: an association type and, for create and update, its limit.

    It is validated when it is made; no later step validates it again.
    """

    category: AssociationCategory
    type_id: int = Field(strict=True, ge=1, le=MAX_INT32)
    max_to_object_ids: int | None = Field(default=None, strict=True, ge=1, le=MAX_INT32)

    @property
    def identity(self) -> TypeIdentity:
        """Identity of the association type."""
        return (self.category.value, self.type_id)

    def to_wire(self) -> dict[str, Any]:
        """Return the input in HubSpot's format; an input of a purge has no ``maxToObjectIds``."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class AssociationLimit(WireModel):
    """Limit of one association type in one direction; ``max_to_object_ids`` is None if it is unlimited."""

    category: str
    type_id: int
    max_to_object_ids: int | None = Field(default=None, alias="userEnforcedMaxToObjectIds")
    label: str | None = None

    @property
    def identity(self) -> TypeIdentity:
        """Identity of the association type."""
        return (self.category, self.type_id)


class AssociationLabel(WireModel):
    """One association type of one direction; ``label`` of the unlabeled type is None.

    Source: HubSpot's guide; an unlabeled type of a pair with a custom object is USER_DEFINED.
    """

    category: str
    type_id: int
    label: str | None = None

    @property
    def identity(self) -> TypeIdentity:
        """Identity of the association type."""
        return (self.category, self.type_id)


class AssociationName(WireModel):
    """The internal name of one association type, as an object's schema lists it. It never changes.

    Source: a published live capture of "Object schemas"; its rows do not say who defined the type.
    """

    type_id: int = Field(alias="id")
    name: str | None = None


class ErrorDetail(WireModel):
    """One error in an answer of HubSpot. Every field is optional, as HubSpot requires of clients that parse errors."""

    category: Annotated[str | None, BeforeValidator(_shortened)] = None
    sub_category: Annotated[str | None, BeforeValidator(lambda v: v if v is None else _shortened(str(v)))] = None
    message: Annotated[str, BeforeValidator(lambda v: "" if v is None else _shortened(v))] = ""
    context: Annotated[dict[str, Any], BeforeValidator(_short_context)] = Field(default_factory=dict)


class BatchAnswer(WireModel):
    """HubSpot's answer to a batch of limits, or the state of the batch read from its status link."""

    status: BatchStatus
    results: Annotated[list[AssociationLimit], BeforeValidator(none_to_list)] = Field(default_factory=list)
    errors: Annotated[list[ErrorDetail], BeforeValidator(_first_errors)] = Field(default_factory=list)
    num_errors: Annotated[int, BeforeValidator(lambda v: 0 if v is None else v)] = 0
    links: Annotated[dict[str, Any], BeforeValidator(_none_to_empty)] = Field(default_factory=dict)
    requested_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    correlation_id: str | None = None


class AccountInfo(WireModel):
    """The portal that a token belongs to. Source: HubSpot's "Account information" API."""

    portal_id: int
    account_type: str = "UNKNOWN"
    time_zone: str | None = None
    ui_domain: str = "app.hubspot.com"
