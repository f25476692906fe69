"""Every way HubSpot says no, under one base.

Each error carries the HTTP status, HubSpot's category and subCategory, its message and the correlation id that
HubSpot's support asks for. Two attributes say what to do about it:

``transient``
    The same request may be sent again by the client, within its retry policy.
``retryable``
    A later attempt may succeed without anybody changing anything, so a task is worth retrying; if
    ``retry_after`` is set, not before that many seconds.

Sources: HubSpot's pages "Handling errors" and "API usage guidelines", and published captures of error bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

MAX_TEXT = 500
"""Characters that are taken over from one text of HubSpot's: a sentence, never a whole payload."""

LONGEST_RETRY_AFTER = 7 * 86_400.0
"""Seconds; HubSpot's longest is a day, until the daily limit starts anew. Nothing sensible is longer than a week."""

_MAX_SCOPES = 100
"""HubSpot's endpoints ask for one of at most some 90 scopes."""


class HubSpotError(Exception):
    """Base of everything that goes wrong between this package and HubSpot.

    :param message: what happened, for a person; HubSpot's own words where there are any.
    :param status: HTTP status of the answer; None if there was none.
    :param category: HubSpot's ``category`` (or, with rate limits, ``errorType``).
    :param sub_category: HubSpot's ``subCategory``.
    :param correlation_id: HubSpot's id of the request, to give to HubSpot's support.
    :param retry_after: seconds after which another attempt makes sense, if HubSpot named a time.
    """

    transient: ClassVar[bool] = False
    retryable: ClassVar[bool] = False
    outcome_unknown: bool = False
    """Whether HubSpot may have carried out the request all the same; a write is then not safe to repeat blindly."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        category: str | None = None,
        sub_category: str | None = None,
        correlation_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.category = category
        self.sub_category = sub_category
        self.correlation_id = correlation_id
        self.retry_after = retry_after
        super().__init__(message)

    def __str__(self) -> str:
        facts = {
            "HTTP": self.status,
            "category": self.category,
            "subCategory": self.sub_category,
            "correlation id": self.correlation_id,
        }
        shown = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        return f"{self.message} ({shown})" if shown else self.message

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
                raise TypeError("message or retry_after is of a wrong type")
            str(error).encode()  # half a surrogate pair could be written nowhere
        except (KeyError, TypeError, ValueError) as mistake:
            raise ValueError(f"not the dict of a HubSpotError: {str(mistake)!a}") from None
        return error

    def _extra_fields(self) -> dict[str, Any]:
        return {}


def _family(kind: type[HubSpotError]) -> list[type[HubSpotError]]:
    return [kind, *(each for subclass in kind.__subclasses__() for each in _family(subclass))]


class HubSpotSettingsError(HubSpotError):
    """The settings (connection) cannot work; the message names every field that is wrong."""


class HubSpotAuthenticationError(HubSpotError):
    """HubSpot does not accept the token, or refused to refresh it (HTTP 401; OAuth's BAD_REFRESH_TOKEN ...)."""


class HubSpotMissingScopesError(HubSpotError):
    """The token is valid but lacks a scope (HTTP 403).

    :param required_scopes: the scopes HubSpot asks for; empty if it named none.
    """

    def __init__(self, message: str, *, required_scopes: list[str] | None = None, **fields: Any) -> None:
        self.required_scopes = required_scopes or []
        super().__init__(message, **fields)

    def _extra_fields(self) -> dict[str, Any]:
        return {"required_scopes": self.required_scopes}


class HubSpotValidationError(HubSpotError):
    """HubSpot refuses the request as it is (HTTP 400 and other 4xx); sending it again will not help."""


class HubSpotUnknownObjectTypeError(HubSpotValidationError):
    """HubSpot does not know the object type in the path ("Unable to infer object type from: ...")."""


class HubSpotRateLimitError(HubSpotError):
    """The portal's or the app's rate limit is used up (HTTP 429).

    :param policy: HubSpot's ``policyName``: TEN_SECONDLY_ROLLING, SECONDLY or DAILY.
    """

    transient = True
    retryable = True

    def __init__(self, message: str, *, policy: str | None = None, **fields: Any) -> None:
        self.policy = policy
        super().__init__(message, **fields)

    def _extra_fields(self) -> dict[str, Any]:
        return {"policy": self.policy}


class HubSpotUnavailableError(HubSpotError):
    """HubSpot cannot answer now: HTTP 423, 477, 502, 503, 504, 521, 523, 524; no connection; no answer in time.

    :param sent: False if the request certainly did not reach HubSpot.
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
    """HubSpot failed (another 5xx, such as 500; 408, 409, 425); worth another attempt later, not at once."""

    retryable = True
    outcome_unknown = True


class HubSpotTLSError(HubSpotError):
    """The server's certificate does not verify; nothing was sent."""


class HubSpotUnreadableAnswerError(HubSpotError):
    """A 2xx answer that is not what HubSpot documents: no JSON, another shape, cut off."""

    transient = True
    retryable = True
    outcome_unknown = True


class HubSpotRefusedAnswerError(HubSpotError):
    """An answer this client will not follow or read: a redirect, or a body of unreasonable size."""

    retryable = True
    outcome_unknown = True


class HubSpotOperationError(HubSpotError):
    """A batch operation ended without setting every limit: CANCELED, or COMPLETE with errors.

    :param operation: the operation as plain JSON; ``applied``, ``refused`` and ``unconfirmed`` in it say what
        became of each input.
    """

    def __init__(self, message: str, *, operation: dict[str, Any] | None = None, **fields: Any) -> None:
        self.operation = operation or {}
        super().__init__(message, **fields)

    def _extra_fields(self) -> dict[str, Any]:
        return {"operation": self.operation}


class HubSpotOperationTimeoutError(HubSpotError):
    """A batch operation was not over, or its limits not seen in force, within the time given."""

    retryable = True


class HubSpotPollError(HubSpotError):
    """Reading an operation's state failed several times in a row. The operation itself may well have succeeded."""

    retryable = True


_UNAVAILABLE = frozenset({423, 477, 502, 503, 504, 521, 523, 524})
"""Statuses after which HubSpot asks to pause and retry."""

_PASSING = frozenset({408, 409, 425})
"""Statuses that speak of a moment rather than of the request."""

_LOCK_SECONDS = 2.0
"""HubSpot holds the lock behind HTTP 423 for 2 seconds ("Handling errors")."""


def from_response(
    status: int, body: bytes, *, retry_after: float | None = None, correlation_id: str | None = None
) -> HubSpotError:
    """Make the typed error for an answer outside 2xx.

    :param status: its HTTP status.
    :param body: its body; JSON as HubSpot writes it, or HTML, or nothing.
    :param retry_after: seconds to wait, from the Retry-After header.
    :param correlation_id: from the ``X-HubSpot-Correlation-Id`` header; the body's own wins.
    :return: the error; its message never holds a whole payload.
    """
    payload = json_object(body)
    message = text_of(payload.get("message")) or f"HubSpot answered with HTTP {status}"
    fields: dict[str, Any] = {
        "status": status,
        "category": text_of(payload.get("category")) or text_of(payload.get("errorType")),
        "sub_category": text_of(payload.get("subCategory")),
        "correlation_id": text_of(payload.get("correlationId")) or correlation_id,
        "retry_after": retry_after,
    }
    if status == 401:
        return HubSpotAuthenticationError(f"HubSpot does not accept the access token: {message}", **fields)
    if status == 403:
        scopes = _required_scopes(payload)
        asked = f" Give the token one of the scopes: {', '.join(scopes)}." if scopes else ""
        return HubSpotMissingScopesError(
            f"The access token may not do this: {message}{asked}", required_scopes=scopes, **fields
        )
    if status == 429:
        return HubSpotRateLimitError(message, policy=text_of(payload.get("policyName")), **fields)
    if status in _UNAVAILABLE:
        if status == 423:
            fields["retry_after"] = max(_LOCK_SECONDS, retry_after or 0)
        return HubSpotUnavailableError(message, **fields)
    if status >= 500 or status in _PASSING:
        return HubSpotServerError(message, **fields)
    if status < 400:
        return HubSpotRefusedAnswerError(
            f"HubSpot answered with a redirect (HTTP {status}), which is not followed", **fields
        )
    if any(text in message.lower() for text in ("unable to infer object type", "is not supported by this endpoint")):
        return HubSpotUnknownObjectTypeError(message, **fields)
    return HubSpotValidationError(message, **fields)


def is_retry_after(value: object) -> bool:
    """Whether a value, which has been through JSON, can be the ``retry_after`` of an error."""
    return value is None or (isinstance(value, (int, float)) and 0 <= value <= LONGEST_RETRY_AFTER)


def parse_json(body: bytes | str) -> Any:
    """Read JSON, and nothing that only Python takes for JSON (NaN, half a surrogate pair).

    :raises ValueError: if it is none.
    """
    from pydantic_core import from_json  # here, because DAG files import this module

    # A text with half a surrogate pair in it is a TypeError to from_json, a ValueError to encode().
    return from_json(body.encode() if isinstance(body, str) else body, allow_inf_nan=False)


def json_object(body: bytes) -> dict[str, Any]:
    """Read the JSON object in a body; an empty dict if there is none."""
    try:
        payload = parse_json(body)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def text_of(value: object) -> str | None:
    """Return a text of HubSpot's, shortened to what a person reads; None if it is none."""
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def _required_scopes(payload: dict[str, Any]) -> list[str]:
    scopes: list[str | None] = []
    errors = payload.get("errors")
    for error in errors if isinstance(errors, list) else []:
        context = error.get("context") if isinstance(error, dict) else None
        asked = context.get("requiredGranularScopes") if isinstance(context, dict) else None
        scopes += map(text_of, asked if isinstance(asked, list) else [])
    return [scope for scope in dict.fromkeys(scopes) if scope][:_MAX_SCOPES]
