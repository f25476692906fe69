"""The sync operator: its requests, its XComs, its asset event and its errors."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_hubassoc.assets import drift_watchers
from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.limits.apply import ApplyError
from airflow_provider_hubassoc.limits.config import ConfigError
from airflow_provider_hubassoc.limits.inputs import LimitInputsError
from airflow_provider_hubassoc.limits.plan import StalePlanError
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.templating import InvalidArgumentsError
from tests.support.airflow_in_memory import HAS_3_3, Airflow, Try
from tests.support.portal import HUBSPOT, USER, association, declare, writes

pytestmark = pytest.mark.usefixtures("dag")

CONTACT_TO_COMPANY = ("0-1", "0-2", HUBSPOT, 279)
BILLING_CONTACT = ("0-1", "0-2", HUBSPOT, 931)
PRIMARY_COMPANY = ("0-1", "0-2", HUBSPOT, 1)
DEAL_TO_CONTACT = ("0-3", "0-1", HUBSPOT, 3)

CONFIG = declare(
    association("contacts", "companies", limit=5, labels={"Billing Contact": 1}),
    association("deals", "contacts", limit=10),
)
IN_FORCE = {CONTACT_TO_COMPANY: 5, BILLING_CONTACT: 1, DEAL_TO_CONTACT: 10}
TEXT = """\
version: 1
associations:
  - {from: contacts, to: companies, limit: 5, labels: {Billing Contact: 1}}
  - {from: deals, to: contacts, limit: 10}
"""

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])


def sync(**arguments: Any) -> HubSpotAssociationLimitsSyncOperator:
    if "plan" not in arguments:
        arguments.setdefault("config", CONFIG)
    return HubSpotAssociationLimitsSyncOperator(**{"task_id": "sync", "retries": 1, **arguments})


@pytest.fixture
def impatient(hubspot: Simulator, hubspot_conn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client send each request only once, where its retries would only make a test slow."""
    value: dict[str, Any] = {"conn_type": "hubspot", "host": hubspot.url, "password": hubspot.token}
    monkeypatch.setenv("AIRFLOW_CONN_HUBSPOT_DEFAULT", json.dumps({**value, "extra": {"max_retries": 0}}))


def asset_events(run: Try) -> list[dict[str, Any]]:
    """Return the asset events that a task reported when it ended."""
    events: list[dict[str, Any]] = run.end.reported.get("outlet_events", [])
    return events


def assert_permanent(run: Try, kind: type[Exception]) -> None:
    assert run.state == "failed", run.error
    assert type(run.error) is (kind if HAS_3_3 else AirflowFailException)


# -- where the file comes from ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "JSON path", "dict", "text", "JSON text", "XCom", "templated path"])
def test_config(form: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(TEXT)
    json_path = tmp_path / "limits.json"
    json_path.write_text(json.dumps(CONFIG))
    airflow.xcoms["load", -1, "return_value"] = CONFIG
    load = EmptyOperator(task_id="load")
    config = {
        "path": str(path),
        "JSON path": str(json_path),
        "dict": CONFIG,
        "text": TEXT,
        "JSON text": json.dumps(CONFIG),
        "XCom": load.output,
        "templated path": f"{tmp_path}/{{{{ 'limits' }}}}.yaml",
    }[form]

    run = airflow.run(sync(config=config))

    assert (run.state, run.error) == ("success", None)
    assert hubspot.limits() == IN_FORCE


def test_templates_in_a_dict(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    limit = "{{ params.limit }}"
    dag = DAG("templated", params={"limit": 7})

    run = airflow.run(sync(config=declare(association("deals", "contacts", limit=limit)), dag=dag))

    assert (run.state, run.error) == ("success", None)
    assert hubspot.limits() == {DEAL_TO_CONTACT: 7}


def test_overrides_by_portal_and_by_connection(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_override(name: str) -> dict[str, Any]:
        return {**CONFIG, "portals": {name: {"associations": [association("deals", "contacts", limit=2)]}}}

    def limit_after(config: dict[str, Any], **arguments: Any) -> int:
        assert airflow.run(sync(task_id=f"sync_{len(airflow.pushes)}", config=config, **arguments)).error is None
        return hubspot.limits()[DEAL_TO_CONTACT]

    assert limit_after(with_override(str(hubspot.portal_id))) == 2
    assert limit_after(with_override("another_portal")) == 10
    assert limit_after(with_override(hubspot_conn)) == 2
    assert limit_after(with_override("sandbox"), portal=" sandbox\n") == 2


@pytest.mark.parametrize("portal", ["hubspot-emea", "HUBSPOT_EMEA", "other", 12])
@pytest.mark.parametrize("mode", ["apply", "plan"])
def test_an_explicit_portal_that_the_file_lacks_is_refused(
    portal: Any, mode: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    over = {"portals": {"hubspot_emea": {"associations": [association("deals", "contacts", limit=2)]}}}
    run = airflow.run(sync(config=json.dumps({**CONFIG, **over}), portal=portal, mode=mode, retries=3))
    assert (run.state, writes(hubspot)) == ("failed", [])
    assert "hubspot_emea" in str(run.error)
    assert isinstance(run.error, ConfigError if HAS_3_3 else AirflowFailException)


def test_a_literal_portal_that_a_literal_file_lacks_fails_the_parsing() -> None:
    config = {**CONFIG, "portals": {"hubspot_emea": {"associations": [association("deals", "contacts", limit=2)]}}}
    with pytest.raises(InvalidArgumentsError, match=r"the file has no such portal; it has .hubspot_emea"):
        sync(config=config, portal="hubspot_apac")
    sync(task_id="known", config=config, portal="hubspot_emea")
    sync(task_id="template", config=config, portal="{{ params.portal }}")


# -- what it does ----------------------------------------------------------------------------------------------


def test_the_xcoms_and_the_asset_event_of_a_sync(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    run = airflow.run(sync())

    assert run.xcoms["plan"]["portal_id"] == hubspot.portal_id
    assert len(run.xcoms["plan"]["changes"]) == 3
    assert "| create | contacts -> companies | (unlabeled) | unlimited | 5 |" in run.xcoms["plan_markdown"]
    assert run.result == {"changed": True, **run.xcoms["report"]}
    assert run.result["summary"] == "Applied 3 of 3. Settled."
    (event,) = asset_events(run)
    assert event["dest_asset_key"]["uri"] == f"hubspot://{hubspot.portal_id}/association-limits"
    assert event["source_alias_name"] == "hubspot_association_limits"
    assert event["extra"] == {"applied": run.result["applied"]}
    kept = (airflow.pushes, airflow.store, airflow.rendered, run.events, asset_events(run))
    assert hubspot.token not in repr(kept)


def test_a_second_run_writes_nothing_and_adds_no_asset_event(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    airflow.run(sync(task_id="first"))
    hubspot.clear_requests()

    run = airflow.run(sync())

    assert writes(hubspot) == []
    assert (run.result["changed"], run.result["summary"]) == (False, "Nothing to apply.")
    assert asset_events(run) == []
    assert [leg.state for leg in run.legs] == ["success"]


@WAYS
def test_worker_and_triggerer_verify_alike(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.stale_seconds = 0.3

    run = airflow.run(sync(deferrable=deferrable))

    assert [leg.state for leg in run.legs] == (["deferred"] if deferrable else []) + ["success"]
    result = run.result
    assert [(change["from_object_type"], change["label"], change["target"]) for change in result.pop("applied")] == [
        ("contacts", None, 5),
        ("contacts", "Billing Contact", 1),
        ("deals", None, 10),
    ]
    assert result == {
        "changed": True,
        "summary": "Applied 3 of 3. Settled.",
        "ok": True,
        "settled": True,
        "retryable": False,
        "retry_after": None,
        "refused": [],
        "unconfirmed": [],
        "not_attempted": [],
        "unread": [],
        "unfit": [],
        "portal_id": hubspot.portal_id,
        "applied_by_earlier_tries": [],
    }
    assert len(asset_events(run)) == 1


def test_without_verification_nothing_is_read_after_the_writes(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(sync(verify=False, deferrable=True))

    assert run.result["settled"] is None
    assert [leg.state for leg in run.legs] == ["success"]
    assert all(request.method == "POST" for request in hubspot.requests[-2:])


@WAYS
def test_limits_that_do_not_settle_fail_the_task_with_retries(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.stale_seconds = 1000

    run = airflow.run(sync(deferrable=deferrable, verify_timeout=0.5))

    assert run.state == "up_for_retry"
    assert type(run.error) is ApplyError
    assert str(run.error) == "Applied 3 of 3. Not settled yet."
    report = run.xcoms["report"]
    assert (report["ok"], report["settled"], report["retryable"], len(report["applied"])) == (False, False, True, 3)


@WAYS
def test_failed_reads_do_not_count_as_failed_writes(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.settings.stale_seconds = 1000
    task = sync(deferrable=deferrable, verify_timeout=0.5)
    if deferrable:
        leg = airflow.leg(task)
        hubspot.inject(method="GET", path="/crm/*", status=401, times=99)
        event = airflow.run_trigger(leg.message)
        end = airflow.resume(task, leg.message, event)
        assert end.state == "up_for_retry"
    else:
        hubspot.inject(method="GET", path="/crm/*", times=3, delay=0)  # what the plan reads
        hubspot.inject(method="GET", path="/crm/*", status=401, times=99)
        assert airflow.run(task).state == "up_for_retry"
    report = airflow.xcoms["sync", -1, "report"]
    assert (report["settled"], report["retryable"], len(report["applied"])) == (False, True, 3)


@WAYS
@pytest.mark.usefixtures("impatient")
def test_unanswered_writes_are_verified_by_a_read(deferrable: bool, airflow: Airflow, hubspot: Simulator) -> None:
    # The portal carries the batch out, but no answer comes.
    hubspot.inject(method="POST", path="*/deals/contacts/batch/*", reset=True, after=True, times=99)

    run = airflow.run(sync(deferrable=deferrable, verify_timeout=10))

    assert hubspot.limits() == IN_FORCE
    assert (run.state, run.error) == ("success", None)
    assert run.result["unconfirmed"] == []
    assert len(run.result["applied"]) == 3


def test_many_directions_settle_together(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.stale_seconds = 0.5
    types = [hubspot.add_object_type(f"thing_{number}") for number in range(25)]
    config = declare(*(association("contacts", name, limit=3) for name in types))

    run = airflow.run(sync(config=config, deferrable=True, verify_timeout=10))

    assert (run.state, run.error) == ("success", None)
    assert len(run.result["applied"]) == 25


def test_prune(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.set_limit(*PRIMARY_COMPANY, 1)
    hubspot.set_limit("0-5", "0-1", HUBSPOT, 16, 9)  # a direction that the file does not mention

    assert airflow.run(sync(task_id="keep")).error is None
    assert hubspot.limits()[PRIMARY_COMPANY] == 1
    assert airflow.run(sync(prune=True)).error is None
    assert hubspot.limits() == {**IN_FORCE, ("0-5", "0-1", HUBSPOT, 16): 9}


@pytest.mark.parametrize(
    ("argument", "said", "made"),
    [(True, False, True), (True, True, True), (False, True, False), (None, True, True), (None, False, False)],
)
def test_missing_labels(
    argument: bool | None, said: bool, made: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    labels = {"Champion": {"limit": 2, "create_missing": said, "inverse": "Championed by"}}
    config = declare(association("deals", "contacts", labels=labels))

    run = airflow.run(sync(config=config, create_missing_labels=argument))

    if made:
        assert run.error is None
        ((key, limit),) = hubspot.limits().items()
        assert (key[:3], limit) == (("0-3", "0-1", USER), 2)
    else:
        assert_permanent(run, ApplyError)
        assert 'labels["Champion"]: the portal has no such label in this direction' in str(run.error)
        assert hubspot.limits() == {}
        assert writes(hubspot) == []


# -- planning --------------------------------------------------------------------------------------------------


def test_planning_never_writes(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.set_limit(*PRIMARY_COMPANY, 1)

    run = airflow.run(sync(mode="plan", prune=True, create_missing_labels=True))

    assert run.error is None
    assert all(request.method == "GET" for request in hubspot.requests)
    assert run.result == {
        "summary": "Plan: 3 to create, 0 to update, 1 to purge. 0 unchanged, 0 unmanaged.",
        "portal_id": hubspot.portal_id,
        "changed": False,
        "has_changes": True,
        "counts": {"create": 3, "update": 0, "purge": 1, "unchanged": 0, "unmanaged": 0},
    }
    assert asset_events(run) == []


def test_fail_on_drift(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    drifted = airflow.run(sync(task_id="drifted", mode="plan", fail_on_drift=True))

    assert drifted.state == "failed"
    assert "3 to create" in str(drifted.error)
    assert len(drifted.xcoms["plan"]["changes"]) == 3  # to be seen all the same
    assert writes(hubspot) == []
    assert airflow.run(sync(task_id="rest")).error is None
    assert airflow.run(sync(mode="plan", fail_on_drift=True)).state == "success"


def hand_over(airflow: Airflow, form: str = "plan") -> HubSpotAssociationLimitsSyncOperator:
    """Plan in one task; return another that applies it."""
    planned = sync(task_id="plan", mode="plan")
    assert airflow.run(planned).error is None
    if form == "text":
        return sync(task_id="apply", plan=json.dumps(airflow.xcoms["plan", -1, "plan"]))
    return sync(task_id="apply", plan=planned.output["plan"])


@pytest.mark.parametrize("form", ["XCom", "text"])
def test_a_plan_is_passed_to_another_task(form: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    apply = hand_over(airflow, form)
    hubspot.set_limit("0-5", "0-1", HUBSPOT, 16, 9)  # none of the plan's business

    run = airflow.run(apply)

    assert run.error is None
    assert hubspot.limits() == {**IN_FORCE, ("0-5", "0-1", HUBSPOT, 16): 9}


def test_an_interrupted_plan_continues(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    apply = hand_over(airflow)
    hubspot.set_limit(*DEAL_TO_CONTACT, 10)  # as planned

    run = airflow.run(apply, try_number=2)

    assert run.error is None
    assert len(writes(hubspot)) == 1
    assert hubspot.limits() == IN_FORCE


def test_a_stale_plan_is_refused(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    apply = hand_over(airflow)
    hubspot.set_limit(*DEAL_TO_CONTACT, 4)

    run = airflow.run(apply)

    assert_permanent(run, StalePlanError)
    assert "deals -> contacts (unlabeled): the limit was unlimited and is now 4" in str(run.error)
    assert writes(hubspot) == []


@pytest.mark.parametrize("form", ["XCom", "text"])
def test_a_plan_of_another_portal_is_refused(
    form: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    apply = hand_over(airflow, form)
    hubspot.settings.portal_id = 999

    run = airflow.run(apply)

    assert_permanent(run, StalePlanError)
    assert "the plan was made for portal 12345678, but this is portal 999" in str(run.error)
    assert writes(hubspot) == []


@pytest.mark.parametrize(
    "plan", [{"changes": 1}, "no plan", "[]", {"version": 2}, {}, {"summary": "Applied 1 of 1.", "ok": True}, CONFIG]
)
def test_data_that_is_not_a_plan_is_refused(plan: Any, airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    run = airflow.run(sync(plan=plan))

    assert_permanent(run, LimitInputsError)
    assert "not a plan" in str(run.error)
    assert writes(hubspot) == []


# -- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"config": declare(association("contacts", "companys", limit=0))}, ["companys", "allowed: a whole number"]),
        ({"config": {}}, ["version"]),
        ({"mode": "destroy"}, ["mode: must be apply or plan, got 'destroy'"]),
        ({"plan": {}, "config": CONFIG}, ["config, plan: pass exactly one of them"]),
        ({"plan": None, "config": None}, ["config, plan: pass exactly one of them"]),
        ({"plan": {}, "mode": "plan"}, ["plan: cannot be used with mode='plan'"]),
        ({"fail_on_drift": True}, ["fail_on_drift: can only be used with mode='plan'"]),
        ({"max_concurrency": 0}, ["max_concurrency"]),
        ({"verify_timeout": -1}, ["verify_timeout"]),
    ],
)
def test_literal_mistakes_fail_the_parsing(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises((ConfigError, LimitInputsError, AirflowFailException)) as caught:
        sync(**arguments)
    assert all(item in str(caught.value) for item in words)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("nowhere/limits.txt", ["nowhere/limits.txt"]),
        ("version: 1\nassociations:\n  - {from: contacts, to: 7, limit: 0}\n", ["line 3", "limit"]),
        ("{{ [1] }}", []),
    ],
)
def test_mistakes_in_a_file_are_not_retried(
    config: str, words: list[str], airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(sync(config=config))

    assert_permanent(run, ConfigError)
    assert all(item in str(run.error) for item in words), str(run.error)
    assert writes(hubspot) == []


# -- what goes wrong at HubSpot --------------------------------------------------------------------------------


@WAYS
def test_a_refused_change_does_not_stop_the_others(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.inject(method="POST", path="*/deals/contacts/batch/*", status=400, body={"message": "Not today"}, times=9)

    run = airflow.run(sync(deferrable=deferrable))

    assert_permanent(run, ApplyError)
    assert "Applied 2 of 3: 1 refused. Settled." in str(run.error)
    assert "deals -> contacts (unlabeled) unlimited -> 10: refused (HubSpot refused the request: Not today" in str(
        run.error
    )
    report = run.xcoms["report"]
    assert [len(report[change]) for change in ("applied", "refused", "unconfirmed", "not_attempted")] == [2, 1, 0, 0]
    assert hubspot.limits() == {CONTACT_TO_COMPANY: 5, BILLING_CONTACT: 1}
    assert asset_events(run) == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mode", ["apply", "plan"])
def test_an_unreadable_direction_fails_the_task_at_the_end(mode: str, airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.inject(method="GET", path="*/deals/contacts", status=503, times=99)

    run = airflow.run(sync(mode=mode))

    assert run.state == "up_for_retry"
    assert type(run.error) is ApplyError
    assert "1 direction could not be read" in str(run.error)
    assert hubspot.limits() == ({CONTACT_TO_COMPANY: 5, BILLING_CONTACT: 1} if mode == "apply" else {})


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"status": 503}, "up_for_retry"),
        ({"status": 429}, "up_for_retry"),
        ({"status": 403}, "failed"),
        ({"status": 400}, "failed"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_transient_failures_are_retried(
    fault: dict[str, Any], state: str, airflow: Airflow, hubspot: Simulator
) -> None:
    body = {"policyName": "DAILY"} if fault["status"] == 429 else None
    hubspot.inject(method="POST", path="*/batch/*", times=99, body=body, **fault)

    run = airflow.run(sync())

    assert run.state == state, run.error
    assert type(run.error) in (ApplyError, AirflowFailException)
    assert len(run.xcoms["report"]["applied"]) == 0
    assert hubspot.limits() == {}


def test_a_rejected_token_ends_the_sync_at_once(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.revoke(hubspot.token)

    run = airflow.run(sync())

    assert_permanent(run, errors.HubSpotAuthenticationError)
    assert len(hubspot.requests) == 1
    assert hubspot.token not in str(run.error)


@pytest.mark.skipif(not HAS_3_3, reason="the task state store is new in Airflow 3.3")
@pytest.mark.usefixtures("impatient")
def test_a_retry_reports_the_changes_of_all_tries(airflow: Airflow, hubspot: Simulator) -> None:
    hubspot.inject(method="POST", path="*/deals/contacts/batch/*", status=503, times=99)
    task = sync(retries=2)
    assert airflow.run(task).state == "up_for_retry"
    hubspot.clear_faults()

    run = airflow.run(task, try_number=2)

    assert run.error is None
    assert len(run.result["applied"]) == 1
    assert run.result["changed"] is True
    (event,) = asset_events(run)
    assert len(event["extra"]["applied"]) == 3
    assert airflow.store == {}


@WAYS
def test_a_retry_creates_nothing_twice_although_reads_are_stale(
    deferrable: bool, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    vars(hubspot.settings).update(stale_seconds=10_000, create_existing="error")
    task = sync(deferrable=deferrable, verify_timeout=0.3)
    assert airflow.run(task).state == "up_for_retry"  # all is done, and no read shows it
    assert hubspot.limits() == IN_FORCE
    hubspot.clear_requests()

    run = airflow.run(task, try_number=2)

    assert sorted(writes(hubspot)) == ["update contacts/companies", "update deals/contacts"]
    assert (run.state, run.xcoms["report"]["refused"]) == ("failed", [])  # the last try: still not seen
    hubspot.settings.stale_seconds = 0


# -- being killed ----------------------------------------------------------------------------------------------


def test_a_killed_task_stops_waiting(hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.stale_seconds = 10_000
    operator = sync(verify_timeout=10_000)
    pushed: dict[str, Any] = {}

    class TaskInstance:
        try_number = 1

        def xcom_push(self, key: str, value: Any) -> None:
            pushed[key] = value

    context: Any = {"ti": TaskInstance(), "outlet_events": OutletEventAccessors()}
    failures: list[BaseException] = []

    def run() -> None:
        try:
            operator.execute(context)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while len(writes(hubspot)) < 2:
        thread.join(0.01)
    operator.on_kill()
    thread.join(20)

    assert not thread.is_alive()
    assert "was killed" in str(failures[0])
    assert "plan" in pushed


def test_a_killed_sync_sends_nothing_more(hubspot: Simulator, hubspot_conn: str) -> None:
    everything = [association("contacts", "companies", limit=5), association("deals", "contacts", limit=10)]
    operator = sync(config=declare(*everything), max_concurrency=1)
    operator.on_kill()
    context: Any = {"ti": _Pushing(), "outlet_events": OutletEventAccessors()}
    with pytest.raises(AirflowException, match="The task was killed"):
        operator.execute(context)
    assert writes(hubspot) == []


class _Pushing:
    try_number = 1

    def xcom_push(self, key: str, value: Any) -> None:
        assert json.dumps(value), key


# -- which portal it is ----------------------------------------------------------------------------------------


def test_overrides_need_a_known_portal(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, impatient: None
) -> None:
    own = {str(hubspot.portal_id): {"associations": [association("contacts", "companies", limit=3)]}}
    config = declare(association("contacts", "companies", limit=5), portals=own)
    hubspot.inject(path="/account-info/*", status=503)
    task = sync(config=config)
    run = airflow.run(task)
    assert isinstance(run.error, errors.HubSpotUnavailableError)
    assert writes(hubspot) == []
    assert airflow.run(task).state == "success"
    assert hubspot.limits() == {CONTACT_TO_COMPANY: 3}


def test_overrides_of_the_connection_precede_those_of_the_portal_id(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    portals = {
        name: {"associations": [association("contacts", "companies", limit=limit)]}
        for name, limit in ((str(hubspot.portal_id), 3), ("hubspot_default", 2))
    }
    config = declare(association("contacts", "companies", limit=5), portals=portals)
    assert airflow.run(sync(config=config)).state == "success"
    assert hubspot.limits() == {CONTACT_TO_COMPANY: 2}
    [watcher] = drift_watchers(config, portal=hubspot.portal_id)
    assert watcher.trigger.association["limit"] == 3
    [watcher] = drift_watchers(config)
    assert watcher.trigger.association["limit"] == 2


def test_the_retry_time_of_a_failed_read_is_kept(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, impatient: None
) -> None:
    hubspot.inject(method="GET", path="*/deals/contacts", status=477, headers={"Retry-After": "7200"})
    run = airflow.run(sync())
    assert isinstance(run.error, ApplyError)
    assert (run.error.retryable, run.error.retry_after) == (True, 7200)
