"""Ordinary mistakes of people do no damage through the operators."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator, HubSpotAssociationLimitsSyncOperator
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import HAS_3_3, Airflow
from tests.support.portal import HUBSPOT, association, declare, writes
from tests.support.scenarios import INPUTS

CONFIG = declare(association("contacts", "companies", limit=5), association("deals", "contacts", limit=10))
CONTACT_TO_COMPANY = ("0-1", "0-2", HUBSPOT, 279)
DEAL_TO_CONTACT = ("0-3", "0-1", HUBSPOT, 3)
UNDECLARED = ("0-1", "0-2", HUBSPOT, 1)
PARAMS = {"no": False, "yes": True, "text": "false", "many": 3}
SYNC_BOOLEANS = ["prune", "fail_on_drift", "create_missing_labels", "verify", "deferrable"]
BATCH_BOOLEANS = ["wait_for_completion", "deferrable", "verify"]


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("dag", params={name: Param(value) for name, value in PARAMS.items()}) as dag:
        yield dag


def sync(**arguments: Any) -> HubSpotAssociationLimitsSyncOperator:
    return HubSpotAssociationLimitsSyncOperator(**{"task_id": "sync", "config": CONFIG, "retries": 2, **arguments})


def batch(**arguments: Any) -> HubSpotAssociationLimitsOperator:
    pair = {"from_object_type": "contacts", "to_object_type": "companies", "inputs": INPUTS}
    return HubSpotAssociationLimitsOperator(
        **{"task_id": "set_limits", **pair, "poll_interval": 0.05, "retries": 2, **arguments}
    )


def sensor(**arguments: Any) -> HubSpotAssociationLimitsSensor:
    pair = {"from_object_type": "contacts", "to_object_type": "companies", "inputs": INPUTS}
    return HubSpotAssociationLimitsSensor(**{"task_id": "wait", **pair, **arguments})


# -- booleans --


@pytest.mark.parametrize("prune", ["false", "No", " 0 ", "{{ params.no }}", "{{ params.text }}", False])
def test_text_that_means_false_prunes_nothing(
    prune: Any, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(*UNDECLARED, 1)
    assert airflow.run(sync(prune=prune)).error is None
    assert hubspot.limits()[UNDECLARED] == 1


@pytest.mark.parametrize("prune", ["true", "YES", "{{ params.yes }}", 1])
def test_text_that_means_true_prunes(prune: Any, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.set_limit(*UNDECLARED, 1)
    assert airflow.run(sync(prune=prune)).error is None
    assert UNDECLARED not in hubspot.limits()


def test_a_task_may_decide(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def decide() -> bool:
        return False

    decision = decide()
    operator = sync(prune=decision)
    assert operator.upstream_task_ids == {"decide"}
    airflow.xcoms["decide", -1, "return_value"] = False
    hubspot.set_limit(*UNDECLARED, 1)
    assert airflow.run(operator).error is None
    assert hubspot.limits()[UNDECLARED] == 1


@pytest.mark.parametrize("value", ["maybe", "", "2", 2, None, [], {}])
@pytest.mark.parametrize(
    ("make", "name"), [(sync, name) for name in SYNC_BOOLEANS] + [(batch, name) for name in BATCH_BOOLEANS]
)
def test_other_text_fails_the_parsing_and_names_the_argument(make: Any, name: str, value: Any) -> None:
    if name == "create_missing_labels" and value is None:
        assert make(**{name: value}).create_missing_labels is None
        return
    with pytest.raises(AirflowFailException, match=f"{name}: must be true or false"):
        make(**{name: value})


@pytest.mark.parametrize(
    ("make", "name"), [(sync, name) for name in SYNC_BOOLEANS] + [(batch, name) for name in BATCH_BOOLEANS]
)
def test_a_template_that_renders_other_text_fails_before_anything_is_sent(
    make: Any, name: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(make(**{name: "{{ 'maybe' }}"}))
    assert (run.state, hubspot.requests) == ("failed", [])
    assert f"{name}: must be true or false" in str(run.error)


def test_numbers_and_connections_may_be_templates_with_blanks(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(sync(max_concurrency="{{ params.many }}", hubspot_conn_id=f" {hubspot_conn}\n", mode="apply "))
    assert run.error is None
    hubspot.clear_requests()
    run = airflow.run(batch(from_object_type="contacts\n", max_poll_failures="{{ params.many }}", action=" update"))
    assert run.error is None
    assert {request.path.split("/")[6] for request in hubspot.requests if "contacts" in request.path} == {"contacts"}


@pytest.mark.parametrize("make", [sync, batch, sensor])
@pytest.mark.parametrize("conn_id", ["", " \n", None, 5, ["hubspot_default"]])
def test_a_connection_id_is_text(make: Any, conn_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="hubspot_conn_id: must be the id of a connection"):
        make(hubspot_conn_id=conn_id)


@pytest.mark.parametrize("make", [sync, batch])
def test_a_connection_id_that_renders_to_nothing_is_refused(make: Any, airflow: Airflow, hubspot: Simulator) -> None:
    run = airflow.run(make(hubspot_conn_id="{{ '' }}"))
    assert (run.state, "hubspot_conn_id: must be the id of a connection, got ''" in str(run.error)) == ("failed", True)


@pytest.mark.parametrize(
    ("name", "value", "mistake"),
    [
        ("portal", "", "portal: must be a name under portals in the file, got ''"),
        ("portal", True, "portal: must be a name under portals in the file, got True"),
        ("portal", ["emea"], "portal: must be a name"),
        ("config", 5, "config: "),
        ("config", ["limits.yaml"], "config: "),
    ],
)
def test_literals_of_the_wrong_kind_fail_parsing(name: str, value: Any, mistake: str) -> None:
    with pytest.raises(AirflowFailException) as caught:
        sync(**{name: value})
    assert mistake in str(caught.value)


def test_a_resumed_sync_names_its_connection_without_line_break(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(path="/account-info/*", status=403, times=99)  # no portal id: the asset is named by the connection
    hubspot.settings.stale_seconds = 0.3
    run = airflow.run(sync(hubspot_conn_id="{{ 'hubspot_default ' }}", deferrable=True))
    assert [leg.state for leg in run.legs] == ["deferred", "success"]
    (event,) = run.end.reported["outlet_events"]
    assert event["dest_asset_key"]["uri"] == "hubspot://hubspot_default/association-limits"


def test_every_mistake_is_named_once_with_the_task() -> None:
    with pytest.raises(AirflowFailException) as caught:
        batch(inputs=[{"category": "NONE", "typeId": 0}], verify="maybe", poll_interval=-1, max_poll_failures=0)
    lines = str(caught.value).splitlines()
    names = ["inputs[0].maxToObjectIds", "inputs[0].category", "inputs[0].typeId", "poll_interval"]
    for name in [*names, "max_poll_failures", "verify"]:
        assert sum(f"task set_limits: {name}: " in line for line in lines) == 1
    assert __file__ in lines[-1]
    assert caught.value.__cause__ is None


def test_plans_and_inputs_may_come_as_text(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    planned = airflow.run(sync(task_id="plan", mode="plan"))
    assert planned.result["has_changes"] is True
    assert airflow.run(sync(config=None, plan=str(planned.xcoms["plan"]))).error is None
    assert airflow.run(batch(inputs=str(INPUTS))).error is None
    run = airflow.run(sync(task_id="bad", config=None, plan="{{ 'None' }}"))
    assert (run.state, "task.output" in str(run.error)) == ("failed", True)


# -- tries, kills and time --


@pytest.mark.parametrize("refused", ["get", "set", "delete"])
def test_a_store_that_fails_does_not_fail_the_task(
    refused: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not HAS_3_3:
        return
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("413 value too large")

    monkeypatch.setattr(TaskStateStoreAccessor, refused, fail)
    hubspot.settings.processing_seconds = 0.1
    assert airflow.run(batch()).state == "success"
    run = airflow.run(sync())
    assert run.state == "success"
    assert [change["from_object_type"] for change in run.xcoms["report"]["applied"]] == ["deals"]


def test_a_refused_create_succeeds_if_the_limits_are_in_force(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.create_existing = "error"
    for limit_input in INPUTS:
        hubspot.set_limit(
            "contacts", "companies", limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"]
        )
    run = airflow.run(batch())
    assert (run.state, len(writes(hubspot))) == ("success", 1)


# -- what is stored with the DAG --


@pytest.mark.slow
def test_a_dag_serializes_alike_at_every_parse(tmp_path: Path) -> None:
    """Airflow makes a new version of a DAG whose serialized form has changed."""
    script = tmp_path / "serialize.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json
            from airflow.sdk import DAG, Asset
            from airflow.serialization.serialized_objects import DagSerialization
            from airflow_provider_hubassoc import retry_policy as failures
            from airflow_provider_hubassoc.assets import drift_watchers
            from airflow_provider_hubassoc.operators import (
                HubSpotAssociationLimitsOperator, HubSpotAssociationLimitsSyncOperator
            )
            from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor

            policy = getattr(failures, "HubSpotRetryPolicy", lambda: None)()
            given = {{"retry_policy": policy}} if policy else {{}}
            batch = dict(from_object_type="contacts", to_object_type="companies")
            drifted = Asset("drifted", watchers=drift_watchers({CONFIG!r}))
            with DAG("dag", schedule=[drifted], default_args=given) as dag:
                HubSpotAssociationLimitsOperator(task_id="a", inputs={INPUTS!r}, **batch)
                HubSpotAssociationLimitsOperator(
                    task_id="b", inputs={INPUTS!r}, verify="{{{{ params.x }}}}", **given, **batch
                )
                HubSpotAssociationLimitsOperator.partial(task_id="c", **given, **batch).expand(inputs=[{INPUTS!r}])
                HubSpotAssociationLimitsSyncOperator(task_id="d", config={CONFIG!r})
                HubSpotAssociationLimitsSyncOperator.partial(task_id="e", config={CONFIG!r}).expand(prune=[True])
                HubSpotAssociationLimitsSensor(task_id="f", inputs={INPUTS!r}, **batch)
            print(json.dumps(DagSerialization.to_dict(dag), sort_keys=True))
            """
        )
    )
    results = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True, env=environment
        )
        results.append(done.stdout.splitlines()[-1])
    assert results[0] == results[1]
    assert " at 0x" not in results[0]


# -- which portal it is --


def test_overrides_are_not_ignored_if_the_portal_is_unknown(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    over = {"portals": {str(hubspot.portal_id): {"associations": [association("contacts", "companies", limit=3)]}}}
    hubspot.inject(path="/account-info/*", status=403, body={"category": "MISSING_SCOPES"}, times=99)
    run = airflow.run(sync(config={**CONFIG, **over}))
    assert (run.state, writes(hubspot)) == ("failed", [])
    assert "portal" in str(run.error)
    assert "oauth" in str(run.error)
    named = airflow.run(sync(task_id="named", config={**CONFIG, **over}, portal=hubspot.portal_id))
    assert named.error is None
    assert hubspot.limits()[CONTACT_TO_COMPANY] == 3


def test_a_plan_of_a_known_portal_is_not_applied_to_an_unknown_one(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    planned = airflow.run(sync(task_id="plan", mode="plan")).xcoms["plan"]
    hubspot.inject(path="/account-info/*", status=403, body={"category": "MISSING_SCOPES"}, times=99)
    run = airflow.run(sync(config=None, plan=planned))
    assert (run.state, writes(hubspot)) == ("failed", [])
    assert f"made for portal {hubspot.portal_id}" in str(run.error)


def test_warnings_of_the_file_are_in_the_log(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = declare(association("contacts", "companies", limit=5, labels={"Owner:1": None}))
    assert airflow.run(sync(config=config)).error is None
    assert "Owner:1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["soft_fail", "silent_fail", "never_fail", "exponential_backoff"])
def test_text_is_converted_for_the_booleans_of_airflows_own_sensor(name: str) -> None:
    pair = {"from_object_type": "contacts", "to_object_type": "companies", "inputs": INPUTS}
    sensor = HubSpotAssociationLimitsSensor(task_id="wait", **pair, **{name: "false"})
    assert getattr(sensor, name) is False
    with pytest.raises(AirflowFailException, match=f"{name}: must be true or false"):
        HubSpotAssociationLimitsSensor(task_id="bad", **pair, **{name: "maybe"})
