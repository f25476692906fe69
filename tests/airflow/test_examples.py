"""The example DAGs agree on the limits they set, and ask for approval only if a plan has changes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction, unlabeled_type_id
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import Airflow

FOLDER = Path(__file__).parents[2] / "example_dags"


def load(name: str) -> DAG:
    """Return the DAG of an example as Airflow finds it."""
    bag = DagBag(FOLDER / name, bundle_path=FOLDER, bundle_name="examples", collect_dags=False)
    assert bag.import_errors == {}
    (dag,) = bag.process_file(str(FOLDER / name))
    return dag


def batches() -> list[dict[str, Any]]:
    """Return the arguments of every batch that an example sends."""
    found: list[dict[str, Any]] = []
    for path in sorted(FOLDER.glob("*.py")):
        for task in load(path.name).tasks:
            if task.task_id == "directions":
                found += task.python_callable()
            elif isinstance(task, HubSpotAssociationLimitsOperator):
                found.append({name: getattr(task, name) for name in ("from_object_type", "to_object_type", "inputs")})
    return found


def test_examples_agree_on_the_limits_they_set() -> None:
    limits: dict[tuple[str, ...], set[Any]] = defaultdict(set)
    for batch in batches():
        ends = (batch["from_object_type"], batch["to_object_type"])
        for limit_input in batch["inputs"]:
            limits[(*map(normalize, ends), limit_input["category"], str(limit_input["typeId"]))].add(
                limit_input["maxToObjectIds"]
            )
    assert len(limits) >= 4
    for association in load_config(str(FOLDER / "limits.yaml")).associations:
        ends = (association.from_object_type, association.to_object_type)
        if association.limit is not None:
            type_id = str(unlabeled_type_id(Direction(*ends)))
            limits[(*map(normalize, ends), "HUBSPOT_DEFINED", type_id)].add(association.limit)
    assert {key: values for key, values in limits.items() if len(values) > 1} == {}


@pytest.mark.parametrize("is_as_declared", [False, True])
def test_only_a_plan_with_changes_needs_approval(
    is_as_declared: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    dag = load("approved_sync.py")
    if is_as_declared:
        assert airflow.run(load("scheduled_sync.py").get_task("sync")).error is None
    planned = airflow.run(dag.get_task("plan"))
    assert planned.result["has_changes"] is not is_as_declared

    decided = airflow.run(dag.get_task("has_changes"))

    assert decided.result is not is_as_declared
    assert sorted(airflow.skipped) == (["apply", "approve"] if is_as_declared else [])


def test_the_subject_of_the_approval_names_the_portal(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    dag = load("approved_sync.py")
    airflow.run(dag.get_task("plan"))
    approve: Any = dag.get_task("approve")
    airflow.leg(approve)
    assert f"portal {hubspot.portal_id} (connection hubspot_default)" in airflow.rendered["subject"]


@pytest.mark.parametrize(("seconds", "used"), [(None, 300), ("5", 5)])
def test_the_drift_watch_can_be_seen_working_in_a_minute(
    seconds: str | None, used: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seconds is not None:
        monkeypatch.setenv("HUBSPOT_DRIFT_SECONDS", seconds)
    timetable: Any = load("drift.py").timetable
    (drifted,) = timetable.asset_condition.objects
    assert len(drifted.watchers) == 4
    for watcher in drifted.watchers:
        assert (watcher.trigger.poll_interval, watcher.trigger.settle_seconds) == (used, used)
