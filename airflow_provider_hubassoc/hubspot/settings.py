"""What a :class:`.client.HubSpotClient` is set up with, and the check of all of it at once."""

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
"""One host for all data centres, as HubSpot asks of its API's users."""

API_VERSIONS = ("2026-03", "2026-09", "2025-09", "v4")
"""Versions of the Associations Schema API that this client speaks."""

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def _fits_into_a_header(value: SecretStr) -> SecretStr:
    if any(not "\x21" <= character <= "\x7e" for character in value.get_secret_value()):
        raise ValueError("must be visible ASCII characters without spaces")
    return value


Secret = Annotated[SecretStr, Field(min_length=1, max_length=4096), AfterValidator(_fits_into_a_header)]
"""A token or another secret, as HubSpot makes them."""

_SHOWN_FIELDS = {"base_url": "host", "access_token": "password (access token)"}
"""What fields are called in Airflow's connection, where that is another name."""

_NEEDS = {"access_token": ("access_token",), "oauth": ("client_id", "client_secret", "refresh_token")}
"""``auth_type`` -> the fields it cannot do without."""

_MISSING = "is missing; auth_type {} needs it"


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port; only then may the token go along."""
    try:
        return _origin(url) == _origin(other)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine; only there is plain http acceptable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HubSpotSettings(BaseModel):
    """Everything a client needs to know. None (and an empty string) means the default everywhere.

    :param base_url: the API's address; https, or http on loopback only. A host without a scheme means https.
    :param auth_type: ``access_token`` (service key, private app token, static token) or ``oauth``.
    :param access_token: the bearer token; with ``oauth`` the first access token, which may be missing.
    :param client_id: the OAuth app's id.
    :param client_secret: the OAuth app's secret.
    :param refresh_token: the OAuth refresh token of the portal.
    :param api_version: version of the Associations Schema API.
    :param timeout: seconds; one number for both, or a pair (connect, read).
    :param max_retries: how often a request is sent again after an error that may pass.
    :param proxy: URL of an HTTP proxy; None for what the environment says (``HTTPS_PROXY``, ``NO_PROXY``).
    :param ca_bundle: path of a file with the certificates to trust; None for what the environment says
        (``REQUESTS_CA_BUNDLE``), or else certifi's.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True)

    base_url: str = DEFAULT_BASE_URL
    auth_type: Literal["access_token", "oauth"] = "access_token"
    access_token: Secret | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    api_version: Literal["2026-03", "2026-09", "2025-09", "v4"] = "2026-03"
    timeout: tuple[Seconds, Seconds] = (10.0, 30.0)
    max_retries: int = Field(default=5, ge=0, le=20)
    proxy: str | None = Field(default=None, repr=False)
    ca_bundle: str | None = None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> HubSpotSettings:
        """Check raw values and name every mistake at once, by field, never showing a secret.

        :param values: field name -> raw value; None and blank strings mean the default. ``port`` is that of
            ``base_url``, where it is not part of it.
        :raises HubSpotSettingsError: if any field is wrong or missing.
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
        if given.get("auth_type", "oauth") not in tuple(_NEEDS):
            mistakes += _missing(given)
        del values, given  # a traceback with local variables must not show the secrets in them
        text = "; ".join(dict.fromkeys(mistakes))
        raise HubSpotSettingsError(f"The HubSpot connection cannot be used: {text}.")

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
            raise ValueError("must be an address with a port from 1 to 65535, if it has one") from None
        if not host or port == 0 or parts.scheme not in ("http", "https"):
            raise ValueError("must be an http(s) address such as https://api.hubapi.com")
        if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
            raise ValueError("must be an address without path, query or user, such as https://api.hubapi.com")
        if re.fullmatch(r"app(-[a-z0-9]+)?\.hubspot\.com|app\.hubapi\.com", host.lower()):
            raise ValueError("is HubSpot's web application, not its API: leave it empty or use https://api.hubapi.com")
        if "." not in host and ":" not in host and not is_loopback(host) and host.lower().startswith("pat-"):
            raise ValueError("looks like an access token: store that in the password field")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("must be https: the token would travel in the clear (http is for loopback only)")
        shown = f"[{host}]" if ":" in host else host
        is_default_port = port in (None, 443 if parts.scheme == "https" else 80)
        return urlunsplit((parts.scheme, shown if is_default_port else f"{shown}:{port}", "", "", ""))

    @field_validator("access_token", "client_id", "client_secret", "refresh_token")
    @classmethod
    def _is_there_if_needed(cls, value: Any, info: ValidationInfo) -> Any:
        auth_type = info.data.get("auth_type", "")
        if value is None and info.field_name in _NEEDS.get(auth_type, ()):
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
    return _said(error["loc"][0], str(error["msg"]).removeprefix("Value error, "))


def _said(field: Any, text: str) -> str:
    return f"{_SHOWN_FIELDS.get(field, field)}: {text}"


def _missing(given: dict[str, Any]) -> list[str]:
    """Say what is missing where ``auth_type`` is none, so that this does not come to light only afterwards.

    What is given tells which one is meant; nothing at all tells neither.
    """
    meant = [auth_type for auth_type in ("oauth", "access_token") if any(name in given for name in _NEEDS[auth_type])]
    return [
        _said(name, _MISSING.format(auth_type))
        for auth_type in meant[:1] or _NEEDS
        for name in _NEEDS[auth_type]
        if name not in given
    ]
