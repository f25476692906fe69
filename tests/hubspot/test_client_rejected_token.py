"""After HubSpot rejected the token, the client uses the stored one, repeats the request after a pause, or fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError, HubSpotError
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.wire import Pauses, limit

PAIR = ("contacts", "companies")


def settings(hubspot: Simulator, token: str) -> HubSpotSettings:
    return HubSpotSettings.parse({"base_url": hubspot.url, "access_token": token})


def client_with(
    hubspot: Simulator, token: str, pauses: Pauses, reread: Callable[[], HubSpotSettings | None] | None = None
) -> HubSpotClient:
    return HubSpotClient(settings(hubspot, token), sleep=pauses, reread_settings=reread)


@pytest.mark.parametrize("without_retries", [False, True])
def test_a_rotated_token_is_read_from_the_connection(hubspot: Simulator, without_retries: bool) -> None:
    """A client made by without_retries() does the same."""
    old, pauses = hubspot.issue_token(), Pauses()
    with client_with(hubspot, old, pauses, lambda: settings(hubspot, hubspot.token)) as client:
        client.account_info()
        hubspot.revoke(old)
        used = client.without_retries() if without_retries else client
        used.update_limits(*PAIR, [limit()])
        client.get_all_limits()
    assert pauses == []
    assert [request.headers["authorization"] for request in hubspot.requests] == [
        *[f"Bearer {old}"] * 2,
        *[f"Bearer {hubspot.token}"] * 2,
    ]


def test_a_token_that_worked_before_is_sent_again_after_a_pause(hubspot: Simulator) -> None:
    pauses = Pauses()
    with client_with(hubspot, hubspot.token, pauses) as client:
        client.account_info()
        hubspot.inject(status=401)
        client.update_limits(*PAIR, [limit()])
    assert len(pauses) == 1
    assert 1 <= pauses[0] <= 2
    assert len(hubspot.requests) == 3


@pytest.mark.parametrize(
    ("status", "is_proof"), [(400, True), (403, True), (404, True), (429, False), (500, False), (503, False)]
)
def test_some_errors_prove_that_the_token_works(hubspot: Simulator, status: int, is_proof: bool) -> None:
    """HubSpot answers them only after it has accepted the token."""
    pauses = Pauses()
    with client_with(hubspot, hubspot.token, pauses) as client:
        once = client.without_retries()
        hubspot.inject(status=status)
        with pytest.raises(HubSpotError):
            once.get_all_limits()
        hubspot.inject(status=401)
        if is_proof:
            once.get_all_limits()
        else:
            with pytest.raises(HubSpotAuthenticationError):
                once.get_all_limits()
    assert len(pauses) == is_proof


def test_the_lasting_rejection_of_a_token_that_worked_before_is_retryable(hubspot: Simulator) -> None:
    pauses = Pauses()
    token = hubspot.issue_token()
    with client_with(hubspot, token, pauses, lambda: settings(hubspot, token)) as client:
        client.account_info()
        hubspot.revoke(token)
        with pytest.raises(HubSpotAuthenticationError) as raised:
            client.update_limits(*PAIR, [limit()])
    assert raised.value.retryable
    assert not raised.value.outcome_unknown
    assert len(hubspot.requests) == 3


@pytest.mark.parametrize("stored", [None, "the same", "another wrong token"])
def test_the_rejection_of_a_token_that_never_worked_is_permanent(hubspot: Simulator, stored: str | None) -> None:
    pauses = Pauses()
    wrong = "pat-na1-wrong-0815"
    stored_settings = {
        None: None,
        "the same": settings(hubspot, wrong),
        "another wrong token": settings(hubspot, "pat-na1-other"),
    }
    client = client_with(hubspot, wrong, pauses, lambda: stored_settings[stored])
    with client, pytest.raises(HubSpotAuthenticationError) as raised:
        client.get_all_limits()
    assert not raised.value.retryable
    assert pauses == []
    assert len(hubspot.requests) == (2 if stored == "another wrong token" else 1)


def test_a_stored_token_for_another_host_is_not_used(hubspot: Simulator) -> None:
    other = HubSpotSettings.parse({"base_url": "https://other.example.com", "access_token": "pat-na1-other-4711"})
    client = client_with(hubspot, "pat-na1-wrong-0815", Pauses(), lambda: other)
    with client, pytest.raises(HubSpotAuthenticationError):
        client.get_all_limits()
    assert len(hubspot.requests) == 1


def oauth_settings(hubspot: Simulator, **changes: str) -> HubSpotSettings:
    app = hubspot.oauth
    secrets = {"client_secret": app.client_secret, "refresh_token": app.refresh_token}
    return HubSpotSettings.parse(
        {"base_url": hubspot.url, "auth_type": "oauth", "client_id": app.client_id, **secrets, **changes}
    )


@pytest.mark.parametrize("field", ["refresh_token", "client_secret"])
def test_an_oauth_secret_replaced_in_the_connection_is_used(hubspot: Simulator, field: str) -> None:
    """The first refresh uses it, and so does a refresh after the access token was rejected."""
    hubspot.oauth.client_secret, hubspot.oauth.refresh_token = "first-client-secret", "first-refresh-token"
    with HubSpotClient(
        oauth_settings(hubspot, **{field: "wrong-secret-value"}),
        sleep=Pauses(),
        reread_settings=lambda: oauth_settings(hubspot),
    ) as client:
        client.account_info()
        setattr(hubspot.oauth, field, "second-secret-value")
        hubspot.revoke(hubspot.requests[-1].headers["authorization"].removeprefix("Bearer "))
        client.update_limits(*PAIR, [limit()])
    assert hubspot.limits() == {("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5}


def test_a_connection_changed_from_oauth_to_a_static_token(hubspot: Simulator) -> None:
    reread = lambda: settings(hubspot, hubspot.token)  # noqa: E731
    revoked = oauth_settings(hubspot, refresh_token="revoked-refresh-token")
    with HubSpotClient(revoked, sleep=Pauses(), reread_settings=reread) as client:
        assert client.account_info().portal_id == hubspot.portal_id


def test_a_refused_refresh_without_new_credentials_is_permanent(hubspot: Simulator) -> None:
    pauses = Pauses()
    with HubSpotClient(
        oauth_settings(hubspot), sleep=pauses, reread_settings=lambda: oauth_settings(hubspot)
    ) as client:
        client.account_info()
        hubspot.revoke(hubspot.requests[-1].headers["authorization"].removeprefix("Bearer "))
        hubspot.revoke(hubspot.oauth.refresh_token)
        with pytest.raises(HubSpotAuthenticationError) as raised:
            client.get_all_limits()
    assert not raised.value.retryable
    assert raised.value.category == "BAD_REFRESH_TOKEN"
    assert pauses == []
