"""The batch operator: its requests, its XComs and its errors, in a worker and in the triggerer."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import HAS_3_3, Airflow
from tests.support.scenarios import (
    FIVE_COMPANIES,
    FROM,
    INPUTS,
    LIMITS,
    NEVER,
    ONE_PRIMARY,
    SCENARIOS,
    SLOW,
    TO,
    Scenario,
    lasting,
    prepare,
    reads,
    writes,
)

pytestmark = pytest.mark.usefixtures("dag")

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])


def operator(**arguments: Any) -> HubSpotAssociationLimitsOperator:
    return HubSpotAssociationLimitsOperator(
        **{
            "task_id": "set_limits",
            "from_object_type": FROM,
            "to_object_type": TO,
            "inputs": INPUTS,
            "poll_interval": 0.05,
            "timeout": 30,
            "retries": 1,
            **arguments,
        }
    )


@WAYS
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_worker_and_triggerer_wait_alike(
    scenario: Scenario, deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    prepare(hubspot, scenario)

    run = airflow.run(operator(inputs=scenario.inputs, deferrable=deferrable, **scenario.wait))

    operation = run.xcoms["operation"]
    if scenario.error is None:
        assert (run.state, run.error) == ("success", None)
        assert run.result == operation
        assert operation["status"] == "COMPLETE"
    else:
        is_permanent = not (scenario.error.retryable or scenario.is_retried_by_operator)
        assert run.state == ("failed" if is_permanent else "up_for_retry")
        if is_permanent and not HAS_3_3:
            assert type(run.error) is AirflowFailException
        else:
            assert type(run.error) is scenario.error
        assert all(words in str(run.error) for words in scenario.says), str(run.error)
        assert run.result is None
    assert (len(operation["applied"]), len(operation["refused"])) == (scenario.applied, scenario.refused)
    assert writes(hubspot) == ["/crm/associations/2026-03/definitions/configurations/contacts/companies/batch/create"]
    # A refused create is judged by the portal, so it is read once.
    refused_at_once = scenario.reads == 0 and scenario.refused > 0
    assert scenario.reads is None or len(reads(hubspot)) == scenario.reads + refused_at_once
    assert hubspot.limits() == scenario.limits
    kept = (airflow.pushes, airflow.store, airflow.rendered, run.events, str(run.error))
    assert hubspot.token not in repr(kept)
    # Only what is not over yet is worth a deferral.
    assert [leg.state for leg in run.legs[:-1]] == (["deferred"] if deferrable and scenario.reads != 0 else [])


def test_worker_and_triggerer_return_the_same_result(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.15
    results = [airflow.run(operator(task_id=f"set_limits_{way}", deferrable=way)).result for way in (False, True)]
    assert lasting(results[0]) == lasting(results[1])
    assert lasting(results[0]) == {
        "action": "create",
        "from_object_type": "contacts",
        "to_object_type": "companies",
        "inputs": INPUTS,
        "status": "COMPLETE",
        "results": [
            {"category": "HUBSPOT_DEFINED", "typeId": 279, "userEnforcedMaxToObjectIds": 5, "label": None},
            {"category": "HUBSPOT_DEFINED", "typeId": 1, "userEnforcedMaxToObjectIds": 1, "label": "Primary"},
        ],
        "errors": [],
        "num_errors": 0,
        "verify": False,
        "in_force": None,
        "applied": INPUTS,
        "refused": [],
        "unconfirmed": [],
    }


@WAYS
@pytest.mark.parametrize("settings", [{}, SLOW], ids=["at once", "slow"])
@pytest.mark.parametrize(
    ("action", "inputs", "limits"),
    [
        ("create", INPUTS, LIMITS),
        ("update", INPUTS, LIMITS),
        ("purge", [{"category": "HUBSPOT_DEFINED", "typeId": 279}], {("0-1", "0-2", "HUBSPOT_DEFINED", 1): 4}),
    ],
)
def test_each_action_sets_the_limits(
    action: str,
    inputs: list[dict[str, Any]],
    limits: dict[Any, int],
    settings: dict[str, Any],
    deferrable: bool,
    airflow: Airflow,
    hubspot: Simulator,
    hubspot_conn: str,
) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 50)
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 1, 4)
    vars(hubspot.settings).update(settings)

    run = airflow.run(operator(action=action, inputs=inputs, deferrable=deferrable))

    assert run.state == "success"
    assert run.result["applied"] == inputs
    assert hubspot.limits() == limits
    assert [path.rpartition("/")[2] for path in writes(hubspot)] == [action]


def test_one_connection_serves_the_whole_wait(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.15
    assert airflow.run(operator()).state == "success"
    assert len({request.connection for request in hubspot.requests}) == 1


# -- XCom --


@WAYS
def test_the_handle_is_in_xcom_before_the_wait_begins(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.processing_seconds = 10_000
    task = operator(deferrable=deferrable, execution_timeout=None, timeout=0.2)

    leg = airflow.leg(task)

    assert leg.state == ("deferred" if deferrable else "up_for_retry")
    handle = airflow.xcoms_of("set_limits")["operation"]
    assert (handle["status"], handle["unconfirmed"]) == ("PENDING", INPUTS)
    assert handle["status_link"].startswith(hubspot.url)


@WAYS
def test_each_xcom_is_pushed_once_and_again_when_it_changes(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    def written() -> list[str]:
        return [key for key, _ in airflow.pushes if not key.startswith("_link")]

    task = operator(deferrable=deferrable)
    airflow.run(task)
    assert written() == ["portal", "operation", "return_value"]
    airflow.pushes.clear()
    hubspot.settings.processing_seconds = 0.15
    airflow.run(task)
    assert written() == ["portal", "operation", "operation", "return_value"]


def test_applied_and_refused_inputs_are_in_the_xcom_and_the_message(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    label, _ = hubspot.add_label(FROM, TO, label="Buyer", name="buyer")
    inputs = [
        FIVE_COMPANIES,
        {"category": "USER_DEFINED", "typeId": label, "maxToObjectIds": 3},
        {"category": "USER_DEFINED", "typeId": 777, "maxToObjectIds": 3},
        {"category": "HUBSPOT_DEFINED", "typeId": 888, "maxToObjectIds": 3},
    ]

    run = airflow.run(operator(inputs=inputs))

    operation = run.xcoms["operation"]
    assert operation["applied"] == inputs[:2]
    assert [{**item, "errors": None} for item in operation["refused"]] == [
        {**limit_input, "errors": None} for limit_input in inputs[2:]
    ]
    for item in operation["refused"]:
        [error] = item["errors"]
        assert f"-{item['typeId']} is not" in error["message"]
    first, *lines, advice = str(run.error).splitlines()
    assert first.endswith("contacts -> companies (connection hubspot_default): 2 of 4 applied.")
    assert [line.partition(" (max")[0] for line in lines] == [
        "Refused USER_DEFINED 777",
        "Refused HUBSPOT_DEFINED 888",
        "Applied HUBSPOT_DEFINED 279",
        f"Applied USER_DEFINED {label}",
    ]
    assert advice.startswith("Correct the refused inputs and send them again. (")
    assert advice.endswith(f"correlation id {operation['correlation_id']})")


@WAYS
def test_without_waiting_the_handle_is_returned(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.processing_seconds = 10_000
    run = airflow.run(operator(wait_for_completion=False, deferrable=deferrable))
    assert (run.state, len(run.legs)) == ("success", 1)
    assert run.result == run.xcoms["operation"]
    assert run.result["status"] == "PENDING"
    assert reads(hubspot) == []
    assert airflow.store == {}


def test_an_immediate_refusal_fails_without_waiting_too(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.canceled = True
    assert airflow.run(operator(wait_for_completion=False)).state == "failed"


# -- the portal --


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_a_batch_does_not_need_to_know_its_portal(
    status: int, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(path="/account-info/*", status=status, times=99)
    run = airflow.run(operator())
    assert run.state == "success"
    assert hubspot.limits() == LIMITS
    assert run.xcoms["portal"] == {"portal_id": None, "ui_domain": None}
    assert run.xcoms.get("_link_HubSpotObjectSettingsLink") in (None, "")
    assert [request.path for request in hubspot.requests].count("/account-info/2026-03/details") == 1


def test_a_rejected_token_fails_before_anything_is_written(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.revoke(hubspot.token)
    run = airflow.run(operator())
    assert run.state == "failed"
    assert "rejected the access token" in str(run.error)
    assert [request.path for request in hubspot.requests] == ["/account-info/2026-03/details"]


def test_a_missing_scope_fails_and_is_named(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubspot.inject(
        method="POST",
        status=403,
        body={
            "status": "error",
            "message": "This app hasn't been granted all required scopes.",
            "category": "MISSING_SCOPES",
            "errors": [{"context": {"requiredGranularScopes": ["crm.objects.contacts.write"]}}],
        },
    )
    run = airflow.run(operator())
    assert run.state == "failed"
    assert "crm.objects.contacts.write" in str(run.error)


def test_an_unknown_object_type_fails_at_once(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    run = airflow.run(operator(from_object_type="p_nowhere"))
    assert run.state == "failed"
    assert "Unable to infer object type from: p_nowhere" in str(run.error)


def test_a_missing_connection_is_named_and_may_be_retried(airflow: Airflow, hubspot: Simulator) -> None:
    run = airflow.run(operator(hubspot_conn_id="nowhere"))
    assert run.state == "up_for_retry"  # a secrets backend may be back in a minute
    assert "nowhere" in str(run.error)


def test_an_invalid_connection_fails_at_once(
    airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BAD", '{"conn_type": "hubspot", "host": "http://example.com", "password": "x"}')
    run = airflow.run(operator(hubspot_conn_id="bad"))
    assert run.state == "failed"
    assert "example.com" in str(run.error) or "https" in str(run.error)
    assert hubspot.requests == []


# -- what goes wrong while sending --


def test_update_is_sent_again_when_its_answer_is_lost(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.inject(method="POST", reset=True, after=True)
    assert airflow.run(operator(action="update")).state == "success"
    assert len(writes(hubspot)) == 2
    assert hubspot.limits() == LIMITS


def test_create_is_not_sent_again_when_its_answer_is_lost(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(method="POST", reset=True, after=True)
    run = airflow.run(operator())
    assert run.state == "success"
    assert run.result["applied"] == INPUTS
    assert len(writes(hubspot)) == 1
    assert len(reads(hubspot)) == 1


def test_a_deferred_task_that_airflow_times_out_fails_with_retries(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    """Airflow itself ends the wait, some time after our own timeout, if no triggerer runs."""
    vars(hubspot.settings).update(NEVER)
    task = operator(deferrable=True, timeout=100)
    deferral = airflow.leg(task).message
    assert deferral.trigger_timeout.total_seconds() == 400
    leg = airflow.leg(task, next_method="__fail__", next_kwargs={"error": "Trigger timeout"}, is_new_try=False)
    assert (leg.state, type(leg.error).__name__) == ("up_for_retry", "TaskDeferralTimeout")


def test_a_wait_without_timeout_has_none_in_airflow_either(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    deferral = airflow.leg(operator(deferrable=True, timeout=None)).message
    assert deferral.trigger_timeout is None
    assert deferral.trigger_kwargs["timeout"] is None


def test_an_unknown_event_fails_the_task(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    task = operator(deferrable=True)
    deferral = airflow.leg(task).message
    for event in (None, "success", {}, {"outcome": "over"}, {"outcome": "over", "operation": {"status": "COMPLETE"}}):
        leg = airflow.resume(task, deferral, event)
        assert (leg.state, type(leg.error)) == ("up_for_retry", errors.HubSpotPollError)


def test_the_operator_works_in_dag_test(airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """In dag.test the trigger runs in a separate event loop, without the triggerer's supervisor."""
    hubspot.settings.processing_seconds = 0.15
    airflow.connections["in_database"] = {
        "conn_id": "in_database",
        "conn_type": "hubspot",
        "host": hubspot.url,
        "password": hubspot.token,
        **dict.fromkeys(("schema", "login", "port", "extra")),
    }
    run = airflow.run(operator(deferrable=True, hubspot_conn_id="in_database"), inline=True)
    assert [leg.state for leg in run.legs] == ["deferred", "success"]
    assert hubspot.limits() == LIMITS
    assert run.result["applied"] == [FIVE_COMPANIES, ONE_PRIMARY]
