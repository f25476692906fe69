"""Apply a plan after somebody else changed the portal: a colleague, or another sync at the same time."""

import threading
from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import ApplyReport, Outcome, Status, apply_plan
from airflow_provider_hubassoc.limits.plan import NewLabel, Plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, USER, association, client_of, declare, make_plan, set_limits, writes

CONTACTS_COMPANIES = ("0-1", "0-2", HUBSPOT, 279)


def owner(**more: Any) -> dict[str, Any]:
    return declare(association("contacts", "companies", labels={"Owner": {"limit": 2, "create_missing": True, **more}}))


def labels_called(hubspot_client: HubSpotClient, text: str) -> int:
    rows = hubspot_client.get_labels("contacts", "companies")
    return sum(row.label == text for row in rows)


def refused(report: ApplyReport) -> Outcome:
    (outcome,) = report.of("refused")
    return outcome


# -- limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [207, 400])
def test_two_concurrent_syncs_of_the_same_file_both_succeed(hubspot: Simulator, status: int) -> None:
    hubspot.settings.create_existing = "error"
    hubspot.settings.limit_rule_status = status
    source = declare(
        association("contacts", "companies", limit=5, labels={"Owner": {"limit": 2, "create_missing": True}}),
        association("companies", "contacts", limit=4, labels={"Owner": 1}),
        association("deals", "contacts", limit=7),
    )
    with client_of(hubspot) as first, client_of(hubspot) as second:
        plans = [make_plan(client, source) for client in (first, second)]
        barrier = threading.Barrier(2)
        reports: dict[int, ApplyReport] = {}

        def sync(number: int, client: HubSpotClient, plan: Plan) -> None:
            barrier.wait()
            reports[number] = apply_plan(plan, client, max_concurrency=1)

        threads = [
            threading.Thread(target=sync, args=(number, client, plan))
            for number, (client, plan) in enumerate(zip((first, second), plans, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [report.lines() for report in reports.values() if not report.ok] == []
        assert labels_called(first, "Owner") == 1
        assert make_plan(first, source).is_empty


def test_a_limit_created_meanwhile_with_another_value_is_retryable(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.create_existing = "error"
    source = declare(association("contacts", "companies", limit=5))
    plan = make_plan(client, source)
    hubspot.set_limit(*CONTACTS_COMPANIES, 6)
    report = apply_plan(plan, client)
    assert refused(report).retryable
    assert report.retryable
    assert apply_plan(make_plan(client, source), client).ok
    assert hubspot.limits() == {CONTACTS_COMPANIES: 5}


def test_an_existing_limit_that_reads_do_not_show_yet_is_retryable(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.create_existing = "error"
    hubspot.settings.stale_seconds = 60
    source = declare(association("contacts", "companies", limit=5))
    plan = make_plan(client, source)
    with client_of(hubspot) as another:
        apply_plan(
            make_plan(another, declare(association("contacts", "companies", limit=6))), another, verify_timeout=0
        )
    report = apply_plan(plan, client, verify_timeout=0)
    assert refused(report).retryable


@pytest.mark.parametrize("status", [207, 400])
@pytest.mark.parametrize(("object_limit", "retryable"), [(3, True), (9, False)])
def test_a_refusal_is_permanent_only_if_the_portal_has_not_changed_since_the_plan(
    hubspot: Simulator, client: HubSpotClient, status: int, object_limit: int, retryable: bool
) -> None:
    """In this portal a label limit may not equal the object limit, which no plan can know."""
    hubspot.settings.limit_rule_status = status
    hubspot.settings.equal_limits_allowed = False
    boss, _ = hubspot.add_label("contacts", "companies", label="Boss", name="boss")
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), ("0-1", "0-2", USER, boss, 2)])
    plan = make_plan(client, declare(association("contacts", "companies", labels={"Boss": 9})))
    hubspot.set_limit(*CONTACTS_COMPANIES, object_limit)
    report = apply_plan(plan, client)
    assert "the valid range is" in str(refused(report).reason)
    assert (report.ok, report.retryable) == (False, retryable)


def test_a_refusal_because_the_label_was_deleted_is_retryable(hubspot: Simulator, client: HubSpotClient) -> None:
    boss, _ = hubspot.add_label("contacts", "companies", label="Boss", name="boss")
    plan = make_plan(client, declare(association("contacts", "companies", labels={"Boss": 9})))
    client.delete_label("contacts", "companies", boss)
    report = apply_plan(plan, client)
    assert "is not a valid association type" in str(refused(report).reason)
    assert report.retryable


def test_a_refusal_is_retryable_if_the_portal_cannot_be_read_again(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.canceled = True
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    assert not apply_plan(plan, client).retryable
    hubspot.inject(method="GET", status=500, times=9)
    report = apply_plan(plan, client)
    assert "the portal could not be read again" in str(refused(report).reason)
    assert report.retryable


def test_a_create_refused_as_existing_is_retryable_even_if_the_portal_cannot_be_read_again(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    hubspot.settings.create_existing = "error"
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    hubspot.set_limit(*CONTACTS_COMPANIES, 6)
    hubspot.inject(method="GET", status=403, times=9)
    report = apply_plan(plan, client)
    assert "the portal could not be read again" in str(refused(report).reason)
    assert report.retryable


def test_the_word_already_makes_only_refused_creates_retryable(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.set_limit(*CONTACTS_COMPANIES, 9)
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    body = {"status": "error", "message": "This is already archived.", "category": "VALIDATION_ERROR"}
    hubspot.inject(method="POST", status=400, body=body)
    assert not apply_plan(plan, client).retryable


def test_a_limit_that_hubspot_itself_changes_is_a_permanent_refusal(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    row = {"category": HUBSPOT, "typeId": 279, "userEnforcedMaxToObjectIds": 3, "label": None}
    hubspot.inject(method="POST", status=200, body={"status": "COMPLETE", "results": [row]})
    hubspot.inject(method="GET", status=200, body={"results": [row]}, times=9)
    report = apply_plan(plan, client)
    assert refused(report).reason == "HubSpot set 3 instead of 5"
    assert not report.retryable


# -- labels ----------------------------------------------------------------------------------------------------


def test_a_label_created_since_the_plan_is_used(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, owner())
    type_id, _ = hubspot.add_label("contacts", "companies", label="Owner", name="by_hand")
    report = apply_plan(plan, client)
    assert report.ok, report.lines()
    assert hubspot.limits() == {("0-1", "0-2", USER, type_id): 2}
    assert labels_called(client, "Owner") == 1


def test_a_label_created_at_the_same_moment_is_used(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, owner())
    (label,) = plan.new_labels
    hubspot.inject(method="GET", path="*/labels", status=200, body={"results": []}, times=2)  # the last look before
    type_id, _ = hubspot.add_label("contacts", "companies", label="Owner", name=label.name)
    report = apply_plan(plan, client)
    assert report.ok, report.lines()
    assert "POST contacts/companies/labels" in writes(hubspot)
    assert hubspot.limits() == {("0-1", "0-2", USER, type_id): 2}


def test_a_label_created_between_the_reads_of_its_two_sides_is_used(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, owner())
    type_id, _ = hubspot.add_label("contacts", "companies", label="Owner", name="by_hand")
    hubspot.inject(method="GET", path="*/contacts/companies/labels", status=200, body={"results": []})
    report = apply_plan(plan, client)
    assert report.ok, report.lines()
    assert hubspot.limits() == {("0-1", "0-2", USER, type_id): 2}


def test_a_label_created_while_the_plan_is_made_is_used(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.add_label("contacts", "companies", label="Owner", name="by_hand")
    hubspot.inject(method="GET", path="*/contacts/companies/labels", status=200, body={"results": []})
    plan = make_plan(client, owner())
    assert (plan.unfit, plan.new_labels) == ([], [])
    assert len(plan.writes) == 1


def test_a_label_with_another_inverse_is_retryable(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, owner(inverse="Owned by"))
    hubspot.add_label("contacts", "companies", label="Owner", inverse_label="Owns", name="by_hand")
    report = apply_plan(plan, client)
    assert "with another text on its other side" in str(refused(report).reason)
    assert report.retryable
    assert make_plan(client, owner(inverse="Owned by")).new_labels == []


@pytest.mark.parametrize(
    ("label", "inverse"),
    [("owner", "x"), ("Owner ", "x"), ("x", "owned  by"), ("x", "Owned by"), ("x", "Owned\u00a0by")],
)
def test_a_label_is_not_created_if_a_look_alike_was_created_since_the_plan(
    hubspot: Simulator, client: HubSpotClient, label: str, inverse: str
) -> None:
    plan = make_plan(client, owner(inverse="Owned by"))
    hubspot.add_label("contacts", "companies", label=label, inverse_label=inverse, name="by_hand")
    report = apply_plan(plan, client)
    assert writes(hubspot) == []
    assert not report.retryable
    assert ("looks like" in str(refused(report).reason)) != (inverse == "Owned by")


def test_a_renamed_label_is_named_in_a_permanent_refusal(hubspot: Simulator) -> None:
    """Without the scope for object schemas, only HubSpot's refusal shows that the internal name exists."""
    with client_of(hubspot, access_token=hubspot.issue_token(["crm.objects.contacts.read"])) as client:
        assert apply_plan(make_plan(client, owner()), client).ok
        ((_, _, _, type_id),) = hubspot.limits()
        client.update_label("contacts", "companies", association_type_id=type_id, label="Decider")
        plan = make_plan(client, owner())
        assert '"Decider"' in plan.warnings[0]
        for resend in (False, True):
            report = apply_plan(plan, client, resend=resend)
            reason = str(refused(report).reason)
            assert "owner_contacts_companies" in reason
            assert 'adopt it (write "Decider" in the file)' in reason
            assert not report.retryable
        assert labels_called(client, "Owner") == 0


def test_an_internal_name_taken_by_another_pair_is_a_permanent_refusal(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    hubspot.add_label("deals", "contacts", label="Other", name="taken")
    report = apply_plan(make_plan(client, owner(name="taken")), client)
    assert "another label has the internal name taken" in str(refused(report).reason)
    assert not report.retryable


@pytest.mark.parametrize(
    ("resend", "status", "reason"),
    [
        (False, "refused", "another sync has created it"),
        (True, "unconfirmed", "an earlier try may have created it"),
    ],
)
def test_a_taken_internal_name_without_a_visible_label_is_retryable(
    hubspot: Simulator, client: HubSpotClient, resend: bool, status: Status, reason: str
) -> None:
    plan = make_plan(client, owner())
    hubspot.add_label("contacts", "companies", label="Owner", name=plan.new_labels[0].name)
    hubspot.inject(method="GET", path="*/labels", status=200, body={"results": []}, times=4)
    report = apply_plan(plan, client, resend=resend)
    (outcome,) = report.of(status)
    assert reason in str(outcome.reason)
    assert report.retryable


def test_labels_that_cannot_be_read_are_not_created(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, owner())
    hubspot.inject(method="GET", path="*/labels", status=500, times=9)
    report = apply_plan(plan, client)
    assert writes(hubspot) == []
    assert isinstance(report.outcomes[0].change, NewLabel)
    assert [outcome.status for outcome in report.outcomes] == ["not attempted", "not attempted"]
    assert report.retryable


def test_the_two_directions_of_a_label_may_be_spelled_differently(hubspot: Simulator, client: HubSpotClient) -> None:
    source = declare(
        association(
            "contacts", "companies", labels={"Owner": {"limit": 2, "create_missing": True, "inverse": "Owned"}}
        ),
        association("0-2", "contact", labels={"Owned": 3}),
    )
    assert apply_plan(make_plan(client, source), client).ok
    assert sorted(hubspot.limits().values()) == [2, 3]
    assert make_plan(client, source).is_empty


# -- directions that cannot be read ----------------------------------------------------------------------------


def test_a_rejection_of_a_token_that_worked_skips_one_direction_only(hubspot: Simulator, client: HubSpotClient) -> None:
    client.account_info()  # the token works
    source = declare(association("contacts", "companies", limit=5), association("deals", "contacts", limit=7))
    hubspot.inject(method="GET", path="*contacts/companies", status=401, body={"message": "No."}, times=2)
    plan = make_plan(client, source)
    assert [unread.retryable for unread in plan.unread] == [True]
    report = apply_plan(plan, client)
    assert hubspot.limits() == {("0-3", "0-1", HUBSPOT, 3): 7}
    assert (report.ok, report.retryable) == (False, True)


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (403, False)])
def test_an_approved_plan_skips_a_direction_that_cannot_be_read_again(
    hubspot: Simulator, client: HubSpotClient, status: int, retryable: bool
) -> None:
    labels = {"Owner": {"limit": 2, "create_missing": True}}
    source = declare(association("contacts", "companies", labels=labels), association("deals", "contacts", limit=7))
    approved = Plan.from_json(make_plan(client, source).to_json())
    hubspot.inject(method="GET", path="*contacts/companies", status=status, times=9)
    rest = rebase(approved, read_again(approved, client))
    assert (len(rest.unread), rest.new_labels) == (1, [])
    assert Plan.from_json(rest.to_json()) == rest
    report = apply_plan(rest, client)
    assert (report.ok, report.retryable) == (False, retryable)
    assert hubspot.limits() == {("0-3", "0-1", HUBSPOT, 3): 7}
    hubspot.clear_faults()
    assert apply_plan(rebase(approved, read_again(approved, client)), client).ok
    assert sorted(hubspot.limits().values()) == [2, 7]
