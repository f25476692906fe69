"""Association types that the file names by category and id."""

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.plan.render import render_markdown, render_text
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.plans import problems_of
from tests.support.portal import HUBSPOT, USER, association, declare, make_plan


def test_the_plan_shows_the_label_beside_a_number(hubspot: Simulator, client: HubSpotClient) -> None:
    type_id, _ = hubspot.add_label("contacts", "companies", label="Decision maker", name="maker")
    types = [
        {"category": USER, "typeId": type_id, "limit": 2},
        {"category": HUBSPOT, "typeId": 279, "limit": 9},
    ]
    plan = make_plan(client, declare(association("contacts", "companies", types=types)))
    for text in (render_text(plan), render_markdown(plan).replace("\\", "")):
        assert f'USER_DEFINED {type_id} "Decision maker"' in text
        assert "HUBSPOT_DEFINED 279 (unlabeled)" in text


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"category": USER, "typeId": 99, "limit": 1}, 'it has HUBSPOT_DEFINED 1 "Primary"'),
        ({"category": HUBSPOT, "typeId": 3, "limit": 1}, "belongs to deals -> contacts"),
        (
            {"category": HUBSPOT, "typeId": 99_999, "limit": 1},
            "no such association type in this direction",
        ),
        (
            {"category": HUBSPOT, "typeId": 99_999, "limit": "unlimited"},
            "no such association type in this direction",
        ),
        ({"category": "WORK", "typeId": 279, "limit": 1}, "no such association type in this direction"),
    ],
)
def test_a_type_that_the_direction_does_not_have(
    hubspot: Simulator, client: HubSpotClient, wrong: dict[str, Any], problem: str
) -> None:
    source = declare(association("contacts", "companies", types=[wrong]), association("deals", "contacts", limit=7))
    plan = make_plan(client, source)
    assert problem in problems_of(plan)
    apply_plan(plan, client)
    assert hubspot.limits() == {("0-3", "0-1", HUBSPOT, 3): 7}
