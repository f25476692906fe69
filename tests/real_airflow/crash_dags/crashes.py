"""The DAGs that are disturbed by ``tests/real_airflow/test_crashes.py``. The conf of a run says what they do."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator, task

from airflow_provider_hubassoc.operators import (
    HubSpotAssociationLimitsOperator,
    HubSpotAssociationLimitsSyncOperator,
)
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger

INPUTS = [
    {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5},
    {"category": "HUBSPOT_DEFINED", "typeId": 931, "maxToObjectIds": 1},
]
PAIR: dict[str, Any] = {"from_object_type": "contacts", "to_object_type": "companies", "inputs": INPUTS}
RETRIES: dict[str, Any] = {"retries": 5, "retry_delay": timedelta(seconds=1)}
QUICK: dict[str, Any] = {"poll_interval": 1.0, "max_poll_interval": 1.0}
#: A deferral of less than 3 seconds may be lost by a LocalExecutor (apache/airflow issue 66374).
DEFERRED: dict[str, Any] = {"deferrable": True, "poll_interval": 3.0, "max_poll_interval": 4.0}


@task
def asked_for(what: str, params: dict[str, Any] | None = None) -> list[Any]:
    """Return the entry of the run's conf for the task."""
    return (params or {})[what]


with DAG("killed", schedule=None, default_args=RETRIES, params={"create": [], "update": [], "sync": [], "config": ""}):
    HubSpotAssociationLimitsOperator.partial(task_id="create", **PAIR, **QUICK).expand(
        hubspot_conn_id=asked_for.override(task_id="to_create")("create")
    )
    HubSpotAssociationLimitsOperator.partial(task_id="update", action="update", verify=True, **PAIR, **QUICK).expand(
        hubspot_conn_id=asked_for.override(task_id="to_update")("update")
    )
    HubSpotAssociationLimitsSyncOperator.partial(task_id="sync", config="{{ params.config }}").expand(
        hubspot_conn_id=asked_for.override(task_id="to_sync")("sync")
    )

with DAG("waiting", schedule=None, default_args={**RETRIES, "timeout": None}, params={"deferred": [], "working": []}):
    HubSpotAssociationLimitsOperator.partial(
        task_id="deferred", hubspot_conn_id="waiting", to_object_type="contacts", deferrable=True, **QUICK
    ).expand_kwargs(asked_for.override(task_id="to_defer")("deferred"))
    HubSpotAssociationLimitsOperator.partial(
        task_id="working", hubspot_conn_id="waiting", to_object_type="contacts", **QUICK
    ).expand_kwargs(asked_for.override(task_id="to_work")("working"))

with DAG("timing_out", schedule=None):
    HubSpotAssociationLimitsOperator(task_id="operator", hubspot_conn_id="waiting", timeout=5, **PAIR, **DEFERRED)
    HubSpotAssociationLimitsSensor(
        task_id="sensor", hubspot_conn_id="waiting", timeout=5, deferrable=True, poke_interval=3, **PAIR
    )


class RaisesInTheTriggerer(BaseOperator):
    """Hands the triggerer an operation that it cannot read."""

    def execute(self, context: Any) -> None:
        """Defer."""
        self.defer(
            trigger=HubSpotAssociationLimitsTrigger(
                hubspot_conn_id="oauth",
                operation={"action": "nonsense"},
                timeout=None,
                poll_interval=3.0,
                max_poll_interval=4.0,
                max_poll_failures=5,
            ),
            method_name="execute_complete",
        )


with DAG("failing", schedule=None):
    for conn_id in ("unaccepted", "revoked", "unusable", "echoing"):
        HubSpotAssociationLimitsOperator(task_id=conn_id, hubspot_conn_id=conn_id, **PAIR)
    HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        hubspot_conn_id="unaccepted",
        config={"version": 1, "associations": [{"from": "deals", "to": "contacts", "limit": 2}]},
    )
    for conn_id in ("oauth", "soon_revoked"):
        HubSpotAssociationLimitsOperator(task_id=conn_id, hubspot_conn_id=conn_id, timeout=None, **PAIR, **DEFERRED)
    RaisesInTheTriggerer(task_id="raises_in_the_triggerer")
