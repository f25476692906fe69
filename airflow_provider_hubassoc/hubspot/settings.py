"""Settings of a :class:`.client.HubSpotClient`, and their validation."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from airflow_provider_hubassoc.hubspot.errors import HubSpotSettingsError

DEFAULT_BASE_URL = "https://api.hubapi.com"
"""HubSpot serves all data centers from this host."""

ApiVersion = Literal["2026-03", "2026-09", "2025-09", "v4"]
"""Versions of the Associations Schema API that this client supports."""

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def _fits_into_a_header(value: SecretStr) -> SecretStr:
    if any(not "\x21" <= character <= "\x7e" for character in value.get_secret_value()):
        raise ValueError("must be visible ASCII characters without spaces")
    return value


Secret = Annotated[SecretStr, Field(min_length=1, max_length=4096), AfterValidator(_fits_into_a_header)]
"""A token or another secret in the format that HubSpot issues."""

_SHOWN_FIELDS = {"base_url": "host", "access_token": "password (access token)"}
"""Field of the settings -> its name in Airflow's connection, if that differs."""

_REQUIRED = {"access_token": ("access_token",), "oauth": ("client_id", "client_secret", "refresh_token")}
"""``auth_type`` -> the fields that it requires."""

_MISSING = "is missing; auth_type {} requires it"


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port, so that the token may be sent to both."""
    try:
        return _origin(url) == _origin(other)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, where plain http is acceptable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HubSpotSettings(BaseModel):
    """Settings of a client. For every field, None and an empty string mean the default.

    :param base_url: address of the API: https, or http on loopback only. A host without a scheme means https.
    :param auth_type: ``access_token`` (service key, private app token, static token) or ``oauth``.
    :param access_token: the bearer token; with ``oauth`` the first access token, which is optional.
    :param client_id: id of the OAuth app.
    :param client_secret: secret of the OAuth app.
    :param refresh_token: OAuth refresh token of the portal.
    :param api_version: version of the Associations Schema API.
    :param timeout: seconds; one number, or a pair (connect, read).
    :param max_retries: how often a request is repeated after a transient error.
    :param proxy: URL of an HTTP proxy; None to use the environment (``HTTPS_PROXY``, ``NO_PROXY``).
    :param ca_bundle: path of a file with the certificates to trust; None to use the environment
        (``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``), or certifi's certificates if it names none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True)

    base_url: str = DEFAULT_BASE_URL
    auth_type: Literal["access_token", "oauth"] = "access_token"
    access_token: Secret | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    api_version: ApiVersion = "2026-03"
    timeout: tuple[Seconds, Seconds] = (10.0, 30.0)
    max_retries: int = Field(default=5, ge=0, le=20)
    proxy: str | None = Field(default=None, repr=False)
    ca_bundle: str | None = None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> HubSpotSettings:
        """Validate raw values. The error names every invalid field and never shows a secret.

        :param values: field name -> raw value; None and blank strings mean the default. ``port`` is the port of
            ``base_url`` if the address has none.
        :raises HubSpotSettingsError: if a field is invalid or missing.
        """
        given = {
            name: value.strip() if isinstance(value, str) else value
            for name, value in values.items()
            if value is not None and not (isinstance(value, str) and not value.strip())
        }
        mistakes = []
        port = given.pop("port", None)
        if port is not None and not _is_port(port):
            mistakes.append("port: must be a whole number from 1 to 65535")
        elif port is not None and isinstance(given.setdefault("base_url", DEFAULT_BASE_URL), str):
            given["base_url"] = f"{given['base_url'].rstrip('/')}:{port}"
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            mistakes += map(_mistake, error.errors(include_input=False, include_url=False))
        if not mistakes:
            return settings
        if given.get("auth_type", "oauth") not in tuple(_REQUIRED):
            mistakes += _missing(given)
        del values, given  # a traceback with local variables must not show the secrets in them
        text = "; ".join(dict.fromkeys(mistakes))
        raise HubSpotSettingsError(f"The HubSpot connection cannot be used: {text}.")

    @property
    def credentials(self) -> tuple[Any, ...]:
        """The fields that authenticate: settings with equal credentials use the same token."""
        return (self.auth_type, self.access_token, self.client_id, self.client_secret, self.refresh_token)

    @field_validator("timeout", mode="before")
    @classmethod
    def _one_number_for_both(cls, value: Any) -> Any:
        if isinstance(value, str) and "," in value:
            return tuple(part.strip() for part in value.split(","))
        return value if isinstance(value, (list, tuple)) else (value, value)

    @field_validator("base_url")
    @classmethod
    def _usable_base_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value if "://" in value else f"https://{value}")
            host, port = parts.hostname, parts.port
        except ValueError:  # its text may hold a password
            raise ValueError("must be an address whose port, if any, is from 1 to 65535") from None
        if not host or port == 0 or parts.scheme not in ("http", "https"):
            raise ValueError("must be an http(s) address such as https://api.hubapi.com")
        if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
            raise ValueError("must be an address without path, query or user, such as https://api.hubapi.com")
        if re.fullmatch(r"app(-[a-z0-9]+)?\.hubspot\.com|app\.hubapi\.com", host.lower()):
            raise ValueError("is HubSpot's web application, not its API. Leave it empty or use https://api.hubapi.com")
        if "." not in host and ":" not in host and not is_loopback(host) and host.lower().startswith("pat-"):
            raise ValueError("looks like an access token. Store the token in the password field")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("must be https: http would send the token unencrypted (allowed for loopback only)")
        shown = f"[{host}]" if ":" in host else host
        is_default_port = port in (None, 443 if parts.scheme == "https" else 80)
        return urlunsplit((parts.scheme, shown if is_default_port else f"{shown}:{port}", "", "", ""))

    @field_validator("access_token", "client_id", "client_secret", "refresh_token")
    @classmethod
    def _is_present_if_required(cls, value: Any, info: ValidationInfo) -> Any:
        auth_type = info.data.get("auth_type", "")
        if value is None and info.field_name in _REQUIRED.get(auth_type, ()):
            raise ValueError(_MISSING.format(auth_type))
        return value

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy_url(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parts = urlsplit(value)
                is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            except ValueError:  # its text may hold a password
                is_usable = False
            if not is_usable:
                raise ValueError("must be the URL of an HTTP proxy such as http://proxy.example.com:3128")
        return value


def _is_port(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) <= 5 and 1 <= int(value) <= 65535
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _mistake(error: Any) -> str:
    return _field_mistake(error["loc"][0], str(error["msg"]).removeprefix("Value error, "))


def _field_mistake(field: Any, text: str) -> str:
    return f"{_SHOWN_FIELDS.get(field, field)}: {text}"


def _missing(given: dict[str, Any]) -> list[str]:
    """Return the missing fields if ``auth_type`` is invalid, so that one error names every field to correct.

    The given fields show which ``auth_type`` is intended; without any, the fields of both are missing.
    """
    intended = [
        auth_type for auth_type in ("oauth", "access_token") if any(name in given for name in _REQUIRED[auth_type])
    ]
    return [
        _field_mistake(name, _MISSING.format(auth_type))
        for auth_type in intended[:1] or _REQUIRED
        for name in _REQUIRED[auth_type]
        if name not in given
    ]
