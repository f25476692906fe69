"""Errors raised by the HubSpot client, all derived from :class:`HubSpotError`.

Each error carries the connection and the direction of the request, the HTTP status, HubSpot's category and
subCategory, its message and the correlation id that HubSpot's support asks for. Two attributes say how to react:

``transient``
    The client may send the same request again, within its retry policy.
``retryable``
    A later attempt may succeed without any change, so Airflow should retry the task; if ``retry_after`` is set, not
    before that many seconds.

Sources: HubSpot's pages "Handling errors" and "API usage guidelines", and published captures of error bodies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.object_types import display_name, normalize

MAX_TEXT = 500
"""Maximum number of characters kept of one text from HubSpot: a sentence, never a whole payload."""

LONGEST_RETRY_AFTER = 7 * 86_400.0
"""Seconds. HubSpot's longest is one day, until the daily limit resets; more than a week is not plausible."""

_MAX_SCOPES = 100
"""Maximum number of scopes kept; HubSpot's endpoints accept one of about 90."""

_SCOPES_SHOWN = 3
"""Maximum number of scopes named in a message."""


class HubSpotError(HubassocError):
    """Base class of all errors raised by the HubSpot client.

    :param message: what happened and what to do, for a person; includes HubSpot's own text if there is one.
    :param status: HTTP status of the answer; None if there was none.
    :param category: HubSpot's ``category`` (or, with rate limits, ``errorType``).
    :param sub_category: HubSpot's ``subCategory``.
    :param correlation_id: HubSpot's id of the request, to give to HubSpot's support.
    :param retry_after: seconds after which another attempt makes sense, if HubSpot named a time.
    :param connection: id of the Airflow connection; None if the client was made without one.
    :param host: host of the API, if HubSpot did not answer or the host is not HubSpot's default.
    :param direction: direction of the request, such as ``contacts -> companies``.
    """

    transient: ClassVar[bool] = False
    outcome_unknown: bool = False
    """Whether HubSpot may have carried out the request; a write is then not safe to repeat blindly."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        category: str | None = None,
        sub_category: str | None = None,
        correlation_id: str | None = None,
        retry_after: float | None = None,
        connection: str | None = None,
        host: str | None = None,
        direction: str | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.category = category
        self.sub_category = sub_category
        self.correlation_id = correlation_id
        self.retry_after = retry_after
        self.connection = connection
        self.host = host
        self.direction = direction
        super().__init__(message)

    def __str__(self) -> str:
        facts = {
            "connection": self.connection,
            "host": self.host,
            "direction": self.direction,
            "HTTP": self.status,
            "category": self.category,
            "subCategory": self.sub_category,
            "correlation id": self.correlation_id,
        }
        shown = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        return f"{self.message} ({shown})" if shown else self.message

    @property
    def affects_every_request(self) -> bool:
        """Whether every other request with the same connection would fail in the same way."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain JSON, to carry it from the triggerer to the worker."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "status": self.status,
            "category": self.category,
            "sub_category": self.sub_category,
            "correlation_id": self.correlation_id,
            "retry_after": self.retry_after,
            "connection": self.connection,
            "host": self.host,
            "direction": self.direction,
        } | self._extra_fields()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HubSpotError:
        """Rebuild an error from :meth:`to_dict`.

        :raises ValueError: if the data was not written by :meth:`to_dict`.
        """
        kinds: dict[Any, type[HubSpotError]] = {kind.__name__: kind for kind in _family(HubSpotError)}
        try:
            fields = dict(data)
            error = kinds[fields.pop("type")](**fields)
            if not isinstance(error.message, str) or not is_retry_after(error.retry_after):
                raise TypeError("message or retry_after has a wrong type")
            if not isinstance(error.retryable, bool):
                raise TypeError("retryable is not a boolean")
            str(error).encode()  # half a surrogate pair cannot be encoded
        except (KeyError, TypeError, ValueError) as mistake:
            raise ValueError(f"not the dict of a HubSpotError: {str(mistake)!a}") from None
        return error

    def _extra_fields(self) -> dict[str, Any]:
        return {}


def _family(kind: type[HubSpotError]) -> list[type[HubSpotError]]:
    return [kind, *(member for subclass in kind.__subclasses__() for member in _family(subclass))]


class HubSpotSettingsError(HubSpotError):
    """The connection's settings are invalid; the message names every wrong field."""

    affects_every_request = True


class HubSpotAuthenticationError(HubSpotError):
    """HubSpot rejected the access token (HTTP 401) or refused to refresh it (OAuth's BAD_REFRESH_TOKEN and others).

    :param retryable: True if HubSpot accepted the same token before in this client. HubSpot sometimes rejects valid
        tokens for a moment.
    """

    def __init__(self, message: str, *, retryable: bool = False, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retryable = retryable

    @property
    def affects_every_request(self) -> bool:
        """Whether the token is permanently invalid; a 401 that may pass concerns one request."""
        return not self.retryable

    def _extra_fields(self) -> dict[str, Any]:
        return {"retryable": self.retryable}


class HubSpotMissingScopesError(HubSpotError):
    """The token is valid but lacks a scope (HTTP 403).

    :param required_scopes: the scopes of which HubSpot asks for one; empty if it named none.
    """

    def __init__(self, message: str, *, required_scopes: list[str] | None = None, **fields: Any) -> None:
        self.required_scopes = required_scopes or []
        super().__init__(message, **fields)

    def _extra_fields(self) -> dict[str, Any]:
        return {"required_scopes": self.required_scopes}


class HubSpotValidationError(HubSpotError):
    """HubSpot refuses the request (HTTP 400 and other 4xx); the same request fails again."""


class HubSpotUnknownObjectTypeError(HubSpotValidationError):
    """HubSpot, or the endpoint called, does not know the object type in the path."""


class HubSpotRateLimitError(HubSpotError):
    """The portal or the app has reached a rate limit (HTTP 429).

    :param policy: HubSpot's ``policyName``: TEN_SECONDLY_ROLLING, SECONDLY or DAILY.
    """

    transient = True
    retryable = True
    affects_every_request = True

    def __init__(self, message: str, *, policy: str | None = None, **fields: Any) -> None:
        self.policy = policy
        super().__init__(message, **fields)

    def _extra_fields(self) -> dict[str, Any]:
        return {"policy": self.policy}


class HubSpotUnavailableError(HubSpotError):
    """HubSpot is not available: HTTP 423, 477, 502, 503, 504, 520 to 530; no connection; no answer in time.

    :param sent: False if the request cannot have reached HubSpot.
    """

    transient = True
    retryable = True

    def __init__(self, message: str, *, sent: bool = True, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.sent = sent
        self.outcome_unknown = sent and self.status not in (423, 477)

    def _extra_fields(self) -> dict[str, Any]:
        return {"sent": self.sent}


class HubSpotServerError(HubSpotError):
    """HubSpot failed to process the request (other 5xx, such as 500; 408, 409, 425). Retry later, not immediately."""

    retryable = True
    outcome_unknown = True


class HubSpotTLSError(HubSpotError):
    """The server's certificate could not be verified; nothing was sent."""

    affects_every_request = True


class HubSpotUnreadableAnswerError(HubSpotError):
    """A 2xx answer that does not match HubSpot's documentation: not JSON, an unexpected shape, or incomplete."""

    transient = True
    retryable = True
    outcome_unknown = True


class HubSpotRefusedAnswerError(HubSpotError):
    """An answer that the client does not follow or read: a redirect, or a body that is too large."""

    retryable = True
    outcome_unknown = True


class HubSpotOperationError(HubSpotError):
    """A batch operation ended without setting every limit: CANCELED, or COMPLETE with errors.

    :param operation: the operation as plain JSON; ``applied``, ``refused`` and ``unconfirmed`` hold the outcome of
        each input.
    """

    def __init__(self, message: str, *, operation: dict[str, Any] | None = None, **fields: Any) -> None:
        self.operation = operation or {}
        super().__init__(message, **fields)

    def _extra_fields(self) -> dict[str, Any]:
        return {"operation": self.operation}


class HubSpotOperationTimeoutError(HubSpotError):
    """A batch operation did not end, or its limits were not in force, before the timeout."""

    retryable = True


class HubSpotPollError(HubSpotError):
    """Reading an operation's state failed several times in a row. The operation itself may well have succeeded."""

    retryable = True


_UNAVAILABLE = frozenset({423, 477, 502, 503, 504, *range(520, 531)})
"""Statuses after which to pause and retry: those HubSpot names, and Cloudflare's 520 to 530."""

_TEMPORARY = frozenset({408, 409, 425})
"""4xx statuses that describe a temporary condition rather than a wrong request."""

_UNKNOWN_OBJECT_TYPE = ("unable to infer object type", "is not supported by this endpoint")
"""Parts of HubSpot's texts about an object type that HubSpot or the endpoint does not know."""

_SCOPE_LIST = re.compile(r"\s*\(?requires?[^\[\]]*\[([^\]]*)\]?\)?", re.IGNORECASE)
_SCOPE = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*", re.IGNORECASE)
_DOTTED_SCOPE = re.compile(r"\bcrm(?:\.[a-z0-9_-]+)+", re.IGNORECASE)

_SCOPE_NAMES = {"commerce_payments": "commercepayments"}
"""Object types that have another name in scopes."""

_USUAL_SCOPES = ("crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.deals.read")
"""Scopes to suggest if the request has no direction."""

_LOCK_SECONDS = 2.0
"""HubSpot holds the lock behind HTTP 423 for 2 seconds ("Handling errors")."""


def from_response(
    status: int,
    body: bytes,
    *,
    retry_after: float | None = None,
    correlation_id: str | None = None,
    ends: tuple[str, str] | None = None,
) -> HubSpotError:
    """Make the typed error for an answer outside 2xx.

    :param status: its HTTP status.
    :param body: its body; JSON as HubSpot writes it, or HTML, or nothing.
    :param retry_after: seconds to wait, from the Retry-After header.
    :param correlation_id: from the ``X-HubSpot-Correlation-Id`` header; the body's own wins.
    :param ends: the two object types of the request's direction, if it has one.
    :return: the error; its message never holds a whole payload.
    """
    payload = json_object(body)
    text = text_of(payload.get("message"))
    fields: dict[str, Any] = {
        "status": status,
        "category": text_of(payload.get("category")) or text_of(payload.get("errorType")),
        "sub_category": text_of(payload.get("subCategory")),
        "correlation_id": text_of(payload.get("correlationId")) or correlation_id,
        "retry_after": retry_after,
    }
    if status == 401:
        return HubSpotAuthenticationError(
            _message("HubSpot rejected the access token", text, "Check the token in the connection."), **fields
        )
    if status == 403:
        scopes = _required_scopes(payload)
        without_list = _SCOPE_LIST.sub("", text or "").strip()
        return HubSpotMissingScopesError(
            _message("The access token lacks a scope", without_list, _scope_advice(scopes, ends)),
            required_scopes=scopes,
            **fields,
        )
    if status == 429:
        message = _message("HubSpot's rate limit is reached", text, "Try again later.")
        return HubSpotRateLimitError(message, policy=text_of(payload.get("policyName")), **fields)
    if status in _UNAVAILABLE:
        if status == 423:
            fields["retry_after"] = max(_LOCK_SECONDS, retry_after or 0)
        return HubSpotUnavailableError(_message("HubSpot is not available", text, "Try again later."), **fields)
    if status >= 500 or status in _TEMPORARY:
        message = _message("HubSpot failed to process the request", text, "Try again later.")
        return HubSpotServerError(message, **fields)
    if status < 400:
        return HubSpotRefusedAnswerError(
            f"HubSpot answered with a redirect (HTTP {status}), which is not followed. Check the host.", **fields
        )
    if text and any(part in text.lower() for part in _UNKNOWN_OBJECT_TYPE):
        advice = 'Custom objects are written "p_name" or "2-123", HubSpot\'s own such as "contacts".'
        return HubSpotUnknownObjectTypeError(f"{_sentence(text)} {advice}", **fields)
    is_unknown_path = status in (404, 405) and not text
    advice = "Check host and api_version in the connection." if is_unknown_path else ""
    return HubSpotValidationError(_message("HubSpot refused the request", text, advice), **fields)


def direction_of(from_object_type: str, to_object_type: str) -> str:
    """Return the display name of a direction: ``contacts -> companies``."""
    return f"{display_name(from_object_type)} -> {display_name(to_object_type)}"


def is_retry_after(value: object) -> bool:
    """Whether a value decoded from JSON can be the ``retry_after`` of an error."""
    return value is None or (isinstance(value, (int, float)) and 0 <= value <= LONGEST_RETRY_AFTER)


def parse_json(body: bytes | str) -> Any:
    """Parse strict JSON: no NaN, no half surrogate pairs.

    :raises ValueError: if it is not JSON.
    """
    from pydantic_core import from_json  # DAG files import this module, so it must import quickly

    # from_json raises TypeError for a text with half a surrogate pair; encode() raises ValueError.
    return from_json(body.encode() if isinstance(body, str) else body, allow_inf_nan=False)


def json_object(body: bytes) -> dict[str, Any]:
    """Read the JSON object in a body; an empty dict if there is none."""
    try:
        payload = parse_json(body)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def text_of(value: object) -> str | None:
    """Return a text of HubSpot, shortened to a readable length; None if the value is not a text or empty."""
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def _message(event: str, text: str | None, advice: str) -> str:
    """Return a message: what happened, HubSpot's reason if it gave one, and what to do."""
    reason = f"{event}: {_sentence(text)}" if text else f"{event}."
    return f"{reason} {advice}".strip()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _required_scopes(payload: dict[str, Any]) -> list[str]:
    """Return the scopes that a 403 asks for, from its errors or, in another variant, from its text."""
    scopes: list[str | None] = []
    errors = payload.get("errors")
    for error in errors if isinstance(errors, list) else []:
        context = error.get("context") if isinstance(error, dict) else None
        required = context.get("requiredGranularScopes") if isinstance(context, dict) else None
        scopes += map(text_of, required if isinstance(required, list) else [])
    text = payload.get("message")
    if not any(scopes) and isinstance(text, str):
        listed = _SCOPE_LIST.search(text)
        scopes += _SCOPE.findall(listed[1]) if listed else _DOTTED_SCOPE.findall(text)
    return [scope for scope in dict.fromkeys(scopes) if scope][:_MAX_SCOPES]


def _scope_advice(required: list[str], ends: tuple[str, str] | None) -> str:
    """Name the scopes, of those HubSpot asks for, that fit the direction of the request."""
    wanted = [_read_scope(end) for end in ends] if ends else list(_USUAL_SCOPES)
    fitting = [scope for scope in dict.fromkeys(wanted) if not required or scope in required]
    shown = (fitting or sorted(required, key=lambda scope: not scope.endswith(".read")))[:_SCOPES_SHOWN]
    return f"Give the token one of these scopes: {', '.join(shown)}."


def _read_scope(object_type: str) -> str:
    """Return the scope to read records of an object type."""
    normalized = normalize(object_type)
    if normalized.startswith(("2-", "p_")) or re.match(r"p\d+_", normalized):
        return "crm.objects.custom.read"
    name = display_name(object_type)
    return "tickets" if name == "tickets" else f"crm.objects.{_SCOPE_NAMES.get(name, name)}.read"
