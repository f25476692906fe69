"""The hook: connections in every form, one client, the connection test, and secrets."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_logs

from airflow_provider_hubassoc.connection_settings import read_settings
from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotSettingsError,
    HubSpotUnavailableError,
)
from airflow_provider_hubassoc.hubspot.models import BatchStatus, LimitInput
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh, submit
from airflow_provider_hubassoc.provider_info import get_provider_info
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.tracebacks import everything_shown
from tests.support.wire import Pauses, Peer, closed_port, limit, response

PAIR = ("contacts", "companies")
KEY = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)

FORM_FIELDS = list(get_provider_info()["connection-types"][0]["conn-fields"])


def connection(**fields: Any) -> Connection:
    extra = fields.pop("extra", None)
    return Connection(
        conn_id="hubspot_default",
        conn_type="hubspot",
        extra=extra if isinstance(extra, str) or extra is None else json.dumps(extra),
        **fields,
    )


def hook_of(hubspot: Simulator, **options: Any) -> HubSpotHook:
    return HubSpotHook(connection=connection(host=hubspot.url, password=hubspot.token), sleep=Pauses(), **options)


def masked(text: str) -> str:
    return str(mask_logs(None, "info", {"event": f"said {text}"})["event"])


# -- forms of a connection --

STORED: dict[str, Any] = {
    "auth_type": "oauth",
    "client_id": "app & co",
    "client_secret": "canary/cli=ent",
    "refresh_token": "canary-ref?resh",
    "api_version": "v4",
    "timeout": 2.5,
    "max_retries": 3,
    "proxy": "http://user:p%40ss@proxy.example.com:3128",
    "ca_bundle": "/etc/ssl/some bundle.pem",
}
EXPECTED = HubSpotSettings.parse(
    {**STORED, "base_url": "https://eu.example.com:8443", "access_token": "pat-na1/with:odd@signs"}
)
TOKEN = quote("pat-na1/with:odd@signs", safe="")
QUERY = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in STORED.items())


@pytest.mark.parametrize(
    "stored",
    [
        f"hubspot://:{TOKEN}@eu.example.com:8443/?{QUERY}",
        f"hubspot://:{TOKEN}@eu.example.com:8443/https?{QUERY}",
        f"hubspot://:{TOKEN}@https%3A%2F%2Feu.example.com:8443/?{QUERY}",
        f"hubspot://https://:{TOKEN}@eu.example.com:8443/?__extra__={quote(json.dumps(STORED), safe='')}",
        json.dumps(
            {
                "conn_type": "hubspot",
                "host": "https://eu.example.com:8443/",
                "password": "pat-na1/with:odd@signs",
                "extra": STORED,
            }
        ),
        json.dumps(
            {
                "conn_type": "hubspot",
                "host": "eu.example.com",
                "port": "8443",
                "schema": "",
                "login": "",
                "password": "pat-na1/with:odd@signs",
                "extra": json.dumps(STORED),
            }
        ),
    ],
    ids=["URI", "URI with schema", "URI with quoted host", "URI with __extra__", "JSON", "JSON with text"],
)
def test_every_form_of_a_connection_gives_the_same_settings(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HUBSPOT_DEFAULT", stored)
    found = read_settings(HubSpotHook.get_connection("hubspot_default"))
    assert found.model_dump() == EXPECTED.model_dump()
    again = Connection.from_uri(HubSpotHook.get_connection("hubspot_default").get_uri(), conn_id="x")
    assert read_settings(again) == EXPECTED


def test_a_form_with_only_the_token_gives_the_defaults() -> None:
    """Airflow's form saves every field, with null for unfilled ones."""
    nulls = connection(host="", password="pat-x", port=None, login="", schema="", extra=dict.fromkeys(FORM_FIELDS))
    bare = connection(password="pat-x")
    assert read_settings(nulls) == read_settings(bare) == HubSpotSettings.parse({"access_token": "pat-x"})


def test_every_field_of_the_form_is_a_setting() -> None:
    assert set(FORM_FIELDS) == set(HubSpotSettings.model_fields) - {"base_url", "access_token"}


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://api.hubapi.com"),
        ({"port": 443}, "https://api.hubapi.com"),
        ({"port": 0}, "https://api.hubapi.com"),
        ({"port": 8443}, "https://api.hubapi.com:8443"),
        ({"host": " eu.example.com "}, "https://eu.example.com"),
        ({"host": "https://eu.example.com/", "port": 8443}, "https://eu.example.com:8443"),
        ({"host": "127.0.0.1", "port": 80, "schema": "http"}, "http://127.0.0.1"),
        ({"host": "http://127.0.0.1", "schema": "https"}, "http://127.0.0.1"),
        ({"host": "eu.example.com", "schema": "somewhere"}, "https://eu.example.com"),
    ],
)
def test_the_base_url(fields: dict[str, Any], base_url: str) -> None:
    assert read_settings(connection(password="pat-x", **fields)).base_url == base_url


# -- mistakes --


def refusal(conn: Connection) -> HubSpotSettingsError:
    with pytest.raises(HubSpotSettingsError) as error:
        HubSpotHook(connection=conn).get_conn()
    assert "canary" not in everything_shown(error.value)
    return error.value


def test_one_error_names_every_wrong_field() -> None:
    extra = {
        "auth_type": "password",
        "client_secret": "canary x",
        "api_version": "v3",
        "timeout": "0",
        "max_retries": "x",
        "proxy": "http://user:canary@:1",
        "ca_bundle": ["canary"],
    }
    text = str(refusal(connection(host="http://eu.example.com/crm", port=99999, password="canary é", extra=extra)))
    fields = ["host", "auth_type", "password (access token)", "client_secret", "api_version", "timeout", "max_retries"]
    assert [field for field in [*fields, "proxy", "ca_bundle"] if f"{field}: " not in text] == []


@pytest.mark.parametrize(
    ("conn", "said"),
    [
        (connection(), "password (access token): is missing"),
        (connection(extra={"auth_type": "oauth"}), "client_id: is missing"),
        (connection(host="http://eu.example.com", password="canary-word"), "host: must be https"),
        (
            connection(host="https://user:canary@eu.example.com", password="canary-word"),
            "host: must be an address without",
        ),
        (connection(host="eu.example.com:1", port=2, password="canary-word"), "host: must be an address whose port"),
        (connection(password="canary-word", extra="{'proxy': 'canary'}"), "extra is not JSON"),
        (connection(password="canary-word", extra="[" * 9999), "extra is not JSON"),
        (connection(password="canary-word", extra='["canary"]'), "extra is not a JSON object"),
        (connection(password="canary-word", extra="null"), "extra is not a JSON object"),
        (connection(password="canary-word", extra='{"timeout": NaN}'), "extra is not JSON"),
    ],
)
def test_one_mistake(conn: Connection, said: str) -> None:
    error = refusal(conn)
    assert str(error).startswith("The HubSpot connection cannot be used: ")
    assert said in str(error)
    assert not error.retryable


def test_a_missing_connection() -> None:
    hook = HubSpotHook("nowhere")  # the connection is read at the first call
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        hook.account_info()


# -- one client --


def test_a_hook_has_one_client_and_one_connection(hubspot: Simulator, hubspot_conn: str) -> None:
    with HubSpotHook(hubspot_conn) as hook:
        assert hook.get_conn() is hook.client
        assert isinstance(hook.get_conn(), HubSpotClient)
        hook.account_info()
        hook.get_all_limits()
        hook.test_connection()
    assert len({request.connection for request in hubspot.requests}) == 1
    hook.account_info()
    hook.close()
    assert len({request.connection for request in hubspot.requests}) == 2
    HubSpotHook(hubspot_conn).close()  # nothing to close


def test_the_default_connection_is_used(hubspot: Simulator, hubspot_conn: str) -> None:
    assert HubSpotHook().hubspot_conn_id == hubspot_conn == HubSpotHook.default_conn_name
    with HubSpotHook() as hook:
        assert hook.account_info().portal_id == hubspot.portal_id


def test_every_method_calls_the_client(hubspot: Simulator) -> None:
    with hook_of(hubspot) as hook:
        assert hook.create_limits(*PAIR, [limit()]).results[0].max_to_object_ids == 5
        assert hook.update_limits(*PAIR, [limit(279, 6)]).results[0].max_to_object_ids == 6
        assert hook.get_limits(*PAIR)[0].max_to_object_ids == 6
        assert {row.type_id for row in hook.get_all_limits()} == {279, 280}
        assert hook.purge_limits(*PAIR, [limit(279, None)]).status is BatchStatus.COMPLETE
        hook.create_label(*PAIR, label="a", name="x", inverse_label="b")
        (made,) = [row for row in hook.get_labels(*PAIR) if row.label == "a"]
        hook.update_label(*PAIR, association_type_id=made.type_id, label="c", inverse_label="d")
        assert "c" in {row.label for row in hook.get_labels(*PAIR)}
        hook.delete_label(*PAIR, made.type_id)
        assert "c" not in {row.label for row in hook.get_labels(*PAIR)}
        assert hook.account_info().portal_id == hubspot.portal_id


def test_the_settings_reach_the_client(hubspot: Simulator) -> None:
    extra = {"api_version": "v4", "max_retries": "1", "timeout": 5}
    pauses = Pauses()
    conn = connection(host=hubspot.url, password=hubspot.token, extra=extra)
    with HubSpotHook(connection=conn, sleep=pauses) as hook:
        hubspot.inject(status=503, times=9)
        with pytest.raises(HubSpotUnavailableError):
            hook.get_all_limits()
    assert [request.path for request in hubspot.requests] == ["/crm/v4/associations/definitions/configurations/all"] * 2
    assert len(pauses) == 1


# -- test_connection --


def test_the_connection_test_succeeds(hubspot: Simulator, hubspot_conn: str) -> None:
    assert HubSpotHook(hubspot_conn).test_connection() == (
        True,
        f"Connected to HubSpot portal {hubspot.portal_id} (DEVELOPER_TEST); association limits can be read.",
    )


def test_the_connection_test_fails_for_an_invalid_token(hubspot: Simulator) -> None:
    ok, text = HubSpotHook(connection=connection(host=hubspot.url, password="canary-1")).test_connection()
    assert not ok
    assert text.startswith("Could not verify the access token: HubSpot rejected the access token: ")
    assert "canary" not in text
    assert len(hubspot.requests) == 1


def test_the_connection_test_fails_without_the_scope_to_read_limits(hubspot: Simulator) -> None:
    token = hubspot.issue_token(["oauth"])
    ok, text = HubSpotHook(connection=connection(host=hubspot.url, password=token)).test_connection()
    assert not ok
    assert text.startswith(
        f"The access token is valid for portal {hubspot.portal_id} (DEVELOPER_TEST), but association limits"
    )
    assert "crm.objects.contacts.read" in text


@pytest.mark.parametrize(
    ("conn", "said"),
    [
        (connection(host=f"http://127.0.0.1:{closed_port()}", password="x"), "No connection to HubSpot"),
        (connection(password=None), "password (access token): is missing"),
        (connection(host="http://eu.example.com", password="x"), "host: must be https"),
    ],
)
def test_the_connection_test_fails_for_an_invalid_connection(conn: Connection, said: str) -> None:
    ok, text = HubSpotHook(connection=conn).test_connection()
    assert not ok
    assert said in text


def test_the_connection_test_does_not_retry(hubspot: Simulator) -> None:
    """A user waits for the Test button."""
    hubspot.inject(status=503, times=9)
    with hook_of(hubspot) as hook:
        assert hook.test_connection()[0] is False
    assert len(hubspot.requests) == 1


def test_airflow_runs_the_connection_test(hubspot: Simulator) -> None:
    conn = connection(host=hubspot.url, password=hubspot.token)
    options: dict[str, Any] = {HubSpotHook.conn_name_attr: "x", "connection": conn}
    hook = HubSpotHook(**options)
    assert hook.test_connection()[0] is True


# -- secrets --


def test_all_secrets_are_masked_in_logs(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    oauth = hubspot.oauth
    extra = {
        "auth_type": "oauth",
        "client_id": oauth.client_id,
        "client_secret": oauth.client_secret,
        "refresh_token": oauth.refresh_token,
    }
    stored = {"conn_type": "hubspot", "host": hubspot.url, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_HUBSPOT_DEFAULT", json.dumps(stored))
    with HubSpotHook() as hook:
        hook.account_info()
    token = hubspot.requests[-1].headers["authorization"].removeprefix("Bearer ")
    assert token.startswith("simulator-oauth-")
    assert masked("a sentence") == "said a sentence"
    for secret in (token, oauth.client_secret, oauth.refresh_token):
        assert masked(secret) == "said ***"


def test_secrets_of_a_given_connection_are_masked(hubspot: Simulator) -> None:
    extra = {"auth_type": "oauth", "client_id": "a", "client_secret": "canary-one-1", "refresh_token": "canary-two-2"}
    hook = HubSpotHook(connection=connection(host=hubspot.url, extra=extra))
    with hook, pytest.raises(HubSpotAuthenticationError) as error:
        hook.account_info()
    assert "canary" not in everything_shown(error.value)
    assert masked("canary-one-1") == masked("canary-two-2") == "said ***"


def test_a_hook_shows_no_secret(hubspot: Simulator) -> None:
    with hook_of(hubspot) as hook:
        hook.account_info()
        assert hubspot.token not in repr(hook) + str(hook) + repr(hook.client)


# -- operations --


def operation_of(hook: HubSpotHook, action: Any = "update", *inputs: dict[str, Any], **options: Any) -> BatchOperation:
    models = [LimitInput.model_validate(row) for row in inputs or [limit()]]
    resend = options.pop("resend", False)
    batch = BatchOperation(action=action, from_object_type=PAIR[0], to_object_type=PAIR[1], inputs=models, **options)
    return submit(hook.client, batch, resend=resend)


def test_a_batch_is_submitted(hubspot: Simulator) -> None:
    with hook_of(hubspot) as hook:
        for action, maximum in (("create", 5), ("update", 6), ("purge", None)):
            operation = operation_of(hook, action, limit(279, maximum))
            assert operation.has_succeeded
            assert (operation.action, operation.from_object_type) == (action, "contacts")
            assert operation.correlation_id or action == "purge"
            assert hubspot.limits() == ({} if maximum is None else {KEY: maximum})
        verified = operation_of(hook, verify=True)
        assert not verified.is_over
        assert refresh(hook.client.without_retries(), verified).has_succeeded


def test_a_create_that_may_have_been_sent_before_is_read_first(hubspot: Simulator) -> None:
    hubspot.set_limit(*PAIR, "HUBSPOT_DEFINED", 279, 5)
    with hook_of(hubspot) as hook:
        assert operation_of(hook, "create", resend=True).has_succeeded
    assert [request.method for request in hubspot.requests] == ["GET"]


@pytest.mark.parametrize("status_links", [True, False])
@pytest.mark.parametrize("canceled", [True, False])
def test_a_slow_batch_is_refreshed_until_it_is_over(status_links: bool, canceled: bool) -> None:
    portal = Simulator(processing_seconds=0.05, status_links=status_links, canceled=canceled)
    with portal, hook_of(portal) as hook:
        operation = operation_of(hook)
        assert not operation.is_over
        for _ in range(500):
            operation = refresh(hook.client.without_retries(), operation)
            if operation.is_over or (canceled and not status_links and len(portal.requests) > 20):
                break
        if not canceled:
            assert operation.has_succeeded
        elif status_links:
            assert operation.status is BatchStatus.CANCELED
        else:
            assert not operation.is_over  # a read cannot tell: the wait goes on until its timeout


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410, 500, 200])
def test_limits_are_read_if_the_status_link_fails(hubspot: Simulator, status: int) -> None:
    link = f"{hubspot.url}/crm/associations/2026-03/state"
    hubspot.inject(path="*/batch/update", after=True, status=200, body={"status": "PENDING", "links": {"self": link}})
    hubspot.inject(path="*/state", status=status, body="<html></html>")
    with hook_of(hubspot) as hook:
        operation = operation_of(hook)
        assert operation.link_to_read == link
        operation = refresh(hook.client.without_retries(), operation)
        assert operation.has_succeeded
        assert operation.link_to_read is None
    assert [request.path.rpartition("/")[2] for request in hubspot.requests] == ["update", "state", "companies"]


def test_one_failed_read_of_the_status_link_is_tolerated() -> None:
    with Simulator(processing_seconds=0.05, canceled=True) as portal, hook_of(portal) as hook:
        operation = operation_of(hook)
        portal.inject(path="*/operations/*", status=500)
        for _ in range(500):
            operation = refresh(hook.client.without_retries(), operation)
            if operation.is_over:
                break
        assert operation.status is BatchStatus.CANCELED


def test_a_status_link_to_another_origin_is_not_followed(hubspot: Simulator) -> None:
    with Peer(response(b'{"status": "COMPLETE"}')) as other, hook_of(hubspot) as hook:
        links = {"status": f"http://127.0.0.1:{other.port}/state"}
        hubspot.inject(path="*/batch/update", status=200, body={"status": "PENDING", "links": links})
        operation = refresh(hook.client.without_retries(), operation_of(hook))
        assert not operation.is_over
        assert other.received == []


@pytest.mark.parametrize("status", [423, 429, 477, 502, 503, 504])
def test_a_status_link_is_kept_after_a_transient_error(hubspot: Simulator, status: int) -> None:
    links = {"status": f"{hubspot.url}/state"}
    hubspot.inject(path="*/batch/update", status=200, body={"status": "PENDING", "links": links})
    hubspot.inject(path="/state", status=status)
    with hook_of(hubspot) as hook:
        operation = operation_of(hook)
        with pytest.raises(HubSpotError) as error:
            refresh(hook.client.without_retries(), operation)
        assert error.value.status == status
    assert len(hubspot.requests) == 2  # not repeated: the wait polls again


def test_a_rejected_token_ends_the_wait(hubspot: Simulator) -> None:
    links = {"status": f"{hubspot.url}/state"}
    hubspot.inject(path="*/batch/update", status=200, body={"status": "PENDING", "links": links})
    with hook_of(hubspot) as hook:
        operation = operation_of(hook)
        hubspot.revoke(hubspot.token)
        with pytest.raises(HubSpotAuthenticationError):
            refresh(hook.client.without_retries(), operation)
