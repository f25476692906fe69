"""A sync that is killed or runs into its execution_timeout loses neither its asset event nor its report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator
from airflow_provider_hubassoc.simulator import Simulator
from tests.airflow.test_operator_retries import sigterm_when
from tests.support.airflow_in_memory import HAS_3_3, Airflow, Leg, Try
from tests.support.portal import HUBSPOT, association, declare, writes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("dag"),
    pytest.mark.skipif(not HAS_3_3, reason="the task state store is new in Airflow 3.3"),
]

CONTACT_TO_COMPANY = ("0-1", "0-2", HUBSPOT, 279)
PRIMARY_COMPANY = ("0-1", "0-2", HUBSPOT, 1)
DEAL_TO_CONTACT = ("0-3", "0-1", HUBSPOT, 3)
CONFIG = declare(
    association("contacts", "companies", limit=5),
    association(
        "deals",
        "contacts",
        limit=10,
        labels={"Champion": {"limit": 2, "create_missing": True, "inverse": "Championed by"}},
    ),
)
FOR_EVER = 30
STATUSES = ("applied", "refused", "unconfirmed", "not_attempted")


def sync(**arguments: Any) -> HubSpotAssociationLimitsSyncOperator:
    given = {"task_id": "sync", "retries": 2, "verify_timeout": FOR_EVER, **arguments}
    if "plan" not in given:
        given.setdefault("config", CONFIG)
    return HubSpotAssociationLimitsSyncOperator(**given)


def texts(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(item["text"] for item in entries)


def events(run: Try) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.end.reported.get("outlet_events", [])
    return found


def killed_while_verifying(airflow: Airflow, hubspot: Simulator, task: Any) -> Leg:
    """Kill a task when the portal has all changes and no read shows them yet."""

    def has_everything() -> bool:
        return len(limits := hubspot.limits()) == 3 and PRIMARY_COMPANY not in limits

    hubspot.settings.stale_seconds = FOR_EVER
    with sigterm_when(has_everything):
        leg = airflow.leg(task)
    hubspot.settings.stale_seconds = 0
    assert "The task was killed" in str(leg.error)
    return leg


@pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
def test_the_retry_of_a_killed_sync_reports_every_change(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(*PRIMARY_COMPANY, 1)
    planned = airflow.run(sync(task_id="plan", mode="plan", prune=True)).xcoms["plan"]
    expected = texts(_named(planned))
    task = sync(prune=True, deferrable="{{ params.deferrable }}", params={"deferrable": False})
    assert killed_while_verifying(airflow, hubspot, task).state == "up_for_retry"
    task.params["deferrable"] = deferrable

    run = airflow.run(task, try_number=2)

    assert (run.error, run.result["changed"]) == (None, True)
    (event,) = events(run)
    assert texts(event["extra"]["applied"]) == expected
    assert airflow.store == {}
    third = airflow.run(task, try_number=3)  # cleared and run again: nothing is reported twice
    assert (third.result["changed"], events(third)) == (False, [])


def _named(plan: dict[str, Any]) -> list[dict[str, Any]]:
    from airflow_provider_hubassoc.limits.plan import Plan

    parsed = Plan.from_json(plan)
    return [{"text": str(item)} for item in (*parsed.new_labels, *parsed.writes)]


def test_the_retry_of_a_killed_approved_plan_reports_every_change(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(*PRIMARY_COMPANY, 1)
    plan = airflow.run(sync(task_id="plan", mode="plan", prune=True)).xcoms["plan"]
    task = sync(plan=plan)
    killed_while_verifying(airflow, hubspot, task)

    run = airflow.run(task, try_number=2)

    assert run.error is None
    (event,) = events(run)
    assert texts(event["extra"]["applied"]) == texts(_named(plan))


def test_a_change_that_a_killed_sync_did_not_make_is_reported_once(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(
        method="POST", path="*/contacts/companies/batch/*", status=503, headers={"Retry-After": "50"}, times=9
    )
    task = sync(config=declare(*CONFIG["associations"][:1]), verify=False)
    with sigterm_when(lambda: writes(hubspot)):
        airflow.leg(task)
    hubspot.clear_faults()

    run = airflow.run(task, try_number=2)

    (event,) = events(run)
    assert len(event["extra"]["applied"]) == 1
    assert run.result["applied_by_earlier_tries"] == []


WORKER = """
import json, sys
from airflow.sdk import DAG
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator
from tests.support.airflow_in_memory import Airflow

class Database(dict):
    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        with open(sys.argv[1], "a") as file:
            print(json.dumps([key, value]), file=file)

with DAG("dag"):
    task = HubSpotAssociationLimitsSyncOperator(task_id="sync", **json.loads(sys.argv[2]))
Airflow(store=Database()).leg(task)
"""
"""A worker whose task state survives when it is killed."""


@pytest.mark.parametrize("moment", ["between two writes", "while verifying"])
def test_the_retry_after_a_worker_died_reports_every_change(
    moment: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str, tmp_path: Path
) -> None:
    arguments = {"config": CONFIG, "retries": 2, "max_concurrency": 1, "verify_timeout": FOR_EVER}
    hubspot.settings.stale_seconds = FOR_EVER
    if moment == "between two writes":
        headers = {"Retry-After": "50"}
        hubspot.inject(method="POST", path="*/deals/contacts/batch/*", status=429, headers=headers, times=99)
    command = [sys.executable, "-c", WORKER, str(tmp_path / "store"), json.dumps(arguments)]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    done = {"between two writes": 1, "while verifying": 3}[moment]
    while len(hubspot.limits()) < done:
        assert worker.poll() is None
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    hubspot.clear_faults()
    hubspot.settings.stale_seconds = 0
    airflow.store |= {tuple(key): value for key, value in map(json.loads, (tmp_path / "store").open())}

    run = airflow.run(sync(max_concurrency=1), try_number=2)

    assert (run.error, run.result["changed"], len(hubspot.limits())) == (None, True, 3)
    (event,) = events(run)
    assert len(event["extra"]["applied"]) == 4  # three limits and a label
    assert len(run.result["applied"]) == {"between two writes": 2, "while verifying": 0}[moment]


# -- execution_timeout --


def test_the_report_of_a_sync_that_timed_out_has_its_applied_changes(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.stale_seconds = FOR_EVER

    leg = airflow.leg(sync(execution_timeout=timedelta(seconds=1)))

    assert (leg.state, type(leg.error)) == ("up_for_retry", AirflowTaskTimeout)
    report = airflow.xcoms_of("sync")["report"]
    assert [len(report[status]) for status in STATUSES] == [4, 0, 0, 0]
    assert (report["ok"], report["settled"]) == (False, False)


def test_an_unanswered_request_is_not_reported_as_not_attempted(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(
        method="POST", path="*/contacts/companies/batch/*", status=503, headers={"Retry-After": "50"}, times=9
    )
    task = sync(max_concurrency=1, execution_timeout=timedelta(seconds=1))

    leg = airflow.leg(task)

    assert type(leg.error) is AirflowTaskTimeout
    report = airflow.xcoms_of("sync")["report"]
    outcomes = {item["text"]: status for status in STATUSES for item in report[status]}
    assert sum(len(report[status]) for status in STATUSES) == len(outcomes) == 4
    assert outcomes["contacts -> companies (unlabeled) unlimited -> 5"] == "unconfirmed"
    assert outcomes["deals -> contacts (unlabeled) unlimited -> 10"] == "not_attempted"
    assert outcomes['deals -> contacts label "Champion" (inverse "Championed by")'] == "applied"


def test_labels_created_before_a_timeout_are_reported(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    labels = {name: {"create_missing": True, "limit": 1} for name in ("Ally", "Buyer")}
    config = declare(association("deals", "contacts", labels=labels))
    hubspot.inject(method="POST", path="*/labels", times=1, delay=0)
    hubspot.inject(method="POST", path="*/labels", status=429, headers={"Retry-After": "50"}, times=9)

    leg = airflow.leg(sync(config=config, execution_timeout=timedelta(seconds=1)))

    assert type(leg.error) is AirflowTaskTimeout
    report = airflow.xcoms_of("sync")["report"]
    assert [len(report[status]) for status in STATUSES] == [1, 0, 1, 2]
