"""Sending of every request to HubSpot: one session, the token, repetition, redaction of secrets, and typed errors.

Sources: HubSpot's pages "Handling errors" and "API usage guidelines" (which requests to repeat, and when).
"""

from __future__ import annotations

import json
import logging
import os
import platform
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pendulum
import requests
from pydantic import SecretStr
from requests.utils import get_environ_proxies

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.hubspot.answers import parse_body
from airflow_provider_hubassoc.hubspot.auth import Auth, auth_from
from airflow_provider_hubassoc.hubspot.bounded_http import BoundedAdapter, read_body
from airflow_provider_hubassoc.hubspot.error_mapping import from_exception, from_refused_refresh, from_response
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotRateLimitError,
    HubSpotRefusedAnswerError,
    HubSpotUnreadableAnswerError,
)
from airflow_provider_hubassoc.hubspot.object_types import direction_name
from airflow_provider_hubassoc.hubspot.parsing import text_of
from airflow_provider_hubassoc.hubspot.redaction import redact, redact_body
from airflow_provider_hubassoc.hubspot.retries import RetryPolicy, parse_retry_after
from airflow_provider_hubassoc.hubspot.settings import DEFAULT_BASE_URL, HubSpotSettings, same_origin

log = logging.getLogger(__name__)

T = TypeVar("T")

Ends = tuple[str, str]
"""The two object types of a direction, as the caller spells them."""

_LONGEST_INTERVAL = 60.0
"""Longest plausible interval of a rate limit, seconds; HubSpot's is ten."""

_REJECTED_PAUSE = (1.0, 2.0)
"""Minimum and maximum pause before a request with a rejected token is repeated, seconds."""

_PROVES_TOKEN = (400, 403, 404)
"""Statuses that HubSpot answers only after it has accepted the token."""

_POOL_SIZE = 32
"""Maximum number of connections kept open: this many threads can share one client without losing keep-alive."""


@dataclass(frozen=True)
class RateLimit:
    """State of the ten-second limit, from HubSpot's ``X-HubSpot-RateLimit-*`` headers.

    :param maximum: requests allowed per interval.
    :param remaining: requests left in the current interval.
    :param interval: length of the interval, seconds.
    """

    maximum: int
    remaining: int
    interval: float

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """Read the headers; None if they are missing (some endpoints do not send them) or invalid."""
        try:
            limit = cls(
                maximum=int(headers["X-HubSpot-RateLimit-Max"]),
                remaining=int(headers["X-HubSpot-RateLimit-Remaining"]),
                interval=int(headers["X-HubSpot-RateLimit-Interval-Milliseconds"]) / 1000,
            )
        except (KeyError, OverflowError, ValueError):
            return None
        return limit if limit.maximum > 0 and 0 < limit.interval <= _LONGEST_INTERVAL else None


@dataclass(frozen=True)
class _Answer:
    """An answer of HubSpot, without the secrets of the request.

    :param retry_after: seconds, from the ``Retry-After`` header.
    """

    status: int
    body: bytes
    correlation_id: str | None
    retry_after: float | None


class Transport:
    """Sends requests to one portal. Threads can share it.

    :param settings: address, credentials and transport.
    :param connection_name: id of the Airflow connection, for error messages.
    :param reread_settings: returns the settings as stored now, or None; see :class:`~.client.HubSpotClient`.
    :param on_new_token: called with every OAuth token that HubSpot issues, before it is used.
    :param sleep: waits the given seconds; may raise an exception to end the call early.
    """

    def __init__(
        self,
        settings: HubSpotSettings,
        *,
        connection_name: str | None,
        reread_settings: Callable[[], HubSpotSettings | None] | None,
        on_new_token: Callable[[str], None],
        sleep: Callable[[float], None],
    ) -> None:
        self.session = _session(settings)
        self.rate_limit: RateLimit | None = None
        """State of the ten-second limit in the latest answer that included it."""
        self.time_zone: str | None = None
        """Time zone of the portal, in which the daily limit is reset; None if it is not known."""
        self._base_url = settings.base_url
        self._timeout = settings.timeout
        self._connection_name = connection_name
        self._reread_settings = reread_settings
        self._on_new_token = on_new_token
        self._sleep = sleep
        self._auth: Auth = auth_from(settings, on_new_token)
        self._credentials = settings.credentials
        self._has_worked = False
        """Whether HubSpot has accepted a token."""
        self._lock = threading.Lock()

    def error_context(self, ends: Ends | None = None, *, unanswered: bool = False) -> dict[str, Any]:
        """Return the fields of an error that say where it happened.

        :param ends: object types of the request's direction, if it has one.
        :param unanswered: whether HubSpot gave no answer, so that the host helps to explain the error.
        """
        shows_host = unanswered or self._base_url != DEFAULT_BASE_URL
        return {
            "connection": self._connection_name,
            "direction": direction_name(*ends) if ends else None,
            "host": urlsplit(self._base_url).netloc if shows_host else None,
        }

    def repeat(
        self, send: Callable[[], T], retry_policy: RetryPolicy, *, ends: Ends | None = None, idempotent: bool = True
    ) -> T:
        """Call ``send``, repeated as the retry policy allows.

        Once an attempt may have reached HubSpot, every later error keeps ``outcome_unknown`` set.

        :param send: sends one or more requests.
        :param ends: object types of the direction, for errors.
        :param idempotent: False if the request must not be repeated once HubSpot may have carried it out.
        """
        outcome_unknown = False

        def attempt() -> T:
            nonlocal outcome_unknown
            try:
                return send()
            except HubSpotError as error:
                outcome_unknown = outcome_unknown or error.outcome_unknown
                context = self.error_context(ends, unanswered=error.unanswered)
                failure = error.replace(outcome_unknown=outcome_unknown, **context)
            # Raised here and not above: a chained error and its frames would hold secrets and keep connections open.
            raise failure

        return retry_policy.retrying(self._sleep, idempotent=idempotent)(attempt)

    def send(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        body: Any = None,
        ends: Ends | None = None,
    ) -> T:
        """Send one request with the token.

        HubSpot does not carry out a request that it answers with 401. The request is repeated with a refreshed token,
        then with the credentials stored now, and, if HubSpot accepted the token before, once more after a pause.

        :param parse: converts the JSON of the answer.
        :param body: JSON of the request; None for a request without a body.
        :param ends: object types of the direction, for the advice in an error.
        """
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        is_refreshed = is_reread = is_paused = False
        while True:
            auth = self._auth
            token = None
            try:
                token = auth.access_token(self._post_form)
                result = self._exchange(method, path, parse, data, headers, token, ends)
            except HubSpotAuthenticationError as error:
                if token is not None and not is_refreshed and auth.renew(token):
                    is_refreshed = True
                    continue
                if not is_reread and self._replace_auth(auth):
                    is_reread = True
                    continue
                # Without a token, HubSpot refused the refresh, and its reason is definite.
                if token is None or is_paused or not (self._has_worked or is_refreshed):
                    raise error.replace(retryable=token is not None and self._has_worked) from None
                is_reread = is_paused = True
            except HubSpotError as error:
                if token is not None and error.status in _PROVES_TOKEN:
                    self._has_worked = True
                raise
            else:
                self._has_worked = True
                return result
            log.warning("HubSpot rejected the access token; repeating the request once after a pause.")
            self._sleep(random.uniform(*_REJECTED_PAUSE))

    def _replace_auth(self, rejected: Auth) -> bool:
        """Read the settings again after HubSpot rejected the token. Return True if the credentials have changed."""
        with self._lock:
            if self._auth is not rejected:  # another thread has replaced it
                return True
            settings = self._reread_settings() if self._reread_settings else None
            if settings is None or settings.credentials == self._credentials:
                return False
            if not same_origin(settings.base_url, self._base_url):
                log.warning("The connection now has another host, so this task does not use its new credentials.")
                return False
            log.info("HubSpot rejected the access token; repeating the request with the connection's new credentials.")
            self._auth, self._credentials = auth_from(settings, self._on_new_token), settings.credentials
            return True

    def _post_form(self, path: str, form: Mapping[str, SecretStr | str], parse: Callable[[Any], T]) -> T:
        """Post a form to the token endpoint."""
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._exchange("POST", path, parse, form, headers, None)
        except HubSpotError as error:
            # The request that needs the token was not sent.
            raise error.replace(outcome_unknown=False) from None

    def _exchange(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        data: str | Mapping[str, SecretStr | str] | None,
        headers: Mapping[str, str],
        token: SecretStr | None,
        ends: Ends | None = None,
    ) -> T:
        """Send one HTTP request. Return the answer converted by ``parse``, or raise the typed error."""
        answer = self._receive(method, path, data, headers, token)
        if not 200 <= answer.status < 300:
            raise self._error(answer, ends, refreshing=token is None)
        try:
            payload = None if answer.status == 204 else parse_body(answer.body)
            if isinstance(payload, dict) and answer.correlation_id:
                payload.setdefault("correlationId", answer.correlation_id)
            return parse(payload)
        except HubSpotUnreadableAnswerError as error:
            raise error.replace(status=answer.status, correlation_id=answer.correlation_id) from None

    def _receive(
        self,
        method: str,
        path: str,
        data: str | Mapping[str, SecretStr | str] | None,
        headers: Mapping[str, str],
        token: SecretStr | None,
    ) -> _Answer:
        """Send one HTTP request and read its answer."""
        try:
            with self.session.request(
                method,
                self._base_url + path,
                data=data if data is None or isinstance(data, str) else {k: _reveal(v) for k, v in data.items()},
                headers={**headers, "Authorization": f"Bearer {token.get_secret_value()}"} if token else headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                # HubSpot may echo secrets of the request. Another thread may have renewed the token in the meantime.
                secrets = {_reveal(secret) for secret in (token, *self._auth.secrets()) if secret is not None}
                correlation_id = text_of(redact(response.headers.get("X-HubSpot-Correlation-Id", ""), secrets))
                body = read_body(response)
        except HubSpotRefusedAnswerError as error:
            raise error.replace(correlation_id=correlation_id) from None
        except (OSError, ValueError) as error:
            raise from_exception(error, self._timeout) from None
        self.rate_limit = RateLimit.from_headers(response.headers) or self.rate_limit
        if token is not None or not response.ok:  # not the answer of the token endpoint, which has to hold tokens
            body = redact_body(body, secrets)
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        return _Answer(response.status_code, body, correlation_id, retry_after)

    def _error(self, answer: _Answer, ends: Ends | None, *, refreshing: bool) -> HubSpotError:
        """Return the typed error for an answer outside 2xx."""
        status = answer.status
        if refreshing and status in (400, 401, 403):
            return from_refused_refresh(status, answer.body, answer.correlation_id)
        error = from_response(
            status, answer.body, retry_after=answer.retry_after, correlation_id=answer.correlation_id, ends=ends
        )
        if refreshing:
            message = f"HubSpot's OAuth token endpoint did not refresh the access token: {error.message}"
            error = error.replace(message=message)
        elif status == 530 and not self._has_worked:
            advice = "HubSpot also answers 530 if the token is malformed: check the token in the connection."
            error = error.replace(message=f"{error.message} {advice}")
        if isinstance(error, HubSpotRateLimitError) and error.policy == "DAILY" and error.retry_after is None:
            error = error.replace(retry_after=self._seconds_to_midnight())
        return error

    def _seconds_to_midnight(self) -> float:
        """Return the seconds until HubSpot resets the daily limit: midnight in the portal's time zone, or in UTC."""
        try:
            now = pendulum.now(self.time_zone or "UTC")
        except (ValueError, OSError):  # this machine does not know the time zone
            now = pendulum.now("UTC")
        return (now.add(days=1).start_of("day") - now).total_seconds()


def _session(settings: HubSpotSettings) -> requests.Session:
    session = requests.Session()
    session.mount("https://", BoundedAdapter(pool_maxsize=_POOL_SIZE))
    session.mount("http://", BoundedAdapter(pool_maxsize=_POOL_SIZE))
    session.headers.update({"Accept": "application/json", "User-Agent": _user_agent()})
    # Read proxies and certificates from the environment once, not for every request. Never read ~/.netrc: its
    # password would replace the token.
    session.trust_env = False
    if settings.base_url.startswith("https:"):  # plain http is for loopback; a proxy would see the token
        session.proxies = {"https": settings.proxy} if settings.proxy else get_environ_proxies(settings.base_url)
    session.verify = (
        settings.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    )
    return session


def _user_agent() -> str:
    try:
        airflow = version("apache-airflow-core")
    except PackageNotFoundError:
        airflow = "none"
    return f"airflow-provider-hubassoc/{__version__} (airflow/{airflow}; python/{platform.python_version()})"


def _reveal(value: SecretStr | str) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
