"""Errors raised by the HubSpot client, all derived from :class:`HubSpotError`.

Each error carries the connection and the direction of the request, the HTTP status, HubSpot's category and
subCategory, its message and the correlation id that HubSpot's support asks for. An error is complete when it is made;
:meth:`HubSpotError.replace` returns a copy with other fields.

Attributes say how to react to an error, so that no caller needs a list of classes:

``transient``
    The client may send the same request again, within its retry policy.
``retryable``
    A later attempt may succeed without any change, so Airflow should retry the task; if ``retry_after`` is set, not
    before that many seconds.
``outcome_unknown``
    HubSpot may have carried out the request; a write is then not safe to repeat blindly.
``affects_every_request``
    Every other request with the same connection would fail in the same way.
``specific_to_path``
    The error concerns the path of the request; a request of another path may succeed at the same time.
``rejects_token``
    HubSpot rejected the token, or the token lacks a scope.
``unanswered``
    HubSpot gave no answer, because nothing was sent or nothing came back.

Sources: HubSpot's pages "Handling errors" and "API usage guidelines".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from airflow_provider_hubassoc.errors import HubassocError

LONGEST_RETRY_AFTER = 7 * 86_400.0
"""Seconds. HubSpot's longest is one day, until the daily limit resets; more than a week is not plausible."""

E = TypeVar("E", bound="HubSpotError")


class HubSpotError(HubassocError):
    """Base class of all errors raised by the HubSpot client.

    :param message: the event and advice, for a person; includes HubSpot's own text if there is one.
    :param status: HTTP status of the answer; None if there was none.
    :param category: HubSpot's ``category`` (or, with rate limits, ``errorType``).
    :param sub_category: HubSpot's ``subCategory``.
    :param correlation_id: HubSpot's id of the request, to give to HubSpot's support.
    :param retry_after: seconds after which another attempt makes sense, if HubSpot named a time.
    :param connection: id of the Airflow connection; None if the client was made without one.
    :param host: host of the API, if HubSpot did not answer or the host is not HubSpot's default.
    :param direction: direction of the request, such as ``contacts -> companies``.
    :param outcome_unknown: whether HubSpot may have carried out the request; None for the default of the class.
    """

    transient: ClassVar[bool] = False
    specific_to_path: ClassVar[bool] = True
    rejects_token: ClassVar[bool] = False
    outcome_unknown: bool = False

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
        outcome_unknown: bool | None = None,
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
        self.outcome_unknown = self.outcome_unknown if outcome_unknown is None else outcome_unknown
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

    @property
    def unanswered(self) -> bool:
        """Whether HubSpot gave no answer, because nothing was sent or nothing came back."""
        return False

    def replace(self: E, **changes: Any) -> E:
        """Return a copy with other values for some fields, without traceback and chained errors.

        :param changes: parameters of the constructor.
        """
        return type(self)(**{**self._fields(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain JSON, to carry it from the triggerer to the worker."""
        return {"type": type(self).__name__, **self._fields()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HubSpotError:
        """Rebuild an error from :meth:`to_dict`.

        :raises ValueError: if the data was not written by :meth:`to_dict`.
        """
        classes: dict[Any, type[HubSpotError]] = {kind.__name__: kind for kind in _family(HubSpotError)}
        try:
            fields = dict(data)
            error = classes[fields.pop("type")](**fields)
            if not isinstance(error.message, str) or not is_retry_after(error.retry_after):
                raise TypeError("message or retry_after has a wrong type")
            if not isinstance(error.retryable, bool) or not isinstance(error.outcome_unknown, bool):
                raise TypeError("retryable or outcome_unknown is not a boolean")
            str(error).encode()  # half a surrogate pair cannot be encoded
        except (KeyError, TypeError, ValueError) as mistake:
            raise ValueError(f"not the dict of a HubSpotError: {str(mistake)!a}") from None
        return error

    def _fields(self) -> dict[str, Any]:
        """Return the arguments from which the constructor makes an equal error."""
        return {
            "message": self.message,
            "status": self.status,
            "category": self.category,
            "sub_category": self.sub_category,
            "correlation_id": self.correlation_id,
            "retry_after": self.retry_after,
            "connection": self.connection,
            "host": self.host,
            "direction": self.direction,
            "outcome_unknown": self.outcome_unknown,
        }


def _family(kind: type[HubSpotError]) -> list[type[HubSpotError]]:
    """Return a class and all its subclasses."""
    return [kind, *(member for subclass in kind.__subclasses__() for member in _family(subclass))]


class HubSpotSettingsError(HubSpotError):
    """The connection's settings are invalid; the message names every wrong field."""

    affects_every_request = True
    specific_to_path = False
    unanswered = True


class HubSpotAuthenticationError(HubSpotError):
    """HubSpot rejected the access token (HTTP 401) or refused to refresh it (OAuth's BAD_REFRESH_TOKEN and others).

    :param retryable: True if HubSpot accepted the same token before in this client. HubSpot sometimes rejects valid
        tokens for a moment.
    """

    specific_to_path = False
    rejects_token = True

    def __init__(self, message: str, *, retryable: bool = False, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retryable = retryable

    @property
    def affects_every_request(self) -> bool:
        """Whether the token is permanently invalid; a 401 that may pass concerns one request."""
        return not self.retryable

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {"retryable": self.retryable}


class HubSpotMissingScopesError(HubSpotError):
    """The token is valid but lacks a scope (HTTP 403).

    :param required_scopes: the scopes of which HubSpot asks for one; empty if it named none.
    """

    rejects_token = True

    def __init__(self, message: str, *, required_scopes: list[str] | None = None, **fields: Any) -> None:
        self.required_scopes = required_scopes or []
        super().__init__(message, **fields)

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {"required_scopes": self.required_scopes}


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
    specific_to_path = False

    def __init__(self, message: str, *, policy: str | None = None, **fields: Any) -> None:
        self.policy = policy
        super().__init__(message, **fields)

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {"policy": self.policy}


_NOT_CARRIED_OUT = (423, 477)
"""Statuses that HubSpot answers without carrying out the request: a lock, and a portal that is being migrated."""


class HubSpotUnavailableError(HubSpotError):
    """HubSpot is not available: HTTP 423, 477, 502, 503, 504, 520 to 530; no connection; no answer in time.

    :param sent: False if the request cannot have reached HubSpot.
    """

    transient = True
    retryable = True
    specific_to_path = False

    def __init__(self, message: str, *, sent: bool = True, outcome_unknown: bool | None = None, **fields: Any) -> None:
        if outcome_unknown is None:
            outcome_unknown = sent and fields.get("status") not in _NOT_CARRIED_OUT
        super().__init__(message, outcome_unknown=outcome_unknown, **fields)
        self.sent = sent

    @property
    def unanswered(self) -> bool:
        """Whether HubSpot could not be reached, or did not answer in time."""
        return self.status is None

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {"sent": self.sent}


class HubSpotServerError(HubSpotError):
    """HubSpot failed to process the request (other 5xx, such as 500; 408, 409, 425). Retry later, not immediately."""

    retryable = True
    outcome_unknown = True


class HubSpotTLSError(HubSpotError):
    """The server's certificate could not be verified; nothing was sent."""

    affects_every_request = True
    specific_to_path = False
    unanswered = True


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

    def _fields(self) -> dict[str, Any]:
        return super()._fields() | {"operation": self.operation}


class HubSpotOperationTimeoutError(HubSpotError):
    """A batch operation did not end, or its limits were not in force, before the timeout."""

    retryable = True


class HubSpotPollError(HubSpotError):
    """Reading an operation's state failed several times in a row. The operation itself may well have succeeded."""

    retryable = True


def is_retry_after(value: object) -> bool:
    """Whether a value decoded from JSON can be the ``retry_after`` of an error."""
    return value is None or (isinstance(value, (int, float)) and 0 <= value <= LONGEST_RETRY_AFTER)
