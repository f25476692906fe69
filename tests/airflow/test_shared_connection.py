"""Sharing between the waits of one triggerer: the client, the reads of a direction, and the connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_hubassoc import shared_connection as shared_connection_module
from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.wait import Wait
from airflow_provider_hubassoc.shared_connection import shared_connection
from airflow_provider_hubassoc.simulator import Simulator
from tests.airflow.test_trigger import connections_to
from tests.support.airflow_in_memory import Airflow
from tests.support.scenarios import reads

pytestmark = pytest.mark.slow

HUBSPOT = "HUBSPOT_DEFINED"
PAIR = ("contacts", "companies")


@pytest.fixture
def airflow(hubspot: Simulator) -> Airflow:
    return Airflow.connected_to(hubspot)


def wait_for(type_id: int = 279, limit: int = 5, pair: tuple[str, str] = PAIR, **options: Any) -> Wait:
    handle = {
        "action": "create",
        "from_object_type": pair[0],
        "to_object_type": pair[1],
        "inputs": [{"category": HUBSPOT, "typeId": type_id, "maxToObjectIds": limit}],
    }
    options = {
        **{"timeout": 30.0, "poll_interval": 0.3},
        **{"max_poll_interval": 0.3, "max_poll_failures": 5, **options},
    }
    return Wait(BatchOperation.from_dict(handle), **options)


async def watch(wait: Wait, conn_id: str = "hubspot_default") -> None:
    async with shared_connection(conn_id) as shared:
        await shared.watch(wait)


async def until(condition: Callable[[], object]) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 20)


async def test_waits_for_one_direction_share_reads(airflow: Airflow, hubspot: Simulator) -> None:
    spellings = [("contacts", "companies"), ("0-1", "0-2"), ("CONTACT", "company")]
    waits = [wait_for(pair=spellings[n % 3]) for n in range(60)]
    with airflow.triggerer():
        watching = asyncio.gather(*map(watch, waits))
        await until(lambda: len(reads(hubspot)) >= 3)
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
        before = len(reads(hubspot))
        await watching
    assert all(wait.operation.has_succeeded for wait in waits)
    assert len(reads(hubspot)) <= before + 2
    gaps = [later.received_at - earlier.received_at for earlier, later in pairwise(hubspot.requests)]
    assert min(gaps) > 0.25, gaps
    assert airflow.asked_for_connections == ["hubspot_default"]
    assert len({request.connection for request in hubspot.requests}) == 1


async def test_each_direction_is_read_separately(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit("companies", "contacts", HUBSPOT, 280, 5)
    forward, backward = wait_for(timeout=1.0), wait_for(280, pair=("companies", "contacts"))
    with airflow.triggerer():
        await watch(backward)
        with pytest.raises(errors.HubSpotOperationTimeoutError):
            await watch(forward)
    assert backward.operation.has_succeeded
    assert not forward.operation.is_over


async def test_a_read_that_began_before_a_wait_does_not_end_it(airflow: Airflow, hubspot: Simulator) -> None:
    """The limit is as asked for when the read begins, and is changed before the wait begins."""
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    hubspot.inject(method="GET", delay=0.5, after=True)  # the answer shows the state at the time of the request
    early, late = wait_for(limit=7, poll_interval=0.05), wait_for(poll_interval=0.05, timeout=1.5)
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(early))
        await until(lambda: reads(hubspot))
        await asyncio.sleep(0.1)
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 9)
        with pytest.raises(errors.HubSpotOperationTimeoutError):
            await watch(late)
        watching.cancel()
    assert late.operation.in_force == []


async def test_a_read_that_began_before_completion_does_not_verify(airflow: Airflow, hubspot: Simulator) -> None:
    """The limit is changed between the begin of a shared read and the completion of the batch."""
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    results = [{"category": HUBSPOT, "typeId": 279, "maxToObjectIds": 5}]
    hubspot.inject(method="GET", path="/status", body={"status": "COMPLETE", "results": results})
    hubspot.inject(method="GET", path="*/contacts/companies", delay=1.0, after=True)
    reader, verifier = wait_for(limit=7, poll_interval=0.1), wait_for(poll_interval=0.5, timeout=2.0)
    handle = {**verifier.operation.to_dict(), "status": "PENDING", "verify": True}
    verifier.operation = BatchOperation.from_dict({**handle, "status_link": f"{hubspot.url}/status"})
    with airflow.triggerer():
        verifying, reading = asyncio.ensure_future(watch(verifier)), asyncio.ensure_future(watch(reader))
        await until(lambda: reads(hubspot))
        await asyncio.sleep(0.1)
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 9)
        with pytest.raises(errors.HubSpotOperationTimeoutError):
            await verifying
        reading.cancel()
    assert verifier.operation.in_force == []
    assert "/status" in {request.path for request in hubspot.requests}


async def test_a_failed_read_counts_only_for_waits_that_are_due(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.inject(method="GET", status=503, times=3)
    patient = wait_for(poll_interval=1.5, max_poll_interval=1.5)
    hasty = wait_for(poll_interval=0.05, max_poll_interval=0.05, max_poll_failures=3)
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(patient))
        with pytest.raises(errors.HubSpotPollError, match="failed 3 times in a row"):
            await watch(hasty)
        assert patient.failures == 0
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
        await watching
    assert patient.operation.has_succeeded


async def test_a_permanent_error_ends_all_waits_immediately(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.inject(method="GET", status=403)
    waits = [wait_for(poll_interval=0.1), wait_for(poll_interval=60.0, max_poll_interval=60.0, timeout=100.0)]
    with airflow.triggerer():
        ends = await asyncio.wait_for(asyncio.gather(*map(watch, waits), return_exceptions=True), 30)
    assert [type(end) for end in ends] == [errors.HubSpotMissingScopesError] * 2
    assert len(reads(hubspot)) == 1


async def test_waits_share_failed_reads_while_hubspot_is_down(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.inject(method="GET", status=503, times=10_000)
    waits = [wait_for(poll_interval=0.2 + n / 1000, max_poll_failures=3) for n in range(100)]
    with airflow.triggerer():
        ends = await asyncio.gather(*map(watch, waits), return_exceptions=True)
    assert [type(end) for end in ends] == [errors.HubSpotPollError] * 100
    assert len(hubspot.requests) <= 6, len(hubspot.requests)


async def test_a_cancelled_wait_does_not_cancel_a_shared_read(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    hubspot.inject(method="GET", delay=0.5)
    first, second = wait_for(poll_interval=0.01), wait_for(poll_interval=0.1)
    with airflow.triggerer():
        leader, follower = asyncio.ensure_future(watch(first)), asyncio.ensure_future(watch(second))
        await until(lambda: reads(hubspot))
        await asyncio.sleep(0.2)
        leader.cancel()
        await follower
    assert second.operation.has_succeeded
    assert not first.operation.is_over
    assert len(reads(hubspot)) == 1


async def test_a_pause_requested_by_hubspot_holds_for_all_waits(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.inject(method="GET", status=429, headers={"Retry-After": "1"})
    pairs = [PAIR, ("companies", "contacts"), ("deals", "contacts"), ("tickets", "contacts")]
    waits = [wait_for(1, pair=pair, poll_interval=0.1 + n / 20, timeout=2.5) for n, pair in enumerate(pairs)]
    with airflow.triggerer():
        ends = await asyncio.gather(*map(watch, waits), return_exceptions=True)
    assert [type(end) for end in ends] == [errors.HubSpotOperationTimeoutError] * 4
    refused, *later = hubspot.requests
    assert refused.status == 429
    assert later
    assert min(request.received_at for request in later) >= refused.received_at + 1


# -- portals do not delay each other --


async def test_a_portal_that_never_answers_does_not_delay_others(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    names = ["companies", "contacts", "deals", "tickets", "calls", "emails", "meetings", "notes", "tasks"]
    with airflow.triggerer(), socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        airflow.connections["slow"] = {**airflow.connections["hubspot_default"], "conn_id": "slow", "host": address}
        pairs = [(one, two) for one in names for two in names if one != two]
        slow = [asyncio.ensure_future(watch(wait_for(pair=pair, poll_interval=0.01), "slow")) for pair in pairs]
        await until(lambda: len(airflow.asked_for_connections) > 0)
        await asyncio.sleep(0.3)  # until the slow portal has all the threads it can get
        fast = wait_for(poll_interval=0.01)
        await asyncio.wait_for(watch(fast), 10)
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    assert fast.operation.has_succeeded


# -- the connection --


async def test_a_rotated_token_is_picked_up(airflow: Airflow, hubspot: Simulator) -> None:
    old = hubspot.issue_token()
    airflow.connections["hubspot_default"]["password"] = old
    wait = wait_for()
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(wait))
        await until(lambda: reads(hubspot))
        airflow.connections["hubspot_default"]["password"] = hubspot.issue_token()
        hubspot.revoke(old)
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
        await watching
    assert wait.operation.has_succeeded
    assert wait.failures == 0
    assert 1 <= [request.status for request in hubspot.requests].count(401) <= 2  # the client tries once more


async def test_a_revoked_token_ends_all_waits(airflow: Airflow, hubspot: Simulator) -> None:
    token = hubspot.issue_token()
    airflow.connections["hubspot_default"]["password"] = token
    with airflow.triggerer():
        watching = asyncio.gather(*(watch(wait_for()) for _ in range(5)), return_exceptions=True)
        await until(lambda: reads(hubspot))
        hubspot.revoke(token)
        ends = await watching
    assert {type(end) for end in ends} <= {errors.HubSpotAuthenticationError, errors.HubSpotPollError}
    assert 2 <= [request.status for request in hubspot.requests].count(401) <= 10


async def test_an_old_connection_is_read_again(
    airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connection_module, "_CONNECTION_SECONDS", 0.0)
    wait = wait_for(poll_interval=0.05, max_poll_interval=0.05)
    with airflow.triggerer(), Simulator() as moved:
        moved.set_limit(*PAIR, HUBSPOT, 279, 5)
        watching = asyncio.ensure_future(watch(wait))
        await until(lambda: len(reads(hubspot)) > 2)
        assert len({request.connection for request in hubspot.requests}) == 1  # it was as before
        airflow.connections["hubspot_default"]["host"] = moved.url
        await watching
    assert wait.operation.has_succeeded


async def test_a_changed_connection_replaces_the_client_and_the_portal_id(
    airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connection_module, "_CONNECTION_SECONDS", 0.0)
    with airflow.triggerer(), Simulator(portal_id=999) as moved:
        async with shared_connection("hubspot_default") as shared:
            assert await shared.portal_id() == hubspot.portal_id
            airflow.connections["hubspot_default"]["host"] = moved.url
            await shared.call(lambda client: client.get_all_limits())
            assert await shared.portal_id() == 999
            assert connections_to(hubspot) == 0


async def test_a_connection_that_cannot_be_read_again_is_kept(
    airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connection_module, "_CONNECTION_SECONDS", 0.0)
    wait = wait_for()
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(wait))
        await until(lambda: reads(hubspot))
        airflow.connections.clear()
        hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
        await watching
    assert wait.operation.has_succeeded


async def test_a_missing_connection_is_read_again(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    kept = dict(airflow.connections)
    airflow.connections.clear()
    wait = wait_for(poll_interval=0.1, max_poll_interval=0.1)
    with airflow.triggerer():
        watching = asyncio.ensure_future(watch(wait))
        await until(lambda: wait.failures)
        airflow.connections.update(kept)
        await watching
    assert wait.operation.has_succeeded


async def test_the_last_wait_closes_the_network_connection(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*PAIR, HUBSPOT, 279, 5)
    with airflow.triggerer():
        for _ in range(2):
            await asyncio.gather(watch(wait_for()), watch(wait_for()))
    assert shared_connection_module._CONNECTIONS[asyncio.get_running_loop()] == {}
    assert len({request.connection for request in hubspot.requests}) == 2
