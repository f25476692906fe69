"""Conversion of failed requests to the typed errors of :mod:`.errors`.

A request fails in one of three ways: HubSpot answers with an error (:func:`from_response`), it refuses to refresh an
OAuth token (:func:`from_refused_refresh`), or no complete answer arrives (:func:`from_exception`).

Sources: HubSpot's pages "Handling errors", "API usage guidelines" and "OAuth API", and published captures of error
bodies.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError, ProxyError, ReadTimeoutError

from airflow_provider_hubassoc.hubspot.bounded_http import TIMEOUTS_PER_ANSWER
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotMissingScopesError,
    HubSpotRateLimitError,
    HubSpotRefusedAnswerError,
    HubSpotServerError,
    HubSpotSettingsError,
    HubSpotTLSError,
    HubSpotUnavailableError,
    HubSpotUnknownObjectTypeError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
)
from airflow_provider_hubassoc.hubspot.object_types import display_name, normalize
from airflow_provider_hubassoc.hubspot.parsing import json_object, text_of

_UNAVAILABLE = frozenset({423, 477, 502, 503, 504, *range(520, 531)})
"""Statuses after which to pause and retry: those HubSpot names, and Cloudflare's 520 to 530."""

_TEMPORARY = frozenset({408, 409, 425})
"""4xx statuses that describe a temporary condition rather than a wrong request."""

_LOCK_SECONDS = 2.0
"""HubSpot holds the lock behind HTTP 423 for 2 seconds ("Handling errors")."""

_UNKNOWN_OBJECT_TYPE = ("unable to infer object type", "is not supported by this endpoint")
"""Parts of HubSpot's texts about an object type that HubSpot or the endpoint does not know."""

_MAX_SCOPES = 100
"""Maximum number of scopes kept; HubSpot's endpoints accept one of about 90."""

_SCOPES_SHOWN = 3
"""Maximum number of scopes named in a message."""

_SCOPE_LIST = re.compile(r"\s*\(?requires?[^\[\]]*\[([^\]]*)\]?\)?", re.IGNORECASE)
_SCOPE = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*", re.IGNORECASE)
_DOTTED_SCOPE = re.compile(r"\bcrm(?:\.[a-z0-9_-]+)+", re.IGNORECASE)

_SCOPE_NAMES = {"commerce_payments": "commercepayments"}
"""Object types that have another name in scopes."""

_USUAL_SCOPES = ("crm.objects.contacts.read", "crm.objects.companies.read", "crm.objects.deals.read")
"""Scopes to suggest if the request has no direction."""

_REFRESH_ADVICE = {
    "BAD_REFRESH_TOKEN": (
        "The refresh token was revoked, or it belongs to an app other than client_id. Install the app in the portal"
        " again and store the new refresh token, or correct client_id and client_secret in the connection."
    ),
    "BAD_CLIENT_ID": "Check client_id in the connection.",
    "BAD_CLIENT_SECRET": "Check client_secret in the connection.",
    "BAD_HUB": "The app is not installed in this portal. Install it and store the new refresh token.",
}
"""HubSpot's reason for refusing to refresh a token -> advice."""

_CHECK_NETWORK = "Check the network, and host and proxy in the connection."

_BROKEN_ANSWER = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.InvalidHeader,  # of the answer; headers of the request come from checked settings
)


# An answer with an error status


@dataclass(frozen=True)
class _ErrorAnswer:
    """An answer outside 2xx.

    :param payload: the JSON object in its body.
    :param text: HubSpot's message in the payload.
    :param ends: the two object types of the request's direction, if it has one.
    :param fields: arguments that every :class:`HubSpotError` takes.
    """

    status: int
    payload: dict[str, Any]
    text: str | None
    ends: tuple[str, str] | None
    fields: dict[str, Any]


def from_response(
    status: int,
    body: bytes,
    *,
    retry_after: float | None = None,
    correlation_id: str | None = None,
    ends: tuple[str, str] | None = None,
) -> HubSpotError:
    """Make the typed error for an answer outside 2xx.

    :param status: HTTP status of the answer.
    :param body: body of the answer; JSON as HubSpot writes it, or HTML, or nothing.
    :param retry_after: seconds to wait, from the Retry-After header.
    :param correlation_id: from the ``X-HubSpot-Correlation-Id`` header; the one in the body takes precedence.
    :param ends: the two object types of the request's direction, if it has one.
    :return: the error; its message never holds a whole payload.
    """
    payload = json_object(body)
    fields = {
        "status": status,
        "category": text_of(payload.get("category")) or text_of(payload.get("errorType")),
        "sub_category": text_of(payload.get("subCategory")),
        "correlation_id": text_of(payload.get("correlationId")) or correlation_id,
        "retry_after": retry_after,
    }
    answer = _ErrorAnswer(status, payload, text_of(payload.get("message")), ends, fields)
    if status in _BY_STATUS:
        return _BY_STATUS[status](answer)
    if status >= 500:
        return _server_error(answer)
    return _redirect(answer) if status < 400 else _refused_request(answer)


def _rejected_token(answer: _ErrorAnswer) -> HubSpotError:
    message = _message("HubSpot rejected the access token", answer.text, "Check the token in the connection.")
    return HubSpotAuthenticationError(message, **answer.fields)


def _missing_scopes(answer: _ErrorAnswer) -> HubSpotError:
    scopes = _required_scopes(answer.payload)
    text = _SCOPE_LIST.sub("", answer.text or "").strip()
    message = _message("The access token lacks a scope", text, _scope_advice(scopes, answer.ends))
    return HubSpotMissingScopesError(message, required_scopes=scopes, **answer.fields)


def _rate_limit(answer: _ErrorAnswer) -> HubSpotError:
    message = _message("HubSpot's rate limit is reached", answer.text, "Try again later.")
    return HubSpotRateLimitError(message, policy=text_of(answer.payload.get("policyName")), **answer.fields)


def _locked(answer: _ErrorAnswer) -> HubSpotError:
    error = _unavailable(answer)
    return error.replace(retry_after=max(_LOCK_SECONDS, error.retry_after or 0))


def _unavailable(answer: _ErrorAnswer) -> HubSpotError:
    message = _message("HubSpot is not available", answer.text, "Try again later.")
    return HubSpotUnavailableError(message, **answer.fields)


def _server_error(answer: _ErrorAnswer) -> HubSpotError:
    message = _message("HubSpot failed to process the request", answer.text, "Try again later.")
    return HubSpotServerError(message, **answer.fields)


def _redirect(answer: _ErrorAnswer) -> HubSpotError:
    return HubSpotRefusedAnswerError(
        f"HubSpot answered with a redirect (HTTP {answer.status}), which is not followed. Check the host.",
        **answer.fields,
    )


def _refused_request(answer: _ErrorAnswer) -> HubSpotError:
    text = answer.text
    if text and any(part in text.lower() for part in _UNKNOWN_OBJECT_TYPE):
        advice = 'Custom objects are written "p_name" or "2-123", HubSpot\'s own such as "contacts".'
        return HubSpotUnknownObjectTypeError(f"{_sentence(text)} {advice}", **answer.fields)
    is_unknown_path = answer.status in (404, 405) and not text
    advice = "Check host and api_version in the connection." if is_unknown_path else ""
    return HubSpotValidationError(_message("HubSpot refused the request", text, advice), **answer.fields)


_BY_STATUS: dict[int, Callable[[_ErrorAnswer], HubSpotError]] = {
    **dict.fromkeys(_UNAVAILABLE, _unavailable),
    **dict.fromkeys(_TEMPORARY, _server_error),
    401: _rejected_token,
    403: _missing_scopes,
    423: _locked,
    429: _rate_limit,
}
"""HTTP status -> the function that makes its error; the range of other statuses decides."""


def _message(event: str, text: str | None, advice: str) -> str:
    """Return a message: the event, HubSpot's reason if it gave one, and advice."""
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


# A refused refresh


def from_refused_refresh(status: int, body: bytes, correlation_id: str | None) -> HubSpotError:
    """Make the typed error for a token refresh that HubSpot refused.

    :param status: HTTP status of the answer.
    :param body: body of the answer; its ``status`` names the reason.
    :param correlation_id: HubSpot's id of the request.
    """
    payload = json_object(body)
    reason = text_of(payload.get("status")) or text_of(payload.get("error")) or "no reason given"
    advice = _REFRESH_ADVICE.get(reason, "Check client_id, client_secret and refresh_token in the connection.")
    return HubSpotAuthenticationError(
        f"HubSpot refused to refresh the OAuth access token ({reason}). {advice}",
        status=status,
        category=reason,
        correlation_id=correlation_id,
    )


# No complete answer


def from_exception(error: Exception, timeout: tuple[float, float]) -> HubSpotError:
    """Make the typed error for a request without an answer, or with an incomplete one.

    :param error: exception of requests, or OSError or ValueError for a request that could not be sent.
    :param timeout: timeouts of the request to connect and to read, seconds.
    """
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        return HubSpotTLSError(
            "The certificate of the HubSpot API could not be verified; nothing was sent. Check host and ca_bundle."
        )
    if isinstance(error, requests.ConnectTimeout):
        return _no_connection(f"No connection to HubSpot within {timeout[0]:g} s. {_CHECK_NETWORK}")
    if isinstance(error, requests.ConnectionError):
        return _from_connection_error(error, timeout[1])
    if isinstance(error, requests.Timeout):
        return HubSpotUnavailableError(
            f"No answer from HubSpot within {timeout[1]:g} s, or no complete one within"
            f" {TIMEOUTS_PER_ANSWER * timeout[1]:g} s"
        )
    if isinstance(error, _BROKEN_ANSWER):
        return HubSpotUnreadableAnswerError("HubSpot's answer broke off")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):  # the file of ca_bundle
        return HubSpotSettingsError(f"The HubSpot connection cannot be used: {error}")
    # An address or proxy password that HTTP cannot carry; the text of the exception may hold the password.
    return HubSpotSettingsError(f"The HubSpot connection cannot be used: {type(error).__name__}. Check host and proxy.")


def _from_connection_error(error: requests.ConnectionError, read_timeout: float) -> HubSpotError:
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    if isinstance(reason, (NewConnectionError, ProxyError)):
        return _no_connection(f"No connection to HubSpot: {_cause(reason)}. {_CHECK_NETWORK}")
    if isinstance(reason, ReadTimeoutError):
        return HubSpotUnavailableError(
            f"HubSpot's answer stopped for {read_timeout:g} s, or was not complete within"
            f" {TIMEOUTS_PER_ANSWER * read_timeout:g} s"
        )
    if "WRONG_VERSION_NUMBER" in str(reason) or "RECORD_LAYER_FAILURE" in str(reason):
        return _no_connection(
            "The server does not speak https. A host without a scheme means https; for a simulator on this machine"
            " write http:// before it"
        )
    return HubSpotUnavailableError(f"The connection to HubSpot broke: {_cause(reason)}")


def _no_connection(message: str) -> HubSpotUnavailableError:
    return HubSpotUnavailableError(message, sent=False)


def _cause(error: Any) -> str:
    """Return the reason given by the operating system or urllib3, without urllib3's wrapping."""
    while isinstance(error, Exception) and error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    text = str(error) if isinstance(error, OSError) else str(error).rsplit(": ", 1)[-1]
    return text or type(error).__name__
