"""The steps of a sync without Airflow: find the portal, plan, compare the plan with the portal again."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError, HubSpotUnavailableError
from airflow_provider_hubassoc.limits import sync
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError
from airflow_provider_hubassoc.limits.problems import ConfigError
from airflow_provider_hubassoc.limits.state import DirectionState
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, association, client_of, declare, sent, set_limits

CONTACTS = association("contacts", "companies", limit=5)
DEALS = association("deals", "contacts", limit=3)


def plan_of(client: HubSpotClient, config: dict[str, Any], **options: Any) -> Plan:
    options = {"conn_id": "hubspot_default", "portal_id": None, **options}
    return sync.make_plan(load_config(config), client, **options)


def targets(plan: Plan) -> dict[str, int | None]:
    return {str(change.direction): change.target for change in plan.writes}


# -- which portal it is --


@pytest.mark.parametrize("required", [True, False])
def test_the_portal_is_found(required: bool, hubspot: Simulator, client: HubSpotClient) -> None:
    portal = sync.find_portal(client, required=required)
    assert portal is not None
    assert portal.portal_id == hubspot.portal_id


@pytest.mark.parametrize("required", [True, False])
def test_a_token_without_the_scope_leaves_the_portal_unknown(required: bool, hubspot: Simulator) -> None:
    hubspot.inject(path="/account-info/*", status=403, body={"category": "MISSING_SCOPES"})
    assert sync.find_portal(client_of(hubspot), required=required) is None
    assert len(sent(hubspot)) == 1


def test_a_portal_that_is_not_required_is_read_once(hubspot: Simulator) -> None:
    hubspot.inject(path="/account-info/*", status=500, times=9)
    assert sync.find_portal(client_of(hubspot), required=False) is None
    assert len(sent(hubspot)) == 1


def test_a_portal_that_is_not_required_may_be_rate_limited(hubspot: Simulator) -> None:
    hubspot.inject(path="/account-info/*", status=429, body={"policyName": "DAILY"}, times=9)
    assert sync.find_portal(client_of(hubspot), required=False) is None


def test_a_required_portal_that_cannot_be_read_is_an_error(hubspot: Simulator) -> None:
    hubspot.inject(path="/account-info/*", status=503, times=9)
    with pytest.raises(HubSpotUnavailableError):
        sync.find_portal(client_of(hubspot, max_retries=1))
    assert len(sent(hubspot)) == 2


@pytest.mark.parametrize("required", [True, False])
def test_a_rejected_token_is_an_error_in_any_case(required: bool, hubspot: Simulator) -> None:
    with pytest.raises(HubSpotAuthenticationError):
        sync.find_portal(client_of(hubspot, access_token="wrong-token"), required=required)


# -- planning --


@pytest.mark.parametrize(
    ("names", "limit"),
    [
        ({"conn_id": "emea"}, 6),
        ({"conn_id": None, "portal_id": 42}, 7),
        ({"conn_id": "emea", "portal_id": 42}, 6),
        ({"portal_id": 42, "portal": "emea"}, 6),
        ({"portal_id": 1}, 5),
    ],
)
def test_the_overrides_of_the_portal_apply_and_are_mentioned(
    names: dict[str, Any], limit: int, client: HubSpotClient
) -> None:
    said: list[str] = []
    portals = {
        "emea": {"associations": [association("contacts", "companies", limit=6)]},
        "42": {"associations": [association("contacts", "companies", limit=7)]},
    }
    plan = plan_of(client, declare(CONTACTS, portals=portals), **names, say=said.append)
    assert targets(plan) == {"contacts -> companies": limit}
    assert plan.portal_id == names.get("portal_id")
    assert len(said) == 1


def test_overrides_need_a_known_portal(hubspot: Simulator, client: HubSpotClient) -> None:
    config = declare(CONTACTS, portals={"42": {"associations": [DEALS]}})
    with pytest.raises(
        ConfigError, match=r'portal: the file has overrides .* name the portal, .* scope "oauth"'
    ) as error:
        plan_of(client, config)
    assert not error.value.retryable
    assert sent(hubspot) == []


def test_a_file_without_portals_says_nothing_of_them(client: HubSpotClient) -> None:
    said: list[str] = []
    plan_of(client, declare(CONTACTS), say=said.append)
    assert said == []


def test_only_the_targets_are_read_and_planned(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = plan_of(client, declare(CONTACTS, DEALS), targets=[Direction("0-3", "contact")])
    assert targets(plan) == {"deals -> contacts": 3}
    assert sent(hubspot) == ["GET deals/contacts"]


def test_a_plan_is_held_against_the_portal_again(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = plan_of(client, declare(CONTACTS, DEALS), portal_id=42)
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 5)])
    rest = sync.rebase_plan(plan, client, portal_id=42)
    assert targets(rest) == {"deals -> contacts": 3}
    with pytest.raises(StalePlanError, match="made for portal 42"):
        sync.rebase_plan(plan, client, portal_id=43)
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 9)])
    with pytest.raises(StalePlanError):
        sync.rebase_plan(plan, client, portal_id=42)


def test_one_direction_is_planned_without_a_request(hubspot: Simulator, client: HubSpotClient) -> None:
    state = DirectionState(client.get_limits("contacts", "companies"), client.get_labels("contacts", "companies"))
    requests = len(sent(hubspot))
    assert targets(sync.plan_direction(CONTACTS, state)) == {"contacts -> companies": 5}
    assert len(sent(hubspot)) == requests
