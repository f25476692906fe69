"""Client for HubSpot's Associations Schema API. All requests of this package go through :class:`HubSpotClient`.

Sources: HubSpot's guide "Associations schema" (paths, bodies), published captures of real answers (status codes).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, TypeAdapter, ValidationError

from airflow_provider_hubassoc.hubspot.answers import (
    first_mistake,
    parse_account_info,
    parse_association_names,
    parse_batch,
    parse_labels,
    parse_limits,
    parse_nothing,
    parse_purge_state,
)
from airflow_provider_hubassoc.hubspot.batches import BatchSender
from airflow_provider_hubassoc.hubspot.constants import Action
from airflow_provider_hubassoc.hubspot.errors import HubSpotRefusedAnswerError, HubSpotValidationError
from airflow_provider_hubassoc.hubspot.models import (
    AccountInfo,
    AssociationLabel,
    AssociationLimit,
    AssociationName,
    BatchAnswer,
    LimitInput,
)
from airflow_provider_hubassoc.hubspot.object_types import is_object_type
from airflow_provider_hubassoc.hubspot.retries import RetryPolicy
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings, same_origin
from airflow_provider_hubassoc.hubspot.transport import Ends, RateLimit, Transport
from airflow_provider_hubassoc.hubspot.usage import UsageApi

T = TypeVar("T")

_INPUTS = TypeAdapter(Annotated[list[LimitInput], Field(min_length=1)])


class HubSpotClient:
    """Client for limits and labels of association types, and for the portal that the token belongs to.

    A client holds one keep-alive session and can be shared by threads. Use it as a context manager, or call
    :meth:`close`.

    Every method that sends a request raises a :class:`~.errors.HubSpotError` if it fails.

    :param settings: address, credentials and transport (see :class:`~.settings.HubSpotSettings`).
    :param connection_name: id of the Airflow connection, for error messages.
    :param reread_settings: called after HubSpot rejected the token; returns the settings as stored now, or None if
        they cannot be read. If they hold other credentials for the same host, the request is repeated with those.
    :param on_new_token: called with every OAuth token that HubSpot issues, before it is used.
    :param sleep: waits the given seconds between attempts; may raise an exception to end the call early.
    """

    inputs_per_request = 100
    """Maximum number of inputs per request; larger batches are split. HubSpot documents no maximum for these
    endpoints; a pair has at most about 50 labels each way."""

    def __init__(
        self,
        settings: HubSpotSettings,
        *,
        connection_name: str | None = None,
        reread_settings: Callable[[], HubSpotSettings | None] | None = None,
        on_new_token: Callable[[str], None] = lambda token: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = settings.base_url
        self.api_version = settings.api_version
        self.transport = Transport(
            settings,
            connection_name=connection_name,
            reread_settings=reread_settings,
            on_new_token=on_new_token,
            sleep=sleep,
        )
        self._retry_policy = RetryPolicy(max_retries=settings.max_retries)

    def __enter__(self) -> HubSpotClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the session's connections."""
        self.transport.session.close()

    @property
    def rate_limit(self) -> RateLimit | None:
        """State of the ten-second limit in the latest answer that included it; None if no answer did."""
        return self.transport.rate_limit

    def without_retries(self) -> HubSpotClient:
        """Return a client over the same session that leaves repeating failed requests to its caller.

        It still replaces a token that HubSpot rejects, or repeats the request once after a pause.
        """
        client = copy.copy(self)
        client._retry_policy = RetryPolicy(max_retries=0)
        return client

    # -- limits --

    def create_limits(
        self,
        from_object_type: str,
        to_object_type: str,
        inputs: Sequence[LimitInput | Mapping[str, Any]],
        *,
        resend: bool = False,
    ) -> BatchAnswer:
        """Set limits on association types of one direction.

        HubSpot does not document whether it accepts the same create twice. If no answer arrives, the client reads
        the limits of the direction and sends those not in force as an update, which is idempotent and creates
        missing limits. The results include limits that were in force already.

        :param from_object_type: object type in any spelling that HubSpot accepts.
        :param to_object_type: the object type on the other side.
        :param inputs: each ``{"category", "typeId", "maxToObjectIds"}``.
        :param resend: True if the inputs may have been sent before; the client then reads the limits first.
        :return: HubSpot's answer; for several requests, their combined answers. Evaluate it with
            :class:`~airflow_provider_hubassoc.limits.operation.BatchOperation`, not by the HTTP status.
        """
        return self.send_batch("create", from_object_type, to_object_type, inputs, resend=resend)

    def update_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | Mapping[str, Any]]
    ) -> BatchAnswer:
        """Change limits of association types of one direction; HubSpot creates limits that are missing.

        Takes and returns the same as :meth:`create_limits`. The request is idempotent, so it is repeated if no answer
        arrives.
        """
        return self.send_batch("update", from_object_type, to_object_type, inputs)

    def purge_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | Mapping[str, Any]]
    ) -> BatchAnswer:
        """Remove limits from association types of one direction; types without a limit stay unchanged.

        :param inputs: each ``{"category", "typeId"}``.
        :return: COMPLETE, usually without results: HubSpot answers with an empty body (HTTP 204), or with results
            that are not limits, which are ignored.
        """
        return self.send_batch("purge", from_object_type, to_object_type, inputs)

    def send_batch(
        self,
        action: Action,
        from_object_type: str,
        to_object_type: str,
        inputs: Sequence[LimitInput | Mapping[str, Any]],
        *,
        resend: bool = False,
    ) -> BatchAnswer:
        """Send one batch of limits of one direction.

        :param action: ``create``, ``update`` or ``purge``; the method of each describes HubSpot's reaction.
        :param resend: used by ``create`` only; see :meth:`create_limits`.
        :return: HubSpot's answer; for several requests, their combined answers.
        """
        ends = from_object_type, to_object_type
        limit_inputs = self._as_limit_inputs(inputs, ends)
        sender = BatchSender(self.transport, self._retry_policy, self._limits_path(*ends), ends)
        return sender.send(action, limit_inputs, inputs_per_request=self.inputs_per_request, resend=resend)

    def get_limits(self, from_object_type: str, to_object_type: str) -> list[AssociationLimit]:
        """Return the limits of one direction. Association types without a limit are missing or have None."""
        ends = from_object_type, to_object_type
        return self._request("GET", self._limits_path(*ends), parse_limits, ends=ends)

    def get_all_limits(self) -> list[AssociationLimit]:
        """Return the limits of the whole portal. HubSpot does not include the object types."""
        return self._request("GET", f"{self._schema_path}/definitions/configurations/all", parse_limits)

    def get_status(self, url: str, action: Action | None = None) -> BatchAnswer:
        """Return the state of an operation, read from the link in the answer that started it.

        :param url: the link; must have the origin of the API.
        :param action: action of the operation; results of a purge that are not limits are ignored.
        :raises HubSpotRefusedAnswerError: if the link has another origin; nothing is sent then.
        """
        if not same_origin(url, self.base_url):
            raise HubSpotRefusedAnswerError(
                "The status link leads away from the HubSpot API and is not followed", **self.transport.error_context()
            )
        parts = urlsplit(url)
        parse = parse_purge_state if action == "purge" else parse_batch
        return self._request("GET", urlunsplit(("", "", parts.path, parts.query, "")), parse)

    # -- labels --

    def get_labels(self, from_object_type: str, to_object_type: str) -> list[AssociationLabel]:
        """Return the association types of one direction; ``label`` of the unlabeled type is None."""
        ends = from_object_type, to_object_type
        return self._request("GET", self._labels_path(*ends), parse_labels, ends=ends)

    def create_label(
        self,
        from_object_type: str,
        to_object_type: str,
        *,
        label: str,
        name: str,
        inverse_label: str | None = None,
    ) -> list[AssociationLabel]:
        """Create a label, which is an association type of the portal.

        :param label: text shown on this side.
        :param name: internal name, unique in the portal; without hyphens, not starting with a digit.
        :param inverse_label: text shown on the other side; None for the same text on both sides.
        :return: the new association types in no reliable order: read the labels of each direction to learn which id
            belongs to which side.
        """
        body = {"label": label, "name": name}
        if inverse_label is not None:
            body["inverseLabel"] = inverse_label
        ends = from_object_type, to_object_type
        return self._request("POST", self._labels_path(*ends), parse_labels, body, ends=ends, idempotent=False)

    def update_label(
        self,
        from_object_type: str,
        to_object_type: str,
        *,
        association_type_id: int,
        label: str,
        inverse_label: str | None = None,
    ) -> None:
        """Rename a label.

        :param inverse_label: required for a paired label: without it HubSpot sets ``label`` on both sides.
        """
        body: dict[str, Any] = {"associationTypeId": association_type_id, "label": label}
        if inverse_label is not None:
            body["inverseLabel"] = inverse_label
        ends = from_object_type, to_object_type
        self._request("PUT", self._labels_path(*ends), parse_nothing, body, ends=ends)

    def delete_label(self, from_object_type: str, to_object_type: str, association_type_id: int) -> None:
        """Delete a label and its inverse, by the id of either. No record may use the label."""
        ends = from_object_type, to_object_type
        self._request("DELETE", f"{self._labels_path(*ends)}/{association_type_id:d}", parse_nothing, ends=ends)

    def get_association_names(self, object_type: str) -> list[AssociationName]:
        """Read the internal names of the association types from and to one object type.

        Unlike all other methods, it needs a scope for object schemas (``crm.schemas.contacts.read`` and others).
        """
        version = "v3" if self.api_version == "v4" else self.api_version
        path = f"/crm-object-schemas/{version}/schemas/{self.path_segment(object_type)}"
        return self._request("GET", path, parse_association_names)

    # -- account --

    def account_info(self) -> AccountInfo:
        """Return the portal that the token belongs to. Requires the scope ``oauth``.

        The request always uses version 2026-03 of the account API; ``api_version`` applies to associations only.
        """
        info = self._request("GET", "/account-info/2026-03/details", parse_account_info)
        self.transport.time_zone = info.time_zone
        return info

    # -- usage --

    @property
    def usage(self) -> UsageApi:
        """The Limits Tracking API: what the portal has, and how full its limits are."""
        return UsageApi(self)

    def read(self, path: str, parse: Callable[[Any], T]) -> T:
        """Read from a path of HubSpot's API; ``parse`` converts the JSON of the answer."""
        return self._request("GET", path, parse)

    # -- paths and inputs --

    def path_segment(self, object_type: str) -> str:
        """Return an object type as one segment of a path."""
        if is_object_type(object_type):
            return quote(object_type, safe="")
        shown = repr(object_type)[:60] if isinstance(object_type, str) else f"a {type(object_type).__name__}"
        raise HubSpotValidationError(
            f'{shown} is not an object type. Write "contacts", "0-1" or, for custom objects, "p_name" or "2-123".',
            **self.transport.error_context(),
        )

    @property
    def _schema_path(self) -> str:
        # HubSpot serves v4 under two paths; this is the one that its documentation of v4 and its own client use.
        return "/crm/v4/associations" if self.api_version == "v4" else f"/crm/associations/{self.api_version}"

    def _limits_path(self, from_object_type: str, to_object_type: str) -> str:
        pair = f"{self.path_segment(from_object_type)}/{self.path_segment(to_object_type)}"
        return f"{self._schema_path}/definitions/configurations/{pair}"

    def _labels_path(self, from_object_type: str, to_object_type: str) -> str:
        return f"{self._schema_path}/{self.path_segment(from_object_type)}/{self.path_segment(to_object_type)}/labels"

    def _as_limit_inputs(self, inputs: Sequence[LimitInput | Mapping[str, Any]], ends: Ends) -> list[LimitInput]:
        """Convert mappings; a LimitInput was validated when it was made and is not checked again."""
        try:
            return _INPUTS.validate_python(inputs)
        except ValidationError as error:
            mistake = first_mistake(error, "inputs")
            raise HubSpotValidationError(mistake, **self.transport.error_context(ends)) from None

    # -- requests --

    def _request(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        body: Any = None,
        *,
        ends: Ends | None = None,
        idempotent: bool = True,
    ) -> T:
        """Send a request, repeated as the retry policy allows; ``parse`` converts the JSON of the answer."""
        return self.transport.repeat(
            lambda: self.transport.send(method, path, parse, body, ends),
            self._retry_policy,
            ends=ends,
            idempotent=idempotent,
        )
