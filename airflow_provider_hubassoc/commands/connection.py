"""The connection to HubSpot that a command uses: an access token in the environment, or an Airflow connection."""

from __future__ import annotations

import os
from collections.abc import Callable

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.terminal import UsageError, say

TOKEN_VARIABLE = "HUBSPOT_ACCESS_TOKEN"
_ADDRESS_VARIABLE = "HUBSPOT_BASE_URL"
_DEFAULT_CONNECTION = "hubspot_default"
_NO_CONNECTION = (
    f"no connection to HubSpot: set {TOKEN_VARIABLE}, name an Airflow connection with --conn-id, "
    f"or create the Airflow connection {_DEFAULT_CONNECTION}"
)


def choose_connection(conn_id: str | None) -> str:
    """Return the name of the connection to use, and warn about environment variables that are ignored.

    :param conn_id: Airflow connection that the command line names; None if it names none.
    :return: the id of an Airflow connection, or :data:`TOKEN_VARIABLE`.
    """
    if conn_id is None and _token():
        if os.environ.get("AIRFLOW_CONN_HUBSPOT_DEFAULT"):
            say(f"{TOKEN_VARIABLE} takes precedence over the Airflow connection {_DEFAULT_CONNECTION}.")
        return TOKEN_VARIABLE
    if os.environ.get(_ADDRESS_VARIABLE):
        say(f"Warning: {_ADDRESS_VARIABLE} is ignored: it is used with {TOKEN_VARIABLE} only.")
    return conn_id or _DEFAULT_CONNECTION


def open_client(name: str, *, is_required: bool, sleep: Callable[[float], None]) -> HubSpotClient:
    """Open the client of a connection.

    :param name: as returned by :func:`choose_connection`.
    :param is_required: whether the command line names the connection.
    :param sleep: waits between attempts, seconds; may raise to end the command.
    :raises UsageError: if Airflow does not have the connection.
    :raises HubSpotSettingsError: if the connection is invalid.
    """
    if name == TOKEN_VARIABLE and not is_required:
        settings = {"access_token": _token(), "base_url": os.environ.get(_ADDRESS_VARIABLE)}
        return HubSpotClient(HubSpotSettings.parse(settings), connection_name=TOKEN_VARIABLE, sleep=sleep)
    # As in Airflow's own command line; otherwise Airflow does not look into its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

        from airflow_provider_hubassoc.hooks import HubSpotHook
    except ImportError:
        message = f"--conn-id needs Airflow, which is not installed here; set {TOKEN_VARIABLE} instead"
        raise UsageError(message if is_required else _NO_CONNECTION) from None
    try:
        return HubSpotHook(hubspot_conn_id=name, sleep=sleep).get_conn()
    except AirflowNotFoundException as error:
        message = f"Airflow has no usable connection {name}: {error}"
        raise UsageError(message if is_required else _NO_CONNECTION) from None
    except AirflowException as error:
        raise UsageError(f"Airflow has no usable connection {name}: {error}") from None


def _token() -> str:
    return (os.environ.get(TOKEN_VARIABLE) or "").strip()
