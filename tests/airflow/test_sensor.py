"""The sensor in every mode and scenario, with Airflow's options such as soft_fail."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, Param, XComArg, task
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
)
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.operation import submit as submit_batch
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import HAS_3_3, RETURN_VALUE, Airflow
from tests.support.inputs import parse_inputs
from tests.support.scenarios import (
    FIVE_COMPANIES,
    FROM,
    INPUTS,
    NEVER,
    READS,
    SCENARIOS,
    TO,
    Scenario,
    lasting,
    prepare,
    reads,
    writes,
)

pytestmark = pytest.mark.usefixtures("dag")

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True, "mode": "reschedule"},
}
EVERY_MODE = pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])


def submit(action: str = "create", inputs: list[dict[str, Any]] = INPUTS) -> dict[str, Any]:
    """Send a batch and return its handle as XCom returns it."""
    with HubSpotHook() as hook:
        batch = BatchOperation(
            action=action,  # type: ignore[arg-type]  # parse_inputs checks it
            from_object_type=FROM,
            to_object_type=TO,
            inputs=parse_inputs(FROM, TO, inputs, action),
        )
        operation = submit_batch(hook.client, batch)
    return json.loads(json.dumps(operation.to_dict()))  # type: ignore[no-any-return]


def in_xcom(airflow: Airflow, handle: dict[str, Any]) -> Any:
    """Push a handle to XCom as an upstream task does, and return the reference to it."""
    airflow.xcoms["submit", -1, RETURN_VALUE] = handle
    return XComArg(BaseOperator(task_id="submit"))


def sensor(mode: str = "poke", **arguments: Any) -> HubSpotAssociationLimitsSensor:
    return HubSpotAssociationLimitsSensor(
        **{"task_id": "wait", "poke_interval": 0.05, "timeout": 30, "retries": 1, **MODES[mode], **arguments}
    )


def expected(scenario: Scenario, mode: str) -> tuple[str, type[BaseException] | None]:
    """Return the state and the exception that a sensor with default options ends with."""
    if scenario.error is None:
        return "success", None
    if scenario.error is errors.HubSpotOperationTimeoutError:
        return "failed", AirflowSensorTimeout
    if not scenario.error.retryable:
        return "failed", AirflowFailException
    return "up_for_retry", AirflowException


@EVERY_MODE
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_every_mode_ends_alike(
    scenario: Scenario, mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    prepare(hubspot, scenario)
    handle = in_xcom(airflow, submit(inputs=scenario.inputs))
    counts_reads = HAS_3_3 or mode != "reschedule"  # across reschedules in the task state store, which 3.2 lacks
    wait = scenario.wait
    state, error = expected(scenario, mode)
    if scenario.error is errors.HubSpotPollError and not counts_reads:
        wait, state, error = {"timeout": 0.3}, "failed", AirflowSensorTimeout

    run = airflow.run(sensor(mode, operation=handle, **wait))

    assert (run.state, type(run.error)) == (state, error or type(None))
    if scenario.error is None:
        assert run.result["status"] == "COMPLETE"
        assert run.result["applied"] == scenario.inputs
    elif error is not AirflowSensorTimeout:
        assert all(words in str(run.error) for words in scenario.says), str(run.error)
        assert run.error is not None
        assert isinstance(run.error.__cause__, scenario.error)
    if scenario.error is errors.HubSpotOperationError:
        operation = run.xcoms["operation"]
        assert (len(operation["applied"]), len(operation["refused"])) == (scenario.applied, scenario.refused)
    else:
        assert "operation" not in run.xcoms
    assert len(writes(hubspot)) == 1
    if counts_reads and scenario.reads is not None:
        # The triggerer starts counting failed reads at zero: the one before the deferral does not count.
        assert len(reads(hubspot)) == scenario.reads + (scenario.reads > 0 and mode == "deferrable")
    steps = {"poke": set(), "reschedule": {"up_for_reschedule"}}.get(mode, {"deferred"})
    assert {leg.state for leg in run.legs[:-1]} <= steps


FAILURES = {
    "canceled at once": ("soft_fail", "never_fail"),
    "pending forever": ("soft_fail", "never_fail"),
    "reads fail, too often": ("soft_fail", "never_fail"),
    "token revoked while waiting": ("soft_fail",),
}


@EVERY_MODE
@pytest.mark.parametrize(
    ("scenario", "switch"),
    [(scenario, switch) for scenario in SCENARIOS for switch in FAILURES.get(scenario.name, ())],
    ids=str,
)
def test_soft_fail_and_never_fail_skip_every_failure(
    scenario: Scenario, switch: str, mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    prepare(hubspot, scenario)
    handle = in_xcom(airflow, submit(inputs=scenario.inputs))
    wait = {"timeout": 0.4, **scenario.wait}
    run = airflow.run(sensor(mode, operation=handle, **{switch: True}, **wait))
    timed_out = scenario.error is errors.HubSpotOperationTimeoutError or (
        scenario.error is errors.HubSpotPollError and mode == "reschedule" and not HAS_3_3
    )
    if switch == "never_fail" and timed_out and mode != "deferrable":
        # As in Airflow's own sensors: never_fail covers the timeout only in deferrable mode.
        assert (run.state, type(run.error)) == ("failed", AirflowSensorTimeout)
    else:
        assert (run.state, type(run.error)) == ("skipped", type(None))


@EVERY_MODE
def test_silent_fail_reads_until_the_timeout(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.processing_seconds = 0.3
    handle = submit()
    hubspot.inject(method="GET", path=READS, status=503, times=3)
    run = airflow.run(sensor(mode, operation=handle, silent_fail=True, max_poll_failures=1))
    assert run.state == "success"
    vars(hubspot.settings).update(NEVER)
    hubspot.inject(method="GET", path=READS, status=503, times=99)
    run = airflow.run(sensor(mode, operation=submit(), silent_fail=True, timeout=0.3, task_id="again"))
    assert (run.state, type(run.error)) == ("failed", AirflowSensorTimeout)


@EVERY_MODE
def test_silent_fail_does_not_silence_permanent_errors(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    handle = submit()
    hubspot.inject(method="GET", path=READS, status=401, times=99)
    run = airflow.run(sensor(mode, operation=handle, silent_fail=True))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)


def test_airflow_times_out_a_deferred_sensor(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    for soft_fail, state in ((False, "failed"), (True, "skipped")):
        wait = sensor("deferrable", operation=submit(), soft_fail=soft_fail, task_id=f"wait_{soft_fail}")
        assert airflow.leg(wait).message.trigger_timeout.total_seconds() == pytest.approx(330, abs=5)
        leg = airflow.leg(wait, next_method="__fail__", next_kwargs={"error": "Trigger timeout"}, is_new_try=False)
        assert leg.state == state
        assert type(leg.error) is (type(None) if soft_fail else AirflowSensorTimeout)


# -- handles --


@EVERY_MODE
def test_a_settled_batch_needs_no_read(mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    handle = submit()
    assert handle["status"] == "COMPLETE"
    run = airflow.run(sensor(mode, operation=handle))
    assert (run.state, len(run.legs), reads(hubspot)) == ("success", 1, [])
    assert lasting(run.result) == lasting(handle)


@EVERY_MODE
def test_a_batch_settled_at_the_first_poke_is_not_deferred(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    handle = submit(action="update")
    for limit_input in INPUTS:
        hubspot.set_limit(FROM, TO, limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"])
    run = airflow.run(sensor(mode, operation={**handle, "status_link": None}))
    assert (run.state, len(run.legs), len(reads(hubspot))) == ("success", 1, 1)


@EVERY_MODE
@pytest.mark.parametrize(
    "handle",
    [
        "no handle",
        {"action": "create"},
        {"action": "merge", "from_object_type": FROM, "to_object_type": TO, "inputs": INPUTS},
        [],
        {},
        7,
    ],
    ids=str,
)
def test_an_invalid_handle_fails_immediately(
    handle: Any, mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(sensor(mode, operation=handle, retries=3))
    assert (run.state, hubspot.requests) == ("failed", [])
    assert "not the handle of a HubSpot batch operation" in str(run.error)


def test_the_message_says_that_the_handle_is_none(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def forgetful() -> None:
        return None

    handle: Any = forgetful()
    wait = sensor(operation=handle)
    airflow.run(handle.operator)
    run = airflow.run(wait)
    assert (run.state, hubspot.requests) == ("failed", [])
    assert "not the handle of a HubSpot batch operation" in str(run.error)


# -- a direction and inputs instead of a handle --


@EVERY_MODE
def test_waits_for_limits_set_by_somebody_else(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.processing_seconds = 0.15
    submit()
    run = airflow.run(sensor(mode, from_object_type=FROM, to_object_type="0-2", inputs=INPUTS))
    assert run.state == "success"
    assert (run.result["status"], run.result["applied"]) == ("COMPLETE", INPUTS)


@EVERY_MODE
def test_waits_for_limits_removed_by_somebody_else(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 5)
    hubspot.settings.processing_seconds = 0.15
    gone = [{"category": "HUBSPOT_DEFINED", "typeId": 279}]
    submit("purge", gone)
    run = airflow.run(sensor(mode, from_object_type=FROM, to_object_type=TO, inputs=gone, action="purge"))
    assert (run.state, run.result["action"], hubspot.limits()) == ("success", "purge", {})


@EVERY_MODE
def test_limits_that_nobody_sets_time_out(mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 50)
    run = airflow.run(sensor(mode, from_object_type=FROM, to_object_type=TO, inputs=INPUTS, timeout=0.3))
    assert (run.state, type(run.error)) == ("failed", AirflowSensorTimeout)
    assert writes(hubspot) == []


@EVERY_MODE
def test_verify_waits_for_a_read_after_complete(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    handle = submit()
    assert handle["status"] == "COMPLETE"
    hubspot.inject(method="GET", path=READS, body={"results": []})
    run = airflow.run(sensor(mode, operation=handle, verify=True))
    assert (run.state, run.result["verify"]) == ("success", True)
    assert len(reads(hubspot)) == 2


# -- arguments --


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({}, "pass either operation"),
        ({"from_object_type": FROM, "to_object_type": TO}, "pass either operation"),
        ({"operation": {"action": "create"}, "inputs": INPUTS}, "pass either operation"),
        ({"from_object_type": FROM, "to_object_type": TO, "inputs": []}, "inputs: must hold at least one"),
        ({"from_object_type": FROM, "to_object_type": "", "inputs": INPUTS}, "to_object_type"),
        ({"from_object_type": FROM, "to_object_type": TO, "inputs": INPUTS, "action": "purge"}, "maxToObjectIds"),
        ({"operation": "{{ x }}", "max_poll_interval": 0}, "max_poll_interval"),
    ],
    ids=str,
)
def test_mistakes_in_literal_arguments_fail_parsing(arguments: dict[str, Any], mistake: str) -> None:
    with pytest.raises(AirflowFailException, match=mistake):
        sensor(**arguments)


@EVERY_MODE
def test_every_template_field_is_rendered(mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.1
    params = {
        "handle": Param(submit(), type="object"),
        "from": FROM,
        "to": TO,
        "max": 5,
        "action": "update",
        "conn": hubspot_conn,
        "seconds": 0.05,
    }
    with DAG("templated", params=params):
        pair = sensor(
            mode,
            from_object_type="{{ params.from }}",
            to_object_type="{{ params.to }}",
            inputs=[{**FIVE_COMPANIES, "maxToObjectIds": "{{ params.max }}"}],
            action="{{ params.action }}",
            hubspot_conn_id="{{ params.conn }}",
            max_poll_interval="{{ params.seconds }}",
        )
    with DAG("native", params=params, render_template_as_native_obj=True):
        handle = sensor(mode, operation="{{ params.handle }}")
    assert airflow.run(pair).state == "success"
    assert airflow.run(handle).state == "success"


def test_mistakes_in_templates_fail_before_any_request(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    mistakes: list[dict[str, Any]] = [
        {"inputs": "{{ none }}"},
        {"inputs": INPUTS, "action": "{{ 'merge' }}"},
        {"inputs": INPUTS, "max_poll_interval": "{{ none }}"},
    ]
    for index, changes in enumerate(mistakes):
        wait = sensor(task_id=f"wait_{index}", from_object_type=FROM, to_object_type=TO, retries=3, **changes)
        run = airflow.run(wait)
        assert (run.state, hubspot.requests) == ("failed", [])


@EVERY_MODE
def test_waits_for_the_batch_of_an_operator(mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.15
    set_limits = HubSpotAssociationLimitsOperator(
        task_id="set_limits", from_object_type=FROM, to_object_type=TO, inputs=INPUTS, wait_for_completion=False
    )
    output: Any = set_limits.output
    by_result = sensor(mode, operation=output)
    by_key = sensor(mode, operation=output["operation"], task_id="by_key")
    assert by_result.upstream_task_ids == {"set_limits"}
    airflow.run(set_limits)
    assert airflow.run(by_result).state == airflow.run(by_key).state == "success"


@EVERY_MODE
def test_mapped_over_mapped_operators(mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.1
    pairs = [{"from_object_type": FROM, "inputs": INPUTS}, {"from_object_type": "p_nowhere", "inputs": INPUTS}]
    set_limits = HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits", to_object_type=TO, wait_for_completion=False
    ).expand_kwargs(pairs[:1])
    wait = HubSpotAssociationLimitsSensor.partial(task_id="wait", poke_interval=0.05, retries=2, **MODES[mode]).expand(
        operation=set_limits.output
    )
    airflow.run(set_limits, map_index=0)
    assert airflow.run(wait, map_index=0).state == "success"
    # A mapped task without a handle cannot even be built.
    empty = HubSpotAssociationLimitsSensor.partial(task_id="empty", retries=2, **MODES[mode]).expand(operation=[None])
    run = airflow.run(empty, map_index=0)
    assert run.state == "failed"
    assert isinstance(run.error, AirflowFailException)


def test_a_dag_with_the_sensor_survives_airflows_serializer(dag: DAG) -> None:
    sensor("reschedule", operation={"action": "create"})
    serialized = DagSerialization.to_dict(dag)
    restored = DagSerialization.from_dict(json.loads(json.dumps(serialized)))
    assert restored.get_task("wait").task_type == "HubSpotAssociationLimitsSensor"


# -- intervals --


@pytest.mark.parametrize(
    ("waited", "shortest", "longest"), [(0.0, 4.0, 5.5), (20.0, 12.0, 15.5), (1000.0, 48.0, 60.0), (3585.0, 5.0, 15.0)]
)
def test_the_interval_grows_up_to_a_maximum(
    waited: float, shortest: float, longest: float, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    wait = sensor("reschedule", operation=submit(), poke_interval=5.0, max_poll_interval=60.0, timeout=3600)
    before = datetime.now(tz=timezone.utc)
    if waited:
        airflow.reschedules = [before - timedelta(seconds=waited)]
    leg = airflow.leg(wait, is_new_try=False) if waited else airflow.leg(wait)
    after = datetime.now(tz=timezone.utc)
    assert leg.state == "up_for_reschedule"
    delays = [(leg.message.reschedule_date - moment).total_seconds() for moment in (before, after)]
    assert shortest <= delays[0]
    assert delays[1] <= longest


def test_the_interval_before_the_first_poke_is_the_poke_interval() -> None:
    wait = sensor(operation={"action": "create"}, poke_interval=7)
    assert wait._get_next_poke_interval(0.0, lambda: 100.0, 1) == 7.0


def test_a_fraction_of_a_second_reaches_the_trigger(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    interval = timedelta(milliseconds=250)
    deferral = airflow.leg(sensor("deferrable", operation=submit(), poke_interval=interval)).message
    assert deferral.trigger_kwargs["poll_interval"] == 0.25
    assert deferral.trigger_kwargs["max_poll_interval"] == 60.0


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_each_poke_sends_one_request_over_one_connection(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.processing_seconds = 0.2
    handle = submit()
    hubspot.clear_requests()
    run = airflow.run(sensor(mode, operation=handle))
    assert len({request.connection for request in hubspot.requests}) == len(run.legs[:2])


def test_works_in_dag_test(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    handle = submit()
    hubspot.inject(method="GET", path=READS, status=503)  # the first look, after which the task is deferred
    run = airflow.run(sensor("deferrable", operation=handle, verify=True), inline=True)
    assert [leg.state for leg in run.legs] == ["deferred", "success"]
    assert run.result["applied"] == INPUTS


def test_an_unknown_event_fails_the_sensor(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    wait = sensor("deferrable", operation=submit())
    deferral = airflow.leg(wait).message
    for event in (None, "success", {}, {"outcome": "over"}, {"outcome": "timeout", "error": 7}):
        leg = airflow.resume(wait, deferral, event)
        assert (leg.state, type(leg.error)) == ("up_for_retry", AirflowException)
