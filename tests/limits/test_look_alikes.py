"""Labels that differ from those of the file only in ways that a person does not see."""

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.plans import problems_of
from tests.support.portal import USER, association, declare, make_plan, writes

DECIDEUR = "D\u00e9cideur"
DECOMPOSED = "De\u0301cideur"


@pytest.mark.parametrize(
    ("present", "shown"),
    [
        (DECIDEUR, '"De<U+0301>cideur" looks like "D<U+00E9>cideur"'),
        (DECOMPOSED.upper(), "De<U+0301>cideur"),
        (f" {DECOMPOSED}", 'looks like "<U+0020>De<U+0301>cideur"'),
        (f"{DECOMPOSED}\u200b", "<U+200B>"),
        (f"{DECOMPOSED}\u00a0", "<U+00A0>"),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_a_look_alike_of_a_portal_label_is_not_created(
    hubspot: Simulator, client: HubSpotClient, present: str, shown: str, side: int
) -> None:
    """The same holds for the other side of the label, in a direction that the file does not declare."""
    labels = [DECOMPOSED, "Other"] if side == 0 else ["Other", DECOMPOSED]
    portal = [present, "Another"] if side == 0 else ["Another", present]
    hubspot.add_label("contacts", "companies", label=portal[0], inverse_label=portal[1], name="present")
    new = {labels[0]: {"limit": 1, "create_missing": True, "inverse": labels[1]}}
    plan = make_plan(client, declare(association("contacts", "companies", labels=new)))
    assert plan.new_labels == []
    assert shown in problems_of(plan)
    apply_plan(plan, client)
    assert writes(hubspot) == []


def test_the_exact_text_wins_over_a_look_alike(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.add_label("contacts", "companies", label=DECIDEUR, name="composed")
    type_id, _ = hubspot.add_label("contacts", "companies", label=DECOMPOSED, name="decomposed")
    source = declare(association("contacts", "companies", labels={DECOMPOSED: 1}))
    assert apply_plan(make_plan(client, source), client).ok
    assert hubspot.limits() == {("0-1", "0-2", USER, type_id): 1}


@pytest.mark.parametrize("side", [0, 1])
def test_a_look_alike_created_after_the_plan_makes_it_stale(
    hubspot: Simulator, client: HubSpotClient, side: int
) -> None:
    new = {"Owner": {"limit": 1, "create_missing": True, "inverse": "Owned"}}
    source = declare(association("contacts", "companies", labels=new), association("companies", "contacts", limit=5))
    plan = Plan.from_json(make_plan(client, source).to_json())
    texts = {"label": "owner", "inverse_label": "x"} if side == 0 else {"label": "x", "inverse_label": "owned"}
    hubspot.add_label("contacts", "companies", name="late", **texts)
    with pytest.raises(StalePlanError, match="looks like"):
        rebase(plan, read_again(plan, client))
