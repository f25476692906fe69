"""A purge succeeds however HubSpot words its answer, in the worker and in the triggerer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import Airflow
from tests.support.scenarios import FROM, TO, writes

pytestmark = pytest.mark.usefixtures("dag")


@pytest.mark.parametrize("seconds", [0, 0.1])
@pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])
@pytest.mark.parametrize("answer", ["204", "[]", "[{}]", '["<unknown>"]'])
def test_a_purge_is_sent_once(
    answer: str, deferrable: bool, seconds: float, airflow: Airflow, hubspot: Simulator, hubspot_conn: str
) -> None:
    hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 5)
    hubspot.settings.purge_answer, hubspot.settings.processing_seconds = answer, seconds
    inputs: list[dict[str, Any]] = [{"category": "HUBSPOT_DEFINED", "typeId": 279}]
    task = HubSpotAssociationLimitsOperator(
        task_id="purge",
        from_object_type=FROM,
        to_object_type=TO,
        inputs=inputs,
        action="purge",
        poll_interval=0.05,
        timeout=30,
        deferrable=deferrable,
    )

    run = airflow.run(task)

    assert (run.state, run.result["status"]) == ("success", "COMPLETE")
    assert run.result["refused"] == run.result["unconfirmed"] == []
    assert len(writes(hubspot)) == 1
    assert hubspot.limits() == {}
