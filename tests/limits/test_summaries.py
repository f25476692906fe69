"""Summaries of plans and reports with directions that were skipped."""

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import ApplyReport, Outcome, apply_plan
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan import Plan
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, association, declare, make_plan


def test_an_unfit_direction_is_not_retryable(hubspot: Simulator, client: HubSpotClient) -> None:
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
        "1 direction could not be read. 1 direction does not fit the portal. Nothing to apply in the other directions."
    )


def test_a_report_says_settled_only_of_applied_changes(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    hubspot.inject(method="POST", status=500, times=9)
    report = apply_plan(plan, client, verify_timeout=0)
    assert report.summary == "Applied 0 of 1: 1 unconfirmed."
    hubspot.clear_faults()
    assert apply_plan(plan, client).summary == "Applied 1 of 1. Settled."


@pytest.mark.parametrize("settled", [True, False, None])
def test_a_report_without_applied_changes_does_not_say_settled(settled: bool | None) -> None:
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
def test_a_summary_begins_with_the_skipped_directions(numbers: tuple[int, int]) -> None:
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
