"""Settings of the client, read from an Airflow connection."""

from __future__ import annotations

import difflib
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from airflow_provider_hubassoc.hubspot.errors import HubSpotSettingsError
from airflow_provider_hubassoc.hubspot.parsing import json_object, parse_json
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings

_EXTRA_FIELDS = (
    "auth_type",
    "client_id",
    "client_secret",
    "refresh_token",
    "api_version",
    "timeout",
    "max_retries",
    "proxy",
    "ca_bundle",
)


_TOKEN_KEYS = ("accesstoken", "token", "apikey", "apitoken", "privateapptoken", "password")
"""Keys, without underscores, under which users store the access token in extra by mistake."""

_TOKEN_PREFIXES = ("pat-", "Bearer ")


def read_settings(
    connection: Connection, conn_id: str | None = None, warnings: list[str] | None = None
) -> HubSpotSettings:
    """Return the settings in an Airflow connection, whether it comes from a form, a URI, JSON or the environment.

    :param connection: ``password`` is the access token, ``host`` the address of the API. ``port`` and these keys of
        ``extra`` are used too: ``auth_type``, ``client_id``, ``client_secret``, ``refresh_token``, ``api_version``,
        ``timeout``, ``max_retries``, ``proxy``, ``ca_bundle``. Null and empty values mean the default, because
        Airflow's form saves them for unfilled fields.
    :param conn_id: id of the connection, for the error.
    :param warnings: list to which warnings about unknown keys in ``extra`` are added.
    :raises HubSpotSettingsError: if the connection is invalid; the error names every wrong field.
    """
    try:
        settings = HubSpotSettings.parse(_values_of(connection))
    except HubSpotSettingsError as error:
        message = error.message
        if "password (access token): is missing" in message and (hint := _misplaced_token(connection)):
            message = f"{message} {hint}"
        failure = error.replace(message=message, connection=conn_id)
    else:
        if warnings is not None:
            warnings += _unknown_keys(connection)
        return settings
    del connection  # a traceback with local variables must not show its secrets
    raise failure


def _unknown_keys(connection: Connection) -> list[str]:
    """Return a warning for each key in extra that is not a setting. It suggests the nearest one and hides the value."""
    by_plain_name = {name.replace("_", ""): name for name in _EXTRA_FIELDS}
    warnings = []
    for key in parse_json(connection.extra or "{}"):
        if key in _EXTRA_FIELDS:
            continue
        near = difflib.get_close_matches(key.lower().replace("_", "").replace("-", ""), by_plain_name, n=1, cutoff=0.75)
        if key.lower().replace("_", "") in _TOKEN_KEYS:
            hint = " The access token belongs in the password field."
        else:
            hint = f" Did you mean {by_plain_name[near[0]]!r}?" if near else ""
        warnings.append(f"the key {key[:60]!a} in extra is not a setting and is ignored.{hint}")
    return warnings


def _misplaced_token(connection: Connection) -> str | None:
    """Return a hint if another field than password seems to hold the token."""
    extra = json_object((connection.extra or "").encode(errors="replace"))
    if any(key.lower().replace("_", "") in _TOKEN_KEYS for key, value in extra.items() if value):
        place = "extra"
    elif (connection.login or "").strip():
        place = "the login field"
    elif (connection.host or "").strip().startswith(_TOKEN_PREFIXES):
        place = "the host field"
    else:
        return None
    return f"The value in {place} may be the access token. Store the token in the password field."


def _values_of(connection: Connection) -> dict[str, Any]:
    try:  # not connection.extra_dejson, which ignores invalid JSON
        extra = parse_json(connection.extra or "{}")
    except ValueError:
        raise HubSpotSettingsError("The HubSpot connection cannot be used: extra is not JSON.") from None
    if not isinstance(extra, dict):
        raise HubSpotSettingsError("The HubSpot connection cannot be used: extra is not a JSON object.")
    # Airflow masks secrets as they are stored; the client uses them without white space at their ends.
    mask_secret({name: value.strip() if isinstance(value, str) else value for name, value in extra.items()})
    if password := (connection.password or "").strip():
        mask_secret(password)
    values: dict[str, Any] = {name: extra.get(name) for name in _EXTRA_FIELDS}
    host = (connection.host or "").strip()
    if host and "://" not in host and connection.schema in ("http", "https"):
        host = f"{connection.schema}://{host}"
    return {**values, "base_url": host, "port": connection.port or None, "access_token": connection.password}
