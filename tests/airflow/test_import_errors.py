"""A DAG file with mistakes: Airflow shows one message with the task, each mistake once, and the line of the file."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import BundleDagBag, DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.inputs import check_count, parse_boolean, parse_seconds
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator, HubSpotAssociationLimitsSyncOperator
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.templating import InvalidArgumentsError, is_literal, mistakes_fail_parsing
from tests.support.airflow_in_memory import Airflow

DAG_FILE = """\
from airflow.sdk import DAG
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator

def make(task_id, **arguments):
    return HubSpotAssociationLimitsOperator(
        task_id=task_id, from_object_type="contacts", to_object_type="companies", **arguments
    )

with DAG("limits"):
    make(
        "set_limits",
        inputs=[
            {"category": "HUBSPOT_DEFINED", "typeId": "x", "maxToObjectIds": 5},
            {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 2.5},
        ],
    )
"""


def import_error(bag: type[DagBag], folder: Path, text: str = DAG_FILE) -> str:
    file = folder / "limits.py"
    file.write_text(text)
    options: dict[str, Any] = {"bundle_path": folder, "bundle_name": "dags"} if bag is BundleDagBag else {}
    [error] = bag(str(folder), load_op_links=False, **options).import_errors.values()
    return error


@pytest.mark.parametrize("bag", [DagBag, BundleDagBag])
def test_an_import_error_names_the_task_its_mistakes_and_the_line_once(bag: type[DagBag], tmp_path: Path) -> None:
    error = import_error(bag, tmp_path)
    assert error.count("Traceback") == 1
    assert "During handling" not in error
    assert "direct cause" not in error
    for mistake in ("task set_limits: inputs[0].typeId: must be", "task set_limits: inputs[1].maxToObjectIds: must be"):
        assert error.count(mistake) == 1
    # Airflow cuts the traceback to its last two frames, which are not the user's.
    assert re.search(rf"The task is defined in {re.escape(str(tmp_path / 'limits.py'))}, line [5-7]\.", error)


def test_mistakes_of_the_sync_operator_are_reported_alike(tmp_path: Path) -> None:
    text = (
        "from airflow.sdk import DAG\n"
        "from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator\n"
        'with DAG("limits"):\n'
        '    HubSpotAssociationLimitsSyncOperator(task_id="sync", config={"version": 1, "associations": [5]})\n'
    )
    error = import_error(BundleDagBag, tmp_path, text)
    assert error.count("task sync: config: associations[0]: found 5; allowed: a mapping") == 1
    assert f"{tmp_path / 'limits.py'}, line 4" in error


def check_all() -> None:
    with mistakes_fail_parsing("sync") as mistakes:
        mistakes.add("mode: must be apply or plan, got 'x'")
        with mistakes.collected():
            check_count("max_concurrency", 0)
        with mistakes.collected():
            parse_seconds({"timeout": -1, "poll_interval": "soon"})
        for _ in range(2):
            with mistakes.collected():
                parse_boolean("prune", "maybe")
        with mistakes.collected("config"):
            load_config({"version": 1, "associations": ["a", "b"]})
        raise ValueError("and one more")


def test_mistakes_of_several_kinds_are_collected() -> None:
    with pytest.raises(InvalidArgumentsError) as raised:
        check_all()
    lines = str(raised.value).splitlines()
    assert [line.split(": ", 2)[:2] for line in lines[:-2]] == [
        ["task sync", argument]
        for argument in ("mode", "max_concurrency", "timeout", "poll_interval", "prune", "config", "config")
    ]
    assert lines[-2] == "task sync: and one more"
    assert lines[-1].startswith(f"The task is defined in {__file__}, line ")
    assert "During handling" not in "".join(traceback.format_exception(raised.value))


def test_no_mistake_raises_nothing() -> None:
    with mistakes_fail_parsing("sync") as mistakes, mistakes.collected():
        check_count("max_concurrency", "8")


def test_other_errors_are_raised_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), mistakes_fail_parsing("sync"):
        print(1 / 0)


def test_a_mapped_task_names_no_line_of_airflow(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, dag: DAG
) -> None:
    mapped = HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits", from_object_type="contacts", to_object_type="companies"
    ).expand(inputs=[[{"category": "HUBSPOT_DEFINED", "typeId": 279}]])
    run = airflow.run(mapped, map_index=0)
    assert (run.state, hubspot.requests) == ("failed", [])
    assert str(run.error) == "task set_limits: inputs[0].maxToObjectIds: is missing"


def test_a_file_that_is_missing_for_a_moment_is_retried(
    airflow: Airflow, hubspot: Simulator, hubspot_conn: str, dag: DAG, tmp_path: Path
) -> None:
    sync = HubSpotAssociationLimitsSyncOperator(task_id="sync", config=str(tmp_path / "limits.yaml"), retries=1)
    assert airflow.run(sync).state == "up_for_retry"
    (tmp_path / "limits.yaml").write_text("version: 1\nassociations: [{from: contacts, to: companies, limit: 5.0}]\n")
    assert airflow.run(sync).state == "success"
    assert hubspot.limits() == {("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5}
    (tmp_path / "limits.yaml").write_text("version: 1\nassociations: [{from: contacts, to: companies, limit: x}]\n")
    assert airflow.run(sync).state == "failed"


@pytest.mark.parametrize("value", [5, 5.0, True, "text", None, Path("limits.yaml"), [1], {"a": 1}])
def test_plain_values_are_checked_when_the_file_is_parsed(value: Any) -> None:
    assert is_literal(value)
    assert not is_literal("{{ value }}")
    assert issubclass(InvalidArgumentsError, AirflowFailException)
