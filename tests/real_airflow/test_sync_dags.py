"""Limits as code in a whole Airflow: the example DAGs that keep a portal in line with a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.simulator import Simulator
from tests.support import environment
from tests.support.polling import wait_for
from tests.support.portal import association, client_of, declare, make_plan
from tests.support.stack import Stack

LIMITS = environment.EXAMPLE_DAGS / "limits.yaml"
CONTACT_TO_COMPANY = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)
BILLING_CONTACT = ("0-1", "0-2", "HUBSPOT_DEFINED", 931)
COMPANY_TO_CONTACT = ("0-2", "0-1", "HUBSPOT_DEFINED", 280)
DEAL_TO_CONTACT = ("0-3", "0-1", "HUBSPOT_DEFINED", 3)
DEAL_TO_PRIMARY_COMPANY = ("0-3", "0-2", "HUBSPOT_DEFINED", 5)
DECISION_MAKER = "Decision maker"


def as_declared(portal: Simulator) -> dict[Any, int]:
    """Return the limits in ``limits.yaml``, with the id that the portal gave to the new label."""
    return {
        CONTACT_TO_COMPANY: 5,
        BILLING_CONTACT: 1,
        COMPANY_TO_CONTACT: 500,
        DEAL_TO_CONTACT: 10,
        DEAL_TO_PRIMARY_COMPANY: 1,
        decision_maker(portal): 1,
    }


def decision_maker(portal: Simulator) -> tuple[str, str, str, int]:
    with client_of(portal) as client:
        (row,) = [row for row in client.get_labels("deals", "contacts") if row.label == DECISION_MAKER]
    return ("0-3", "0-1", "USER_DEFINED", row.type_id)


def writes(portal: Simulator) -> list[str]:
    return [request.path for request in portal.requests if request.method != "GET"]


def bring_in_line(portal: Simulator, config: Any = LIMITS) -> None:
    with client_of(portal) as client:
        apply_plan(make_plan(client, config), client).raise_for_failure()


def let_runs_start(stack: Stack, dag_id: str) -> None:
    stack.api.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})


@pytest.fixture
def portal(stack: Stack) -> Iterator[Simulator]:
    """Empty the portal that the stack talks to, of limits and of labels; it answers immediately."""
    portal = stack.hubspot
    with client_of(portal) as client:
        for row in client.get_labels("deals", "contacts"):
            if row.category == "USER_DEFINED":
                client.delete_label("deals", "contacts", row.type_id)
    for limit in portal.limits():
        portal.set_limit(*limit, None)
    portal.clear_requests()
    processing_seconds, portal.settings.processing_seconds = portal.settings.processing_seconds, 0
    yield portal
    portal.settings.processing_seconds = processing_seconds
    portal.settings.stale_seconds = 0
    stack.check()


# -- scheduled sync --------------------------------------------------------------------------------------------


def test_a_sync_makes_the_portal_as_declared_and_the_next_one_writes_nothing(stack: Stack, portal: Simulator) -> None:
    portal.settings.stale_seconds = 5  # so that there is something to wait for
    let_runs_start(stack, "hubspot_limits_sync")
    before = len(asset_events_of(stack, portal))

    run = stack.api.run("hubspot_limits_sync")

    assert run.state == "success", run.summary()
    assert "deferred" in run.seen["sync", -1], run.summary()
    assert portal.limits() == as_declared(portal)
    result = run.xcom("sync")
    assert (result["changed"], result["settled"], result["portal_id"]) == (True, True, portal.portal_id)
    assert len(result["applied"]) == 7  # six limits and a label
    (event,) = asset_events_of(stack, portal)[before:]
    assert event["source_dag_id"] == "hubspot_limits_sync"
    assert event["extra"]["applied"] == result["applied"]

    portal.clear_requests()
    again = stack.api.run("hubspot_limits_sync")

    assert again.state == "success", again.summary()
    assert writes(portal) == []
    assert again.xcom("sync")["changed"] is False
    assert len(asset_events_of(stack, portal)) == before + 1


def asset_events_of(stack: Stack, portal: Simulator) -> list[dict[str, Any]]:
    """Return the asset events of a portal, the oldest first."""
    return asset_events(stack, f"hubspot_association_limits_{portal.portal_id}")


def asset_events(stack: Stack, name: str) -> list[dict[str, Any]]:
    assets = stack.api.call("GET", "/assets", params={"name_pattern": name, "only_active": False})["assets"]
    ids = [asset["id"] for asset in assets if asset["name"] == name]
    if not ids:
        return []
    events: list[dict[str, Any]] = stack.api.call(
        "GET", "/assets/events", params={"asset_id": ids[0], "order_by": "timestamp", "limit": 100}
    )["asset_events"]
    return events


# -- plan, approval, apply -------------------------------------------------------------------------------------

APPROVED_SYNC = "hubspot_limits_approved_sync"


def planned_run(stack: Stack) -> tuple[str, dict[str, Any]]:
    """Start the DAG; return its run and its question once it waits for an answer."""
    run_id = stack.api.trigger(APPROVED_SYNC)

    def waits() -> bool | None:
        states = {
            instance["task_id"]: instance["state"] for instance in stack.api.task_instances(APPROVED_SYNC, run_id)
        }
        assert "failed" not in states.values(), stack.api.finish(APPROVED_SYNC, run_id).summary()
        return True if states["approve"] in ("awaiting_input", "deferred") else None

    wait_for("the question", waits, timeout=120)
    # The process that has asked takes a moment to end. An answer within it would be mistaken for the end of the process
    # (apache/airflow issue 66374), which people are not quick enough for.
    time.sleep(2)
    return run_id, stack.api.call("GET", hitl_path(run_id))


def hitl_path(run_id: str) -> str:
    return f"/dags/{APPROVED_SYNC}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def answer(stack: Stack, run_id: str, option: str) -> None:
    stack.api.call("PATCH", hitl_path(run_id), json={"chosen_options": [option], "params_input": {}})


def test_what_was_approved_is_what_is_applied(stack: Stack, portal: Simulator) -> None:
    portal.set_limit(*CONTACT_TO_COMPANY, 3)
    run_id, question = planned_run(stack)

    assert writes(portal) == []
    assert portal.limits() == {CONTACT_TO_COMPANY: 3}
    assert f"portal {portal.portal_id} (connection hubspot_default)" in question["subject"]
    assert "5 limits to create, 1 to update" in question["body"]
    assert "| update | contacts -> companies | (unlabeled) | 3 | 5 |" in question["body"]

    answer(stack, run_id, "Approve")
    run = stack.api.finish(APPROVED_SYNC, run_id)

    assert run.state == "success", run.summary()
    assert portal.limits() == as_declared(portal)
    planned = [change for change in run.xcom("plan", key="plan")["changes"] if change["action"] != "unchanged"]
    applied = [change for change in run.xcom("apply")["applied"] if "action" in change]
    assert [(row["label"], row["current"], row["target"]) for row in applied] == [
        (row["label"], row["current"], row["target"]) for row in planned
    ]


def test_nobody_is_asked_when_the_portal_is_as_declared(stack: Stack, portal: Simulator) -> None:
    assert stack.api.run("hubspot_limits_onboard_portals").state == "success"
    portal.clear_requests()

    run = stack.api.run(APPROVED_SYNC)

    assert run.state == "success", run.summary()
    states = {task: run.instances[task, -1]["state"] for task in ("plan", "has_changes", "approve", "apply")}
    assert states == {"plan": "success", "has_changes": "success", "approve": "skipped", "apply": "skipped"}
    assert writes(portal) == []


def test_a_plan_is_refused_when_the_portal_has_changed_since(stack: Stack, portal: Simulator) -> None:
    run_id, _ = planned_run(stack)
    portal.set_limit(*CONTACT_TO_COMPANY, 7)
    answer(stack, run_id, "Approve")

    run = stack.api.finish(APPROVED_SYNC, run_id)

    assert run.state == "failed", run.summary()
    apply = run.instances["apply", -1]
    assert (apply["state"], apply["try_number"]) == ("failed", 1), run.summary()  # a permanent error
    assert "the limit was unlimited and is now 7" in stack.api.log(apply)
    assert writes(portal) == []
    assert portal.limits() == {CONTACT_TO_COMPANY: 7}


def test_nothing_is_applied_when_the_plan_is_rejected(stack: Stack, portal: Simulator) -> None:
    run_id, _ = planned_run(stack)
    answer(stack, run_id, "Reject")

    run = stack.api.finish(APPROVED_SYNC, run_id)

    assert run.state == "success", run.summary()
    assert run.instances["apply", -1]["state"] == "skipped", run.summary()
    assert writes(portal) == []
    assert portal.limits() == {}


# -- many portals ----------------------------------------------------------------------------------------------


@contextmanager
def second_portal(stack: Stack) -> Iterator[tuple[str, Simulator]]:
    """Run a second simulator with another portal; yield the id of its connection, and the simulator."""
    conn_id = "hubspot_second"
    with ExitStack() as resources:
        portal = resources.enter_context(Simulator(portal_id=222))
        stored = {**environment.connection(portal.url, portal.token), "connection_id": conn_id}
        stack.api.call("POST", "/connections", json=stored)
        resources.callback(stack.api.call, "DELETE", f"/connections/{conn_id}")
        yield conn_id, portal


def test_one_file_for_two_portals(stack: Stack, portal: Simulator) -> None:
    with second_portal(stack) as (conn_id, second):
        second.set_limit(*DEAL_TO_CONTACT, 20)

        conf = {"connections": [environment.CONNECTION_ID, conn_id]}
        run = stack.api.run("hubspot_limits_onboard_portals", conf)

        assert run.state == "success", run.summary()
        mapped = {index: each["rendered_map_index"] for (task, index), each in run.instances.items() if task == "sync"}
        assert mapped == {0: environment.CONNECTION_ID, 1: conn_id}
        for index, each in enumerate([portal, second]):
            assert each.limits() == as_declared(each)
            assert run.xcom("sync", index)["portal_id"] == each.portal_id
            assert asset_events_of(stack, each)[-1]["source_map_index"] == index


# -- drift -----------------------------------------------------------------------------------------------------

RESTORE_DRIFT = "hubspot_limits_restore_drift"
QUICK = {
    "poll_interval=SECONDS": "poll_interval=1",
    "settle_seconds=SECONDS": "settle_seconds=3",
    '"hubspot_limits_drifted"': '"hubspot_limits_drifted_quickly"',
    f'"{RESTORE_DRIFT}"': f'"{RESTORE_DRIFT}_quickly"',
}

WATCHED_TWICE = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset
from airflow_provider_hubassoc.assets import drift_watchers

CONFIG = {config!r}
assets = [
    Asset(f"drifted_for_{{seconds}}_seconds", watchers=drift_watchers(CONFIG, poll_interval=1, settle_seconds=seconds))
    for seconds in (2, 3)
]
with DAG("watched_twice", schedule=assets, catchup=False):
    EmptyOperator(task_id="nothing")
"""


@contextmanager
def dag_file(stack: Stack, name: str, text: str) -> Iterator[None]:
    """Add a DAG temporarily, for one test only."""
    path = Path(stack.dags_folder) / f"{name}.py"
    assert stack.dags_folder != environment.EXAMPLE_DAGS
    path.write_text(text)

    def is_parsed() -> bool | None:
        assert stack.api.import_errors() == []
        return True if name in {dag["dag_id"] for dag in stack.api.dags()} else None

    try:
        wait_for(f"the DAG {name}", is_parsed, timeout=120)
        let_runs_start(stack, name)
        yield
    finally:
        path.unlink()
        # What its watchers still see must not be kept for a DAG that will not come back.
        with suppress(requests.HTTPError):  # not found, or a run of it has not ended
            stack.api.call("DELETE", f"/dags/{name}")


def test_a_change_by_hand_is_noticed_and_reverted(stack: Stack, portal: Simulator) -> None:
    bring_in_line(portal)
    declared = as_declared(portal)
    portal.clear_requests()
    text = (stack.dags_folder / "drift.py").read_text()
    for slow, quick in QUICK.items():
        assert text.count(slow) == 1
        text = text.replace(slow, quick)
    dag_id = f"{RESTORE_DRIFT}_quickly"

    with dag_file(stack, dag_id, text):
        wait_for("the watchers", lambda: True if len(portal.requests) > 20 else None, timeout=120)
        assert asset_events(stack, "hubspot_limits_drifted_quickly") == []
        portal.set_limit(*BILLING_CONTACT, 4)

        def started() -> str | None:
            runs = stack.api.call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
            return runs[0]["dag_run_id"] if runs else None

        run = stack.api.finish(dag_id, wait_for("a run of the DAG", started, timeout=120))

        assert run.state == "success", run.summary()
        assert run.xcom("notify") == ['contacts -> companies, label "Billing Contact": is 4, should be 1']
        assert portal.limits() == declared
        assert len(writes(portal)) == 1
        (event,) = asset_events(stack, "hubspot_limits_drifted_quickly")
        assert event["extra"]["payload"]["hubspot_conn_id"] == environment.CONNECTION_ID


def test_watchers_of_one_direction_share_one_poll(stack: Stack, portal: Simulator) -> None:
    config = declare(association("tickets", "contacts", limit=10))

    def both_fired() -> bool | None:
        events = [asset_events(stack, f"drifted_for_{seconds}_seconds") for seconds in (2, 3)]
        return True if all(events) else None

    with dag_file(stack, "watched_twice", WATCHED_TWICE.format(config=config)):
        wait_for("both watchers", both_fired, timeout=120)
        reads = [request for request in portal.requests if request.path.endswith("/tickets/contacts")]

    # One poll waits a second between two reads. Two polls would read twice as often.
    assert len(reads) > 3
    gaps = [later.received_at - earlier.received_at for earlier, later in pairwise(reads)]
    assert min(gaps) > 0.9, gaps
