"""The drift trigger: what counts as drift, and which failures it survives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_hubassoc.assets import drift_watchers
from airflow_provider_hubassoc.hubspot.models import AssociationLimit
from airflow_provider_hubassoc.limits.config import ConfigError
from airflow_provider_hubassoc.limits.state import DirectionState
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsDriftTrigger
from tests.support.airflow_in_memory import Airflow
from tests.support.portal import HUBSPOT, association, declare

CONTACT_TO_COMPANY = ("0-1", "0-2", HUBSPOT, 279)
DECLARED = association("contacts", "companies", limit=5)


@pytest.fixture
def airflow(hubspot: Simulator) -> Airflow:
    return Airflow.connected_to(hubspot)


def trigger(**arguments: Any) -> HubSpotAssociationLimitsDriftTrigger:
    arguments = {"association": DECLARED, "poll_interval": 0.01, "settle_seconds": 0.0, **arguments}
    return HubSpotAssociationLimitsDriftTrigger(**arguments)


def limited_to(limit: int | None) -> DirectionState:
    """Return the state of a direction with one limit."""
    return DirectionState([AssociationLimit.model_validate(_row(limit))], None)


def _row(limit: int | None) -> dict[str, Any]:
    return {"category": HUBSPOT, "typeId": 279, "userEnforcedMaxToObjectIds": limit, "label": None}


async def fired(
    watcher: HubSpotAssociationLimitsDriftTrigger, *limits: int | None, apart: float = 0.0
) -> list[list[str]]:
    """Pass reads to a trigger one by one; return the drift of each event."""

    async def reads() -> AsyncIterator[DirectionState]:
        for limit in limits:
            yield limited_to(limit)
            await asyncio.sleep(apart)

    return [event.payload["drift"] async for event in watcher.filter_shared_stream(reads())]


# -- what counts as drift ---------------------------------------------------------------------------------------------

IS_3 = ["contacts -> companies, object limit: is 3, should be 5"]
IS_9 = ["contacts -> companies, object limit: is 9, should be 5"]


async def test_a_declared_state_is_no_drift() -> None:
    assert await fired(trigger(), 5, 5, 5) == []


async def test_a_difference_fires_once() -> None:
    assert await fired(trigger(), 5, 3, 3, 3) == [IS_3]


async def test_another_difference_fires_again() -> None:
    assert await fired(trigger(), 3, 3, 9, 9) == [IS_3, IS_9]


async def test_a_difference_that_comes_back_fires_again() -> None:
    assert await fired(trigger(), 3, 5, 3) == [IS_3, IS_3]


async def test_a_lasting_difference_fires_repeatedly() -> None:
    assert await fired(trigger(repeat_seconds=0.02), 3, 3, 3, apart=0.03) == [IS_3, IS_3, IS_3]


async def test_a_difference_fires_only_if_it_lasts() -> None:
    assert await fired(trigger(settle_seconds=0.02), 3, 3, apart=0.03) == [IS_3]
    assert await fired(trigger(settle_seconds=1000), 3, 3, 3) == []


async def test_alternating_reads_are_no_drift() -> None:
    # The interval exceeds settle_seconds, but no read shows the same difference as the one before.
    assert await fired(trigger(settle_seconds=0.01), 5, 3, 5, 3, 5, 3, apart=0.02) == []
    assert await fired(trigger(settle_seconds=0.01), 9, 3, 9, 3, 9, 3, apart=0.02) == []


async def test_a_missing_label_is_drift() -> None:
    watcher = trigger(association=association("contacts", "companies", labels={"Champion": 2}))
    [lines] = await fired(watcher, 5)
    assert 'labels["Champion"]: the portal has no such label in this direction' in lines[0]


# -- across restarts of a triggerer ----------------------------------------------------------------------------


class Store:
    """Airflow's asset state store, reduced to what a trigger calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.values: dict[str, Any] = {}
        self._error = error

    async def aget(self, key: str, default: Any = None) -> Any:
        if self._error:
            raise self._error
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        if self._error:
            raise self._error
        self.values[key] = json.loads(json.dumps(value, allow_nan=False))


def restarted(store: Store, **arguments: Any) -> HubSpotAssociationLimitsDriftTrigger:
    watcher = trigger(**arguments)
    watcher.asset_state_store = store  # type: ignore[assignment]
    return watcher


async def test_a_restart_repeats_no_event() -> None:
    store = Store()
    assert await fired(restarted(store), 3, 3) == [IS_3]
    assert await fired(restarted(store), 3, 3) == []
    assert await fired(restarted(store), 9, 9) == [IS_9]
    assert await fired(restarted(store), 5, 9) == [IS_9]


async def test_a_restart_repeats_an_event_that_is_due_again() -> None:
    store = Store()
    assert await fired(restarted(store, repeat_seconds=0.05), 3) == [IS_3]
    await asyncio.sleep(0.1)
    assert await fired(restarted(store, repeat_seconds=0.05), 3) == [IS_3]


async def test_a_clock_that_is_behind_does_not_silence_the_trigger() -> None:
    store = Store()
    assert await fired(restarted(store, repeat_seconds=0.05), 3) == [IS_3]
    for state in store.values.values():
        state.update(fired=state["fired"] + 660, since=state["since"] + 660)
    assert await fired(restarted(store, repeat_seconds=0.05), 3, 3, apart=0.1) == [IS_3]


async def test_settling_continues_after_a_restart() -> None:
    store = Store()
    assert await fired(restarted(store, settle_seconds=1000), 3) == []
    for state in store.values.values():
        state["since"] -= 2000
    assert await fired(restarted(store, settle_seconds=1000), 3) == [IS_3]


async def test_triggers_of_one_asset_keep_separate_states() -> None:
    store = Store()
    assert await fired(restarted(store), 3) == [IS_3]
    assert await fired(restarted(store, hubspot_conn_id="sandbox"), 3) == [IS_3]
    assert len(store.values) == 2


async def test_a_failing_store_does_not_end_the_watch() -> None:
    assert await fired(restarted(Store(ValueError("Task has 2 concrete inlets"))), 5, 3, 3) == [IS_3]


async def test_an_unreadable_state_is_ignored() -> None:
    store = Store()
    store.values[restarted(store)._state_key()] = {"drift": 7}
    assert await fired(restarted(store), 3, 3) == [IS_3]


# -- reads -------------------------------------------------------------------------------------------------


async def first_event(airflow: Airflow, watcher: HubSpotAssociationLimitsDriftTrigger) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        with airflow.triggerer():
            async for event in watcher.run():
                return dict(json.loads(json.dumps(event.payload)))
        raise AssertionError("the watch has ended")

    return await asyncio.wait_for(look(), 30)


async def test_works_without_shared_streams(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 3)

    assert await first_event(airflow, trigger()) == {
        "hubspot_conn_id": "hubspot_default",
        "from_object_type": "contacts",
        "to_object_type": "companies",
        "drift": IS_3,
        "portal_id": hubspot.settings.portal_id,
        "limits": [{"name": "object limit", "is": 3, "should_be": 5}],
    }
    assert {request.method for request in hubspot.requests} == {"GET"}


async def test_a_change_by_hand_during_the_watch(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 5)
    watch = asyncio.ensure_future(first_event(airflow, trigger(settle_seconds=0.05)))
    while len(hubspot.requests) < 6:
        await asyncio.sleep(0.01)
    assert not watch.done()

    hubspot.set_limit(*CONTACT_TO_COMPANY, 9)

    assert (await watch)["drift"] == IS_9


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429}, {"status": 401}, {"status": 403}, {"reset": True}, {"body": "<html>"}],
    ids=str,
)
async def test_failed_reads_do_not_end_the_watch(fault: dict[str, Any], airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 3)
    hubspot.inject(method="GET", times=7, **fault)

    assert (await first_event(airflow, trigger()))["drift"] == IS_3
    assert hubspot.faults == []


async def test_no_read_is_tried_during_a_pause_that_hubspot_asked_for(
    airflow: Airflow, hubspot: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 3)
    hubspot.inject(method="GET", status=429, headers={"Retry-After": "1"})
    assert (await first_event(airflow, trigger()))["drift"] == IS_3
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


async def test_a_connection_created_later_is_used(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 3)
    connection = airflow.connections.pop("hubspot_default")
    watch = asyncio.ensure_future(first_event(airflow, trigger()))
    while len(airflow.asked_for_connections) < 4:
        await asyncio.sleep(0.01)

    airflow.connections["hubspot_default"] = connection

    assert (await watch)["drift"] == IS_3


async def test_a_changed_token_is_used_from_the_next_read(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 3)
    hubspot.revoke(hubspot.token)
    watch = asyncio.ensure_future(first_event(airflow, trigger()))
    while not any(request.status == 401 for request in hubspot.requests):
        await asyncio.sleep(0.01)

    airflow.connections["hubspot_default"]["password"] = hubspot.issue_token()

    assert (await watch)["drift"] == IS_3


# -- what Airflow stores and shares ----------------------------------------------------------------------------


def test_serialization_keeps_all_arguments() -> None:
    watcher = trigger(hubspot_conn_id="sandbox", repeat_seconds=7.0)
    path, kwargs = watcher.serialize()
    module, _, name = path.rpartition(".")

    again = getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))

    assert again.serialize() == watcher.serialize()
    assert again.shared_stream_key() == watcher.shared_stream_key()


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        ({"association": association("0-1", "COMPANY", limit=9)}, True),
        ({"settle_seconds": 9.0}, True),
        ({"repeat_seconds": 9.0}, True),
        ({"association": association("companies", "contacts", limit=5)}, False),
        ({"hubspot_conn_id": "sandbox"}, False),
        ({"poll_interval": 9.0}, False),
    ],
)
def test_which_triggers_share_reads(arguments: dict[str, Any], shared: bool) -> None:
    keys = {trigger().shared_stream_key(), trigger(**arguments).shared_stream_key()}
    assert len(keys) == (1 if shared else 2)


async def test_triggers_that_share_reads_compare_separately(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.set_limit(*CONTACT_TO_COMPANY, 3)
    watchers = [trigger(), trigger(association=association("contacts", "companies", limit=3))]
    watchers.append(trigger(association=association("0-1", "0-2", labels={"Billing Contact": 1})))
    with airflow.triggerer():
        stream = HubSpotAssociationLimitsDriftTrigger.open_shared_stream(watchers[0].serialize()[1])
        state = await anext(stream)

    async def once() -> AsyncIterator[DirectionState]:
        yield state

    drifts = []
    for watcher in watchers:
        drifts.append([event.payload["drift"] async for event in watcher.filter_shared_stream(once())])
    assert drifts == [[IS_3], [], [['contacts -> companies, label "Billing Contact": is unlimited, should be 1']]]


# -- from a file -----------------------------------------------------------------------------------------------


def test_drift_watchers_makes_one_watcher_per_direction() -> None:
    config = declare(
        association("contacts", "companies", limit=5, labels={"Billing Contact": 1}),
        association("deals", "contacts", limit="unlimited"),
        portals={"sandbox": {"associations": [association("deals", "contacts", limit=2)]}},
    )

    watchers = drift_watchers(config, "sandbox", settle_seconds=60)

    assert [watcher.name for watcher in watchers] == ["sandbox contacts -> companies", "sandbox deals -> contacts"]
    kwargs = [watcher.trigger.serialize()[1] for watcher in watchers]  # type: ignore[union-attr]
    assert [arguments["association"].get("limit") for arguments in kwargs] == [5, 2]
    assert {(arguments["hubspot_conn_id"], arguments["settle_seconds"]) for arguments in kwargs} == {("sandbox", 60)}
    for arguments in kwargs:
        json.dumps(arguments)


def test_a_limits_file_with_mistakes_fails_parsing() -> None:
    with pytest.raises(ConfigError, match="allowed"):
        drift_watchers(declare(association("contacts", "companies", limit=0)))
