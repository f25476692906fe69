"""Each example DAG, run by a real scheduler, on real workers, with a real triggerer."""

from collections.abc import Iterator

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.support.stack import Stack

CONTACT_TO_COMPANY = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)
BILLING_CONTACT_TO_COMPANY = ("0-1", "0-2", "HUBSPOT_DEFINED", 931)
DEAL_TO_CONTACT = ("0-3", "0-1", "HUBSPOT_DEFINED", 3)
DEAL_TO_COMPANY = ("0-3", "0-2", "HUBSPOT_DEFINED", 341)
TICKET_TO_CONTACT = ("0-5", "0-1", "HUBSPOT_DEFINED", 16)


@pytest.fixture
def portal(stack: Stack) -> Iterator[Simulator]:
    """Empty the portal that the stack talks to."""
    for from_id, to_id, category, type_id in stack.hubspot.limits():
        stack.hubspot.set_limit(from_id, to_id, category, type_id, None)
    stack.hubspot.clear_requests()
    yield stack.hubspot
    stack.check()


def test_submit_and_wait_with_the_sensor(stack: Stack, portal: Simulator) -> None:
    run = stack.api.run("hubspot_association_limits")

    assert run.state == "success", run.summary()
    assert portal.limits() == {CONTACT_TO_COMPANY: 5, BILLING_CONTACT_TO_COMPANY: 1}
    submitted, settled = run.xcom("submit"), run.xcom("wait")
    assert submitted == run.xcom("submit", key="operation")
    assert submitted["status"] == "PENDING"
    assert settled["status"] == "COMPLETE"
    assert {(item["typeId"], item["maxToObjectIds"]) for item in settled["inputs"]} == {(279, 5), (931, 1)}
    assert len(settled["applied"]) == 2
    assert settled["refused"] == settled["errors"] == []
    assert stack.token not in str(submitted) + str(settled)


def test_deferrable(stack: Stack, portal: Simulator) -> None:
    run = stack.api.run("hubspot_association_limits_deferrable")

    assert run.state == "success", run.summary()
    states = run.seen["set_limits", -1]
    assert "deferred" in states, run.summary()
    assert states[-1] == "success"
    assert portal.limits() == {DEAL_TO_CONTACT: 10}
    assert run.xcom("set_limits")["status"] == "COMPLETE"
    # The handle was there before the wait began, and the end was judged by a worker, not by the triggerer.
    assert run.xcom("set_limits", key="operation")["action"] == "create"
    assert sum(request.method == "POST" for request in portal.requests) == 1


def test_many_directions(stack: Stack, portal: Simulator) -> None:
    run = stack.api.run("hubspot_association_limits_many_directions")

    assert run.state == "success", run.summary()
    mapped = [key for key in run.instances if key[0] == "set_limits"]
    assert sorted(mapped) == [("set_limits", index) for index in range(3)]
    for key in mapped:
        assert "deferred" in run.seen[key], run.summary()
    assert portal.limits() == {CONTACT_TO_COMPANY: 5, DEAL_TO_COMPANY: 3, TICKET_TO_CONTACT: 10}
    names = {run.instances[key]["rendered_map_index"] for key in mapped}
    assert names == {"contacts to companies", "deals to companies", "tickets to contacts"}


def test_the_link_of_a_task_leads_to_the_settings_of_the_portal(stack: Stack, portal: Simulator) -> None:
    run = stack.api.run("hubspot_association_limits")

    assert run.state == "success", run.summary()
    links = stack.api.links(run.instances["submit", -1])
    (url,) = links.values()
    assert url is not None
    assert str(portal.portal_id) in url
    assert "0-1" in url


def test_no_task_log_tells_the_token(stack: Stack, portal: Simulator) -> None:
    run = stack.api.run("hubspot_association_limits_deferrable")

    assert run.state == "success", run.summary()
    logs = list(stack.home.rglob("*.log"))
    assert logs
    for path in logs:
        assert stack.token not in path.read_text(errors="replace"), path
