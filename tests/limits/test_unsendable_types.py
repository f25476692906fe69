"""Portals with association types that this package cannot send to HubSpot."""

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.plan import Plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_text
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.plans import problems_of
from tests.support.portal import CONTACTS_COMPANIES, HUBSPOT, USER, association, declare, make_plan

ODD_ROWS = [
    {"category": "PARTNER_DEFINED", "typeId": 5, "userEnforcedMaxToObjectIds": 4, "label": "Partner"},
    {"category": USER, "typeId": 0, "userEnforcedMaxToObjectIds": 4, "label": None},
    {"category": USER, "typeId": -1, "userEnforcedMaxToObjectIds": 4},
    {"category": USER, "typeId": 2**40, "userEnforcedMaxToObjectIds": 4, "label": "Huge"},
]


OWN_ROW = {"category": HUBSPOT, "typeId": 279, "userEnforcedMaxToObjectIds": 9, "label": None}


def show_rows(hubspot: Simulator, limit: int = 9, times: int = 9) -> None:
    """Make reads of contacts -> companies return the odd rows, too."""
    rows = [OWN_ROW | {"userEnforcedMaxToObjectIds": limit}, *ODD_ROWS]
    labels = [{key: row.get(key) for key in ("category", "typeId", "label")} for row in rows]
    hubspot.inject(
        method="GET", path="*configurations/contacts/companies", status=200, body={"results": rows}, times=times
    )
    hubspot.inject(method="GET", path="*contacts/companies/labels", status=200, body={"results": labels}, times=times)


@pytest.mark.parametrize("prune", [False, True])
def test_unsendable_types_are_shown_and_not_changed(hubspot: Simulator, client: HubSpotClient, prune: bool) -> None:
    hubspot.set_limit(*CONTACTS_COMPANIES, 9)
    show_rows(hubspot, times=2)
    source = declare(association("contacts", "companies", limit=5), association("deals", "contacts", limit=7))
    plan = Plan.from_json(make_plan(client, source, prune=prune).to_json())
    assert plan.counts == {"create": 1, "update": 1, "purge": 0, "unchanged": 0, "unmanaged": 4}
    assert "PARTNER_DEFINED" in render_text(plan) or "Partner" in render_text(plan)
    plan = rebase(plan, read_again(plan, client))
    hubspot.clear_faults()
    show_rows(hubspot, limit=5)  # what the verification reads
    report = apply_plan(plan, client)
    assert report.ok, report.lines()
    sent = [
        limit_input["typeId"]
        for request in hubspot.requests
        if request.method == "POST"
        for limit_input in request.body["inputs"]
    ]
    assert sorted(sent) == [3, 279]


def test_a_refused_create_is_checked_beside_unsendable_types(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.create_existing = "error"
    show_rows(hubspot, times=1)
    hubspot.clear_faults()
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    hubspot.set_limit(*CONTACTS_COMPANIES, 5)
    show_rows(hubspot, limit=5)
    assert apply_plan(plan, client).ok


def test_a_file_may_declare_unsendable_types(hubspot: Simulator, client: HubSpotClient) -> None:
    """An export of such a portal does. Where the file differs, the plan warns that the limit cannot be changed."""
    hubspot.set_limit(*CONTACTS_COMPANIES, 9)
    types = [{"category": row["category"], "typeId": row["typeId"], "limit": 4} for row in ODD_ROWS]
    show_rows(hubspot)
    plan = make_plan(client, declare(association("contacts", "companies", types=types)), prune=False)
    assert plan.is_empty
    types[0]["limit"] = 3
    plan = make_plan(client, declare(association("contacts", "companies", types=types)))
    assert plan.is_empty
    assert "this package cannot change limits of this association type" in plan.warnings[0]


def test_labels_of_unsendable_types_are_listed(hubspot: Simulator, client: HubSpotClient) -> None:
    show_rows(hubspot)
    plan = make_plan(client, declare(association("contacts", "companies", labels={"Gone": 1})))
    assert 'it has "Huge", "Partner"' in problems_of(plan)


def test_an_unsendable_type_that_the_portal_does_not_have_is_a_warning(client: HubSpotClient) -> None:
    types = [{"category": "PARTNER_DEFINED", "typeId": 5, "limit": 3}]
    plan = make_plan(client, declare(association("contacts", "companies", types=types)))
    assert (plan.unfit, plan.writes) == ([], [])
    assert plan.warnings == [
        "contacts -> companies PARTNER_DEFINED 5: the file declares the limit 3, the limit in the portal is "
        "unlimited; this package cannot change limits of this association type"
    ]
