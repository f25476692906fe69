"""OAuth: the client fetches an access token, refreshes it in time and after a rejection, and never shows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot import auth
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotMissingScopesError,
    HubSpotRateLimitError,
    HubSpotServerError,
    HubSpotUnavailableError,
    HubSpotUnreadableAnswerError,
)
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.tracebacks import everything_shown
from tests.support.wire import Pauses, client_of, limit

TOKEN_PATH = "/oauth/2026-03/token"


def oauth_client(hubspot: Simulator, **options: Any) -> HubSpotClient:
    oauth = hubspot.oauth
    return client_of(
        hubspot,
        **{
            "auth_type": "oauth",
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
            "refresh_token": oauth.refresh_token,
            "access_token": None,
            **options,
        },
    )


def refreshes(hubspot: Simulator) -> int:
    return sum(request.path == TOKEN_PATH for request in hubspot.requests)


def failure(call: Callable[[], Any], *secrets: str) -> HubSpotError:
    with pytest.raises(HubSpotError) as raised:
        call()
    shown = everything_shown(raised.value)
    assert not [secret for secret in secrets if secret in shown]
    return raised.value


def secrets_of(hubspot: Simulator) -> list[str]:
    return [hubspot.oauth.client_secret, hubspot.oauth.refresh_token, "simulator-oauth-", "canary"]


def test_the_token_is_fetched_before_the_first_request_and_kept(hubspot: Simulator) -> None:
    seen: list[str] = []
    with oauth_client(hubspot, on_new_token=seen.append) as client:
        for _ in range(3):
            client.account_info()
    first, *others = hubspot.requests
    assert (first.method, first.path) == ("POST", TOKEN_PATH)
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in first.headers
    assert sorted(part.partition("=")[0] for part in first.body.split("&")) == [
        *("client_id", "client_secret", "grant_type", "refresh_token")
    ]
    assert [request.path for request in others] == ["/account-info/2026-03/details"] * 3
    assert {request.headers["authorization"] for request in others} == {f"Bearer {seen[0]}"}
    assert len(seen) == 1
    assert len({request.connection for request in hubspot.requests}) == 1


def test_an_access_token_in_the_connection_is_used_first(hubspot: Simulator) -> None:
    with oauth_client(hubspot, access_token=hubspot.token) as client:
        client.account_info()
    assert refreshes(hubspot) == 0


def test_a_rejected_token_is_refreshed_once(hubspot: Simulator) -> None:
    with oauth_client(hubspot, access_token="long-expired") as client:
        client.create_limits("contacts", "companies", [limit()])
        client.account_info()
    assert [request.status for request in hubspot.requests] == [401, 200, 201, 200]
    assert refreshes(hubspot) == 1


def test_a_token_that_expires_between_requests_is_refreshed(hubspot: Simulator) -> None:
    with oauth_client(hubspot) as client:
        client.account_info()
        token = hubspot.requests[-1].headers["authorization"].removeprefix("Bearer ")
        hubspot.revoke(token)
        client.get_all_limits()
    assert refreshes(hubspot) == 2


def test_a_rejected_new_token_fails_the_request(hubspot: Simulator) -> None:
    hubspot.inject(path="/account-info/*", status=401, times=9)
    pauses = Pauses()
    with oauth_client(hubspot, pauses=pauses) as client:
        error = failure(client.account_info, *secrets_of(hubspot))
    assert isinstance(error, HubSpotAuthenticationError)
    assert [request.path for request in hubspot.requests] == [
        *[TOKEN_PATH, "/account-info/2026-03/details"] * 2,
        "/account-info/2026-03/details",
    ]
    assert len(pauses) == 1
    assert not error.retryable


def test_a_token_is_refreshed_before_it_expires(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=lambda: now))  # the clock of this module only
    with oauth_client(hubspot) as client:
        client.account_info()
        for later, expected in ((1679.9, 1), (1680.1, 2), (1680.1 + 1679, 2), (1680.1 + 1681, 3)):
            now = 1000.0 + later
            client.account_info()
            assert refreshes(hubspot) == expected
    assert 401 not in {request.status for request in hubspot.requests}


def test_a_short_lived_token_is_refreshed_after_half_its_lifetime(
    hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=lambda: now))
    hubspot.oauth.expires_in = 60
    with oauth_client(hubspot) as client:
        client.account_info()
        now += 29
        client.account_info()
        assert refreshes(hubspot) == 1
        now += 2
        client.account_info()
        assert refreshes(hubspot) == 2


def test_threads_share_one_token(hubspot: Simulator) -> None:
    hubspot.inject(path=TOKEN_PATH, delay=0.1)
    with oauth_client(hubspot) as client, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: client.account_info(), range(32)))
    assert refreshes(hubspot) == 1
    assert len(hubspot.requests) == 33


def test_threads_with_the_same_rejected_token_refresh_it_once(hubspot: Simulator) -> None:
    threads = 12
    gate = threading.Barrier(threads)
    with oauth_client(hubspot, access_token="long-expired") as client, ThreadPoolExecutor(threads) as pool:

        def call(_: int) -> None:
            gate.wait()
            client.account_info()

        list(pool.map(call, range(threads)))
    assert refreshes(hubspot) == 1
    assert sum(request.status == 200 for request in hubspot.requests) == threads + 1


def test_a_client_without_retries_shares_the_token(hubspot: Simulator) -> None:
    with oauth_client(hubspot) as client:
        client.without_retries().account_info()
        client.account_info()
    assert refreshes(hubspot) == 1


def test_a_new_refresh_token_is_used_and_masked(hubspot: Simulator) -> None:
    seen: list[str] = []
    answer = {"access_token": "canary-access", "refresh_token": "canary-next", "expires_in": 1800}
    hubspot.inject(path=TOKEN_PATH, status=200, body=answer)
    hubspot.inject(path="/account-info/*", status=401)
    with oauth_client(hubspot, on_new_token=seen.append) as client:
        error = failure(client.account_info, *secrets_of(hubspot))
        assert error.category == "BAD_REFRESH_TOKEN"
    assert seen == ["canary-access", "canary-next"]
    assert [request.body.rpartition("=")[2] for request in hubspot.requests if request.path == TOKEN_PATH] == [
        hubspot.oauth.refresh_token,
        "canary-next",
    ]


# -- refused and failed refreshes --


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ({"refresh_token": "canary-x"}, "BAD_REFRESH_TOKEN", "Install the app in the portal again"),
        ({"client_secret": "canary-x"}, "BAD_CLIENT_SECRET", "Check client_secret in the connection"),
        ({"client_id": "canary-x"}, "BAD_CLIENT_ID", "Check client_id in the connection"),
    ],
)
def test_the_advice_after_a_refused_refresh(
    hubspot: Simulator, change: dict[str, str], reason: str, advice: str
) -> None:
    pauses = Pauses()
    with oauth_client(hubspot, pauses=pauses, **change) as client:
        error = failure(client.account_info, *secrets_of(hubspot))
    assert isinstance(error, HubSpotAuthenticationError)
    assert f"({reason})" in str(error)
    assert advice in str(error)
    assert (error.status, error.category) == (400, reason)
    assert error.correlation_id
    assert not error.retryable
    assert pauses == []
    assert len(hubspot.requests) == 1


def test_a_revoked_refresh_token_fails_before_the_write(hubspot: Simulator) -> None:
    with oauth_client(hubspot) as client:
        client.account_info()
        hubspot.revoke(hubspot.requests[-1].headers["authorization"].removeprefix("Bearer "))
        hubspot.revoke(hubspot.oauth.refresh_token)
        error = failure(lambda: client.create_limits("contacts", "companies", [limit()]), *secrets_of(hubspot))
    assert error.category == "BAD_REFRESH_TOKEN"
    assert not error.outcome_unknown
    assert hubspot.limits() == {}


@pytest.mark.parametrize("status", [400, 401, 403])
def test_any_refused_refresh_has_a_short_message(hubspot: Simulator, status: int) -> None:
    bodies: list[Any] = [
        *({"status": "BAD_HUB"}, {"error": "access_denied"}, {"status": 5, "error": ["x"]}, {"status": "x" * 100_000}),
        *([], "<html></html>", "", "[" * 9999),
    ]
    with oauth_client(hubspot) as client:
        for body in bodies:
            hubspot.inject(path=TOKEN_PATH, status=status, body=body)
            error = failure(client.account_info, *secrets_of(hubspot))
            assert isinstance(error, HubSpotAuthenticationError)
            assert str(error).startswith("HubSpot refused to refresh the OAuth access token (")
            assert len(str(error)) < 2000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"access_token": "canary", "expires_in": 0}',
        '{"access_token": "", "expires_in": 5}',
        '{"access_token": "canary"}',
        '{"access_token": 5, "expires_in": 5}',
        '{"access_token": "canary\\n", "expires_in": 5}',
        '{"access_token": "canary é", "expires_in": 5}',
        '{"access_token": "canary", "expires_in": 5, "refresh_token": "canary\\u0000"}',
        '{"access_token": "canary", "expires_in": 5, "refr',
        '{"access_token": "canary", "expires_in": NaN}',
    ],
)
def test_an_unusable_token_answer_is_unreadable(hubspot: Simulator, body: str) -> None:
    seen: list[str] = []
    hubspot.inject(path=TOKEN_PATH, status=200, body=body, times=9, headers={"X-HubSpot-Correlation-Id": "c-1"})
    with oauth_client(hubspot, max_retries=1, on_new_token=seen.append) as client:
        error = failure(client.account_info, *secrets_of(hubspot))
    assert isinstance(error, HubSpotUnreadableAnswerError)
    assert (error.status, error.correlation_id) == (200, "c-1")
    assert refreshes(hubspot) == len(hubspot.requests) == 2
    assert seen == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 429}, HubSpotRateLimitError),
        ({"status": 503}, HubSpotUnavailableError),
        ({"status": 500}, HubSpotServerError),
        ({"reset": True, "after": True}, HubSpotUnavailableError),
        ({"truncate": 40}, HubSpotUnreadableAnswerError),
        ({"truncate": 40, "headers": {"Content-Length": "40"}}, HubSpotUnreadableAnswerError),
    ],
)
def test_the_outcome_of_a_write_is_known_if_the_refresh_failed(
    hubspot: Simulator, fault: dict[str, Any], kind: type[HubSpotError]
) -> None:
    hubspot.inject(path=TOKEN_PATH, **fault, times=9)
    with oauth_client(hubspot, max_retries=2) as client:
        error = failure(lambda: client.create_limits("contacts", "companies", [limit()]), *secrets_of(hubspot))
    assert isinstance(error, kind)
    assert not error.outcome_unknown  # the create was never sent
    assert refreshes(hubspot) == len(hubspot.requests) == (3 if error.transient else 1)


def test_a_failed_refresh_is_retried(hubspot: Simulator) -> None:
    pauses = Pauses()
    hubspot.inject(path=TOKEN_PATH, status=429, headers={"Retry-After": "3"})
    hubspot.inject(path=TOKEN_PATH, status=503)
    with oauth_client(hubspot, pauses=pauses) as client:
        client.create_label("contacts", "companies", label="x", name="x")
    assert refreshes(hubspot) == 3
    assert 3 <= pauses[0] <= 4


def test_a_missing_scope_does_not_refresh_the_token(hubspot: Simulator) -> None:
    hubspot.oauth.scopes = ("oauth",)
    with oauth_client(hubspot) as client:
        assert isinstance(failure(client.get_all_limits, *secrets_of(hubspot)), HubSpotMissingScopesError)
    assert refreshes(hubspot) == 1


def test_a_static_token_is_never_refreshed(hubspot: Simulator) -> None:
    with client_of(hubspot, access_token="canary", client_id="x", refresh_token="y") as client:
        assert isinstance(failure(client.account_info, "canary"), HubSpotAuthenticationError)
    assert refreshes(hubspot) == 0


def test_no_secret_is_shown_or_logged(hubspot: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with oauth_client(hubspot) as client:
        client.account_info()
        holders = (client, client.transport, client.transport._auth)
        shown = caplog.text + "".join(repr(holder) + repr(vars(holder)) for holder in holders)
    assert not [secret for secret in secrets_of(hubspot) if secret in shown]


def test_the_advice_for_a_refused_refresh_token_names_both_causes(hubspot: Simulator) -> None:
    with oauth_client(hubspot, refresh_token="canary-refresh-token") as client:
        text = str(failure(client.account_info, *secrets_of(hubspot)))
    assert "was revoked, or it belongs to an app other than client_id" in text


def test_a_rate_limit_error_names_the_token_endpoint(hubspot: Simulator) -> None:
    body = {"message": "You have reached your secondly limit.", "policyName": "SECONDLY", "correlationId": ""}
    hubspot.inject(path=TOKEN_PATH, status=429, body=body)
    with oauth_client(hubspot, max_retries=0) as client:
        error = failure(client.account_info, *secrets_of(hubspot))
    assert isinstance(error, HubSpotRateLimitError)
    assert "token endpoint" in str(error)
