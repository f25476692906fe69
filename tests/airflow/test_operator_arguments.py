"""The batch operator's arguments: literal, templated, from an XCom, mapped, from default_args, serialized."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Param, TaskGroup, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_hubassoc import retry_policy as failures
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import Airflow
from tests.support.scenarios import FIVE_COMPANIES, FROM, INPUTS, LIMITS, ONE_PRIMARY, TO, writes

pytestmark = pytest.mark.usefixtures("dag")

RETRY_POLICY = getattr(failures, "HubSpotRetryPolicy", None)
"""None where Airflow (3.2) has no retry policies."""


def arguments(**changes: Any) -> dict[str, Any]:
    return {
        "task_id": "set_limits",
        "from_object_type": FROM,
        "to_object_type": TO,
        "inputs": INPUTS,
        "poll_interval": 0.05,
        "timeout": 30,
        **changes,
    }


def operator(**changes: Any) -> HubSpotAssociationLimitsOperator:
    return HubSpotAssociationLimitsOperator(**arguments(**changes))


# -- mistakes in literals fail the parsing of the DAG file --


@pytest.mark.parametrize(
    ("changes", "mistakes"),
    [
        (
            {
                "inputs": [
                    {"category": "HUBSPOT", "typeId": 279, "maxToObjectIds": 5},
                    {"category": "HUBSPOT_DEFINED", "typeId": "x", "maxToObjectIds": 0},
                    {"category": "HUBSPOT_DEFINED", "typeId": 2**31, "maxToObjectIds": 1.5},
                    {"category": "HUBSPOT_DEFINED", "maxToObjectIds": True, "max": 5},
                    FIVE_COMPANIES,
                    FIVE_COMPANIES,
                    "279",
                ]
            },
            [
                "inputs[0].category",
                "inputs[1].typeId",
                "inputs[1].maxToObjectIds",
                "inputs[2].typeId",
                "inputs[2].maxToObjectIds",
                "inputs[3].typeId: is missing",
                "inputs[3].maxToObjectIds",
                "inputs[3].'max': is not part",
                "inputs[5]: repeats inputs[4]",
                "inputs[6]: must be a mapping",
            ],
        ),
        ({"inputs": []}, ["inputs: must hold at least one input"]),
        ({"inputs": FIVE_COMPANIES}, ["inputs: must be a list"]),
        ({"inputs": None}, ["inputs: must be a list"]),
        ({"action": "delete"}, ["action: must be one of create, update, purge"]),
        (
            {"action": "purge"},
            [f"inputs[{index}].'maxToObjectIds': is not part of an input of purge" for index in (0, 1)],
        ),
        ({"from_object_type": "", "to_object_type": 7}, ["from_object_type", "to_object_type"]),
        ({"inputs": [FIVE_COMPANIES, {**ONE_PRIMARY, "maxToObjectIds": 6}]}, ["above the object limit of 5"]),
        ({"poll_interval": 0}, ["poll_interval: must be a number of seconds above 0, got 0"]),
        ({"poll_interval": None}, ["poll_interval"]),
        ({"max_poll_interval": "soon"}, ["max_poll_interval"]),
        ({"timeout": timedelta(0)}, ["timeout"]),
        ({"timeout": -1, "poll_interval": True}, ["timeout", "poll_interval"]),
    ],
)
def test_literal_mistakes_fail_the_parsing_all_at_once(changes: dict[str, Any], mistakes: list[str]) -> None:
    with pytest.raises(AirflowFailException) as raised:
        operator(**changes)
    assert [mistake for mistake in mistakes if mistake not in str(raised.value)] == []
    assert len(str(raised.value).splitlines()) == len(mistakes) + 1


def test_a_literal_mistake_is_found_beside_templates_and_xcoms() -> None:
    @task
    def a_number() -> int:
        return 5

    inputs = [
        {"category": "HUBSPOT_DEFINED", "typeId": "{{ params.type }}", "maxToObjectIds": a_number()},
        {"category": "HUBSPOT_DEFINED", "typeId": 1, "maxToObjectIds": -1},
    ]
    with pytest.raises(AirflowFailException, match=r"^task set_limits: inputs\[1\]\.maxToObjectIds: .*\nThe task"):
        operator(from_object_type="{{ params.pair }}", to_object_type=a_number(), inputs=inputs)


# -- templates --


def test_every_template_field_is_rendered(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.1
    with DAG(
        "templated",
        params={
            "from": "contacts",
            "to": "companies",
            "type": 279,
            "max": 5,
            "action": "update",
            "conn": hubspot_conn,
            "seconds": 0.05,
            "timeout": 30,
        },
    ):
        templated = HubSpotAssociationLimitsOperator(
            task_id="set_limits",
            from_object_type="{{ params.from }}",
            to_object_type="{{ params.to }}",
            inputs=[
                {
                    "category": "{{ 'HUBSPOT' }}_DEFINED",
                    "typeId": "{{ params.type }}",
                    "maxToObjectIds": "{{ params.max }}",
                }
            ],
            action="{{ params.action }}",
            hubspot_conn_id="{{ params.conn }}",
            poll_interval="{{ params.seconds }}",  # type: ignore[arg-type]
            max_poll_interval="{{ params.seconds }}",  # type: ignore[arg-type]
            timeout="{{ params.timeout }}",  # type: ignore[arg-type]
        )
    for deferrable in (False, True):
        templated.deferrable = deferrable
        hubspot.clear_requests()
        run = airflow.run(templated)
        assert run.state == "success"
        [post] = [request for request in hubspot.requests if request.method == "POST"]
        assert post.path.endswith("/contacts/companies/batch/update")
        assert post.body == {"inputs": [FIVE_COMPANIES]}
    assert airflow.rendered["inputs"][0]["maxToObjectIds"] == "5"
    assert airflow.rendered["timeout"] == "30"


def test_native_rendering_gives_numbers_and_lists(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 0.1
    params = {"inputs": Param(INPUTS, type="array"), "seconds": 0.05, "timeout": None}
    with DAG("native", params=params, render_template_as_native_obj=True):
        native = operator(
            inputs="{{ params.inputs }}", poll_interval="{{ params.seconds }}", timeout="{{ params.timeout }}"
        )
    assert airflow.run(native).state == "success"
    assert hubspot.limits() == LIMITS


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"from_object_type": "{{ none }}", "inputs": "{{ params.inputs }}"}, "inputs: must be a list, got str"),
        ({"inputs": [{**FIVE_COMPANIES, "typeId": "{{ 'many' }}"}]}, "inputs[0].typeId"),
        ({"action": "{{ 'delete' }}"}, "action: must be one of"),
        ({"poll_interval": "{{ none }}"}, "poll_interval: must be a number of seconds above 0, got 'None'"),
        ({"timeout": "{{ -1 }}"}, "timeout"),
        ({"timeout": "{{ '{{' }}"}, "timeout"),
        ({"max_poll_interval": "{{ 'nan' }}"}, "max_poll_interval"),
    ],
)
def test_mistakes_in_templates_fail_the_task_before_any_request(
    changes: dict[str, Any], mistake: str, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(operator(**changes, params={"inputs": "none"}, retries=3))
    assert run.state == "failed"
    assert mistake in str(run.error)
    assert hubspot.requests == []


def test_a_template_that_cannot_be_rendered_fails_before_any_request(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    run = airflow.run(operator(from_object_type="{{ nowhere.at_all }}"))
    assert run.state == "failed"
    assert hubspot.requests == []


# -- from XCom --


def test_arguments_from_xcom(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def find_inputs() -> list[dict[str, Any]]:
        return INPUTS

    @task
    def find_object_type() -> str:
        return "contacts"

    inputs: Any = find_inputs()
    object_type: Any = find_object_type()
    set_limits = operator(from_object_type=object_type, inputs=inputs)
    assert {limit_input.task_id for limit_input in set_limits.upstream_list} == {"find_inputs", "find_object_type"}
    for upstream in (inputs.operator, object_type.operator):
        assert airflow.run(upstream).state == "success"

    assert airflow.run(set_limits).state == "success"
    assert hubspot.limits() == LIMITS


def test_inputs_from_an_xcom_that_holds_none(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def find_inputs() -> None:
        return None

    inputs: Any = find_inputs()
    set_limits = operator(inputs=inputs, retries=3)
    airflow.run(inputs.operator)
    run = airflow.run(set_limits)
    assert (run.state, hubspot.requests) == ("failed", [])
    assert "inputs: must be a list, got NoneType" in str(run.error)


def test_inputs_from_the_results_of_mapped_tasks(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def find_input(index: int) -> dict[str, Any]:
        return INPUTS[index]

    found: Any = find_input.expand(index=[0, 1])
    set_limits = operator(inputs=found)
    for index in (0, 1):
        assert airflow.run(found.operator, map_index=index).state == "success"
    assert airflow.run(set_limits).state == "success"
    assert hubspot.limits() == LIMITS


# -- mapping --


def test_mapping_over_pairs(airflow: Airflow, hubspot: Simulator, hubspot_conn: str) -> None:
    @task
    def pairs() -> list[dict[str, Any]]:
        return [
            {"from_object_type": "contacts", "to_object_type": "companies", "inputs": INPUTS},
            {
                "from_object_type": "deals",
                "to_object_type": "contacts",
                "inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "maxToObjectIds": 2}],
            },
        ]

    found: Any = pairs()
    mapped = HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits", poll_interval=0.05, deferrable=True
    ).expand_kwargs(found)
    airflow.run(found.operator)
    hubspot.settings.processing_seconds = 0.1
    for index in (0, 1):
        run = airflow.run(mapped, map_index=index)
        assert [leg.state for leg in run.legs] == ["deferred", "success"]
    assert hubspot.limits() == {**LIMITS, ("0-3", "0-1", "HUBSPOT_DEFINED", 3): 2}
    assert airflow.xcoms_of("set_limits", 1)["operation"]["from_object_type"] == "deals"
    assert airflow.xcoms_of("set_limits", 1)["_link_HubSpotObjectSettingsLink"].endswith("/object/0-3")


def test_mapping_over_connections(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator(portal_id=1) as first, Simulator(portal_id=2) as second:
        for name, hubspot in (("FIRST", first), ("SECOND", second)):
            connection = {"conn_type": "hubspot", "host": hubspot.url, "password": hubspot.token}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
        mapped = HubSpotAssociationLimitsOperator.partial(**arguments()).expand(hubspot_conn_id=["first", "second"])
        for index in (0, 1):
            assert airflow.run(mapped, map_index=index).state == "success"
        assert first.limits() == second.limits() == LIMITS
    assert [airflow.xcoms_of("set_limits", index)["portal"]["portal_id"] for index in (0, 1)] == [1, 2]


@pytest.mark.parametrize("retries", [0, 3])
def test_bad_inputs_of_a_mapped_task_fail_it_without_retries(
    retries: int, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    mapped = HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits", from_object_type=FROM, to_object_type=TO, retries=retries
    ).expand(inputs=[INPUTS, [{"category": "HUBSPOT_DEFINED", "typeId": 279}]])
    run = airflow.run(mapped, map_index=1)
    assert (run.state, hubspot.requests) == ("failed", [])
    assert "inputs[0].maxToObjectIds: is missing" in str(run.error)
    assert airflow.run(mapped, map_index=0).state == "success"


def test_a_refusal_of_hubspot_fails_a_mapped_task_without_retries(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    mapped = HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits", to_object_type=TO, inputs=INPUTS, retries=3
    ).expand(from_object_type=["p_nowhere", FROM])
    assert [airflow.run(mapped, map_index=index).state for index in (0, 1)] == ["failed", "success"]


# -- defaults --


def test_default_args_are_used(dag: DAG) -> None:
    with DAG("defaults", default_args={"hubspot_conn_id": "other", "poll_interval": 7, "retries": 4}):
        set_limits = HubSpotAssociationLimitsOperator(
            task_id="set_limits", from_object_type=FROM, to_object_type=TO, inputs=INPUTS
        )
    assert (set_limits.hubspot_conn_id, set_limits.poll_interval, set_limits.retries) == ("other", 7, 4)


def policies(tasks: list[Any]) -> list[Any]:
    return [getattr(task, "retry_policy", None) for task in tasks]


def test_the_users_retry_policy_wins(dag: DAG) -> None:
    if RETRY_POLICY is None:
        assert "retry_policy" not in vars(operator())
        return
    own = type("OwnPolicy", (RETRY_POLICY,), {})()
    given = operator(retry_policy=own)
    by_default = operator(task_id="by_default", default_args={"retry_policy": own})
    group_defaults: Any = {"retry_policy": own}
    with TaskGroup("group", default_args=group_defaults):
        in_group = operator(task_id="in_group")
    with DAG("defaults", default_args={"retry_policy": own}):
        in_dag = operator()
        mapped = HubSpotAssociationLimitsOperator.partial(task_id="mapped", from_object_type=FROM, to_object_type=TO)
        mapped_in_dag = mapped.expand(inputs=[INPUTS]).unmap({"inputs": INPUTS})
    assert policies([given, by_default, in_dag, mapped_in_dag]) == [own] * 4
    assert type(in_group.retry_policy) is type(own)  # task groups copy their defaults
    assert type(operator(task_id="none_given").retry_policy) is RETRY_POLICY


def test_a_mapped_task_has_our_retry_policy(dag: DAG) -> None:
    mapped = HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits", from_object_type=FROM, to_object_type=TO
    ).expand(inputs=[INPUTS])
    unmapped = mapped.unmap({"inputs": INPUTS})
    assert [type(item) for item in policies([unmapped])] == [RETRY_POLICY or type(None)]


# -- Airflow's serializer --


def test_a_dag_with_the_operator_survives_airflows_serializer(dag: DAG) -> None:
    operator(timeout=timedelta(minutes=1), deferrable=True)
    HubSpotAssociationLimitsOperator.partial(task_id="mapped", from_object_type=FROM, to_object_type=TO).expand(
        inputs=[INPUTS]
    )
    serialized = json.dumps(DagSerialization.to_dict(dag))
    restored: Any = DagSerialization.from_dict(json.loads(serialized))
    set_limits, mapped = restored.get_task("set_limits"), restored.get_task("mapped")
    assert set_limits.task_type == "HubSpotAssociationLimitsOperator"
    assert tuple(set_limits.template_fields) == HubSpotAssociationLimitsOperator.template_fields
    assert set_limits.inputs == INPUTS
    assert mapped.task_type == "HubSpotAssociationLimitsOperator"
    assert getattr(set_limits, "has_retry_policy", False) is (RETRY_POLICY is not None)
    assert serialized == json.dumps(DagSerialization.to_dict(dag)), "every parse would make a new version of the DAG"


def test_constructing_an_operator_sends_no_request(hubspot: Simulator, airflow: Airflow) -> None:
    operator(hubspot_conn_id="nowhere")
    assert (hubspot.requests, airflow.asked_for_connections) == ([], [])


def test_wrong_arguments_of_the_wait_fail_before_anything_is_written(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    assert airflow.run(operator(timeout="{{ 'x' }}")).state == "failed"
    assert writes(hubspot) == []
