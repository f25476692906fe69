"""Portals with what the file nearly says, and with what this package cannot send."""

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import ApplyReport, Outcome, apply_plan
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_comment, render_markdown, render_text
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, USER, association, declare, make_plan, set_limits, writes

CONTACTS_COMPANIES = ("0-1", "0-2", HUBSPOT, 279)
DECIDEUR = "D\u00e9cideur"
DECOMPOSED = "De\u0301cideur"


def problems(plan: Plan) -> str:
    return "\n".join(problem for unfit in plan.unfit for problem in unfit.problems)


# -- look-alikes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        (DECIDEUR, '"De<U+0301>cideur" looks like "D<U+00E9>cideur"'),
        (DECOMPOSED.upper(), "De<U+0301>cideur"),
        (f" {DECOMPOSED}", 'looks like "<U+0020>De<U+0301>cideur"'),
        (f"{DECOMPOSED}\u200b", "<U+200B>"),
        (f"{DECOMPOSED}\u00a0", "<U+00A0>"),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_a_label_that_looks_like_one_of_the_portal_is_not_created(
    hubspot: Simulator, client: HubSpotClient, there: str, shown: str, side: int
) -> None:
    """Also where it is the other side of the label, in a direction that the file does not declare."""
    labels = [DECOMPOSED, "Other"] if side == 0 else ["Other", DECOMPOSED]
    portal = [there, "Another"] if side == 0 else ["Another", there]
    hubspot.add_label("contacts", "companies", label=portal[0], inverse_label=portal[1], name="there")
    new = {labels[0]: {"limit": 1, "create_missing": True, "inverse": labels[1]}}
    plan = make_plan(client, declare(association("contacts", "companies", labels=new)))
    assert plan.new_labels == []
    assert shown in problems(plan)
    apply_plan(plan, client)
    assert writes(hubspot) == []


def test_the_exact_text_wins_over_a_look_alike(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.add_label("contacts", "companies", label=DECIDEUR, name="composed")
    here, _ = hubspot.add_label("contacts", "companies", label=DECOMPOSED, name="decomposed")
    source = declare(association("contacts", "companies", labels={DECOMPOSED: 1}))
    assert apply_plan(make_plan(client, source), client).ok
    assert hubspot.limits() == {("0-1", "0-2", USER, here): 1}


@pytest.mark.parametrize("side", [0, 1])
def test_a_look_alike_that_came_after_the_plan_makes_it_stale(
    hubspot: Simulator, client: HubSpotClient, side: int
) -> None:
    new = {"Owner": {"limit": 1, "create_missing": True, "inverse": "Owned"}}
    source = declare(association("contacts", "companies", labels=new), association("companies", "contacts", limit=5))
    plan = Plan.from_json(make_plan(client, source).to_json())
    texts = {"label": "owner", "inverse_label": "x"} if side == 0 else {"label": "x", "inverse_label": "owned"}
    hubspot.add_label("contacts", "companies", name="late", **texts)
    with pytest.raises(StalePlanError, match="looks like"):
        rebase(plan, read_again(plan, client))


# -- what cannot be sent ---------------------------------------------------------------------------------------

ODD_ROWS = [
    {"category": "PARTNER_DEFINED", "typeId": 5, "userEnforcedMaxToObjectIds": 4, "label": "Partner"},
    {"category": USER, "typeId": 0, "userEnforcedMaxToObjectIds": 4, "label": None},
    {"category": USER, "typeId": -1, "userEnforcedMaxToObjectIds": 4},
    {"category": USER, "typeId": 2**40, "userEnforcedMaxToObjectIds": 4, "label": "Huge"},
]
OWN_ROW = {"category": HUBSPOT, "typeId": 279, "userEnforcedMaxToObjectIds": 9, "label": None}


def show_rows(hubspot: Simulator, limit: int = 9, times: int = 9) -> None:
    """Make reads of contacts -> companies show the odd rows as well."""
    rows = [OWN_ROW | {"userEnforcedMaxToObjectIds": limit}, *ODD_ROWS]
    labels = [{key: row.get(key) for key in ("category", "typeId", "label")} for row in rows]
    hubspot.inject(
        method="GET", path="*configurations/contacts/companies", status=200, body={"results": rows}, times=times
    )
    hubspot.inject(method="GET", path="*contacts/companies/labels", status=200, body={"results": labels}, times=times)


@pytest.mark.parametrize("prune", [False, True])
def test_rows_that_cannot_be_sent_are_shown_and_left_alone(
    hubspot: Simulator, client: HubSpotClient, prune: bool
) -> None:
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
        each["typeId"] for request in hubspot.requests if request.method == "POST" for each in request.body["inputs"]
    ]
    assert sorted(sent) == [3, 279]


def test_a_direction_whose_refusal_is_looked_into_may_have_such_rows(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.create_existing = "error"
    show_rows(hubspot, times=1)
    hubspot.clear_faults()
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    hubspot.set_limit(*CONTACTS_COMPANIES, 5)
    show_rows(hubspot, limit=5)
    assert apply_plan(plan, client).ok


def test_a_file_may_name_what_cannot_be_sent(hubspot: Simulator, client: HubSpotClient) -> None:
    """As an export of such a portal does; where it differs, the plan says that it cannot be changed."""
    hubspot.set_limit(*CONTACTS_COMPANIES, 9)
    types = [{"category": row["category"], "typeId": row["typeId"], "limit": 4} for row in ODD_ROWS]
    show_rows(hubspot)
    plan = make_plan(client, declare(association("contacts", "companies", types=types)), prune=False)
    assert plan.is_empty
    types[0]["limit"] = 3
    plan = make_plan(client, declare(association("contacts", "companies", types=types)))
    assert plan.is_empty
    assert "this package cannot change limits of this association type" in plan.warnings[0]


def test_labels_among_which_there_are_such_rows_are_found(hubspot: Simulator, client: HubSpotClient) -> None:
    show_rows(hubspot)
    plan = make_plan(client, declare(association("contacts", "companies", labels={"Gone": 1})))
    assert 'it has "Huge", "Partner"' in problems(plan)


# -- numbers ---------------------------------------------------------------------------------------------------


def test_the_plan_shows_the_text_beside_a_number(hubspot: Simulator, client: HubSpotClient) -> None:
    here, _ = hubspot.add_label("contacts", "companies", label="Decision maker", name="maker")
    types = [
        {"category": USER, "typeId": here, "limit": 2},
        {"category": HUBSPOT, "typeId": 279, "limit": 9},
    ]
    plan = make_plan(client, declare(association("contacts", "companies", types=types)))
    for text in (render_text(plan), render_markdown(plan).replace("\\", "")):
        assert f'USER_DEFINED {here} "Decision maker"' in text
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
def test_a_number_that_the_direction_does_not_have(
    hubspot: Simulator, client: HubSpotClient, wrong: dict[str, Any], problem: str
) -> None:
    source = declare(association("contacts", "companies", types=[wrong]), association("deals", "contacts", limit=7))
    plan = make_plan(client, source)
    assert problem in problems(plan)
    apply_plan(plan, client)
    assert hubspot.limits() == {("0-3", "0-1", HUBSPOT, 3): 7}


# -- accounts --------------------------------------------------------------------------------------------------


def test_a_direction_that_does_not_fit_is_no_reason_to_try_again(hubspot: Simulator, client: HubSpotClient) -> None:
    fits = association("deals", "contacts", limit=7)
    source = declare(association("contacts", "companies", labels={"Gone": 1}), fits)
    report = apply_plan(make_plan(client, source), client)
    assert report.summary == "1 direction does not fit the portal. Applied 1 of 1. Settled."
    assert (report.ok, report.retryable) == (False, False)
    assert report.lines()[1].startswith("contacts -> companies does not fit the portal and is not changed: ")
    hubspot.inject(method="GET", path="*deals/contacts", status=500, times=9)
    report = apply_plan(make_plan(client, source), client)
    assert (report.ok, report.retryable) == (False, True)
    assert report.summary == (
        "1 direction could not be read. 1 direction does not fit the portal. Nothing to apply in the others."
    )


def test_settled_is_said_of_what_was_applied_only(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    hubspot.inject(method="POST", status=500, times=9)
    report = apply_plan(plan, client, verify_timeout=0)
    assert report.summary == "Applied 0 of 1: 1 unconfirmed."
    hubspot.clear_faults()
    assert apply_plan(plan, client).summary == "Applied 1 of 1. Settled."


@pytest.mark.parametrize("settled", [True, False, None])
def test_nothing_is_settled_where_nothing_was_applied(settled: bool | None) -> None:
    operation = BatchOperation.from_dict(
        {
            "action": "purge",
            "from_object_type": "contacts",
            "to_object_type": "companies",
            "inputs": [{"category": HUBSPOT, "typeId": 279}],
        }
    )
    refused = Outcome(some_change(), "refused", "no")
    report = ApplyReport([refused], to_verify=[operation], settled=settled)
    assert "ettled" not in report.summary


def some_change() -> Any:
    data = {"action": "create", "category": HUBSPOT, "type_id": 279, "target": 5}
    ends = {"from_object_type": "contacts", "to_object_type": "companies"}
    return Plan.model_validate({"changes": [data | ends]}).changes[0]


@pytest.mark.parametrize("numbers", [(1, 0), (2, 0), (0, 1), (2, 2000)])
def test_a_summary_begins_with_what_is_wrong(numbers: tuple[int, int]) -> None:
    ends = {"from_object_type": "contacts", "to_object_type": "companies"}
    plan = Plan.model_validate(
        {"unread": [ends | {"reason": "no"}] * numbers[0], "unfit": [ends | {"problems": ["no"]}] * numbers[1]}
    )
    report = ApplyReport(unread=plan.unread, unfit=plan.unfit)
    expected = {
        (1, 0): "1 direction could not be read. ",
        (2, 0): "2 directions could not be read. ",
        (0, 1): "1 direction does not fit the portal. ",
        (2, 2000): "2 directions could not be read. 2000 directions do not fit the portal. ",
    }[numbers]
    assert plan.summary.startswith(f"{expected}No changes in the other directions. ")
    assert report.summary.startswith(expected)


def test_a_summary_in_a_comment_says_what_is_left_out(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9)])
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    (change,) = plan.changes
    many = [change.model_copy(update={"label": f"<b>|{number}" * 50, "unlabeled": False}) for number in range(3000)]
    text = render_comment(plan.model_copy(update={"changes": many}))
    assert len(text) <= 65_536
    assert "more changes; see the complete plan." in text
    assert "<b>" not in text
