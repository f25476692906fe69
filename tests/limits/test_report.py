"""The report of an apply: its JSON form, what reads confirm, and whether a retry may help."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.errors import HubSpotRateLimitError, HubSpotValidationError
from airflow_provider_hubassoc.hubspot.models import AssociationLimit
from airflow_provider_hubassoc.limits.apply import STATUSES, ApplyError, ApplyReport, Outcome, report_lines
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan import Change, NewLabel, UnfitDirection
from airflow_provider_hubassoc.limits.state import UnreadDirection

DIRECTION = {"from_object_type": "contacts", "to_object_type": "companies"}
OBJECT_LIMIT = Change(
    **DIRECTION, action="update", category="HUBSPOT_DEFINED", type_id=279, unlabeled=True, current=2, target=5
)
LABEL_LIMIT = Change(**DIRECTION, action="create", category="USER_DEFINED", type_id=35, label="Owner", target=3)
NEW_LABEL = NewLabel(**DIRECTION, label="Owner", name="owner")
UNREAD = UnreadDirection(**DIRECTION, reason="HubSpot is not available.", retryable=True, retry_after=30)
UNFIT = UnfitDirection(**DIRECTION, problems=["limits.yaml:3:5: no such label"])


def everything() -> ApplyReport:
    """Return a report with at least one entry of each kind."""
    return ApplyReport(
        outcomes=[
            Outcome(NEW_LABEL, "applied"),
            Outcome(LABEL_LIMIT, "refused", "HubSpot gave no reason", retryable=False),
            Outcome.from_error(OBJECT_LIMIT, "unconfirmed", HubSpotRateLimitError("slow down", retry_after=60)),
            Outcome(NEW_LABEL, "not attempted", "a change that has to come first is not applied"),
        ],
        unread=[UNREAD],
        settled=False,
        unfit=[UNFIT],
        portal_id=62515,
        extra={"applied_by_earlier_tries": [{"label": "Boss"}]},
    )


def read(*limits: tuple[str, int, int]) -> BatchOperation:
    """Return the operation to verify both limits, after a read that showed these limits."""
    operation = BatchOperation.from_dict(
        {
            **DIRECTION,
            "action": "update",
            "inputs": [
                {"category": change.category, "typeId": change.type_id, "maxToObjectIds": change.target}
                for change in (OBJECT_LIMIT, LABEL_LIMIT)
            ],
            "status": "COMPLETE",
            "verify": True,
        }
    )
    return operation.with_limits(
        [
            AssociationLimit(category=category, type_id=type_id, max_to_object_ids=limit)
            for category, type_id, limit in limits
        ]
    )


# -- JSON ----------------------------------------------------------------------------------------------------------


def test_a_report_survives_json() -> None:
    report = everything()
    again = ApplyReport.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again == report
    assert again.to_dict() == report.to_dict()
    assert ApplyReport.from_dict(ApplyReport().to_dict()) == ApplyReport()


def test_the_json_form_has_every_status_and_extra_entries() -> None:
    data = everything().to_dict()
    assert {name: len(data[name]) for name in ("applied", "refused", "unconfirmed", "not_attempted")} == {
        "applied": 1,
        "refused": 1,
        "unconfirmed": 1,
        "not_attempted": 1,
    }
    assert len(STATUSES) == 4
    assert data["portal_id"] == 62515
    assert data["applied_by_earlier_tries"] == [{"label": "Boss"}]
    assert data["refused"][0]["text"] == 'contacts -> companies "Owner" unlimited -> 3'


@pytest.mark.parametrize("retryable", [True, False])
def test_a_report_of_an_earlier_version_says_once_whether_a_retry_may_help(retryable: bool) -> None:
    data = everything().to_dict() | {"retryable": retryable, "retry_after": 45.0, "unread": []}
    for status in ("refused", "unconfirmed"):
        for outcome in data[status]:
            del outcome["retryable"], outcome["retry_after"]
    report = ApplyReport.from_dict(data)
    assert [outcome.retryable for outcome in report.outcomes] == [None, retryable, retryable, None]
    assert (report.retryable, report.retry_after) == (retryable, 45.0)


@pytest.mark.parametrize(
    "change",
    [
        {"retryable": "yes"},
        {"retryable": None},
        {"retry_after": "60"},
        {"retry_after": -1},
        {"portal_id": "62515"},
        {"settled": "no"},
        {"applied": None},
        {"applied": [5]},
        {"refused": [{"label": "Owner"}]},
        {"refused": [{**NEW_LABEL.model_dump(), "reason": None, "retryable": 1}]},
        {"refused": [{**NEW_LABEL.model_dump(), "reason": None, "retry_after": "x"}]},
        {"unconfirmed": [{**OBJECT_LIMIT.model_dump(), "reason": None, "action": "delete"}]},
        {"unread": [{}]},
        {"unfit": 5},
    ],
)
def test_a_wrong_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not the report of an apply"):
        ApplyReport.from_dict(everything().to_dict() | change)


@pytest.mark.parametrize("name", ["retryable", "retry_after", "portal_id", "settled", "applied", "unread", "unfit"])
def test_a_missing_entry_is_refused(name: str) -> None:
    data = everything().to_dict()
    del data[name]
    with pytest.raises(ValueError, match=name):
        ApplyReport.from_dict(data)


@pytest.mark.parametrize("value", [None, 5, "x", [], {}])
def test_other_values_are_not_reports(value: Any) -> None:
    with pytest.raises(ValueError, match="not the report of an apply"):
        ApplyReport.from_dict(value)


# -- what reads confirm ----------------------------------------------------------------------------------------


def test_an_unconfirmed_change_in_force_counts_as_applied() -> None:
    report = ApplyReport(
        [
            Outcome(LABEL_LIMIT, "applied"),
            Outcome(OBJECT_LIMIT, "unconfirmed", "no answer", retryable=True, retry_after=60),
        ]
    )
    operation = read(("USER_DEFINED", 35, 3), ("HUBSPOT_DEFINED", 279, 5))
    confirmed = report.confirmed_by([operation])
    assert confirmed.outcomes == [Outcome(LABEL_LIMIT, "applied"), Outcome(OBJECT_LIMIT, "applied")]
    assert confirmed.to_verify == [operation]
    assert (confirmed.ok, confirmed.settled) == (True, True)
    assert (confirmed.retryable, confirmed.retry_after) == (False, None)
    assert report.of("unconfirmed")  # the report itself does not change


def test_an_unconfirmed_change_that_is_not_in_force_stays_so_and_settles_the_rest() -> None:
    report = ApplyReport([Outcome(LABEL_LIMIT, "applied"), Outcome(OBJECT_LIMIT, "unconfirmed", "x", retryable=True)])
    confirmed = report.confirmed_by([read(("USER_DEFINED", 35, 3), ("HUBSPOT_DEFINED", 279, 2))])
    assert [outcome.status for outcome in confirmed.outcomes] == ["applied", "unconfirmed"]
    assert (confirmed.ok, confirmed.settled, confirmed.retryable) == (False, True, True)


def test_an_applied_change_that_is_not_in_force_is_not_settled() -> None:
    report = ApplyReport([Outcome(LABEL_LIMIT, "applied"), Outcome(OBJECT_LIMIT, "applied")])
    confirmed = report.confirmed_by([read(("USER_DEFINED", 35, 3))])
    assert (confirmed.settled, confirmed.ok, confirmed.retryable) == (False, False, True)
    assert not report.confirmed_by([]).settled


def test_reads_of_another_direction_confirm_nothing() -> None:
    report = ApplyReport([Outcome(OBJECT_LIMIT, "unconfirmed", "x", retryable=True)])
    other = read(("HUBSPOT_DEFINED", 279, 5)).model_copy(update={"to_object_type": "deals"})
    assert report.confirmed_by([other]).outcomes == report.outcomes


def test_reads_of_limits_say_nothing_about_labels() -> None:
    report = ApplyReport([Outcome(NEW_LABEL, "applied"), Outcome(NEW_LABEL, "unconfirmed", "x", retryable=True)])
    confirmed = report.confirmed_by([read()])
    assert [outcome.status for outcome in confirmed.outcomes] == ["applied", "unconfirmed"]
    assert confirmed.settled


# -- retries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "retryable"),
    [
        (ApplyReport(), False),
        (ApplyReport([Outcome(OBJECT_LIMIT, "applied")]), False),
        (ApplyReport([Outcome(OBJECT_LIMIT, "applied")], settled=False), True),
        (ApplyReport([Outcome(OBJECT_LIMIT, "not attempted", "x")]), False),
        (ApplyReport([Outcome(OBJECT_LIMIT, "refused", "x", retryable=False)]), False),
        (ApplyReport([Outcome(OBJECT_LIMIT, "refused", "x", retryable=False)], settled=False), False),
        (ApplyReport([Outcome(OBJECT_LIMIT, "refused", "x", retryable=True)]), True),
        (ApplyReport([Outcome(OBJECT_LIMIT, "refused", "x", retryable=False)], unread=[UNREAD]), True),
        (ApplyReport(unread=[UNREAD.model_copy(update={"retryable": False})]), False),
        (ApplyReport(unfit=[UNFIT]), False),
    ],
)
def test_a_retry_helps_if_it_may_do_some_of_the_rest(report: ApplyReport, retryable: bool) -> None:
    assert report.retryable is retryable


def test_the_longest_pause_that_hubspot_asks_for_counts() -> None:
    assert everything().retry_after == 60
    assert ApplyReport(unread=[UNREAD]).retry_after == 30
    assert ApplyReport().retry_after is None


def test_the_outcome_of_an_error_keeps_what_the_error_says_about_retries() -> None:
    outcome = Outcome.from_error(OBJECT_LIMIT, "refused", HubSpotValidationError("no", status=400))
    assert (outcome.reason, outcome.retryable, outcome.retry_after) == ("no (HTTP 400)", False, None)
    assert Outcome.from_error(OBJECT_LIMIT, "refused", HubSpotValidationError("no"), "more").reason == "more"


# -- text ------------------------------------------------------------------------------------------------------


def test_the_error_has_the_whole_report() -> None:
    report = everything()
    with pytest.raises(ApplyError) as caught:
        report.raise_for_failure()
    assert caught.value.report == report.to_dict()
    assert (caught.value.retryable, caught.value.retry_after) == (True, 60)
    assert str(caught.value) == "\n".join(report_lines(report.to_dict()))
    ApplyReport([Outcome(OBJECT_LIMIT, "applied")]).raise_for_failure()


def test_the_lines_name_everything_that_is_not_applied() -> None:
    assert everything().lines() == [
        "1 direction could not be read. 1 direction does not fit the portal. Applied 1 of 4: 1 refused, 1 unconfirmed,"
        " 1 not attempted. Not settled yet.",
        "contacts -> companies could not be read: HubSpot is not available.",
        "contacts -> companies does not fit the portal and is not changed: limits.yaml:3:5: no such label",
        'contacts -> companies "Owner" unlimited -> 3: refused (HubSpot gave no reason)',
        "contacts -> companies (unlabeled) 2 -> 5: unconfirmed (slow down)",
        'contacts -> companies label "Owner": not attempted (a change that has to come first is not applied)',
    ]
