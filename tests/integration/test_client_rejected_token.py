"""A token that HubSpot rejects: replaced by the stored one, sent again after a pause, or given up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.simulator import Simulator
from tests.integration.wire import Pauses, limit

PAIR = ("contacts", "companies")


def settings(hubspot: Simulator, token: str) -> HubSpotSettings:
    return HubSpotSettings.parse({"base_url": hubspot.url, "access_token": token})


def client_with(
    hubspot: Simulator, token: str, pauses: Pauses, reread: Callable[[], HubSpotSettings | None] | None = None
) -> HubSpotClient:
    return HubSpotClient(settings(hubspot, token), sleep=pauses, reread_settings=reread)


@pytest.mark.parametrize("without_retries", [False, True])
def test_a_rotated_token_is_read_from_the_connection(hubspot: Simulator, without_retries: bool) -> None:
    """Also by the client that an earlier call of without_retries() returned."""
    old, pauses = hubspot.issue_token(), Pauses()
    with client_with(hubspot, old, pauses, lambda: settings(hubspot, hubspot.token)) as client:
        client.account_info()
        hubspot.revoke(old)
        used = client.without_retries() if without_retries else client
        used.update_limits(*PAIR, [limit()])
        client.get_all_limits()
    assert pauses == []
    assert [each.headers["authorization"] for each in hubspot.requests] == [
        *[f"Bearer {old}"] * 2,
        *[f"Bearer {hubspot.token}"] * 2,
    ]


def test_a_token_that_worked_is_sent_again_after_a_pause(hubspot: Simulator) -> None:
    pauses = Pauses()
    with client_with(hubspot, hubspot.token, pauses) as client:
        client.account_info()
        hubspot.inject(status=401)
        client.update_limits(*PAIR, [limit()])
    assert len(pauses) == 1
    assert 1 <= pauses[0] <= 2
    assert len(hubspot.requests) == 3


def test_a_token_that_worked_and_stays_rejected_is_worth_a_retry(hubspot: Simulator) -> None:
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


@pytest.mark.parametrize("stored", [None, "the same", "another wrong one"])
def test_a_token_that_never_worked_is_given_up(hubspot: Simulator, stored: str | None) -> None:
    pauses = Pauses()
    wrong = "pat-na1-wrong-0815"
    found = {None: None, "the same": settings(hubspot, wrong), "another wrong one": settings(hubspot, "pat-na1-other")}
    client = client_with(hubspot, wrong, pauses, lambda: found[stored])
    with client, pytest.raises(HubSpotAuthenticationError) as raised:
        client.get_all_limits()
    assert not raised.value.retryable
    assert pauses == []
    assert len(hubspot.requests) == (2 if stored == "another wrong one" else 1)


def test_a_token_of_another_host_is_not_sent_to_this_one(hubspot: Simulator) -> None:
    other = HubSpotSettings.parse({"base_url": "https://other.example.com", "access_token": "pat-na1-other-4711"})
    client = client_with(hubspot, "pat-na1-wrong-0815", Pauses(), lambda: other)
    with client, pytest.raises(HubSpotAuthenticationError):
        client.get_all_limits()
    assert len(hubspot.requests) == 1
