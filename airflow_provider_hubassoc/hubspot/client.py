"""HTTP client for HubSpot's Associations Schema API. All requests of this package go through :class:`HubSpotClient`.

Sources: HubSpot's guide "Associations schema" (paths, bodies), published captures of real answers (status codes),
"Handling errors" and "API usage guidelines" (what to repeat, and when).
"""

from __future__ import annotations

import copy
import json
import logging
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import pendulum
import requests
from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, NewConnectionError, ProxyError, ReadTimeoutError

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.hubspot.auth import Auth, BearerToken, OAuthToken, refresh_refused
from airflow_provider_hubassoc.hubspot.bounded_http import TIMEOUTS_PER_ANSWER, BoundedAdapter
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotRateLimitError,
    HubSpotRefusedAnswerError,
    HubSpotSettingsError,
    HubSpotTLSError,
    HubSpotUnavailableError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
    direction_of,
    from_response,
    parse_json,
    text_of,
)
from airflow_provider_hubassoc.hubspot.models import (
    AccountInfo,
    Action,
    AssociationLabel,
    AssociationLimit,
    AssociationName,
    BatchAnswer,
    BatchStatus,
    LimitInput,
)
from airflow_provider_hubassoc.hubspot.object_types import is_object_type
from airflow_provider_hubassoc.hubspot.retries import RetryPolicy, parse_retry_after
from airflow_provider_hubassoc.hubspot.settings import DEFAULT_BASE_URL, HubSpotSettings, same_origin

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Maximum size of the body of an answer; the limits and labels of a portal take some kilobytes."""

INPUTS_PER_REQUEST = 100
"""HubSpot documents no maximum for these endpoints; a pair has at most about 50 labels each way."""

_SHORTEST_SECRET = 8
"""Minimum length of a secret to blank; a shorter one could be an ordinary word of an answer."""

_SHORTEST_PART = 12
"""Minimum length of the beginning or end of a secret to blank."""

_LONGEST_INTERVAL = 60.0
"""Longest plausible interval of a rate limit, seconds; HubSpot's is ten."""

_REJECTED_PAUSE = (1.0, 2.0)
"""Minimum and maximum pause before a request with a rejected token is repeated, seconds."""

_PROVES_TOKEN = (400, 403, 404)
"""Statuses that HubSpot answers only after it has accepted the token."""

_CORRELATION_ID = "X-HubSpot-Correlation-Id"

_BROKEN_ANSWER = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.InvalidHeader,  # of the answer; headers of the request come from checked settings
)

_POOL_SIZE = 32
"""Maximum number of connections kept open: this many threads can share one client without losing keep-alive."""

T = TypeVar("T")

_LIMITS = TypeAdapter(list[AssociationLimit])
_LABELS = TypeAdapter(list[AssociationLabel])
_NAMES = TypeAdapter(list[AssociationName])
_INPUTS = TypeAdapter(Annotated[list[LimitInput], Field(min_length=1)])


def _user_agent() -> str:
    try:
        airflow = version("apache-airflow-core")
    except PackageNotFoundError:
        airflow = "none"
    return f"airflow-provider-hubassoc/{__version__} (airflow/{airflow}; python/{platform.python_version()})"


@dataclass(frozen=True)
class RateLimit:
    """State of the ten-second limit, from HubSpot's ``X-HubSpot-RateLimit-*`` headers.

    :param maximum: requests allowed per interval.
    :param remaining: requests left in the current interval.
    :param interval: its length, seconds.
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


@dataclass
class _State:
    """State that a client shares with its copies (:meth:`HubSpotClient.without_retries`).

    :param auth: provides the access token.
    :param credentials: settings that ``auth`` was made from.
    :param has_worked: whether HubSpot has accepted a token of this client.
    """

    auth: Auth
    credentials: tuple[Any, ...]
    has_worked: bool = False
    rate_limit: RateLimit | None = None
    time_zone: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class HubSpotClient:
    """Client for limits and labels of association types, and for the portal that the token belongs to.

    A client holds one keep-alive session and can be shared by threads. Use it as a context manager, or call
    :meth:`close`.

    Every method that sends a request raises a :class:`~.errors.HubSpotError` if it fails.

    :param settings: address, credentials and transport (see :class:`~.settings.HubSpotSettings`).
    :param retry_policy: when and how often to repeat a request; made from ``settings.max_retries`` by default.
    :param inputs_per_request: maximum number of inputs per request; larger batches are split.
    :param on_new_token: called with every OAuth token that HubSpot issues, before it is used.
    :param sleep: waits the given seconds between attempts; may raise an exception to end the call early.
    :param connection_name: id of the Airflow connection, for error messages.
    :param reread_settings: called after HubSpot rejected the token; returns the settings as stored now, or None if
        they cannot be read. If they hold other credentials for the same host, the request is repeated with those.
    """

    def __init__(
        self,
        settings: HubSpotSettings,
        *,
        connection_name: str | None = None,
        reread_settings: Callable[[], HubSpotSettings | None] | None = None,
        retry_policy: RetryPolicy | None = None,
        inputs_per_request: int = INPUTS_PER_REQUEST,
        on_new_token: Callable[[str], None] = lambda token: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if inputs_per_request < 1:
            raise ValueError("inputs_per_request must be at least 1")
        self.base_url = settings.base_url
        self.api_version = settings.api_version
        self._retry_policy = retry_policy or RetryPolicy(max_retries=settings.max_retries)
        self._inputs_per_request = inputs_per_request
        self._sleep = sleep
        self._timeout = settings.timeout
        self._connection_name = connection_name
        self._reread_settings = reread_settings
        self._on_new_token = on_new_token
        with self._error_context():
            self._state = _State(_auth(settings, on_new_token), _credentials(settings))
        self._session = requests.Session()
        self._session.mount("https://", BoundedAdapter(pool_maxsize=_POOL_SIZE))
        self._session.mount("http://", BoundedAdapter(pool_maxsize=_POOL_SIZE))
        self._session.headers.update({"Accept": "application/json", "User-Agent": _user_agent()})
        # Read proxies and certificates from the environment once, not for every request. Never read ~/.netrc: its
        # password would replace the token.
        self._session.trust_env = False
        if settings.base_url.startswith("https:"):  # plain http is for loopback; a proxy would see the token
            self._session.proxies = (
                {"https": settings.proxy} if settings.proxy else get_environ_proxies(settings.base_url)
            )
        self._session.verify = (
            settings.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )

    def __enter__(self) -> HubSpotClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    @property
    def rate_limit(self) -> RateLimit | None:
        """State of the ten-second limit in the latest answer that included it; None if no answer did."""
        return self._state.rate_limit

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

        :param action: ``create``, ``update`` or ``purge``; see the method of each for what HubSpot does.
        :param resend: used by ``create`` only; see :meth:`create_limits`.
        :return: HubSpot's answer; for several requests, their combined answers.
        """
        ends = from_object_type, to_object_type
        path = self._limits_path(*ends)
        parse = _purge_answer if action == "purge" else _batch_answer
        answers: list[BatchAnswer] = []
        with self._error_context(ends):
            models = _limit_inputs(inputs)
            for start in range(0, len(models), self._inputs_per_request):
                chunk = models[start : start + self._inputs_per_request]
                try:
                    if action == "create":
                        answers.append(self._create(path, chunk, ends, outcome_unknown=resend))
                    else:
                        url, body = f"{path}/batch/{action}", _inputs_body(chunk)
                        answers.append(self._request("POST", url, parse, body, ends=ends))
                except HubSpotError as error:
                    if start:
                        error.message += f" ({start} of {len(models)} inputs were sent before)"
                        error.outcome_unknown = True
                    raise
                if action == "purge" and len(models) > len(chunk):
                    answers[-1] = _with_purged(answers[-1], chunk)
        return _joined(answers)

    def get_limits(self, from_object_type: str, to_object_type: str) -> list[AssociationLimit]:
        """Return the limits of one direction. Association types without a limit are missing or have None."""
        ends = from_object_type, to_object_type
        return self._request("GET", self._limits_path(*ends), _limits, ends=ends)

    def get_all_limits(self) -> list[AssociationLimit]:
        """Return the limits of the whole portal. HubSpot does not include the object types."""
        return self._request("GET", f"{self._schema_path}/definitions/configurations/all", _limits)

    def get_status(self, url: str, action: Action | None = None) -> BatchAnswer:
        """Return the state of an operation, read from the link in the answer that started it.

        :param url: the link; must have the origin of the API.
        :param action: action of the operation; results of a purge that are not limits are ignored.
        :raises HubSpotRefusedAnswerError: if the link has another origin; nothing is sent then.
        """
        if not same_origin(url, self.base_url):
            raise HubSpotRefusedAnswerError("The status link leads away from the HubSpot API and is not followed")
        parts = urlsplit(url)
        parse = _purge_state if action == "purge" else _batch_answer
        return self._request("GET", urlunsplit(("", "", parts.path, parts.query, "")), parse)

    # -- labels --

    def get_labels(self, from_object_type: str, to_object_type: str) -> list[AssociationLabel]:
        """Return the association types of one direction; ``label`` of the unlabeled type is None."""
        ends = from_object_type, to_object_type
        return self._request("GET", self._labels_path(*ends), _labels, ends=ends)

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
        return self._request("POST", self._labels_path(*ends), _labels, body, ends=ends, idempotent=False)

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
        self._request("PUT", self._labels_path(*ends), _nothing, body, ends=ends)

    def delete_label(self, from_object_type: str, to_object_type: str, association_type_id: int) -> None:
        """Delete a label and its inverse, by the id of either. No record may use the label."""
        ends = from_object_type, to_object_type
        self._request("DELETE", f"{self._labels_path(*ends)}/{association_type_id:d}", _nothing, ends=ends)

    def get_association_names(self, object_type: str) -> list[AssociationName]:
        """Read the internal names of the association types from and to one object type.

        Needs a scope for object schemas (``crm.schemas.contacts.read`` and others), unlike everything else here.
        """
        version = "v3" if self.api_version == "v4" else self.api_version
        with self._error_context():
            path = f"/crm-object-schemas/{version}/schemas/{_quoted(object_type)}"
        return self._request("GET", path, _association_names)

    # -- account --

    def account_info(self) -> AccountInfo:
        """Return the portal that the token belongs to. Requires the scope ``oauth``.

        The request always uses version 2026-03 of the account API; ``api_version`` applies to associations only.
        """
        info = self._request("GET", "/account-info/2026-03/details", _account_info)
        self._state.time_zone = info.time_zone
        return info

    # -- requests --

    @property
    def _schema_path(self) -> str:
        # HubSpot serves v4 under two paths; this is the one that its documentation of v4 and its own client use.
        return "/crm/v4/associations" if self.api_version == "v4" else f"/crm/associations/{self.api_version}"

    def _limits_path(self, from_object_type: str, to_object_type: str) -> str:
        return f"{self._schema_path}/definitions/configurations/{self._pair(from_object_type, to_object_type)}"

    def _labels_path(self, from_object_type: str, to_object_type: str) -> str:
        return f"{self._schema_path}/{self._pair(from_object_type, to_object_type)}/labels"

    def _pair(self, from_object_type: str, to_object_type: str) -> str:
        with self._error_context():
            return f"{_quoted(from_object_type)}/{_quoted(to_object_type)}"

    @contextmanager
    def _error_context(self, ends: tuple[str, str] | None = None) -> Iterator[None]:
        """Add the connection and the direction to an error, and the host if it helps to explain the error."""
        try:
            yield
        except HubSpotError as error:
            error.connection = self._connection_name
            if ends:
                error.direction = direction_of(*ends)
            unanswered = error.status is None and isinstance(error, _HOST_MATTERS)
            if unanswered or self.base_url != DEFAULT_BASE_URL:
                error.host = urlsplit(self.base_url).netloc
            raise

    def _create(
        self, path: str, inputs: list[LimitInput], ends: tuple[str, str], *, outcome_unknown: bool
    ) -> BatchAnswer:
        """Send a create without creating any input twice that HubSpot may have applied."""
        wanted = {limit_input.identity: limit_input.max_to_object_ids for limit_input in inputs}
        in_force: list[AssociationLimit] = []
        remaining = inputs
        action: Action = "create"

        def attempt() -> BatchAnswer:
            nonlocal outcome_unknown, in_force, remaining, action
            if outcome_unknown:
                action = "update"  # the read may show an older state than the unanswered create
                limits = self._send("GET", path, _limits, ends=ends)
                in_force = [limit for limit in limits if (limit.identity, limit.max_to_object_ids) in wanted.items()]
                applied = {limit.identity for limit in in_force}
                remaining = [limit_input for limit_input in inputs if limit_input.identity not in applied]
                outcome_unknown = False
            if not remaining:
                return BatchAnswer(status=BatchStatus.COMPLETE, results=in_force)
            try:
                answer = self._send("POST", f"{path}/batch/{action}", _batch_answer, _inputs_body(remaining), ends)
            except HubSpotError as error:
                outcome_unknown = error.outcome_unknown
                raise
            return answer.model_copy(update={"results": in_force + answer.results})

        return self._repeat(attempt)

    def _request(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        body: Any = None,
        *,
        ends: tuple[str, str] | None = None,
        idempotent: bool = True,
    ) -> T:
        """Send a request, repeated as the retry policy allows; ``parse`` converts the JSON of the answer."""
        with self._error_context(ends):
            return self._repeat(lambda: self._send(method, path, parse, body, ends), idempotent=idempotent)

    def _repeat(self, send: Callable[[], T], *, idempotent: bool = True) -> T:
        """Call ``send``, repeated as the retry policy allows.

        Once an attempt may have reached HubSpot, every later error keeps ``outcome_unknown`` set.
        """
        outcome_unknown = False

        def attempt() -> T:
            nonlocal outcome_unknown
            try:
                return send()
            except HubSpotError as error:
                outcome_unknown = error.outcome_unknown = outcome_unknown or error.outcome_unknown
                # Frames and chained errors would hold secrets and keep the connection open.
                error.__context__ = None
                raise error.with_traceback(None) from None

        return self._retry_policy.retrying(self._sleep, idempotent=idempotent)(attempt)

    def _send(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        body: Any = None,
        ends: tuple[str, str] | None = None,
    ) -> T:
        """Send one request with the token.

        HubSpot does not carry out a request that it answers with 401. The request is repeated with a refreshed token,
        then with the credentials stored now, and, if HubSpot accepted the token before, once more after a pause.
        """
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        is_refreshed = is_reread = is_paused = False
        while True:
            auth = self._state.auth
            token = None
            try:
                token = auth.access_token(self._post_form)
                answer = self._exchange(method, path, parse, data, headers, token, ends)
            except HubSpotAuthenticationError as error:
                if token is not None and not is_refreshed and auth.renew(token):
                    is_refreshed = True
                    continue
                if not is_reread and self._replace_auth(auth):
                    is_reread = True
                    continue
                # Without a token, HubSpot refused the refresh, and its reason is definite.
                error.retryable = token is not None and self._state.has_worked
                if token is None or is_paused or not (self._state.has_worked or is_refreshed):
                    raise
                is_reread = is_paused = True
            except HubSpotError as error:
                if token is not None and error.status in _PROVES_TOKEN:
                    self._state.has_worked = True
                raise
            else:
                self._state.has_worked = True
                return answer
            log.warning("HubSpot rejected the access token; repeating the request once after a pause.")
            self._sleep(random.uniform(*_REJECTED_PAUSE))

    def _replace_auth(self, rejected: Auth) -> bool:
        """Read the settings again after HubSpot rejected the token. Return True if the credentials have changed."""
        state = self._state
        with state.lock:
            if state.auth is not rejected:  # another thread has replaced it
                return True
            settings = self._reread_settings() if self._reread_settings else None
            if settings is None or _credentials(settings) == state.credentials:
                return False
            if not same_origin(settings.base_url, self.base_url):
                log.warning("The connection now has another host, so this task does not use its new credentials.")
                return False
            log.info("HubSpot rejected the access token; repeating the request with the connection's new credentials.")
            state.auth, state.credentials = _auth(settings, self._on_new_token), _credentials(settings)
            return True

    def _post_form(self, path: str, form: Mapping[str, SecretStr | str], parse: Callable[[Any], T]) -> T:
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._exchange("POST", path, parse, form, headers, None)
        except HubSpotError as error:
            error.outcome_unknown = False  # the request that needs the token was not sent
            raise

    def _exchange(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], T],
        data: str | Mapping[str, SecretStr | str] | None,
        headers: Mapping[str, str],
        token: SecretStr | None,
        ends: tuple[str, str] | None = None,
    ) -> T:
        """Send one HTTP request. Return the answer converted by ``parse``, or raise the typed error."""
        try:
            with self._session.request(
                method,
                self.base_url + path,
                data=data if data is None or isinstance(data, str) else {k: _reveal(v) for k, v in data.items()},
                headers={**headers, "Authorization": f"Bearer {token.get_secret_value()}"} if token else headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read_body(response)
        except requests.RequestException as error:
            raise _transport_error(error, self._timeout) from None
        except OSError as error:  # requests opens the ca_bundle when it sends
            raise HubSpotSettingsError(f"The HubSpot connection cannot be used: {error}") from None
        except (
            ValueError
        ) as error:  # an address or proxy password that HTTP cannot carry; its text may hold the password
            raise HubSpotSettingsError(
                f"The HubSpot connection cannot be used: {type(error).__name__}. Check host and proxy."
            ) from None
        self._state.rate_limit = RateLimit.from_headers(response.headers) or self.rate_limit
        correlation_id = text_of(response.headers.get(_CORRELATION_ID))
        if token is not None or not response.ok:  # not the answer of the token endpoint, which has to hold tokens
            # HubSpot may echo secrets of the request. Another thread may have renewed the token in the meantime.
            secrets = {_reveal(secret) for secret in (token, *self._state.auth.secrets()) if secret is not None}
            body = _redacted(_plain_json(body).decode("latin-1"), secrets).encode("latin-1")
            correlation_id = correlation_id and _redacted(correlation_id, secrets)
        if not 200 <= response.status_code < 300:
            raise self._error(response, body, correlation_id, ends, refreshing=token is None)
        try:
            payload = None if response.status_code == 204 else _parse_json(body)
            if isinstance(payload, dict) and correlation_id:
                payload.setdefault("correlationId", correlation_id)
            return parse(payload)
        except HubSpotUnreadableAnswerError as error:
            error.status, error.correlation_id = response.status_code, correlation_id
            raise

    def _error(
        self,
        response: requests.Response,
        body: bytes,
        correlation_id: str | None,
        ends: tuple[str, str] | None,
        *,
        refreshing: bool,
    ) -> HubSpotError:
        status = response.status_code
        if refreshing and status in (400, 401, 403):
            return refresh_refused(status, body, correlation_id)
        error = from_response(
            status,
            body,
            retry_after=parse_retry_after(response.headers.get("Retry-After")),
            correlation_id=correlation_id,
            ends=ends,
        )
        if refreshing:
            error.message = f"HubSpot's OAuth token endpoint did not refresh the access token: {error.message}"
        elif status == 530 and not self._state.has_worked:
            error.message += " HubSpot also answers 530 if the token is malformed: check the token in the connection."
        if isinstance(error, HubSpotRateLimitError) and error.policy == "DAILY" and error.retry_after is None:
            error.retry_after = self._seconds_to_midnight()
        return error

    def _seconds_to_midnight(self) -> float:
        """Return the seconds until HubSpot resets the daily limit: midnight in the portal's time zone, or in UTC."""
        try:
            now = pendulum.now(self._state.time_zone or "UTC")
        except (ValueError, OSError):  # this machine does not know the time zone
            now = pendulum.now("UTC")
        return (now.add(days=1).start_of("day") - now).total_seconds()


def _auth(settings: HubSpotSettings, on_new_token: Callable[[str], None]) -> Auth:
    if settings.auth_type == "oauth" and settings.client_id and settings.client_secret and settings.refresh_token:
        return OAuthToken(
            settings.client_id,
            settings.client_secret,
            settings.refresh_token,
            access_token=settings.access_token,
            on_new_token=on_new_token,
        )
    if settings.access_token is None:
        raise HubSpotSettingsError("The HubSpot connection has no access token")
    return BearerToken(settings.access_token)


def _credentials(settings: HubSpotSettings) -> tuple[Any, ...]:
    return (
        settings.auth_type,
        settings.access_token,
        settings.client_id,
        settings.client_secret,
        settings.refresh_token,
    )


def _reveal(value: SecretStr | str) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _common_length(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _redacted(text: str, secrets: set[str]) -> str:
    """Replace secrets, and their beginnings and ends if these are long enough."""
    for secret in secrets | {quote(secret, safe="") for secret in secrets}:
        if len(secret) < _SHORTEST_SECRET:
            continue
        text = text.replace(secret, "***")
        if len(secret) <= _SHORTEST_PART:
            continue
        head, tail = secret[:_SHORTEST_PART], secret[-_SHORTEST_PART:]
        while (start := text.find(head)) >= 0:
            length = _common_length(secret, text[start : start + len(secret)])
            text = f"{text[:start]}***{text[start + length :]}"
        while (start := text.find(tail)) >= 0:
            end = start + len(tail)
            length = _common_length(secret[::-1], text[:end][::-1])
            text = f"{text[: end - length]}***{text[end:]}"
    return text


def _quoted(object_type: str) -> str:
    if not is_object_type(object_type):
        shown = repr(object_type)[:60] if isinstance(object_type, str) else f"a {type(object_type).__name__}"
        raise HubSpotValidationError(
            f'{shown} is not an object type. Write "contacts", "0-1" or, for custom objects, "p_name" or "2-123".'
        )
    return quote(object_type, safe="")


def _limit_inputs(inputs: Sequence[LimitInput | Mapping[str, Any]]) -> list[LimitInput]:
    try:
        return _INPUTS.validate_python(inputs)
    except ValidationError as error:
        raise HubSpotValidationError(_first_mistake(error, "inputs")) from None


def _inputs_body(inputs: list[LimitInput]) -> dict[str, Any]:
    return {"inputs": [limit_input.to_wire() for limit_input in inputs]}


def _read_body(response: requests.Response) -> bytes:
    """Read a body of bounded size; :mod:`.bounded_http` bounds the time."""
    body = response.content if response.raw.closed else b""  # a hook of requests, such as tracing, may have read it
    try:
        while part := response.raw.read1(64 * 1024, decode_content=True):
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise HubSpotRefusedAnswerError(
                    f"HubSpot's answer is larger than {MAX_BODY_BYTES} bytes and is not read",
                    status=response.status_code,
                    correlation_id=text_of(response.headers.get(_CORRELATION_ID)),
                )
    except ReadTimeoutError as error:  # same conversion as in requests, whose iter_content() cannot read any size
        raise requests.ConnectionError(error) from None
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from None
    return body


def _plain_json(body: bytes) -> bytes:
    """Rewrite JSON without escape sequences, which could hide a secret."""
    if b"\\" not in body:
        return body
    try:
        return json.dumps(parse_json(body), ensure_ascii=False).encode()
    except ValueError:
        return body


def _parse_json(body: bytes) -> Any:
    """Parse the body of an answer; an empty body is an empty object."""
    try:
        payload = parse_json(body) if body.strip() else None
    except ValueError:
        raise HubSpotUnreadableAnswerError(
            "HubSpot's answer is not JSON. If this persists, check host and proxy in the connection."
        ) from None
    return {} if payload is None else payload


def _parsed(validate: Callable[[Any], T], payload: Any, where: str) -> T:
    try:
        return validate(payload)
    except ValidationError as error:
        mistake = _first_mistake(error, where)
        raise HubSpotUnreadableAnswerError(f"HubSpot's answer is not as documented: {mistake}") from None


def _first_mistake(error: ValidationError, where: str) -> str:
    """Return the place and text of the first mistake: ``results.2.typeId: Input should be a valid integer``."""
    mistake = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, (where, *mistake['loc'])))}: {mistake['msg']}"


def _results(payload: Any) -> Any:
    if not isinstance(payload, dict) or not isinstance(payload.get("results"), list):
        raise HubSpotUnreadableAnswerError("HubSpot's answer is not as documented: no list of results")
    return payload["results"]


def _limits(payload: Any) -> list[AssociationLimit]:
    return _parsed(_LIMITS.validate_python, _results(payload), "results")


def _labels(payload: Any) -> list[AssociationLabel]:
    return _parsed(_LABELS.validate_python, _results(payload), "results")


def _association_names(payload: Any) -> list[AssociationName]:
    rows = payload.get("associations") if isinstance(payload, dict) else None
    return _parsed(_NAMES.validate_python, rows, "associations")


def _batch_answer(payload: Any) -> BatchAnswer:
    if payload is None:  # HTTP 204: HubSpot's usual answer to a purge
        return BatchAnswer(status=BatchStatus.COMPLETE)
    return _parsed(BatchAnswer.model_validate, payload, "batch")


def _purge_answer(payload: Any) -> BatchAnswer:
    """Convert the answer to a purge: 204, an empty body, or a batch whose results need not be limits.

    Source: HubSpot's specifications of 2026-03 and 2026-09, which document results without properties.
    """
    if isinstance(payload, list):
        payload = {"results": payload}
    if isinstance(payload, dict):
        payload = {"status": BatchStatus.COMPLETE.value} | payload
    return _purge_state(payload)


def _purge_state(payload: Any) -> BatchAnswer:
    """Convert the state of a purge, without results that are not limits."""
    if isinstance(payload, dict) and isinstance(payload.get("results"), list):
        payload = payload | {"results": [row for row in payload["results"] if _is_limit(row)]}
    return _batch_answer(payload)


def _is_limit(row: Any) -> bool:
    try:
        AssociationLimit.model_validate(row)
    except ValidationError:
        return False
    return True


def _account_info(payload: Any) -> AccountInfo:
    return _parsed(AccountInfo.model_validate, payload, "account")


def _nothing(payload: Any) -> None:
    """Ignore the answer to a write without a result (HTTP 204)."""


def _with_purged(answer: BatchAnswer, inputs: list[LimitInput]) -> BatchAnswer:
    """Add the purged types to the results of one request of a split purge; HubSpot's answer does not name them."""
    if answer.status is not BatchStatus.COMPLETE or answer.errors or answer.num_errors:
        return answer
    named = {result.identity for result in answer.results}
    purged = [
        AssociationLimit(category=limit_input.category.value, type_id=limit_input.type_id)
        for limit_input in inputs
        if limit_input.identity not in named
    ]
    return answer.model_copy(update={"results": answer.results + purged})


def _joined(answers: list[BatchAnswer]) -> BatchAnswer:
    """Combine the answers to the parts of one batch, without status links, which cover single parts only."""
    if len(answers) == 1:
        return answers[0]
    by_urgency = [BatchStatus.PENDING, BatchStatus.PROCESSING, BatchStatus.CANCELED, BatchStatus.COMPLETE]
    return BatchAnswer(
        status=min((answer.status for answer in answers), key=by_urgency.index, default=BatchStatus.COMPLETE),
        results=[result for answer in answers for result in answer.results],
        errors=[error for answer in answers for error in answer.errors],
        num_errors=sum(answer.num_errors for answer in answers),
        requested_at=answers[0].requested_at if answers else None,
        started_at=answers[0].started_at if answers else None,
        completed_at=answers[-1].completed_at if answers else None,
        correlation_id=max(answers, key=lambda answer: len(answer.errors)).correlation_id if answers else None,
    )


_HOST_MATTERS = (HubSpotUnavailableError, HubSpotTLSError, HubSpotSettingsError)
"""Errors that name the host if HubSpot has not answered."""

_CHECK_NETWORK = "Check the network, and host and proxy in the connection."


def _transport_error(error: requests.RequestException, timeout: tuple[float, float]) -> HubSpotError:
    """Return the typed error for a request without an answer, or with an incomplete one."""
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        return HubSpotTLSError(
            "The certificate of the HubSpot API could not be verified; nothing was sent. Check host and ca_bundle."
        )
    if isinstance(error, requests.ConnectTimeout):
        return HubSpotUnavailableError(
            f"No connection to HubSpot within {timeout[0]:g} s. {_CHECK_NETWORK}", sent=False
        )
    if isinstance(error, requests.ConnectionError):
        reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
        if isinstance(reason, (NewConnectionError, ProxyError)):
            return HubSpotUnavailableError(f"No connection to HubSpot: {_cause(reason)}. {_CHECK_NETWORK}", sent=False)
        if isinstance(reason, ReadTimeoutError):
            return HubSpotUnavailableError(
                f"HubSpot's answer stopped for {timeout[1]:g} s, or was not complete within"
                f" {TIMEOUTS_PER_ANSWER * timeout[1]:g} s"
            )
        if "WRONG_VERSION_NUMBER" in str(reason) or "RECORD_LAYER_FAILURE" in str(reason):
            return HubSpotUnavailableError(
                "The server does not speak https. A host without a scheme means https; for a simulator on this machine"
                " write http:// before it",
                sent=False,
            )
        return HubSpotUnavailableError(f"The connection to HubSpot broke: {_cause(reason)}")
    if isinstance(error, requests.Timeout):
        return HubSpotUnavailableError(
            f"No answer from HubSpot within {timeout[1]:g} s, or no complete one within"
            f" {TIMEOUTS_PER_ANSWER * timeout[1]:g} s"
        )
    if isinstance(error, _BROKEN_ANSWER):
        return HubSpotUnreadableAnswerError("HubSpot's answer broke off")
    return HubSpotSettingsError(f"The HubSpot connection cannot be used: {type(error).__name__}. Check host and proxy.")


def _cause(error: Any) -> str:
    """Return the reason given by the operating system or urllib3, without urllib3's wrapping."""
    while isinstance(error, Exception) and error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    text = str(error) if isinstance(error, OSError) else str(error).rsplit(": ", 1)[-1]
    return text or type(error).__name__
