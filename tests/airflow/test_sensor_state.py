"""The state that a sensor keeps between its processes, and its messages."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_hubassoc.simulator import Simulator
from tests.airflow.test_sensor import EVERY_MODE, sensor, submit
from tests.support.airflow_in_memory import HAS_3_3, Airflow, httpx
from tests.support.scenarios import FROM, INPUTS, NEVER, READS, SLOW, TO, reads, writes

pytestmark = pytest.mark.usefixtures("dag")

LINKS = "*/operations/*"


class WithoutStore(Airflow):
    """An Airflow whose task state store fails, so that a task has no more than on Airflow 3.2."""

    def _answer(self, request: Any, owner: tuple[str, int]) -> Any:
        if "/store/" in request.url.path:
            return httpx.Response(413, json={"detail": "the value is too large"})
        return super()._answer(request, owner)


@pytest.fixture(params=["store", "no store"])
def any_airflow(request: pytest.FixtureRequest) -> Airflow:
    return Airflow() if request.param == "store" else WithoutStore()


@EVERY_MODE
def test_a_verified_batch_with_a_status_link_ends(
    mode: str, any_airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    """In mode reschedule, each process starts with the handle of a batch that was pending."""
    vars(hubspot.settings).update(SLOW)
    run = any_airflow.run(sensor(mode, operation=submit(), verify=True, timeout=10))
    assert run.state == "success"
    assert run.result["in_force"] == [["HUBSPOT_DEFINED", 279], ["HUBSPOT_DEFINED", 1]]


@EVERY_MODE
def test_a_verified_batch_whose_first_reads_are_stale_ends(
    mode: str, any_airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(SLOW, stale_seconds=0.3)
    run = any_airflow.run(sensor(mode, operation=submit(), verify=True, timeout=10))
    assert run.state == "success"


@EVERY_MODE
def test_a_verified_purge_with_a_status_link_ends(
    mode: str, any_airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 5)
    vars(hubspot.settings).update(SLOW)
    handle = submit("purge", [{"category": "HUBSPOT_DEFINED", "typeId": 279}])
    run = any_airflow.run(sensor(mode, operation=handle, verify=True, timeout=10))
    assert (run.state, hubspot.limits()) == ("success", {})


@EVERY_MODE
def test_a_status_link_that_cannot_be_read_does_not_keep_a_verified_batch_open(
    mode: str, any_airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(SLOW)
    hubspot.inject(method="GET", path=LINKS, status=404, times=99)
    run = any_airflow.run(sensor(mode, operation=submit(), verify=True, timeout=10))
    assert run.state == "success"


@EVERY_MODE
def test_the_verifying_read_follows_completion_immediately(
    mode: str, any_airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    """The intervals are so long that any delay before the read would outlast the test."""
    handle = submit()
    pending = {**handle, "status": "PENDING", "results": [], "status_link": hubspot.url + "/elsewhere"}
    hubspot.inject(method="GET", path="/elsewhere", body={"status": "COMPLETE", "results": handle["results"]})
    slow = {"poke_interval": 1000, "max_poll_interval": 1000, "timeout": 10_000}
    run = any_airflow.run(sensor(mode, operation=pending, verify=True, **slow))
    assert (run.state, len(run.legs)) == ("success", 1)
    assert [path.rpartition("/")[2] for path in reads_of_any_path(hubspot)] == ["elsewhere", "companies"]


def reads_of_any_path(hubspot: Simulator) -> list[str]:
    return [request.path for request in hubspot.requests if request.method == "GET" and "account" not in request.path]


def test_the_state_of_a_process_reaches_the_next(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(SLOW)
    handle = submit()
    hubspot.inject(method="GET", path="*/companies", body={"results": []}, times=3)
    hubspot.clear_requests()
    run = airflow.run(sensor("reschedule", operation=handle, verify=True))
    assert run.state == "success"
    kinds = ["link" if "/operations/" in path else "pair" for path in reads(hubspot)]
    assert kinds.count("pair") == 4
    if HAS_3_3:  # the link is not read again once it has said COMPLETE
        assert kinds[-4:] == ["pair"] * 4


def test_a_stored_state_of_another_batch_is_not_used(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    wait = sensor("reschedule", operation=submit())
    assert airflow.leg(wait).state == "up_for_reschedule"
    for key, state in airflow.store.items():
        other = {**state["operation"], "correlation_id": "another", "status": "COMPLETE"}
        airflow.store[key] = {**state, "operation": other}
    assert airflow.leg(wait, is_new_try=False).state == "up_for_reschedule"


def test_a_deferrable_sensor_stores_no_state(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    assert airflow.leg(sensor("deferrable", operation=submit())).state == "deferred"
    assert airflow.store == {}


@pytest.mark.parametrize("state", [7, "x", {}, {"operation": {}}, {"operation": None, "failures": 1}], ids=str)
def test_a_stored_state_that_cannot_be_read_is_ignored(
    state: Any, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(SLOW)
    wait = sensor("reschedule", operation=submit(), verify=True)
    airflow.leg(wait)
    for key in airflow.store:
        airflow.store[key] = state
    assert airflow.run(wait).state == "success"


# -- a rejected token --


@pytest.mark.parametrize("mode", ["deferrable", *(["reschedule"] if HAS_3_3 else [])])
def test_one_rejected_token_does_not_end_a_wait(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    """HubSpot sometimes rejects a valid token, even at the first read of a process."""
    vars(hubspot.settings).update(NEVER)
    wait = sensor(mode, operation={**submit(action="update"), "status_link": None})
    first = airflow.leg(wait)
    hubspot.inject(method="GET", path=READS, status=401, times=1)
    for limit_input in INPUTS:
        hubspot.set_limit(FROM, TO, limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"])
    if mode == "deferrable":
        assert airflow.run_trigger(first.message)["outcome"] == "over"
    else:
        assert airflow.leg(wait, is_new_try=False).state == "up_for_reschedule"
        assert airflow.leg(wait, is_new_try=False).state == "success"


@EVERY_MODE
def test_a_token_that_stays_rejected_ends_a_wait(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    handle = submit()
    hubspot.inject(method="GET", path=READS, status=401, times=99)
    run = airflow.run(sensor(mode, operation=handle))
    assert run.state in ("failed", "up_for_retry")
    assert "HTTP 401" in str(run.error)
    assert len(reads(hubspot)) <= 5


# -- a limit that HubSpot changes --


@EVERY_MODE
def test_a_limit_that_hubspot_changed_ends_the_wait(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    handle = changed_by_hubspot(hubspot)
    run = airflow.run(sensor(mode, operation=handle))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)
    assert "HubSpot set 3 instead of 5" in str(run.error)
    assert hubspot_conn in str(run.error)
    assert run.xcoms["operation"]["refused"][0]["errors"][0]["message"] == "HubSpot set 3 instead of 5"
    assert len(writes(hubspot)) == 1


def changed_by_hubspot(hubspot: Simulator) -> dict[str, Any]:
    """Return the handle of a batch that asked for 5, where HubSpot answered that it set 3."""
    handle = submit("update", INPUTS[:1])
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 3)
    row = {"category": "HUBSPOT_DEFINED", "typeId": 279, "userEnforcedMaxToObjectIds": 3}
    return {**handle, "results": [row]}


@EVERY_MODE
def test_an_old_limit_that_reads_still_show_does_not_end_the_wait(
    mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 3)
    hubspot.settings.stale_seconds = 0.3
    run = airflow.run(sensor(mode, operation=submit("update", INPUTS[:1]), verify=True))
    assert run.state == "success"


# -- messages --


@EVERY_MODE
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_timeout_says_what_is_missing(
    soft_fail: bool, mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str, capsys: Any
) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 3)
    wait = sensor(mode, from_object_type=FROM, to_object_type=TO, inputs=INPUTS[:1], timeout=0.2, soft_fail=soft_fail)
    run = airflow.run(wait)
    expected = (
        "The limits contacts -> companies (connection hubspot_default) were not settled within 0.2 s"
        " (status PENDING): HUBSPOT_DEFINED 279: is 3, should be 5."
    )
    if soft_fail:
        assert run.state == "skipped"
        assert expected in capsys.readouterr().out
    else:
        assert (run.state, type(run.error)) == ("failed", AirflowSensorTimeout)
        assert str(run.error).startswith(expected)


def test_the_log_names_the_batch_and_each_change(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, capsys: Any
) -> None:
    vars(hubspot.settings).update(SLOW)
    airflow.run(sensor(operation=submit(inputs=INPUTS[:1])))
    log = capsys.readouterr().out
    assert (
        "Waiting for the create batch for contacts -> companies: HUBSPOT_DEFINED 279 (max 5)"
        " (connection hubspot_default)" in log
    )
    assert log.count("The batch contacts -> companies (connection hubspot_default) changed from P") in (1, 2)
    assert "to COMPLETE after" in log


def test_the_log_of_the_trigger_says_the_same(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, caplog: pytest.LogCaptureFixture
) -> None:
    hubspot.settings.processing_seconds = 2.0  # longer than the worker's first read, also on a busy machine
    with caplog.at_level(logging.INFO):
        airflow.run(sensor("deferrable", operation=submit(inputs=INPUTS[:1])))
    messages = [record.getMessage() for record in caplog.records if record.name == "airflow_provider_hubassoc.triggers"]
    assert messages[0].startswith("Waiting for the create batch for contacts -> companies")
    assert any("to COMPLETE after" in message for message in messages)
    assert len(messages) <= 4


def test_the_message_says_that_no_triggerer_ended_the_wait(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    wait = sensor("deferrable", operation=submit())
    airflow.leg(wait)
    leg = airflow.leg(wait, next_method="__fail__", next_kwargs={"error": "Trigger timeout"}, is_new_try=False)
    assert "connection hubspot_default" in str(leg.error)
    assert "Check that a triggerer is running" in str(leg.error)


# -- arguments --


@EVERY_MODE
def test_a_handle_may_be_text(mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(SLOW)
    with DAG("text", params={"handle": Param(submit(), type="object")}):
        wait = sensor(mode, operation="{{ params.handle }}")
    assert airflow.run(wait).state == "success"


def test_other_text_is_an_error_that_says_how_to_pass_a_handle(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(sensor(operation="{{ 'PENDING' }}", retries=3))
    assert run.state == "failed"
    assert all(words in str(run.error) for words in ("operation: ", "task.output", "render_template_as_native_obj"))


def test_every_argument_may_be_a_template(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(SLOW)
    params = {"yes": True, "no": False, "many": 7, "seconds": 0.05, "timeout": 20}
    with DAG("templated", params=params):
        in_worker = sensor(
            task_id="in_worker",
            operation=submit(),
            verify="{{ params.yes }}",
            deferrable="{{ params.no }}",
            max_poll_failures="{{ params.many }}",
            poke_interval="{{ params.seconds }}",
            timeout="{{ params.timeout }}",
        )
        vars(hubspot.settings).update(NEVER)
        deferred = sensor(
            task_id="deferred", operation=submit(), deferrable="{{ params.yes }}", verify="{{ params.no }}"
        )
    run = airflow.run(in_worker)
    assert (run.state, run.result["verify"], len(run.legs)) == ("success", True, 1)
    assert airflow.leg(deferred).message.trigger_kwargs["operation"]["verify"] is False


def test_an_argument_may_come_from_a_task(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def no() -> bool:
        return False

    answer: Any = no()
    wait = sensor(operation=submit(), verify=answer, deferrable=answer)
    assert wait.upstream_task_ids == {"no"}
    airflow.run(answer.operator)
    run = airflow.run(wait)
    assert (run.state, run.result["verify"]) == ("success", False)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("verify", "perhaps"),
        ("deferrable", 2),
        ("max_poll_failures", 0),
        ("max_poll_failures", "many"),
        ("poke_interval", -1),
        ("poke_interval", "soon"),
        ("timeout", -1),
        ("timeout", True),
    ],
)
def test_a_wrong_argument_is_named_at_parse_time(argument: str, value: Any) -> None:
    with pytest.raises(AirflowFailException, match=argument):
        sensor(operation={"action": "create"}, **{argument: value})


@pytest.mark.parametrize("argument", ["verify", "deferrable", "max_poll_failures", "poke_interval", "timeout"])
def test_a_wrong_template_is_named_before_any_request(
    argument: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    wait = sensor(from_object_type=FROM, to_object_type=TO, inputs=INPUTS, retries=3, **{argument: "{{ 'perhaps' }}"})
    run = airflow.run(wait)
    assert (run.state, hubspot.requests) == ("failed", [])
    assert argument in str(run.error)
    assert isinstance(run.error, AirflowException)


def test_white_space_around_names_is_ignored(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    for limit_input in INPUTS:
        hubspot.set_limit(FROM, TO, limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"])
    wait = sensor(
        from_object_type=f" {FROM}\n", to_object_type=f"{TO} ", inputs=INPUTS, hubspot_conn_id=f" {hubspot_conn}\n"
    )
    assert airflow.run(wait).state == "success"
