"""Slow batches and stale reads, with a clock that the test controls and over the socket."""

from __future__ import annotations

import pytest

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.portal import Input, Portal
from airflow_provider_hubassoc.simulator.settings import Settings
from tests.support.simulator_client import limit

KEY = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)


class Slow:
    """A portal with a clock that the test sets."""

    def __init__(self, **options):
        self.now = 0.0
        self.portal = Portal(Settings(**options), clock=lambda: self.now)

    def submit(self, value, action="update", type_id=279):
        return self.portal.submit(action, "contacts", "companies", [Input("HUBSPOT_DEFINED", type_id, value)])

    def status(self, operation):
        return self.portal.operation(operation.id).status

    def seen(self):
        return [one["userEnforcedMaxToObjectIds"] for one in self.portal.limits_between("contacts", "companies")]


def test_pending_then_processing_then_complete():
    slow = Slow(processing_seconds=10)
    operation = slow.submit(5)
    history = []
    for moment in (0, 4.9, 5, 9.9, 10, 99):
        slow.now = moment
        history.append((slow.status(operation), slow.portal.limits().get(KEY)))
    assert history == [
        ("PENDING", None),
        ("PENDING", None),
        ("PROCESSING", None),
        ("PROCESSING", None),
        ("COMPLETE", 5),
        ("COMPLETE", 5),
    ]
    assert len(operation.results) == 1


def test_limits_come_into_force_without_a_read_of_the_operation():
    slow = Slow(processing_seconds=10)
    slow.submit(5)
    slow.now = 9
    assert slow.seen() == []
    slow.now = 10
    assert slow.seen() == [5]
    slow.submit(None, "purge")
    assert slow.seen() == [5]
    slow.now = 20
    assert slow.seen() == [None]


def test_rules_apply_when_the_batch_ends():
    slow = Slow(processing_seconds=10)
    first, second = slow.submit(5), slow.submit(9, type_id=1)
    slow.now = 10
    assert (slow.status(first), slow.status(second)) == ("COMPLETE", "CANCELED")


def test_operations_end_in_the_order_in_which_they_are_due():
    slow = Slow(processing_seconds=10)
    slow.submit(5)
    slow.portal.settings.processing_seconds = 1
    slow.submit(6)
    slow.now = 10
    assert slow.portal.limits() == {KEY: 5}


def test_canceled_changes_nothing():
    slow = Slow(processing_seconds=10, canceled=True)
    operation = slow.submit(5)
    slow.now = 10
    assert (slow.status(operation), slow.portal.limits()) == ("CANCELED", {})


def test_unknown_operation():
    with pytest.raises(RefusalError, match="No operation"):
        Slow().portal.operation("nonsense")


def test_stale_reads():
    slow = Slow(stale_seconds=10)
    slow.submit(5)
    assert slow.portal.limits() == {KEY: 5}
    history = []
    for moment in (0, 5, 9.9, 10):
        slow.now = moment
        if moment == 5:
            slow.submit(6)
        history.append(slow.seen())
    slow.now = 15
    history.append(slow.seen())
    assert history == [[], [], [], [5], [6]]
    assert slow.portal.all_limits()[0]["userEnforcedMaxToObjectIds"] == 6


def test_stale_time_counts_from_the_end_of_processing():
    slow = Slow(stale_seconds=10, processing_seconds=10)
    slow.submit(5)
    slow.now = 19
    assert slow.seen() == []
    slow.now = 20
    assert slow.seen() == [5]


def test_flip_flop():
    slow = Slow(stale_seconds=10, flip_flop=True)
    slow.submit(5)
    assert [slow.seen() for _ in range(4)] == [[], [5], [], [5]]
    slow.now = 10
    assert [slow.seen() for _ in range(2)] == [[5], [5]]


def test_reads_show_a_limit_set_by_an_admin_at_once():
    slow = Slow(stale_seconds=10)
    slow.submit(5)
    slow.portal.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 7)
    assert slow.seen() == [7]
    slow.now = 10
    assert slow.seen() == [7]


# -- over the socket --


@pytest.mark.parametrize(("action", "code"), [("create", 201), ("update", 200), ("purge", 200)])
def test_slow_answers(simulate, action, code):
    api = simulate(processing_seconds=3600)
    answer = api.batch(action, "contacts/companies", limit(279, None if action == "purge" else 5))
    assert answer.status_code == code
    body = answer.json()
    assert body["requestedAt"].endswith("Z")
    link = body["links"]["status"]
    assert link.startswith(f"{api.hubspot.url}/crm/associations/2026-03/definitions/configurations/operations/")
    assert set(body) == {"status", "results", "requestedAt", "links"}
    assert (body["status"], body["results"]) == ("PENDING", [])
    read = api.call("GET", link)
    assert (read.status_code, read.json()) == (200, body)
    assert api.call("GET", link, headers={"Authorization": None}).status_code == 401
    assert api.call("GET", link + "x").status_code == 404


def wait(api, link):
    statuses = []
    while True:
        answer = api.call("GET", link)
        status = answer.json()["status"]
        if status not in statuses:
            statuses.append(status)
        if status in ("COMPLETE", "CANCELED"):
            return statuses, answer


def test_complete_over_the_socket(simulate):
    api = simulate(processing_seconds=0.2)
    body = api.batch("create", "contacts/companies", limit(279, 5)).json()
    statuses, answer = wait(api, body["links"]["status"])
    assert statuses[-1] == "COMPLETE"
    assert answer.status_code == 200
    end = answer.json()
    assert end["results"] == api.limits("contacts/companies")
    assert end["requestedAt"] <= end["startedAt"] <= end["completedAt"]
    assert "errors" not in end


def test_refused_over_the_socket(simulate):
    api = simulate(processing_seconds=0.05)
    body = api.batch("create", "contacts/companies", limit(279, 5), limit(4, 1)).json()
    _, answer = wait(api, body["links"]["status"])
    assert answer.status_code == 207
    assert (answer.json()["status"], answer.json()["numErrors"]) == ("COMPLETE", 1)


def test_canceled_over_the_socket(simulate):
    api = simulate(processing_seconds=0.05, canceled=True)
    body = api.batch("purge", "contacts/companies", limit(279)).json()
    _, answer = wait(api, body["links"]["status"])
    assert (answer.status_code, answer.json()["status"]) == (207, "CANCELED")


def test_no_status_links(simulate):
    api = simulate(processing_seconds=3600, status_links=False)
    assert "links" not in api.batch("update", "contacts/companies", limit(279, 5)).json()


def test_link_has_the_origin_that_the_client_used(simulate):
    """A client that uses a proxy in front of the simulator gets links to the proxy."""
    api = simulate(processing_seconds=3600)
    answer = api.batch("update", "contacts/companies", limit(279, 5), headers={"Host": "localhost:1234"})
    assert answer.json()["links"]["status"].startswith("http://localhost:1234/crm/associations/")
