"""A file that declares one association type in two ways, and a plan for another portal."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError, build_plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_text
from airflow_provider_hubassoc.limits.snapshot import read_again, read_state
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, association, client_of, declare, make_plan, writes

CONTACT_TO_COMPANY = ("0-1", "0-2", HUBSPOT, 279)
PRIMARY = ("0-1", "0-2", HUBSPOT, 1)


def number(type_id: int, limit: Any) -> dict[str, Any]:
    return {"category": HUBSPOT, "typeId": type_id, "limit": limit}


def plan_of(client: HubSpotClient, base: dict[str, Any], over: dict[str, Any]) -> Plan:
    source = declare(base, portals={"p": {"associations": [over]}})
    config = load_config(source).resolve(named="p")
    return build_plan(config, read_state(config, client), prune=True)


@pytest.mark.parametrize(
    ("base", "over"),
    [
        ({"types": [number(279, 5)]}, {"limit": None}),
        ({"limit": 5}, {"types": [number(279, None)]}),
        ({"labels": {"Primary": 2}}, {"types": [number(1, None)]}),
        ({"types": [number(1, 2)]}, {"labels": {"Primary": None}}),
    ],
)
def test_null_under_another_name_of_a_type_prevents_writing_it(
    base: dict[str, Any], over: dict[str, Any], hubspot: Simulator, client: HubSpotClient
) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 9)
    hubspot.set_limit(*PRIMARY, 3)
    direction = ("contacts", "companies")
    plan = plan_of(client, association(*direction, **base), association(*direction, **over))
    report = apply_plan(plan, client, verify_timeout=None)
    assert not report.ok
    assert "not managed" in plan.unfit[0].problems[0]
    assert hubspot.limits() == {CONTACT_TO_COMPANY: 9, PRIMARY: 3}
    assert writes(hubspot) == []
    both = make_plan(client, declare(association(*direction, **{**base, **over})))
    assert both.is_empty


@pytest.mark.parametrize("spelling", ["2-130001", "p12345678_car"])
def test_two_spellings_of_a_custom_object_without_a_limit_write_nothing(
    spelling: str, hubspot: Simulator, client: HubSpotClient
) -> None:
    hubspot.add_object_type("car")
    plan = plan_of(client, association("p_car", "contacts", limit=5), association(spelling, "contacts", limit=None))
    assert plan.is_empty
    assert len(plan.unfit) == 2


@pytest.mark.parametrize("label", [{"limit": None, "create_missing": True}, None])
def test_a_label_with_an_empty_limit_is_never_created(label: Any, hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", labels={"Owner": label})))
    assert (plan.new_labels, plan.is_empty) == ([], True)


def test_a_plan_fits_its_own_portal_only_even_if_the_token_cannot_read_the_portal_id(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    plan = plan.model_copy(update={"portal_id": 1})
    with client_of(hubspot) as another, pytest.raises(StalePlanError, match="portal 1"):
        rebase(plan, read_again(plan, another))


def test_a_hubspot_defined_type_id_is_shown_with_its_label(client: HubSpotClient) -> None:
    plan = make_plan(client, declare(association("deals", "companies", types=[number(5, 1)])))
    assert 'HUBSPOT_DEFINED 5 "Primary"' in render_text(plan)


def test_warnings_of_a_file_reach_the_caller() -> None:
    warnings: list[str] = []
    load_config(
        declare(association("contacts", "companies", labels={"Owner:1": None})),
        on_warning=lambda problem: warnings.append(str(problem)),
    )
    assert "Owner:1" in warnings[0]
