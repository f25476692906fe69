"""Hints for connections with mistakes."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.log import mask_logs

from airflow_provider_hubassoc.connection_settings import read_settings
from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.errors import HubSpotSettingsError
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.wire import closed_port

SECRET = "pat-na1-canary-4711"


def hook_with(extra: dict[str, Any] | None = None, **fields: Any) -> HubSpotHook:
    conn = Connection(conn_id="emea", conn_type="hubspot", extra=json.dumps(extra or {}), **fields)
    return HubSpotHook("emea", connection=conn)


def test_unknown_keys_are_named_once_without_their_values(caplog: pytest.LogCaptureFixture) -> None:
    hook = hook_with({"apiVersion": SECRET, "access_token": SECRET, "clientId": SECRET, "colour": 5}, password=SECRET)
    with caplog.at_level(logging.WARNING):
        assert hook.client is hook.client
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 4
    assert all(text.startswith("Connection emea: the key '") for text in texts)
    assert "Did you mean 'api_version'?" in texts[0]
    assert "password field" in texts[1]
    assert "Did you mean 'client_id'?" in texts[2]
    assert texts[3].endswith("is ignored.")
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"extra": {"access_token": SECRET}}, "in extra"),
        ({"login": SECRET}, "in the login field"),
        ({"host": SECRET}, "in the host field"),
    ],
)
def test_a_token_in_the_wrong_field_gets_a_hint(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(HubSpotSettingsError) as raised:
        hook_with(**fields).get_conn()
    assert place in str(raised.value)
    assert "password field" in str(raised.value)
    assert "connection emea" in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("host", ["app.hubspot.com", "https://app-eu1.hubspot.com"])
def test_the_address_of_the_web_application_gets_a_hint(host: str) -> None:
    with pytest.raises(HubSpotSettingsError, match="web application, not its API"):
        hook_with(host=host, password=SECRET).get_conn()


def test_an_unreachable_host_says_nothing_about_the_token() -> None:
    ok, text = hook_with(host=f"http://127.0.0.1:{closed_port()}", password=SECRET).test_connection()
    assert not ok
    assert text.startswith("Could not reach HubSpot, so the access token was not checked: No connection to HubSpot")


def test_a_rotated_token_is_used(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def store(token: str) -> None:
        conn = {"conn_type": "hubspot", "host": hubspot.url, "password": token}
        monkeypatch.setenv("AIRFLOW_CONN_EMEA", json.dumps(conn))

    old = hubspot.issue_token()
    store(old)
    with HubSpotHook("emea") as hook:
        hook.account_info()
        hubspot.revoke(old)
        store(hubspot.token)
        assert hook.account_info().portal_id == hubspot.portal_id


def test_a_host_with_a_path_gets_a_hint() -> None:
    with pytest.raises(HubSpotSettingsError, match=r"without path, query or user, such as https://api\.hubapi\.com"):
        hook_with(host="api.hubapi.com/crm/v4", password=SECRET).get_conn()


@pytest.mark.parametrize("blanks", [" ", "\n", "\t \r\n"])
def test_white_space_around_fields_is_stripped(hubspot: Simulator, blanks: str) -> None:
    extra = {
        "api_version": f"{blanks}v4{blanks}",
        "timeout": f"{blanks}5 , 60{blanks}",
        "max_retries": f"{blanks}3{blanks}",
        "auth_type": f"{blanks}access_token{blanks}",
        "ca_bundle": blanks,
        "proxy": blanks,
    }
    hook = hook_with(extra, host=f"{blanks}{hubspot.url}{blanks}", password=f"{blanks}{hubspot.token}{blanks}")
    with hook:
        hook.get_all_limits()
    (request,) = hubspot.requests
    assert request.headers["authorization"] == f"Bearer {hubspot.token}"
    assert request.path == "/crm/v4/associations/definitions/configurations/all"
    settings = read_settings(Connection(conn_id="emea", conn_type="hubspot", extra=json.dumps(extra), password=SECRET))
    assert (settings.timeout, settings.max_retries, settings.ca_bundle, settings.proxy) == ((5.0, 60.0), 3, None, None)


@pytest.mark.parametrize("field", ["password", "client_secret", "refresh_token"])
def test_a_secret_is_masked_without_surrounding_white_space(field: str) -> None:
    """Airflow masks fields as they are stored. The client, and so a log, uses them without white space."""
    secret = f"canary-{field}-4711"
    extra = {"auth_type": "oauth", "client_id": "a", "client_secret": "b-secret-1", "refresh_token": "c-secret-2"}
    fields = {"password": f" {secret}\n"} if field == "password" else {}
    hook_with(extra | ({} if fields else {field: f" {secret}\n"}), **fields).get_conn()
    assert mask_logs(None, "info", {"event": f"a {secret} b"})["event"] == "a *** b"
