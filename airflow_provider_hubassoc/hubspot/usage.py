"""HubSpot's Limits Tracking API: what a portal has, and how full its limits are. It only reads.

The counts may lag behind the portal; treat them as "at least". HubSpot does not document from which percentage of a
limit a record counts as near it.

Sources: HubSpot's specification "Limits Tracking"; the lag of up to 40 seconds was observed with labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from airflow_provider_hubassoc.hubspot.answers import parse_rows, parse_with
from airflow_provider_hubassoc.hubspot.models import WireModel, none_to_list
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.hubspot.parsing import MAX_TEXT

if TYPE_CHECKING:
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient

T = TypeVar("T")

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value)[:MAX_TEXT])]
Count = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]
Percentage = Annotated[float, BeforeValidator(lambda value: 0.0 if value is None else value)]


class ObjectTypeName(WireModel):
    """An object type and its names, as people see them."""

    object_type_id: str
    singular_label: Text = ""
    plural_label: Text = ""


class LabelUsage(WireModel):
    """The labels that the portal has made for one direction.

    :param limit: largest number of labels that the portal's subscription allows for the pair.
    :param usage: number of labels.
    :param all_labels: texts of the labels, as seen from this direction.
    """

    from_object_type: ObjectTypeName
    to_object_type: ObjectTypeName
    limit: Count = 0
    usage: Count = 0
    all_labels: Annotated[list[Text], BeforeValidator(none_to_list)] = Field(default_factory=list)


class ObjectTypeAtLimit(ObjectTypeName):
    """An object type that has records at or near a limit."""

    has_records_at_limit: bool = False
    has_records_near_limit: bool = False


class RecordSample(WireModel):
    """A record at or near a limit.

    :param label: name of the record.
    :param usage: number of associations; None for a record at the limit.
    :param percentage: how full the limit is, 0 to 100; None for a record at the limit.
    """

    object_id: Annotated[str, BeforeValidator(str)]
    label: Text = ""
    usage: int | None = None
    percentage: float | None = None


class RecordsAtLimit(WireModel):
    """How many records of one direction are at or near a limit, and a few of them.

    :param limit: HubSpot does not document whether this is the subscription's limit or the one that a user has set.
    """

    limit: Count = 0
    total_records_at_limit: Count = 0
    total_records_near_limit: Count = 0
    at_limit_from_record_samples: Annotated[list[RecordSample], BeforeValidator(none_to_list)] = Field(
        default_factory=list
    )
    near_limit_from_record_samples: Annotated[list[RecordSample], BeforeValidator(none_to_list)] = Field(
        default_factory=list
    )


class RecordUsage(ObjectTypeName):
    """How many records of an object type a portal has; custom object types share one limit and have none here."""

    usage: Count = 0
    limit: int | None = None


class CustomRecordUsage(WireModel):
    """How many records of all custom object types a portal has."""

    overall_limit: Count = 0
    overall_usage: Count = 0
    by_object_type: Annotated[list[RecordUsage], BeforeValidator(none_to_list)] = Field(default_factory=list)


class PortalRecords(WireModel):
    """How many records a portal has of each object type; it names every custom object type."""

    hubspot_defined_object_types: Annotated[list[RecordUsage], BeforeValidator(none_to_list)] = Field(
        default_factory=list
    )
    custom_object_types: CustomRecordUsage = Field(default_factory=CustomRecordUsage)


class Usage(WireModel):
    """How much of a limit is used; ``percentage`` is 0 to 100."""

    limit: Count = 0
    usage: Count = 0
    percentage: Percentage = 0.0


class UsageApi:
    """Endpoints of the Limits Tracking API. They require the same scopes as the limits; none of them is paged.

    Every method raises a :class:`~.errors.HubSpotError` if its request fails.

    :param client: sends the requests.
    """

    def __init__(self, client: HubSpotClient) -> None:
        self._client = client

    def labels(self) -> list[LabelUsage]:
        """Return every direction that has labels of the portal's own, with their texts, custom objects included."""
        return self._read("associations/labels", parse_rows(LabelUsage))

    def object_types_at_limit(self) -> list[ObjectTypeAtLimit]:
        """Return the object types that have records at or near a limit of any direction."""
        return self._read("associations/records/from", parse_rows(ObjectTypeAtLimit))

    def object_types_at_limit_from(self, from_object_type: str) -> list[ObjectTypeAtLimit]:
        """Return the object types on the other side of the full directions that begin at one object type.

        :param from_object_type: id or standard name; the names of custom objects are not accepted.
        """
        path = f"associations/records/{self._id(from_object_type)}/to"
        return self._read(path, parse_rows(ObjectTypeAtLimit))

    def records_at_limit(self, from_object_type: str, to_object_type: str) -> RecordsAtLimit:
        """Return how many records of one direction are at or near a limit. Parameters as above."""
        path = f"associations/records/{self._id(from_object_type)}/{self._id(to_object_type)}"
        return self._read(path, parse_with(RecordsAtLimit))

    def records(self) -> PortalRecords:
        """Return how many records there are of each object type."""
        return self._read("records", parse_with(PortalRecords))

    def custom_object_types(self) -> Usage:
        """Return how many custom object types the portal has, and how many it may have."""
        return self._read("custom-object-types", parse_with(Usage))

    def _id(self, object_type: str) -> str:
        return self._client.path_segment(normalize(object_type))

    def _read(self, path: str, parse: Callable[[Any], T]) -> T:
        version = "v3" if self._client.api_version == "v4" else self._client.api_version
        return self._client.read(f"/crm/limits/{version}/{path}", parse)
