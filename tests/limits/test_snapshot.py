"""Reading the state of a portal: in as few requests as possible, and as completely as HubSpot allows."""

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.snapshot import read_again, read_state
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import association, client_of, declare, make_plan, sent

NEW = {"New": {"limit": 1, "create_missing": True, "inverse": "Inverse"}}


def test_only_the_labels_that_the_plan_needed_are_read_again(hubspot: Simulator, client: HubSpotClient) -> None:
    source = declare(association("contacts", "companies", labels={"Primary": 2}), association("deals", "contacts"))
    plan = make_plan(client, source)
    hubspot.clear_requests()
    read_again(plan, client, max_concurrency=1)
    assert sent(hubspot) == ["GET contacts/companies", "GET contacts/companies/labels", "GET deals/contacts"]


@pytest.mark.parametrize("is_inverse_read", [True, False])
def test_the_inverse_labels_of_a_new_label_are_read_once(
    hubspot: Simulator, client: HubSpotClient, is_inverse_read: bool
) -> None:
    """They are not read where the inverse direction has just proved to be unreadable."""
    config = load_config(
        declare(association("contacts", "companies", labels=NEW), association("companies", "contacts", limit=5))
    ).resolve()
    if not is_inverse_read:
        hubspot.inject(method="GET", path="*/configurations/companies/contacts", status=403, times=9)
    state = read_state(config, client, max_concurrency=1)
    assert (Direction("companies", "contacts") in state.directions) is is_inverse_read
    assert sum("companies/contacts/labels" in request for request in sent(hubspot)) == is_inverse_read


def test_inverse_labels_that_cannot_be_read_do_not_stop_the_plan(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.inject(method="GET", path="*companies/contacts/labels", status=403, times=9)
    plan = make_plan(client, declare(association("contacts", "companies", labels=NEW)))
    assert [label.label for label in plan.new_labels] == ["New"]


def test_a_label_created_between_the_reads_of_its_two_sides_is_found(hubspot: Simulator, client: HubSpotClient) -> None:
    """The first read shows a portal without the label, the read of the inverse direction one with it."""
    hubspot.add_label("contacts", "companies", label="New", inverse_label="Inverse", name="new")
    hubspot.inject(method="GET", path="*contacts/companies/labels", status=200, body={"results": []}, times=1)
    plan = make_plan(client, declare(association("contacts", "companies", labels=NEW)))
    assert (plan.unfit, plan.new_labels) == ([], [])
    assert [change.type_id is None for change in plan.writes] == [False]


def test_a_rejected_token_is_an_error_and_not_an_unread_direction(hubspot: Simulator) -> None:
    config = load_config(declare(association("contacts", "companies", limit=5))).resolve()
    with client_of(hubspot, access_token="wrong") as client, pytest.raises(HubSpotAuthenticationError):
        read_state(config, client)


def test_an_unread_direction_says_when_to_retry(hubspot: Simulator) -> None:
    config = load_config(declare(association("contacts", "companies", limit=5))).resolve()
    hubspot.inject(method="GET", status=503, headers={"Retry-After": "7"}, times=9)
    with client_of(hubspot, max_retries=0) as client:
        (unread,) = read_state(config, client).unread.values()
    assert (unread.retryable, unread.retry_after) == (True, 7.0)
    assert "503" in unread.reason
