"""Tasks that do not succeed: failed at once, retried, resumed by a later try, killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.operators import (
    HubSpotAssociationLimitsOperator,
    HubSpotAssociationLimitsSyncOperator,
)
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import HAS_3_3, Airflow
from tests.support.scenarios import FIVE_COMPANIES, FROM, INPUTS, LIMITS, NEVER, ONE_PRIMARY, READS, TO, writes

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
            "retries": 3,
            **arguments,
        }
    )


# -- when to come back --


@pytest.mark.parametrize(
    ("fault", "delay"),
    [
        ({"status": 477, "headers": {"Retry-After": "7200"}}, 7200),
        ({"status": 429, "headers": {"Retry-After": "61"}}, 61),
        ({"status": 503, "headers": {"Retry-After": "300"}}, 300),
    ],
)
def test_the_task_is_retried_at_the_time_hubspot_names(
    fault: dict[str, Any], delay: float, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(method="POST", times=99, **fault)
    run = airflow.run(operator())
    assert (run.state, len(writes(hubspot))) == ("up_for_retry", 1)
    if HAS_3_3:
        assert run.end.retry_delay == delay
        assert run.end.reported["retry_reason"] == "HubSpot named the time to retry"
    else:
        assert run.end.retry_delay is None


def test_an_exhausted_daily_limit_is_retried_after_the_portals_midnight(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.daily_limit = 1  # for the question which portal it is, and so where midnight is
    run = airflow.run(operator())
    assert (run.state, hubspot.limits()) == ("up_for_retry", {})
    assert isinstance(run.error, errors.HubSpotRateLimitError)
    assert run.error.policy == "DAILY"
    if HAS_3_3:
        now = datetime.now(tz=ZoneInfo(hubspot.settings.time_zone))
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=1)
        assert run.end.retry_delay == pytest.approx((midnight - now).total_seconds(), abs=3700)


def test_a_wait_that_hubspot_postpones_is_retried_at_the_named_time(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    hubspot.inject(method="GET", path=READS, status=477, headers={"Retry-After": "3600"}, times=99)
    run = airflow.run(operator(max_poll_failures=1))
    assert type(run.error) is errors.HubSpotPollError
    assert (run.state, run.end.retry_delay) == ("up_for_retry", 3600 if HAS_3_3 else None)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 423},
        {"status": 503, "headers": {"Retry-After": "1"}},
        {"status": 200, "body": "{"},
        {"status": 301, "headers": {"Location": "/elsewhere"}},
    ],
    ids=str,
)
def test_other_transient_errors_follow_the_tasks_own_retry_delay(
    fault: dict[str, Any], airflow: Airflow, hubspot: Simulator, monkeypatch: pytest.MonkeyPatch, hubspot_conn: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ONCE", _connection(hubspot, max_retries=0))
    hubspot.inject(method="POST", times=99, **fault)
    run = airflow.run(operator(hubspot_conn_id="once"))
    assert (run.state, run.end.retry_delay) == ("up_for_retry", None)
    assert isinstance(run.error, errors.HubSpotError)


@pytest.mark.parametrize("status", [400, 403, 404, 437])
def test_permanent_errors_do_not_consume_retries(
    status: int, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(method="POST", status=status, body={"status": "error", "message": "No."}, times=99)
    run = airflow.run(operator())
    assert (run.state, len(writes(hubspot))) == ("failed", 1)
    assert "No." in str(run.error)
    assert isinstance(run.error, errors.HubSpotError if HAS_3_3 else AirflowFailException)
    if not HAS_3_3:
        assert isinstance(run.error.__cause__, errors.HubSpotError)


def test_a_token_that_has_just_worked_is_permanently_rejected_only_by_the_next_try(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    rejected = {"status": 401, "body": {"status": "error", "message": "No."}}
    hubspot.inject(method="POST", times=2, **rejected)
    task = operator(retries=3)
    first = airflow.run(task)
    assert (first.state, len(writes(hubspot))) == ("up_for_retry", 2)
    hubspot.inject(times=99, **rejected)
    second = airflow.run(task, try_number=2)
    assert second.state == "failed"
    assert isinstance(second.error, errors.HubSpotAuthenticationError if HAS_3_3 else AirflowFailException)


def test_the_users_policy_decides_in_place_of_ours(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    if not HAS_3_3:
        return
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

    rule = RetryRule(
        exception=errors.HubSpotOperationError, action=RetryAction.RETRY, retry_delay=timedelta(seconds=17)
    )
    hubspot.settings.canceled = True
    run = airflow.run(operator(retry_policy=ExceptionRetryPolicy(rules=[rule])))
    assert (run.state, run.end.retry_delay) == ("up_for_retry", 17)


def test_without_tries_left_the_task_fails(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.inject(method="POST", status=477, headers={"Retry-After": "7200"}, times=99)
    assert airflow.run(operator(retries=1), try_number=2).state == "failed"


# -- the next try --


@WAYS
@pytest.mark.parametrize("action", ["create", "update"])
def test_a_second_try_waits_for_the_batch_that_the_first_has_sent(
    action: str, deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER, status_links=False)
    hubspot.inject(method="GET", path=READS, status=503, times=2)
    set_limits = operator(action=action, deferrable=deferrable, max_poll_failures=2)
    first = airflow.run(set_limits)
    assert (first.state, type(first.error)) == ("up_for_retry", errors.HubSpotPollError)
    # Meanwhile HubSpot gets on with it.
    for limit_input in INPUTS:
        hubspot.set_limit(FROM, TO, limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"])
    hubspot.settings.processing_seconds = 0

    second = airflow.run(set_limits, try_number=2)

    assert second.state == "success"
    assert second.result["applied"] == INPUTS
    assert airflow.store == {}
    if HAS_3_3:
        assert len(writes(hubspot)) == 1
        assert second.result["correlation_id"] == first.xcoms["operation"]["correlation_id"]
    else:  # create reads before it sends, update is sent again
        assert len(writes(hubspot)) == {"create": 1, "update": 2}[action]


def test_a_changed_batch_is_sent_although_another_is_running(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.processing_seconds = 0.1
    hubspot.inject(method="GET", path=READS, status=503)
    set_limits = operator(action="update", inputs="{{ params.inputs }}", params={"inputs": INPUTS}, max_poll_failures=1)
    set_limits.dag.render_template_as_native_obj = True
    assert airflow.run(set_limits).state == "up_for_retry"
    set_limits.params["inputs"] = [{**FIVE_COMPANIES, "maxToObjectIds": 9}]
    assert airflow.run(set_limits, try_number=2).state == "success"
    assert hubspot.limits()["0-1", "0-2", "HUBSPOT_DEFINED", 279] == 9


def test_an_unreadable_handle_in_the_store_is_ignored(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    airflow.store["set_limits", -1, "hubspot_operation"] = {"from": "another version"}
    assert airflow.run(operator(), try_number=2).state == "success"
    assert hubspot.limits() == LIMITS


def test_another_task_does_not_wait_for_the_batch(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    first = airflow.leg(operator(deferrable=True))
    assert first.state == "deferred"
    hubspot.settings.processing_seconds = 0
    another = operator(task_id="another")
    assert airflow.run(another).state == "success"
    assert len(writes(hubspot)) == 2


def test_a_first_try_sends_its_batch_whatever_the_store_holds(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    """The store may hold the handle of an earlier run of the task: only a later try waits for it."""
    vars(hubspot.settings).update(NEVER)
    set_limits = operator(action="update", deferrable=True)
    handles = [airflow.leg(set_limits, try_number=1).message.trigger_kwargs["operation"] for _ in range(2)]
    assert len(writes(hubspot)) == 2
    assert handles[0]["correlation_id"] != handles[1]["correlation_id"]


def test_a_batch_of_another_connection_is_not_waited_for(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", os.environ[f"AIRFLOW_CONN_{hubspot_conn.upper()}"])
    vars(hubspot.settings).update(NEVER)
    set_limits = operator(
        action="update", deferrable=True, hubspot_conn_id="{{ params.conn_id }}", params={"conn_id": hubspot_conn}
    )
    assert airflow.leg(set_limits).state == "deferred"
    set_limits.params["conn_id"] = "other"
    assert airflow.leg(set_limits, try_number=2).state == "deferred"
    assert len(writes(hubspot)) == 2


@WAYS
def test_after_a_timeout_the_next_try_sends_the_batch_again(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    set_limits = operator(action="update", timeout=0.1, deferrable=deferrable)
    assert airflow.run(set_limits).state == "up_for_retry"
    assert airflow.store == {}
    hubspot.settings.processing_seconds = 0
    assert airflow.run(set_limits, try_number=2).state == "success"


def test_a_batch_older_than_its_timeout_is_sent_again(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    """A waiting task was marked failed; days later, with other limits in the portal, it is cleared."""
    vars(hubspot.settings).update(NEVER)
    set_limits = operator(deferrable=True, timeout=3600)
    assert airflow.leg(set_limits).state == "deferred"
    hubspot.settings.processing_seconds = 0
    for key, handle in airflow.store.items():
        airflow.store[key] = {**handle, "started_at_epoch": handle["started_at_epoch"] - 4000}
    run = airflow.run(set_limits, try_number=2)
    assert (run.state, hubspot.limits()) == ("success", LIMITS)


def test_a_resumed_wait_counts_the_time_already_waited(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    set_limits = operator(deferrable=True, timeout=3600, execution_timeout=timedelta(seconds=1800))
    first = airflow.leg(set_limits)
    for key, handle in airflow.store.items():
        airflow.store[key] = {**handle, "started_at_epoch": handle["started_at_epoch"] - 1000}
    if HAS_3_3:
        again = airflow.leg(set_limits, try_number=2).message.trigger_kwargs
        assert len(writes(hubspot)) == 1
        assert again["operation"]["correlation_id"] == first.message.trigger_kwargs["operation"]["correlation_id"]
        assert first.message.trigger_kwargs["waited"] == 0
        assert again["waited"] == pytest.approx(1000, abs=60)
        assert again["timeout"] == pytest.approx(2800, abs=60)  # each try has its own execution_timeout


@pytest.mark.parametrize("ahead", [660.0, 86_400.0])
def test_a_worker_with_a_slow_clock_restarts_the_wait(
    ahead: float, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    set_limits = operator(deferrable=True, timeout=3600)
    airflow.leg(set_limits)
    for key, handle in airflow.store.items():
        airflow.store[key] = {**handle, "started_at_epoch": handle["started_at_epoch"] + ahead}
    if HAS_3_3:
        again = airflow.leg(set_limits, try_number=2).message
        assert len(writes(hubspot)) == 1
        assert again.trigger_kwargs["waited"] == 0
        assert again.trigger_timeout == timedelta(seconds=3900)


def test_without_a_store_a_second_create_sends_only_missing_limits(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    """The worker of the first try died after HubSpot had answered and before the handle was stored."""
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 5)
    run = airflow.run(operator(), try_number=2)
    assert run.state == "success"
    assert run.result["applied"] == INPUTS
    steps = [(request.method, request.path.rpartition("/")[2]) for request in hubspot.requests]
    assert steps == [("GET", "details"), ("GET", "companies"), ("POST", "update")]
    assert hubspot.requests[-1].body == {"inputs": [ONE_PRIMARY]}


def test_a_second_create_sends_nothing_if_the_limits_are_in_force(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    for limit_input in INPUTS:
        hubspot.set_limit(FROM, TO, limit_input["category"], limit_input["typeId"], limit_input["maxToObjectIds"])
    run = airflow.run(operator(), try_number=2)
    assert (run.state, run.result["status"], writes(hubspot)) == ("success", "COMPLETE", [])


# -- the end by force --


def test_killed_while_waiting(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    with sigterm_when(lambda: writes(hubspot)):
        leg = airflow.leg(operator(poll_interval=1000, max_poll_interval=1000, timeout=10_000))
    assert isinstance(leg.error, AirflowException)
    assert "The task was killed" in str(leg.error)
    assert len(writes(hubspot)) == 1


def test_killed_while_hubspot_asks_to_wait(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.inject(method="POST", status=503, headers={"Retry-After": "59"}, times=99)
    with sigterm_when(lambda: writes(hubspot)):
        leg = airflow.leg(operator())
    assert "The task was killed" in str(leg.error)
    assert len(writes(hubspot)) == 1


def test_execution_timeout_ends_the_wait_in_the_worker(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    vars(hubspot.settings).update(NEVER)
    leg = airflow.leg(operator(execution_timeout=timedelta(seconds=0.4), timeout=None))
    assert (leg.state, type(leg.error)) == ("up_for_retry", AirflowTaskTimeout)
    assert airflow.xcoms_of("set_limits")["operation"]["status"] == "PENDING"


@pytest.mark.parametrize("timeout", [None, 10_000])
def test_execution_timeout_ends_the_wait_in_the_triggerer(
    timeout: float | None, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(NEVER)
    run = airflow.run(operator(execution_timeout=timedelta(seconds=0.4), timeout=timeout, deferrable=True))
    assert (run.state, type(run.error)) == ("up_for_retry", errors.HubSpotOperationTimeoutError)
    assert run.events[0]["outcome"] == "timeout"
    assert run.legs[0].message.trigger_timeout.total_seconds() == pytest.approx(300.4, abs=1)


def test_execution_timeout_ends_every_thread_of_a_sync(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.inject(method="GET", path=READS, status=503, headers={"Retry-After": "59"}, times=99)
    directions = [("contacts", "companies"), ("deals", "contacts"), ("tickets", "contacts")]
    sync = HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        config={"version": 1, "associations": [{"from": one, "to": two, "limit": 5} for one, two in directions]},
        retries=1,
        execution_timeout=timedelta(seconds=0.4),
    )
    leg = airflow.leg(sync)
    assert (leg.state, type(leg.error)) == ("up_for_retry", AirflowTaskTimeout)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("hubassoc")] == []
    assert len(hubspot.requests) == 4


@contextmanager
def sigterm_when(condition: Callable[[], object]) -> Iterator[None]:
    """Send this process the signal with which Airflow ends a task, as soon as something has happened."""
    done = threading.Event()
    sent = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            if condition():
                os.kill(os.getpid(), signal.SIGTERM)
                sent.set()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert sent.is_set()


def _connection(hubspot: Simulator, **extra: Any) -> str:
    import json

    return json.dumps({"conn_type": "hubspot", "host": hubspot.url, "password": hubspot.token, "extra": extra})
