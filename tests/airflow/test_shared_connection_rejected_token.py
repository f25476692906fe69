"""Waits in a triggerer whose token is rejected temporarily or rotated."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_hubassoc.hubspot import errors, transport
from airflow_provider_hubassoc.simulator import Simulator
from tests.airflow.test_shared_connection import HUBSPOT, PAIR, until, wait_for, watch
from tests.support.airflow_in_memory import Airflow
from tests.support.scenarios import reads

pytestmark = pytest.mark.slow

BACK = ("companies", "contacts")


@pytest.fixture
def airflow(hubspot: Simulator) -> Airflow:
    return Airflow.connected_to(hubspot)


def statuses(hubspot: Simulator) -> list[int | None]:
    return [request.status for request in hubspot.requests]


async def test_one_rejection_after_a_read_does_not_fail_the_next(airflow: Airflow, hubspot: Simulator) -> None:
    wait = wait_for(max_poll_failures=1)
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(wait))
        await until(lambda: 200 in statuses(hubspot))
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
        hubspot.inject(status=401)
        await watching
    assert wait.operation.has_succeeded
    assert wait.failures == 0
    assert statuses(hubspot).count(401) == 1


async def test_one_rejection_of_the_first_read_does_not_end_the_wait(airflow: Airflow, hubspot: Simulator) -> None:
    """The worker has sent the batch with the same token, so the token is known to be valid."""
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    hubspot.inject(status=401)
    wait = wait_for(token_worked=True)
    with airflow.triggerer():
        await watch(wait)
    assert wait.operation.has_succeeded
    assert statuses(hubspot) == [401, 200]


async def test_a_token_that_never_worked_ends_the_wait_immediately(airflow: Airflow, hubspot: Simulator) -> None:
    airflow.connections["hubspot_default"]["password"] = "pat-na1-wrong-0815"
    with airflow.triggerer(), pytest.raises(errors.HubSpotAuthenticationError) as raised:
        await watch(wait_for())
    assert not raised.value.retryable
    assert statuses(hubspot) == [401]


async def test_the_pause_after_a_rejection_delays_no_other_direction(
    airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_REJECTED_PAUSE", (3.0, 3.0))
    rejected, other = wait_for(), wait_for(280, pair=BACK, poll_interval=0.05)
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(rejected))
        await until(lambda: 200 in statuses(hubspot))
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
        hubspot.set_limit(*BACK, HUBSPOT, 280, 5)
        hubspot.inject(path="*/contacts/companies", status=401)
        await until(lambda: 401 in statuses(hubspot))
        await watch(other)
        assert not watching.done()
        await watching
    assert rejected.operation.has_succeeded
    assert other.operation.has_succeeded


async def test_a_token_rotated_while_waits_of_many_directions_run(airflow: Airflow, hubspot: Simulator) -> None:
    old = hubspot.issue_token()
    airflow.connections["hubspot_default"]["password"] = old
    pairs = {PAIR: 279, BACK: 280, ("contacts", "deals"): 4, ("deals", "contacts"): 3}
    waits = [wait_for(type_id, pair=pair) for pair, type_id in pairs.items()]
    with airflow.triggerer():
        watching = asyncio.gather(*map(watch, waits))
        await until(lambda: len(reads(hubspot)) >= len(waits))
        airflow.connections["hubspot_default"]["password"] = hubspot.issue_token()
        hubspot.revoke(old)
        for pair, type_id in pairs.items():
            hubspot.set_limit(*pair, HUBSPOT, type_id, 5)
        await watching
    assert all(wait.operation.has_succeeded for wait in waits)
    assert [wait.failures for wait in waits] == [0] * len(waits)
