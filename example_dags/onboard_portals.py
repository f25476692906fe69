"""Bring several portals in line with one file, with one mapped task for each connection."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

with DAG(
    dag_id="hubspot_limits_onboard_portals",
    schedule=None,
    catchup=False,
    params={"connections": Param(["hubspot_default"], type="array", items={"type": "string"})},
    tags=["hubspot"],
    doc_md=__doc__,
):

    @task
    def connections(**context: Any) -> list[str]:
        """Return the ids of the connections to the portals."""
        return list(context["params"]["connections"])

    # The file lists the differences between portals under "portals", by connection id or portal id.
    HubSpotAssociationLimitsSyncOperator.partial(
        task_id="sync",
        config=str(Path(__file__).with_name("limits.yaml")),
        create_missing_labels=True,
        retries=2,
        retry_delay=timedelta(seconds=10),
        map_index_template="{{ task.hubspot_conn_id }}",
    ).expand(hubspot_conn_id=connections())
