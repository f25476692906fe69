"""Set the limits of several directions, with one mapped task for each direction."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator

with DAG(
    dag_id="hubspot_association_limits_many_directions",
    schedule=None,
    catchup=False,
    tags=["hubspot"],
    doc_md=__doc__,
):

    @task
    def directions() -> list[dict[str, Any]]:
        """Return the arguments of each mapped task. Read them from your own file, table or API."""
        return [
            {
                "from_object_type": "contacts",
                "to_object_type": "companies",
                "inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}],
            },
            {
                "from_object_type": "deals",
                "to_object_type": "companies",
                "inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 341, "maxToObjectIds": 3}],
            },
            {
                "from_object_type": "tickets",
                "to_object_type": "contacts",
                "inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 16, "maxToObjectIds": 10}],
            },
        ]

    HubSpotAssociationLimitsOperator.partial(
        task_id="set_limits",
        deferrable=True,
        poll_interval=5,
        retries=2,
        retry_delay=timedelta(seconds=10),
        max_active_tis_per_dag=2,  # stay well below HubSpot's rate limit
        map_index_template="{{ task.from_object_type }} to {{ task.to_object_type }}",
    ).expand_kwargs(directions())
