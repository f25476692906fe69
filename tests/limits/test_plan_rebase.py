"""Comparing an approved plan with the portal again, without a portal."""

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_hubassoc.limits.plan import StalePlanError, UnreadDirection
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.state import PortalState
from tests.support.plans import LABELS, LIMITS, direction_state, plan_of, portal_state, some_plan
from tests.support.portal import HUBSPOT, USER, association


def test_an_interrupted_plan_continues_with_the_remaining_changes() -> None:
    plan = some_plan()
    assert rebase(plan, portal_state(LIMITS)) == plan
    half = [*LIMITS[:2], (USER, 7, 4, "Owner"), LIMITS[3]]
    assert [change.name for change in rebase(plan, portal_state(half)).writes] == ["Boss", "Primary"]
    done = [LIMITS[0], (USER, 7, 4, "Owner"), (USER, 8, 1, "Boss"), LIMITS[3]]
    assert rebase(plan, portal_state(done)).is_empty


def test_a_rebased_plan_has_the_limits_and_warnings_of_today() -> None:
    plan = some_plan()
    assert [warning.split(":")[0] for warning in plan.warnings] == [
        "HubSpot does not enforce a lowered limit on existing associations"
    ]
    rebased = rebase(plan, portal_state([*LIMITS[:2], (USER, 7, 4, "Owner"), LIMITS[3]]))
    (owner,) = [change for change in rebased.changes if change.label == "Owner"]
    assert (owner.action, owner.current, owner.target) == ("unchanged", 4, 4)
    assert rebased.warnings == []


def test_a_rebased_plan_keeps_warnings_about_the_file() -> None:
    declared = association("contacts", "companies", labels={"Billing contact": 2})
    labels = [*LABELS, (HUBSPOT, 931, "Billing Contact")]
    plan = plan_of(declared, direction_state([], labels))
    assert "HubSpot calls this label" in plan.warnings[0]
    assert rebase(plan, portal_state([(HUBSPOT, 931, 2, "Billing Contact")], labels)).warnings == plan.warnings


def test_a_label_that_was_created_since_the_plan_gets_its_type() -> None:
    declared = association("contacts", "companies", labels={"Decider": {"limit": 2, "create_missing": True}})
    plan = plan_of(declared, direction_state([], LABELS))
    assert [label.label for label in plan.new_labels] == ["Decider"]
    labels = [*LABELS, (USER, 9, "Decider")]
    rebased = rebase(plan, portal_state([], labels))
    assert rebased.new_labels == []
    assert [(change.action, change.identity) for change in rebased.changes] == [("create", (USER, 9))]
    assert rebase(plan, portal_state([(USER, 9, 2, "Decider")], labels)).is_empty


def test_unread_directions_add_up() -> None:
    """A direction that could not be read for the plan stays unread; one that cannot be read again joins it."""
    unread = [
        UnreadDirection(from_object_type="deals", to_object_type=to_object_type, reason="not now")
        for to_object_type in ("contacts", "companies")
    ]
    plan = some_plan().model_copy(update={"unread": unread[:1]})
    assert rebase(plan, portal_state(LIMITS)).unread == unread[:1]
    rebased = rebase(plan, PortalState({}, {unread[1].direction: unread[1]}))
    assert rebased.unread == unread
    assert (rebased.changes, rebased.directions) == ([], [])


@pytest.mark.parametrize("portal_id", [None, 7])
def test_a_plan_of_an_unknown_portal_fits_every_portal(portal_id: int | None) -> None:
    assert rebase(some_plan(), replace(portal_state(LIMITS), portal_id=portal_id)) == some_plan()


@pytest.mark.parametrize(
    ("portal_id", "reason"), [(7, "but this is portal 7"), (None, "but the token may not read the id of this portal")]
)
def test_a_plan_of_another_portal_is_stale(portal_id: int | None, reason: str) -> None:
    plan = some_plan().model_copy(update={"portal_id": 5})
    with pytest.raises(StalePlanError, match="the plan was made for portal 5, " + reason):
        rebase(plan, replace(portal_state(LIMITS), portal_id=portal_id))


@pytest.mark.parametrize(
    ("limits", "labels", "reason"),
    [
        ([*LIMITS[1:]], LABELS, "(unlabeled): the limit was 9 and is now unlimited"),
        (
            [*LIMITS[:2], (USER, 7, 6, "Owner"), LIMITS[3]],
            LABELS,
            "Owner: the limit was 5 and is now 6",
        ),
        ([*LIMITS[:3], (HUBSPOT, 931, 4, "Bill | x")], LABELS, "Bill | x: the limit was 3 and is now 4"),
        ([*LIMITS, (USER, 99, 1, "New")], LABELS, "USER_DEFINED 99: now has a limit of 1"),
        (LIMITS, [*LABELS[:3], (USER, 8, "Chief")], 'USER_DEFINED 8 is no longer called "Boss"'),
    ],
)
def test_a_plan_is_stale_when_anything_else_has_changed(limits: Any, labels: Any, reason: str) -> None:
    labels = [*labels, (HUBSPOT, 931, "Bill | x")]
    with pytest.raises(StalePlanError) as caught:
        rebase(some_plan(), portal_state(limits, labels))
    assert len(caught.value.reasons) == 1
    assert reason in caught.value.reasons[0]
