"""Holding an approved plan against the portal again, without a portal."""

from typing import Any

import pytest

from airflow_provider_hubassoc.limits.plan import StalePlanError
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from tests.support.plans import LABELS, LIMITS, portal_state, some_plan
from tests.support.portal import HUBSPOT, USER


def test_an_interrupted_plan_continues_with_the_remaining_changes() -> None:
    plan = some_plan()
    assert rebase(plan, portal_state(LIMITS)) == plan
    half = [*LIMITS[:2], (USER, 7, 4, "Owner"), LIMITS[3]]
    assert [change.name for change in rebase(plan, portal_state(half)).writes] == ["Boss", "Primary"]
    done = [LIMITS[0], (USER, 7, 4, "Owner"), (USER, 8, 1, "Boss"), LIMITS[3]]
    assert rebase(plan, portal_state(done)).is_empty


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
