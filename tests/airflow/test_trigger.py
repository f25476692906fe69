"""The trigger of a batch: its reads, its stored arguments, its event, and its cleanup."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError
from airflow_provider_hubassoc.limits.operation import submit as submit_batch
from airflow_provider_hubassoc.retry_policy import is_permanent
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger, operation_from_event
from tests.support.airflow_in_memory import Airflow
from tests.support.inputs import parse_inputs
from tests.support.scenarios import (
    FIVE_COMPANIES,
    FROM,
    INPUTS,
    NEVER,
    NO_SUCH_TYPE,
    READS,
    SCENARIOS,
    SLOW,
    TO,
    Scenario,
    prepare,
    reads,
    writes,
)


@pytest.fixture
def airflow(hubspot: Simulator) -> Airflow:
    return Airflow.connected_to(hubspot)


@pytest.fixture
def submit(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sends a batch through a temporary connection, and returns the handle."""

    def submit(inputs: list[dict[str, Any]] = INPUTS, **changes: Any) -> dict[str, Any]:
        connection = {"conn_type": "hubspot", "host": hubspot.url, "password": hubspot.token}
        with monkeypatch.context() as environment:
            environment.setenv("AIRFLOW_CONN_HUBSPOT_DEFAULT", json.dumps(connection))
            with HubSpotHook() as hook:
                parsed = parse_inputs(FROM, TO, inputs, "create")
                batch = BatchOperation(action="create", from_object_type=FROM, to_object_type=TO, inputs=parsed)
                operation = submit_batch(hook.client, batch)
        return {**operation.to_dict(), **changes}

    return submit


def trigger(operation: dict[str, Any], **arguments: Any) -> HubSpotAssociationLimitsTrigger:
    return HubSpotAssociationLimitsTrigger(
        **{
            "hubspot_conn_id": "hubspot_default",
            "operation": operation,
            "timeout": 30.0,
            "poll_interval": 0.05,
            "max_poll_interval": 60.0,
            "max_poll_failures": 5,
            **arguments,
        }
    )


def restored(trigger: HubSpotAssociationLimitsTrigger) -> HubSpotAssociationLimitsTrigger:
    """Return the trigger that another triggerer creates from the stored arguments."""
    path, arguments = json.loads(json.dumps(trigger.serialize()))
    assert path == "airflow_provider_hubassoc.triggers.HubSpotAssociationLimitsTrigger"
    return HubSpotAssociationLimitsTrigger(**arguments)


async def outcome(trigger: HubSpotAssociationLimitsTrigger) -> dict[str, Any]:
    """Run a trigger and return the payload of its only event, which has to be plain JSON."""
    [event] = [event async for event in trigger.run()]
    assert json.loads(json.dumps(event.payload)) == event.payload
    return event.payload  # type: ignore[no-any-return]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_every_scenario_ends_as_expected(
    scenario: Scenario, airflow: Airflow, hubspot: Simulator, submit: Any
) -> None:
    prepare(hubspot, scenario)
    wait = {name: value for name, value in scenario.wait.items() if name != "verify"}
    operation = submit(scenario.inputs, verify=scenario.wait.get("verify", False))
    hubspot.clear_requests()
    with airflow.triggerer():
        event = await outcome(restored(trigger(operation, **wait)))

    assert {request.method for request in hubspot.requests} <= {"GET"}
    assert hubspot.token not in json.dumps(event)
    if scenario.error in (None, errors.HubSpotOperationError):
        assert (event["outcome"], set(event)) == ("over", {"outcome", "operation", "waited"})
        assert len(operation_from_event(event).applied) == scenario.applied
    else:
        is_timeout = scenario.error is errors.HubSpotOperationTimeoutError
        assert event["outcome"] == ("timeout" if is_timeout else "poll_failed")
        assert event["operation"]["status"] in ("PENDING", "PROCESSING")
        with pytest.raises(scenario.error) as raised:
            operation_from_event(event)
        assert all(words in str(raised.value) for words in scenario.says)


async def test_stored_arguments_contain_no_secret(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    original = trigger(submit(), timeout=None)
    assert original.serialize() == restored(original).serialize()
    assert hubspot.token not in json.dumps(original.serialize())


# -- connection --


async def test_the_connection_is_read_asynchronously(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    operation = submit(status="PENDING", results=[])
    with airflow.triggerer():  # which refuses to be asked in a way that blocks the event loop
        assert (await outcome(trigger(operation)))["outcome"] == "over"
    assert airflow.asked_for_connections == ["hubspot_default"]


async def test_a_connection_that_only_a_synchronous_read_finds(
    airflow: Airflow, hubspot: Simulator, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dag.test() runs triggers inline, where only the synchronous read finds all connections."""
    operation = submit(status="PENDING", results=[])
    with airflow.triggerer():
        from airflow.sdk.execution_time import task_runner

        comms = task_runner.SUPERVISOR_COMMS
        asend = comms.asend

        async def asend_from_threads_only(msg: Any) -> Any:
            if asyncio.current_task() is main_task:
                raise AirflowNotFoundException("not this way")
            return await asend(msg)

        main_task = asyncio.current_task()
        monkeypatch.setattr(comms, "asend", asend_from_threads_only)
        assert (await outcome(trigger(operation)))["outcome"] == "over"


async def test_a_missing_connection_is_a_transient_error(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    operation = submit(status="PENDING", results=[])
    airflow.connections.clear()
    with airflow.triggerer():
        event = await outcome(trigger(operation))
    with pytest.raises(errors.HubSpotPollError, match="hubspot_default"):
        operation_from_event(event)
    assert reads(hubspot) == []


async def test_an_invalid_connection_is_a_permanent_error(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    operation = submit(status="PENDING", results=[])
    airflow.connections["hubspot_default"]["password"] = None
    with airflow.triggerer():
        event = await outcome(trigger(operation))
    assert event["error"]["type"] == "HubSpotSettingsError"


async def test_oauth_in_the_triggerer(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    vars(hubspot.settings).update(SLOW)
    operation = submit()
    oauth = hubspot.oauth
    extra = {"auth_type": "oauth", "client_id": oauth.client_id, "client_secret": oauth.client_secret}
    extra["refresh_token"] = oauth.refresh_token
    airflow.connections["hubspot_default"] |= {"password": None, "extra": json.dumps(extra)}
    with airflow.triggerer():
        event = await outcome(trigger(operation))
    assert event["outcome"] == "over"
    tokens = {
        request.headers["authorization"].split()[1]
        for request in hubspot.requests
        if "authorization" in request.headers
    }
    assert len(tokens - {hubspot.token}) == 1
    assert [token for token in (*tokens, oauth.client_secret, oauth.refresh_token) if token in json.dumps(event)] == []


# -- time --


async def test_a_restart_continues_the_wait(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    vars(hubspot.settings).update(NEVER)
    first = trigger(submit())
    hubspot.clear_requests()
    with airflow.triggerer():
        running = asyncio.create_task(outcome(first))
        while len(reads(hubspot)) < 2:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        for limit_input in INPUTS:
            hubspot.set_limit(FROM, TO, limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"])
        hubspot.inject(method="GET", path="*/operations/*", status=404, times=99)
        event = await outcome(restored(first))
    assert event["operation"]["status"] == "COMPLETE"
    assert writes(hubspot) == []


@pytest.mark.parametrize("behind", [660.0, 86_400.0])
async def test_a_worker_whose_clock_is_behind_does_not_end_the_wait(
    behind: float, airflow: Airflow, hubspot: Simulator, submit: Any
) -> None:
    """Triggers stored by earlier versions contain times of the worker's clock."""
    vars(hubspot.settings).update(SLOW)
    operation = submit()
    with airflow.triggerer():
        event = await outcome(trigger(operation, started_at=time.time() - behind))
    assert event["outcome"] == "over"


async def test_a_worker_whose_clock_is_ahead_does_not_prolong_the_wait(
    airflow: Airflow, hubspot: Simulator, submit: Any
) -> None:
    vars(hubspot.settings).update(NEVER)
    late = {"started_at": time.time() + 660, "not_before": time.time() + 660}
    with airflow.triggerer():
        event = await outcome(trigger(submit(), timeout=0.2, **late))
    assert event["outcome"] == "timeout"


async def test_time_waited_before_the_deferral_counts(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    vars(hubspot.settings).update(NEVER)
    operation = submit()
    hubspot.clear_requests()
    with airflow.triggerer():
        event = await outcome(restored(trigger(operation, waited=31.0)))
    assert (event["outcome"], len(hubspot.requests)) == ("timeout", 1)


async def test_a_settled_batch_fires_immediately(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    operation = submit()
    hubspot.clear_requests()
    with airflow.triggerer():
        event = await outcome(trigger(operation, poll_interval=1000.0))
    assert (event["outcome"], hubspot.requests) == ("over", [])


async def test_an_invalid_handle_never_waits(airflow: Airflow) -> None:
    with airflow.triggerer(), pytest.raises(OperationHandleError):
        await outcome(trigger({"action": "create"}))


# -- event loop and connections --


async def test_a_slow_hubspot_does_not_block_the_event_loop(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    operation = submit(status="PENDING", results=[])
    hubspot.inject(method="GET", path=READS, delay=0.5)
    hubspot.clear_requests()
    ticks = 0
    with airflow.triggerer():
        running = asyncio.create_task(outcome(trigger(operation)))
        while not running.done():
            await asyncio.sleep(0.01)
            ticks += any(request.status is None for request in hubspot.requests)  # while HubSpot has not answered
        assert (await running)["outcome"] == "over"
    assert ticks >= 5


async def test_two_waits_are_independent(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    vars(hubspot.settings).update(SLOW)
    operations = [submit(), submit([FIVE_COMPANIES, NO_SUCH_TYPE])]
    with airflow.triggerer():
        events = await asyncio.gather(*(outcome(trigger(operation)) for operation in operations))
    assert [len(event["operation"]["refused"]) for event in events] == [0, 1]
    assert [event["operation"]["inputs"] for event in events] == [INPUTS, [FIVE_COMPANIES, NO_SUCH_TYPE]]


@pytest.mark.parametrize("moment", ["between two reads", "in the middle of a read"])
async def test_a_cancelled_wait_leaves_no_connection_open(
    moment: str, airflow: Airflow, hubspot: Simulator, submit: Any
) -> None:
    vars(hubspot.settings).update(NEVER)
    operation = submit()
    hubspot.clear_requests()
    if moment == "in the middle of a read":
        hubspot.inject(method="GET", path=READS, delay=0.3)
    with airflow.triggerer():
        running = asyncio.create_task(outcome(trigger(operation)))
        while not hubspot.requests or (hubspot.requests[0].status is None and moment == "between two reads"):
            await asyncio.sleep(0.01)
        assert connections_to(hubspot) > 0
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        for _ in range(300):  # the thread that reads cannot be interrupted; it ends with its read
            if not connections_to(hubspot):
                break
            await asyncio.sleep(0.01)
    assert connections_to(hubspot) == 0


async def test_a_finished_wait_leaves_no_connection_open(airflow: Airflow, hubspot: Simulator, submit: Any) -> None:
    vars(hubspot.settings).update(SLOW)
    operation = submit()
    hubspot.clear_requests()
    with airflow.triggerer():
        await outcome(trigger(operation))
    assert connections_to(hubspot) == 0
    assert len({request.connection for request in hubspot.requests}) == 1


def connections_to(hubspot: Simulator) -> int:
    """Count the open client connections of this process to the simulator."""
    return sum(
        bool(connection.raddr)
        and connection.raddr.port == hubspot.port
        and connection.status == psutil.CONN_ESTABLISHED
        for connection in psutil.Process().net_connections("tcp")
    )


# -- the event in the resumed task --

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)

HANDLE = {"action": "create", "from_object_type": FROM, "to_object_type": TO, "inputs": INPUTS, "status": "CANCELED"}
POLL_ERROR = errors.HubSpotPollError("Reading failed", retry_after=3.0).to_dict()
EVENTS = [
    {"outcome": "over", "operation": HANDLE},
    {"outcome": "timeout", "operation": HANDLE, "error": errors.HubSpotOperationTimeoutError("Too late").to_dict()},
    {"outcome": "poll_failed", "operation": HANDLE, "error": POLL_ERROR},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of a JSON value and of every value inside it."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a JSON value with another value at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def check_no_false_success(event: Any) -> None:
    """Check that an event is a known outcome or raises an error of this package, and never counts as a success."""
    error: errors.HubSpotError | None = None
    try:
        operation = operation_from_event(event)
    except errors.HubSpotError as raised:
        error = raised
    if error:
        assert isinstance(str(error), str)
        assert isinstance(error.retry_after, (int, float, type(None)))
        assert isinstance(is_permanent(error), bool)
    else:
        assert event["outcome"] == "over"
        assert operation.is_over


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(json_values)
def test_an_unknown_event_is_an_error(event: Any) -> None:
    check_no_false_success(event)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([(event, path) for event in EVENTS for path in places(event)]), json_values)
def test_a_damaged_event_is_never_a_success(where: tuple[Any, tuple[Any, ...]], value: Any) -> None:
    check_no_false_success(replaced(*where, value))


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_an_event_with_an_unsettled_batch_is_an_error(status: str) -> None:
    with pytest.raises(errors.HubSpotPollError, match="without the final state"):
        operation_from_event({"outcome": "over", "operation": {**HANDLE, "status": status}})
