"""Checks before every API of HubSpot: tokens, scopes, OAuth and rate limits."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.settings import Settings

DEFAULT_TOKEN = "pat-na1-simulator-00000000-0000-0000-0000-000000000000"
"""Access token with every scope; the same in every run, so a connection can be stored before the simulator runs."""

_OBJECTS = [
    "appointments",
    "carts",
    "commercepayments",
    "companies",
    "contacts",
    "courses",
    "custom",
    "deals",
    "goals",
    "invoices",
    "leads",
    "line_items",
    "listings",
    "orders",
    "partner-clients",
    "partner-services",
    "products",
    "projects",
    "quotes",
    "services",
    "subscriptions",
    "users",
]

_SENSITIVE = ["appointments.sensitive"] + [
    f"{name}.{degree}"
    for name in ("companies", "contacts", "custom", "deals")
    for degree in ("highly_sensitive", "sensitive")
]
_ACTIVITIES = ["calls", "emails", "meetings", "notes", "tasks"]

SCHEMA_SCOPES = tuple(
    sorted(
        [f"crm.objects.{name}.{right}" for name in _OBJECTS for right in ("read", "write")]
        + [f"crm.objects.{name}.{right}.v2" for name in _SENSITIVE for right in ("read", "write")]
        + [f"crm.objects.projects.sensitive.{right}" for right in ("read", "write")]
        + [f"crm.objects.{name}.read" for name in _ACTIVITIES]
        + ["contacts", "e-commerce", "media_bridge.read", "tickets", "tickets.highly_sensitive", "tickets.sensitive"]
        + ["tickets.highly_sensitive.v2", "tickets.sensitive.v2"]
    )
)
"""Scopes of which the Associations Schema API requires one, in any version; no ``crm.schemas.*`` is among them."""

_SCHEMA_SCOPE = re.compile("|".join(map(re.escape, SCHEMA_SCOPES)))

OBJECT_SCHEMA_SCOPES = tuple(f"crm.schemas.{name}.read" for name in ("companies", "contacts", "custom", "deals"))
"""Scopes of which object schemas require one. HubSpot lists one for each object type; these are the usual ones."""

_OBJECT_SCHEMA_SCOPE = re.compile(r"crm\.schemas\.[a-z_.-]+\.read")

ALL_SCOPES = ("oauth", *SCHEMA_SCOPES, *OBJECT_SCHEMA_SCOPES)

_WINDOW_SECONDS = 10

Api = Literal["account", "associations", "object schemas"]

_REQUIRED: dict[Api, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "account": (("oauth",), re.compile("oauth")),
    "associations": (SCHEMA_SCOPES, _SCHEMA_SCOPE),
    "object schemas": (OBJECT_SCHEMA_SCOPES, _OBJECT_SCHEMA_SCOPE),
}
"""API -> the scopes that a refusal lists, and a pattern of the scopes that the API accepts."""


@dataclass
class Token:
    """An access token. Only tokens from OAuth expire."""

    scopes: tuple[str, ...]
    oauth: bool = False
    expires_at: float | None = None


@dataclass
class OAuthApp:
    """The app that may refresh tokens.

    :param expires_in: lifetime of its access tokens, seconds.
    """

    client_id: str = "00000000-simulator-client-id"
    client_secret: str = "00000000-simulator-client-secret"
    refresh_token: str = "na1-simulator-00000000-refresh-token"
    expires_in: float = 1800.0
    scopes: tuple[str, ...] = ALL_SCOPES


@dataclass
class RateLimits:
    """Requests counted for the rate limits.

    :param recent: times of the requests in the current window, seconds of the monotonic clock.
    :param day: day in the time zone of the portal that ``today`` counts.
    :param today: number of requests on that day.
    """

    recent: deque[float] = field(default_factory=deque)
    day: date | None = None
    today: int = 0


class Gateway:
    """Admits or refuses requests.

    :param settings: rate limits and portal id; changes take effect at the next request.
    :param local_time: returns the time in the portal's time zone.
    :param clock: returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        settings: Settings,
        local_time: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.oauth = OAuthApp()
        self._local_time = local_time
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = {DEFAULT_TOKEN: Token(ALL_SCOPES)}
        self._revoked_refresh_tokens: set[str] = set()
        self._rates = RateLimits()

    def issue_token(self, scopes: Iterable[str] | None = None) -> str:
        """Return a new access token that does not expire; by default with every scope."""
        token = f"pat-na1-simulator-{uuid.uuid4()}"
        with self._lock:
            self._tokens[token] = Token(ALL_SCOPES if scopes is None else tuple(scopes))
        return token

    def revoke(self, token: str) -> None:
        """Revoke an access token or the refresh token."""
        with self._lock:
            self._tokens.pop(token, None)
            self._revoked_refresh_tokens.add(token)

    def admit(self, authorization: str | None, api: Api = "associations") -> dict[str, str]:
        """Check a request and return the rate limit headers of its answer.

        :param authorization: Authorization header of the request.
        :param api: the API called, which decides the scopes required.
        :raises RefusalError: with status 401, 429 or 403.
        """
        token = self._token(authorization)
        headers = self._count(token)
        required, pattern = _REQUIRED[api]
        if not any(pattern.fullmatch(scope) for scope in token.scopes):
            raise RefusalError(
                403,
                "This app hasn't been granted all required scopes to make this call. Read more about required scopes "
                "here: https://developers.hubspot.com/scopes.",
                "MISSING_SCOPES",
                errors=[
                    {
                        "message": "One or more of the following scopes are required.",
                        "context": {"requiredGranularScopes": list(required)},
                    }
                ],
                links={"scopes": "https://developers.hubspot.com/scopes"},
            )
        return headers

    def _token(self, authorization: str | None) -> Token:
        scheme, _, value = (authorization or "").partition(" ")
        with self._lock:
            token = self._tokens.get(value.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise RefusalError(
                401,
                "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find "
                "more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
                "INVALID_AUTHENTICATION",
            )
        if token.expires_at is not None and token.expires_at <= self._clock():
            ago = int(self._clock() - token.expires_at)
            raise RefusalError(
                401,
                f"The OAuth token used to make this call expired {ago} second(s) ago.",
                "EXPIRED_AUTHENTICATION",
            )
        return token

    def _count(self, token: Token) -> dict[str, str]:
        """Count one request and return the rate limit headers; a refused request does not count."""
        settings, rates, now = self.settings, self._rates, self._clock()
        headers: dict[str, str] = {}
        with self._lock:
            while rates.recent and rates.recent[0] <= now - _WINDOW_SECONDS:
                rates.recent.popleft()
            today = self._local_time().date() if settings.daily_limit is not None else None
            if rates.day != today:
                rates.day, rates.today = today, 0
            exhausted = None
            if settings.daily_limit is not None and rates.today >= settings.daily_limit:
                exhausted = "DAILY"
            elif settings.rate_limit is not None and len(rates.recent) >= settings.rate_limit:
                exhausted = "TEN_SECONDLY_ROLLING"
            else:
                rates.today += 1
                if settings.rate_limit is not None:
                    rates.recent.append(now)
            if settings.rate_limit is not None:
                headers["X-HubSpot-RateLimit-Max"] = str(settings.rate_limit)
                headers["X-HubSpot-RateLimit-Remaining"] = str(max(0, settings.rate_limit - len(rates.recent)))
                headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = str(_WINDOW_SECONDS * 1000)
            if settings.daily_limit is not None and not token.oauth:
                headers["X-HubSpot-RateLimit-Daily"] = str(settings.daily_limit)
                headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, settings.daily_limit - rates.today))
        if exhausted is not None:
            policy = exhausted.lower().replace("_rolling", "").replace("_", "-")
            raise RefusalError(
                429,
                f"You have reached your {exhausted.lower()} limit.",
                None,
                headers=headers,
                errorType="RATE_LIMIT",
                policyName=exhausted,
                groupName=f"publicapi:private_app-api-calls-{policy}:0:{settings.portal_id}",
            )
        return headers

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer the OAuth token endpoint; only the refresh of a token is simulated.

        :raises RefusalError: with an OAuth ``error`` beside HubSpot's ``status`` in its body.
        """
        app = self.oauth

        def refusal(status: str, error: str, message: str) -> RefusalError:
            return RefusalError(400, message, None, status=status, error=error, error_description=message)

        if form.get("grant_type") != "refresh_token":
            raise refusal("BAD_GRANT_TYPE", "unsupported_grant_type", "missing or unknown grant_type")
        if form.get("client_id") != app.client_id:
            raise refusal("BAD_CLIENT_ID", "invalid_client", "missing or unknown client_id")
        if form.get("client_secret") != app.client_secret:
            raise refusal("BAD_CLIENT_SECRET", "invalid_client", "missing or invalid client_secret")
        if form.get("refresh_token") != app.refresh_token or app.refresh_token in self._revoked_refresh_tokens:
            raise refusal("BAD_REFRESH_TOKEN", "invalid_grant", "refresh token is invalid, expired or revoked")
        access_token = f"simulator-oauth-{uuid.uuid4()}"
        with self._lock:
            self._tokens[access_token] = Token(app.scopes, oauth=True, expires_at=self._clock() + app.expires_in)
        return {
            "access_token": access_token,
            "refresh_token": app.refresh_token,
            "expires_in": int(app.expires_in),
            "token_type": "bearer",
            "token_use": "access_token",
            "hub_id": self.settings.portal_id,
            "scopes": list(app.scopes),
        }
