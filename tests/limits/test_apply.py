"""Apply a plan: the requests, the limits of the portal afterwards, and the report."""

import itertools
import json
import threading
from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotAuthenticationError
from airflow_provider_hubassoc.limits.apply import ApplyError, Outcome, apply_plan
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan import build_plan
from airflow_provider_hubassoc.limits.snapshot import read_state
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, USER, association, client_of, declare, make_plan, sent, set_limits, writes

CONTACTS_COMPANIES = ("0-1", "0-2", HUBSPOT, 279)
DEALS_CONTACTS = ("0-3", "0-1", HUBSPOT, 3)
TWO = declare(association("contacts", "companies", limit=5), association("deals", "contacts", limit=7))


def test_each_direction_needs_one_write_and_one_read(hubspot: Simulator, client: HubSpotClient) -> None:
    assert apply_plan(make_plan(client, TWO), client, max_concurrency=1).ok
    assert sorted(sent(hubspot)[:2]) == ["GET contacts/companies", "GET deals/contacts"]  # of the plan, concurrently
    assert sent(hubspot)[2:] == [
        "create contacts/companies",
        "create deals/contacts",
        "GET contacts/companies",
        "GET deals/contacts",
    ]
    assert hubspot.limits() == {CONTACTS_COMPANIES: 5, DEALS_CONTACTS: 7}
    hubspot.clear_requests()
    plan = make_plan(client, TWO)
    assert plan.is_empty
    report = apply_plan(plan, client)
    assert report.ok
    assert report.summary == "Nothing to apply."
    assert sorted(sent(hubspot)) == ["GET contacts/companies", "GET deals/contacts"]


def test_new_and_changed_limits_share_a_request(hubspot: Simulator, client: HubSpotClient) -> None:
    owner, _ = hubspot.add_label("contacts", "companies", label="Owner", name="owner")
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), (*DEALS_CONTACTS, 2)])
    source = declare(
        association("contacts", "companies", limit=8, labels={"Owner": 2}),
        association("deals", "contacts", limit="unlimited"),
    )
    assert apply_plan(make_plan(client, source), client).ok
    assert sorted(writes(hubspot)) == ["purge deals/contacts", "update contacts/companies"]
    assert hubspot.limits() == {CONTACTS_COMPANIES: 8, ("0-1", "0-2", USER, owner): 2}


def test_labels_are_created_before_their_limits(hubspot: Simulator, client: HubSpotClient) -> None:
    source = declare(
        association(
            "contacts",
            "companies",
            labels={
                "Owner": {"limit": 2, "create_missing": True, "inverse": "Owned by"},
                "Partner": {"limit": 3, "create_missing": True},
                "Friend": {"create_missing": True},
            },
        ),
        association("companies", "contacts", labels={"Owned by": 1}),
        association("contacts", "contacts", labels={"Peer": {"limit": 4, "create_missing": True}}),
    )
    plan = make_plan(client, source)
    hubspot.clear_requests()
    report = apply_plan(plan, client, max_concurrency=1)
    assert report.ok, report.lines()
    assert [line for line in sent(hubspot) if "labels" in line] == [
        # Somebody may have created one of them, or a look-alike, since the plan was made.
        "GET contacts/companies/labels",
        "GET companies/contacts/labels",
        "POST contacts/companies/labels",
        "POST contacts/companies/labels",
        "POST contacts/companies/labels",
        # If both sides have the same text, the answer does not say which type belongs to which side.
        "GET contacts/companies/labels",
        "GET contacts/contacts/labels",
        "POST contacts/contacts/labels",
    ]
    labels = {row.label: row.type_id for row in client.get_labels("contacts", "companies")}
    inverse_labels = {row.label: row.type_id for row in client.get_labels("companies", "contacts")}
    peer = next(row.type_id for row in client.get_labels("contacts", "contacts") if row.label == "Peer")
    assert hubspot.limits() == {
        ("0-1", "0-2", USER, labels["Owner"]): 2,
        ("0-1", "0-2", USER, labels["Partner"]): 3,
        ("0-2", "0-1", USER, inverse_labels["Owned by"]): 1,
        ("0-1", "0-1", USER, peer): 4,
    }
    assert "Friend" in labels
    assert make_plan(client, source).is_empty


def test_a_refused_label_does_not_stop_other_limits(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.add_label("deals", "contacts", label="Other", name="taken")
    source = declare(
        association(
            "contacts",
            "companies",
            limit=5,
            labels={"Owner": {"limit": 2, "create_missing": True, "name": "taken"}},
        )
    )
    report = apply_plan(make_plan(client, source), client)
    assert hubspot.limits() == {CONTACTS_COMPANIES: 5}
    assert not report.ok
    assert not report.retryable
    assert report.summary == "Applied 1 of 3: 1 refused, 1 not attempted. Settled."
    assert "already exists" in report.lines()[1]
    with pytest.raises(ApplyError, match="already exists") as caught:
        report.raise_for_failure()
    assert caught.value.report == json.loads(json.dumps(report.to_dict()))
    assert not caught.value.retryable


def test_a_label_whose_creation_was_not_answered_is_read_back(hubspot: Simulator) -> None:
    source = declare(
        association("contacts", "deals", labels={"Buyer": {"limit": 2, "create_missing": True, "inverse": "Sold"}})
    )
    with client_of(hubspot) as client:
        plan = make_plan(client, source)
        hubspot.inject(method="POST", path="*/labels", reset=True, after=True)
        assert apply_plan(plan, client).ok
        assert list(hubspot.limits().values()) == [2]
        assert make_plan(client, source).is_empty


@pytest.mark.parametrize(("to_type", "type_ids"), [("companies", [900]), ("contacts", [900, 901])])
def test_an_answer_that_does_not_say_which_type_belongs_to_which_side_is_not_used(
    hubspot: Simulator, client: HubSpotClient, to_type: str, type_ids: list[int]
) -> None:
    source = declare(association("contacts", to_type, labels={"Peer": {"limit": 4, "create_missing": True}}))
    plan = make_plan(client, source)
    rows = [{"category": USER, "typeId": type_id, "label": "Peer"} for type_id in type_ids]
    hubspot.inject(method="POST", path="*/labels", status=200, body={"results": rows}, after=True)
    assert apply_plan(plan, client).ok
    type_id = next(row.type_id for row in client.get_labels("contacts", to_type) if row.label == "Peer")
    assert [(key[3], limit) for key, limit in hubspot.limits().items()] == [(type_id, 4)]
    assert type_id not in type_ids


def test_a_new_label_of_an_unknown_category_gets_no_limit(hubspot: Simulator, client: HubSpotClient) -> None:
    label = {"limit": 2, "create_missing": True, "inverse": "Owned by"}
    plan = make_plan(client, declare(association("contacts", "companies", limit=5, labels={"Owner": label})))
    rows = [{"category": "NEW_CATEGORY", "typeId": 900, "label": "Owner"}]
    hubspot.inject(method="POST", path="*/labels", status=200, body={"results": rows}, after=True)
    report = apply_plan(plan, client)
    assert hubspot.limits() == {CONTACTS_COMPANIES: 5}
    (outcome,) = report.of("refused")
    assert "cannot be sent in a batch" in str(outcome.reason)
    assert not report.retryable


def test_a_rejected_token_stops_the_creation_of_labels(hubspot: Simulator, client: HubSpotClient) -> None:
    labels = {text: {"limit": 2, "create_missing": True} for text in ("Boss", "Owner")}
    plan = make_plan(client, declare(association("contacts", "companies", labels=labels)))
    hubspot.clear_requests()
    with client_of(hubspot) as another:  # HubSpot has not accepted its token yet
        hubspot.inject(method="GET", path="*/labels", status=401, body={"message": "No."}, times=99)
        report = apply_plan(plan, another)
    assert writes(hubspot) == []
    assert [outcome.status for outcome in report.outcomes] == ["not attempted"] * 4
    assert "the labels could not be read" in str(report.outcomes[0].reason)
    assert "every further request would fail" in str(report.outcomes[1].reason)


def test_a_failed_direction_does_not_stop_the_others(hubspot: Simulator, client: HubSpotClient) -> None:
    source = declare(
        association("contacts", "companies", types=[{"category": USER, "typeId": 999, "limit": 5}]),
        association("contacts", "deals", limit=2),
        association("deals", "contacts", limit=7),
        association("p_unknown", "contacts", types=[{"category": USER, "typeId": 1, "limit": 5}]),
    )
    plan = make_plan(client, source)
    hubspot.inject(method="POST", path="*/contacts/deals/batch/*", status=500, times=9)
    report = apply_plan(plan, client)
    assert hubspot.limits() == {DEALS_CONTACTS: 7}
    assert report.summary == (
        "1 direction could not be read. 1 direction does not fit the portal. Applied 1 of 2: 1 unconfirmed. Settled."
    )
    text = "\n".join(report.lines())
    assert "p_unknown -> contacts could not be read: Unable to infer object type" in text
    assert "USER_DEFINED 999: the portal has no such association type in this direction" in text
    assert "contacts -> deals (unlabeled) unlimited -> 2: " in text
    data = report.to_dict()
    assert [len(data[key]) for key in ("applied", "refused", "unconfirmed", "unread", "unfit")] == [1, 0, 1, 1, 1]
    assert data["ok"] is False


def test_after_a_refused_batch_the_next_one_is_not_sent(hubspot: Simulator, client: HubSpotClient) -> None:
    owner, _ = hubspot.add_label("contacts", "companies", label="Owner", name="owner")
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), ("0-1", "0-2", USER, owner, 8)])
    plan = make_plan(client, declare(association("contacts", "companies", limit=5, labels={"Owner": 4})))
    hubspot.inject(method="POST", status=400, body={"status": "error", "message": "no", "category": "VALIDATION_ERROR"})
    report = apply_plan(plan, client)
    assert len(writes(hubspot)) == 1
    assert [outcome.status for outcome in report.outcomes] == ["refused", "not attempted"]
    assert report.settled is None  # nothing was written, so there is nothing to verify


def test_after_a_partly_refused_batch_the_next_one_is_not_sent(hubspot: Simulator, client: HubSpotClient) -> None:
    labels = {text: hubspot.add_label("contacts", "companies", label=text, name=text)[0] for text in ("Boss", "Owner")}
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), *(("0-1", "0-2", USER, label, 8) for label in labels.values())])
    plan = make_plan(client, declare(association("contacts", "companies", limit=5, labels={"Boss": 3, "Owner": 4})))
    applied = {"category": USER, "typeId": labels["Boss"], "userEnforcedMaxToObjectIds": 3}
    errors = [{"message": f"1-{labels['Owner']} is not valid"}]
    body = {"status": "COMPLETE", "results": [applied], "errors": errors, "numErrors": 1}
    hubspot.inject(method="POST", status=207, body=body)
    report = apply_plan(plan, client, verify_timeout=None)
    assert writes(hubspot) == ["update contacts/companies"]
    assert [outcome.status for outcome in report.outcomes] == ["applied", "refused", "not attempted"]


@pytest.mark.parametrize(("resend", "action"), [(False, "create"), (True, "update")])
def test_after_an_earlier_attempt_limits_to_create_are_sent_as_an_update(
    hubspot: Simulator, client: HubSpotClient, resend: bool, action: str
) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    assert apply_plan(plan, client, resend=resend).ok
    assert writes(hubspot) == [f"{action} contacts/companies"]


def test_a_refused_create_counts_as_applied_if_the_limit_is_in_force(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.create_existing = "error"
    plan = make_plan(client, TWO)
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 5), (*DEALS_CONTACTS, 6)])  # since the plan; one of them as declared
    report = apply_plan(plan, client)
    statuses = {outcome.change.direction.from_object_type: outcome.status for outcome in report.outcomes}
    assert statuses == {"contacts": "applied", "deals": "refused"}
    assert "0-3 has an association limit already" in "\n".join(report.lines())


def test_a_rejected_token_stops_everything(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, TWO)
    hubspot.revoke(hubspot.token)
    hubspot.clear_requests()
    with client_of(hubspot) as another:  # whose token has never worked
        report = apply_plan(plan, another, max_concurrency=1)
        assert writes(hubspot) == ["create contacts/companies"]
        assert [outcome.status for outcome in report.outcomes] == ["refused", "not attempted"]
        assert "rejected the access token" in report.lines()[2]
        with pytest.raises(HubSpotAuthenticationError):
            read_state(load_config(TWO).resolve(), another)


def test_a_rejection_of_a_token_that_worked_affects_one_direction(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, TWO)
    hubspot.inject(method="POST", path="*contacts/companies*", status=401, body={"message": "No."}, times=2)
    report = apply_plan(plan, client, max_concurrency=1)
    assert sorted(outcome.status for outcome in report.outcomes) == ["applied", "refused"]
    assert report.retryable


def test_an_exhausted_daily_limit_stops_everything(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, TWO)
    hubspot.inject(
        status=429, body={"status": "error", "message": "no more", "errorType": "RATE_LIMIT", "policyName": "DAILY"}
    )
    report = apply_plan(plan, client, max_concurrency=1)
    assert [outcome.status for outcome in report.outcomes] == ["refused", "not attempted"]
    assert report.retryable
    assert report.retry_after is not None
    assert report.retry_after > 0


def test_after_a_stop_nothing_is_verified(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, TWO)
    body = {"status": "error", "message": "no more", "errorType": "RATE_LIMIT", "policyName": "DAILY"}
    hubspot.inject(method="POST", path="*/deals/contacts/*", status=429, body=body)
    hubspot.clear_requests()
    report = apply_plan(plan, client, max_concurrency=1)
    assert [outcome.status for outcome in report.outcomes] == ["applied", "refused"]
    assert report.settled is None
    assert sent(hubspot) == ["create contacts/companies", "create deals/contacts"]


def test_an_error_raised_by_sleep_ends_the_apply(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.processing_seconds = 60

    def killed(seconds: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        apply_plan(make_plan(client, TWO), client, sleep=killed)


@pytest.mark.parametrize("limits", [{"limit": 5}, {"labels": {"Owner": {"create_missing": True}}}])
def test_outcomes_of_an_interrupted_request_are_unconfirmed(
    hubspot: Simulator, client: HubSpotClient, limits: dict[str, Any]
) -> None:
    outcomes: list[Outcome] = []

    def killed(seconds: float) -> None:
        raise InterruptedError

    plan = make_plan(client, declare(association("contacts", "companies", **limits)))
    with pytest.raises(InterruptedError):
        apply_plan(plan, client, sleep=killed, on_outcomes=outcomes.extend)
    assert [(outcome.status, outcome.reason, outcome.retryable) for outcome in outcomes] == [
        ("unconfirmed", "interrupted before HubSpot answered", True)
    ]


def test_the_next_batch_waits_for_a_slow_one(hubspot: Simulator, client: HubSpotClient) -> None:
    owner, _ = hubspot.add_label("contacts", "companies", label="Owner", name="owner")
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), ("0-1", "0-2", USER, owner, 8)])
    hubspot.settings.processing_seconds = 0.3
    for status_links in (True, False):
        hubspot.settings.status_links = status_links
        limits = (5, 4) if status_links else (9, 8)
        source = declare(association("contacts", "companies", limit=limits[0], labels={"Owner": limits[1]}))
        report = apply_plan(make_plan(client, source), client, verify_timeout=10)
        assert report.ok, report.lines()
        assert set(hubspot.limits().values()) == set(limits)


def test_the_timeout_of_the_verification_also_ends_the_wait_for_a_slow_batch(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    hubspot.settings.processing_seconds = 60
    report = apply_plan(make_plan(client, declare(association("deals", "contacts", limit=7))), client, verify_timeout=0)
    assert "were not settled within 0 s" in str(report.outcomes[0].reason)
    assert report.retryable


def test_the_report_names_the_portal(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, TWO).model_copy(update={"portal_id": hubspot.portal_id})
    assert apply_plan(plan, client).to_dict()["portal_id"] == hubspot.portal_id


def test_it_reads_until_the_limits_are_in_force(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.stale_seconds = 0.4
    report = apply_plan(make_plan(client, TWO), client, verify_timeout=10)
    assert report.ok
    assert report.settled
    assert make_plan(client, TWO).is_empty


def test_a_failed_read_is_not_repeated_for_unconfirmed_changes_alone(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    hubspot.clear_requests()
    hubspot.inject(method="POST", status=500, times=9)
    hubspot.inject(method="GET", status=500, times=9)
    report = apply_plan(plan, client, resend=True)
    assert [outcome.status for outcome in report.outcomes] == ["unconfirmed"]
    assert sent(hubspot) == ["update contacts/companies", "GET contacts/companies"]


def test_limits_that_do_not_settle_are_reported(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.settings.stale_seconds = 60
    report = apply_plan(make_plan(client, TWO), client, verify_timeout=0.2)
    assert report.settled is False
    assert not report.ok
    assert report.retryable
    assert report.summary == "Applied 2 of 2. Not settled yet."


def test_the_caller_can_verify_later(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, TWO)
    hubspot.clear_requests()
    report = apply_plan(plan, client, verify_timeout=None)
    assert report.ok
    assert report.settled is None
    assert not any(line.startswith("GET") for line in sent(hubspot))
    for operation in report.to_verify:
        handle = BatchOperation.from_dict(operation.to_dict())
        assert not handle.is_over
        direction = handle.from_object_type, handle.to_object_type
        assert handle.with_limits(client.get_limits(*direction)).has_succeeded


def test_a_read_confirms_an_unanswered_batch(hubspot: Simulator) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9)])
    plan_source = declare(association("contacts", "companies", limit=5))
    with client_of(hubspot, max_retries=0) as client:
        plan = make_plan(client, plan_source)
        hubspot.inject(method="POST", reset=True, after=True)
        report = apply_plan(plan, client)
    assert report.ok, report.lines()
    assert hubspot.limits() == {CONTACTS_COMPANIES: 5}


@pytest.mark.parametrize("concurrency", [4, 1])
def test_directions_are_written_concurrently(hubspot: Simulator, client: HubSpotClient, concurrency: int) -> None:
    pairs = list(itertools.permutations(("0-1", "0-2", "0-3"), 2))
    plan = make_plan(client, declare(*(association(*pair, limit=5) for pair in pairs)))
    progress: list[tuple[str, int, int]] = []
    barrier = threading.Barrier(concurrency)
    first_requests = itertools.count()
    active: set[int] = set()

    def sleep(seconds: float) -> None:
        """Let the first requests go on only together."""
        active.add(threading.get_ident())
        if next(first_requests) < concurrency:
            barrier.wait(timeout=30)

    report = apply_plan(
        plan,
        client,
        max_concurrency=concurrency,
        sleep=sleep,
        progress=lambda *step: progress.append(step),
    )
    assert report.ok
    assert len(active) <= 2 * concurrency  # one pool of threads to write, one to verify
    assert [step for step in progress if step[0] == "write"] == [("write", n, 6) for n in range(1, 7)]


def test_the_overrides_of_the_portal_apply(hubspot: Simulator, client: HubSpotClient) -> None:
    source = declare(
        association("contacts", "companies", limit=5),
        portals={str(hubspot.portal_id): {"associations": [association("contact", "0-2", limit=3)]}},
    )
    config = load_config(source).resolve(portal_id=client.account_info().portal_id)
    assert apply_plan(build_plan(config, read_state(config, client)), client).ok
    assert hubspot.limits() == {CONTACTS_COMPANIES: 3}


def test_a_create_that_may_have_arrived_is_not_sent_again(hubspot: Simulator) -> None:
    with client_of(hubspot, max_retries=1) as client:
        plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
        hubspot.inject(method="POST", reset=True, after=True)
        body = {"status": "error", "message": "slow down", "errorType": "RATE_LIMIT", "policyName": "SECONDLY"}
        hubspot.inject(method="GET", status=429, body=body)
        report = apply_plan(plan, client, sleep=lambda seconds: None)
    assert writes(hubspot) == ["create contacts/companies"]
    assert report.of("refused") == []
    assert hubspot.limits() == {CONTACTS_COMPANIES: 5}
