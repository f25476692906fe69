"""Authentication of requests: a fixed bearer token, or an OAuth access token that is refreshed.

Source: HubSpot's "Authentication overview" and "OAuth API" (token endpoint ``/oauth/2026-03/token``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel, Field, SecretStr, ValidationError

from airflow_provider_hubassoc.hubspot.errors import HubSpotSettingsError, HubSpotUnreadableAnswerError
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings, Secret

TOKEN_PATH = "/oauth/2026-03/token"
"""Path of the token endpoint, whatever the version of the Associations Schema API."""

_REFRESH_AHEAD = 120.0
"""How long before its expiry an access token is refreshed, seconds; HubSpot's tokens live for 30 minutes."""

PostForm = Callable[[str, Mapping[str, SecretStr | str], Callable[[Any], Any]], Any]
"""Posts a form to a path of the API without a token; returns the JSON of the answer, converted by a function."""


class Auth(Protocol):
    """Provides the access token for the next request."""

    def access_token(self, post_form: PostForm) -> SecretStr:
        """Return a valid token for the next request, fetched through ``post_form`` if necessary."""

    def renew(self, rejected: SecretStr) -> bool:
        """Handle the rejection of a token by HubSpot. Return whether another token is available."""

    def secrets(self) -> list[SecretStr]:
        """Return the values that must not appear in messages."""


class BearerToken:
    """A token that does not expire: service key, private app token, or static token of a developer platform app."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def access_token(self, post_form: PostForm) -> SecretStr:
        """Return the token."""
        return self._token

    def renew(self, rejected: SecretStr) -> bool:
        """Return False: there is no other token."""
        return False

    def secrets(self) -> list[SecretStr]:
        """Return the token."""
        return [self._token]


class _TokenAnswer(BaseModel):
    access_token: Secret
    expires_in: float = Field(gt=0)
    refresh_token: Secret | None = None


def _token_answer(payload: Any) -> _TokenAnswer:
    try:
        return _TokenAnswer.model_validate(payload)
    except ValidationError:
        raise HubSpotUnreadableAnswerError(
            "HubSpot's answer to the token refresh has no valid access_token and expires_in"
        ) from None


class OAuthToken:
    """An OAuth access token, refreshed before it expires and after HubSpot has rejected it. Threads can share it.

    :param client_id: id of the app.
    :param client_secret: secret of the app.
    :param refresh_token: refresh token of the portal.
    :param access_token: first access token, of unknown age; None to fetch one before the first request.
    :param on_new_token: called with every token that HubSpot issues, before it is used; masks it in logs.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: SecretStr,
        refresh_token: SecretStr,
        *,
        access_token: SecretStr | None = None,
        on_new_token: Callable[[str], None],
    ) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._refresh_token = refresh_token
        self._access_token = access_token
        self._refresh_at = float("inf")
        self._on_new_token = on_new_token
        self._lock = threading.Lock()

    def access_token(self, post_form: PostForm) -> SecretStr:
        """Return an access token that does not expire soon, fetched if necessary.

        :raises HubSpotAuthenticationError: if HubSpot refuses to refresh the token.
        """
        with self._lock:
            if self._access_token is None or time.monotonic() >= self._refresh_at:
                self._access_token = self._refresh(post_form)
            return self._access_token

    def renew(self, rejected: SecretStr) -> bool:
        """Discard the rejected token, unless another thread has replaced it. Return True."""
        with self._lock:
            if self._access_token == rejected:
                self._access_token = None
        return True

    def secrets(self) -> list[SecretStr]:
        """Return the app's secret and both tokens."""
        secrets = (self._client_secret, self._refresh_token, self._access_token)
        return [secret for secret in secrets if secret is not None]

    def _refresh(self, post_form: PostForm) -> SecretStr:
        form: dict[str, SecretStr | str] = {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "refresh_token": self._refresh_token,
        }
        answer: _TokenAnswer = post_form(TOKEN_PATH, form, _token_answer)
        self._on_new_token(answer.access_token.get_secret_value())
        if answer.refresh_token and answer.refresh_token != self._refresh_token:
            self._on_new_token(answer.refresh_token.get_secret_value())
            self._refresh_token = answer.refresh_token
        self._refresh_at = time.monotonic() + answer.expires_in - min(_REFRESH_AHEAD, answer.expires_in / 2)
        return answer.access_token


def auth_from(settings: HubSpotSettings, on_new_token: Callable[[str], None]) -> Auth:
    """Return the authentication for the settings.

    :param on_new_token: called with every OAuth token that HubSpot issues, before it is used.
    """
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
