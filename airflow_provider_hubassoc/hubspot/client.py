"""The one way this package speaks to HubSpot: :class:`HubSpotClient`, over one ``requests.Session``.

Sources: HubSpot's guide "Associations schema" (paths, bodies), its published captures of real answers (status
codes), "Handling errors" and "API usage guidelines" (what to repeat, and when).
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
"""A portal's limits and labels are some kilobytes; more than this is not an answer of this API."""

INPUTS_PER_REQUEST = 100
"""HubSpot documents no maximum for these endpoints; a pair has at most about 50 labels each way."""

_SHORTEST_SECRET = 8
"""Shorter secrets are not blanked: they could be ordinary words of an answer."""

_SHORTEST_PART = 12
"""Characters from which the beginning or the end of a secret is blanked as well."""

_LONGEST_INTERVAL = 60.0
"""Longest interval of a rate limit that is respected, seconds; HubSpot's is ten."""

_REJECTED_PAUSE = (1.0, 2.0)
"""Bounds of the pause before a token that HubSpot rejected is sent again, seconds."""

_PROVES_TOKEN = (400, 403, 404)
"""Statuses of refusals that HubSpot gives only after it has accepted the token."""

_CORRELATION_ID = "X-HubSpot-Correlation-Id"

_BROKEN_ANSWER = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.InvalidHeader,  # of the answer: those of the request are made of checked settings
)

_POOL_SIZE = 32
"""Connections kept open, at most; as many as threads may share one client without losing keep-alive."""

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
    """How much of the ten-second limit is left, from HubSpot's ``X-HubSpot-RateLimit-*`` headers.

    :param maximum: requests allowed per interval.
    :param remaining: requests left in the current interval.
    :param interval: its length, seconds.
    """

    maximum: int
    remaining: int
    interval: float

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """Read the headers; None if HubSpot did not send them (it does not on every endpoint), or none that can be."""
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
    """What a client has learned so far; shared with :meth:`HubSpotClient.without_retries`.

    :param auth: gives out the token.
    :param credentials: what ``auth`` was made from.
    :param has_worked: whether HubSpot has accepted a token of this client.
    """

    auth: Auth
    credentials: tuple[Any, ...]
    has_worked: bool = False
    rate_limit: RateLimit | None = None
    time_zone: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class HubSpotClient:
    """HubSpot's Associations Schema API: limits and labels of association types, and the account behind the token.

    One client holds one keep-alive session. It may be shared by threads. Use it as a context manager, or call
    :meth:`close`.

    Every method raises a :class:`~.errors.HubSpotError`: authentication, missing scopes, unknown object type,
    validation, rate limit, unavailable, unreadable answer.

    :param settings: address, credentials and transport (see :class:`~.settings.HubSpotSettings`).
    :param retry_policy: when and how often to send a request again; from ``settings.max_retries`` by default.
    :param inputs_per_request: larger batches are sent in several requests of at most this many inputs.
    :param on_new_token: called with every OAuth token HubSpot hands out, before it is used.
    :param sleep: waits between attempts, seconds; it may raise to end a call early.
    :param connection_name: id of the Airflow connection, for error messages.
    :param reread_settings: called after HubSpot rejected the token; returns the settings as they are stored now, or
        None if they cannot be read. If they hold other credentials for the same host, the request is sent with those.
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
        # Proxies and certificates are looked up once, not for every request; ~/.netrc never, because its password
        # would replace the token.
        self._session.trust_env = False
        if settings.base_url.startswith("https:"):  # plain http is for loopback: a proxy would read the token
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
        """The ten-second limit as of the latest answer that included it; None if none has."""
        return self._state.rate_limit

    def without_retries(self) -> HubSpotClient:
        """Return a client over the same session that does not repeat failed requests, for callers that do.

        A token that HubSpot rejects is still replaced, or sent again after a pause.
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

        It is not known whether HubSpot accepts the same create twice. If an answer never arrives, the pair is read,
        and only limits not in force yet are sent again, as an update: updates are idempotent and create missing
        limits. Limits found in force are among the results.

        :param from_object_type: object type in any spelling HubSpot takes.
        :param to_object_type: the same, for the other side.
        :param inputs: ``{"category", "typeId", "maxToObjectIds"}`` each.
        :param resend: True if they may have been sent before, so that they are treated as above.
        :return: HubSpot's answer; of several requests, their answers joined. Judge it by
            :class:`~airflow_provider_hubassoc.limits.operation.BatchOperation`, never by the HTTP status.
        """
        return self._batch("create", from_object_type, to_object_type, inputs, resend=resend)

    def update_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | Mapping[str, Any]]
    ) -> BatchAnswer:
        """Change limits of association types of one direction; HubSpot also creates those that are missing.

        Parameters and return value as :meth:`create_limits`. Idempotent: sent again when an answer never arrives.
        """
        return self._batch("update", from_object_type, to_object_type, inputs)

    def purge_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | Mapping[str, Any]]
    ) -> BatchAnswer:
        """Remove limits from association types of one direction; those without a limit are left as they are.

        :param inputs: ``{"category", "typeId"}`` each.
        :return: COMPLETE, usually without results: HubSpot answers with an empty body (HTTP 204), or with results
            that are no limits, which are ignored.
        """
        return self._batch("purge", from_object_type, to_object_type, inputs)

    def get_limits(self, from_object_type: str, to_object_type: str) -> list[AssociationLimit]:
        """Read the limits of one direction. Association types without a limit may be missing or have None."""
        ends = from_object_type, to_object_type
        return self._request("GET", self._limits_path(*ends), _limits, ends=ends)

    def get_all_limits(self) -> list[AssociationLimit]:
        """Read the limits of the whole portal. HubSpot does not say which object types they belong to."""
        return self._request("GET", f"{self._schema_path}/definitions/configurations/all", _limits)

    def get_status(self, url: str, action: Action | None = None) -> BatchAnswer:
        """Read the state of an operation from a link in the answer that started it.

        :param url: must have the API's own origin.
        :param action: the operation's action; results of a purge that are no limits are ignored.
        :raises HubSpotRefusedAnswerError: if it has another one; nothing is sent then.
        """
        if not same_origin(url, self.base_url):
            raise HubSpotRefusedAnswerError("The status link leads away from the HubSpot API and is not followed")
        parts = urlsplit(url)
        parse = _purge_state if action == "purge" else _batch_answer
        return self._request("GET", urlunsplit(("", "", parts.path, parts.query, "")), parse)

    # -- labels --

    def get_labels(self, from_object_type: str, to_object_type: str) -> list[AssociationLabel]:
        """Read the association types of one direction; the unlabeled one has ``label`` None."""
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
        """Define an association type of the portal's own.

        :param label: what people see from this side.
        :param name: internal name, unique in the portal; no hyphens, no leading digit.
        :param inverse_label: what people see from the other side; None for the same label on both sides.
        :return: the new rows as HubSpot answers them, in no reliable order: read each direction's labels to know
            which id belongs to which side.
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

        :param inverse_label: always give it for a label with two sides: without it HubSpot writes ``label`` on both.
        """
        body: dict[str, Any] = {"associationTypeId": association_type_id, "label": label}
        if inverse_label is not None:
            body["inverseLabel"] = inverse_label
        ends = from_object_type, to_object_type
        self._request("PUT", self._labels_path(*ends), _nothing, body, ends=ends)

    def delete_label(self, from_object_type: str, to_object_type: str, association_type_id: int) -> None:
        """Delete a label and its inverse; either id will do. It must not be in use on any record."""
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
        """Read which portal the token belongs to. Needs the scope ``oauth``."""
        info = self._request("GET", "/account-info/2026-03/details", _account_info)
        self._state.time_zone = info.time_zone
        return info

    # -- how it is done --

    @property
    def _schema_path(self) -> str:
        # v4 is where HubSpot's documentation and its own client put it; the dated versions have one form only.
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
        """Add to an error where it happened: connection, direction, and host where it matters."""
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

    def _batch(
        self,
        action: Action,
        from_object_type: str,
        to_object_type: str,
        inputs: Sequence[LimitInput | Mapping[str, Any]],
        *,
        resend: bool = False,
    ) -> BatchAnswer:
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

    def _create(
        self, path: str, inputs: list[LimitInput], ends: tuple[str, str], *, outcome_unknown: bool
    ) -> BatchAnswer:
        """Send a create so that no input that HubSpot may have applied is created a second time."""
        wanted = {limit_input.identity: limit_input.max_to_object_ids for limit_input in inputs}
        in_force: list[AssociationLimit] = []
        remaining = inputs
        action: Action = "create"

        def attempt() -> BatchAnswer:
            nonlocal outcome_unknown, in_force, remaining, action
            if outcome_unknown:
                action = "update"  # a read may be older than the create that was never answered
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
        """Send a request as often as the retry policy allows; ``parse`` reads the JSON of the answer."""
        with self._error_context(ends):
            return self._repeat(lambda: self._send(method, path, parse, body, ends), idempotent=idempotent)

    def _repeat(self, send: Callable[[], T], *, idempotent: bool = True) -> T:
        """Call as often as the retry policy allows. Once an attempt's outcome is unknown, every later error says so."""
        outcome_unknown = False

        def attempt() -> T:
            nonlocal outcome_unknown
            try:
                return send()
            except HubSpotError as error:
                outcome_unknown = error.outcome_unknown = outcome_unknown or error.outcome_unknown
                # The frames and errors behind it hold secrets, and keep the connection open.
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

        A request that HubSpot answers with 401 was not carried out. It is sent again with a refreshed token, with the
        credentials that are stored now, and, if the token is known to be good, once more after a pause.
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
                # Without a token it was the refresh that HubSpot refused, and it gave a definite reason.
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
            log.warning("HubSpot rejected the access token; trying once more after a pause.")
            self._sleep(random.uniform(*_REJECTED_PAUSE))

    def _replace_auth(self, rejected: Auth) -> bool:
        """Read the settings again after HubSpot rejected the token. Return whether there are other credentials now."""
        state = self._state
        with state.lock:
            if state.auth is not rejected:  # another thread has replaced it
                return True
            settings = self._reread_settings() if self._reread_settings else None
            if settings is None or _credentials(settings) == state.credentials:
                return False
            if not same_origin(settings.base_url, self.base_url):
                log.warning("The stored connection leads to another host now; its new token is not used by this task.")
                return False
            log.info("HubSpot rejected the access token; the connection holds another one now, which is used.")
            state.auth, state.credentials = _auth(settings, self._on_new_token), _credentials(settings)
            return True

    def _post_form(self, path: str, form: Mapping[str, SecretStr | str], parse: Callable[[Any], T]) -> T:
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._exchange("POST", path, parse, form, headers, None)
        except HubSpotError as error:
            error.outcome_unknown = False  # the request that needs the token has not been sent yet
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
        """Send one HTTP request. Return the answer as ``parse`` reads it, or raise the typed error."""
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
        except OSError as error:  # requests looks for the ca_bundle only when it sends
            raise HubSpotSettingsError(f"The HubSpot connection cannot be used: {error}") from None
        except ValueError as error:  # an address or a proxy's password that HTTP cannot carry; its text may hold it
            raise HubSpotSettingsError(
                f"The HubSpot connection cannot be used: {type(error).__name__}. Check host and proxy."
            ) from None
        self._state.rate_limit = RateLimit.from_headers(response.headers) or self.rate_limit
        correlation_id = text_of(response.headers.get(_CORRELATION_ID))
        if token is not None or not response.ok:  # an answer may echo what it was asked, one with new tokens must
            # The token may have been renewed in the meantime.
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
            error.message += ". HubSpot also answers so if the token is malformed: check the token in the connection."
        if isinstance(error, HubSpotRateLimitError) and error.policy == "DAILY" and error.retry_after is None:
            error.retry_after = self._seconds_to_midnight()
        return error

    def _seconds_to_midnight(self) -> float:
        """Seconds until HubSpot's daily limit resets: midnight in the portal's time zone, or UTC if it is unknown."""
        try:
            now = pendulum.now(self._state.time_zone or "UTC")
        except (ValueError, OSError):  # a zone that this machine does not know
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
    """Return how many characters two texts have in common from their beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _redacted(text: str, secrets: set[str]) -> str:
    """Replace secrets, and long beginnings and ends of them."""
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
    body = response.content if response.raw.closed else b""  # an observer of requests may have read it already
    try:
        while part := response.raw.read1(64 * 1024, decode_content=True):
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise HubSpotRefusedAnswerError(
                    f"HubSpot's answer is larger than {MAX_BODY_BYTES} bytes and is not read",
                    status=response.status_code,
                    correlation_id=text_of(response.headers.get(_CORRELATION_ID)),
                )
    except ReadTimeoutError as error:  # as requests does it, which cannot read in parts of any size
        raise requests.ConnectionError(error) from None
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from None
    return body


def _plain_json(body: bytes) -> bytes:
    """Rewrite JSON without escapes, which could hide a secret."""
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
        raise HubSpotUnreadableAnswerError("HubSpot's answer is not JSON") from None
    return {} if payload is None else payload


def _parsed(validate: Callable[[Any], T], payload: Any, where: str) -> T:
    try:
        return validate(payload)
    except ValidationError as error:
        mistake = _first_mistake(error, where)
        raise HubSpotUnreadableAnswerError(f"HubSpot's answer is not as documented: {mistake}") from None


def _first_mistake(error: ValidationError, where: str) -> str:
    """Name the place and the mistake: ``results.2.typeId: Input should be a valid integer``."""
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
    if payload is None:  # HTTP 204: how HubSpot really answers a purge
        return BatchAnswer(status=BatchStatus.COMPLETE)
    return _parsed(BatchAnswer.model_validate, payload, "batch")


def _purge_answer(payload: Any) -> BatchAnswer:
    """Read the answer to a purge: 204, an empty body, or a batch whose results need not be limits.

    Source: HubSpot's specifications of 2026-03 and 2026-09, which document results without properties.
    """
    if isinstance(payload, list):
        payload = {"results": payload}
    if isinstance(payload, dict):
        payload = {"status": BatchStatus.COMPLETE.value} | payload
    return _purge_state(payload)


def _purge_state(payload: Any) -> BatchAnswer:
    """Read the state of a purge, without the results that are no limits."""
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
    """Add the purged types of one request of a larger purge to its results; HubSpot's answer does not name them."""
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
    """Join the answers to the parts of one batch. Its state is then read from the pair: links lead to parts only."""
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


def _transport_error(error: requests.RequestException, timeout: tuple[float, float]) -> HubSpotError:
    """Make the typed error for a request that got no answer, or part of one."""
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        return HubSpotTLSError(
            "The certificate of the HubSpot API cannot be verified; nothing was sent. Check host and ca_bundle."
        )
    if isinstance(error, requests.ConnectTimeout):
        return HubSpotUnavailableError(f"No connection to HubSpot within {timeout[0]:g} s", sent=False)
    if isinstance(error, requests.ConnectionError):
        reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
        if isinstance(reason, (NewConnectionError, ProxyError)):
            return HubSpotUnavailableError(f"No connection to HubSpot: {_cause(reason)}", sent=False)
        if isinstance(reason, ReadTimeoutError):
            return HubSpotUnavailableError(
                f"HubSpot's answer stopped for {timeout[1]:g} s, or was not complete within"
                f" {TIMEOUTS_PER_ANSWER * timeout[1]:g} s"
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
