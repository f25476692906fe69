"""The DAG that ``hubassoc demo`` runs: set two association limits, then wait until HubSpot has settled them."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor

with DAG(dag_id="hubassoc_demo", schedule=None, tags=["hubspot"], doc_md=__doc__) as dag:
    # A contact may have at most five companies, and be the billing contact of at most one.
    submit = HubSpotAssociationLimitsOperator(
        task_id="submit",
        from_object_type="contacts",
        to_object_type="companies",
        inputs=[
            {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5},
            {"category": "HUBSPOT_DEFINED", "typeId": 931, "maxToObjectIds": 1},
        ],
        wait_for_completion=False,
    )
    wait = HubSpotAssociationLimitsSensor(task_id="wait", operation=submit.output, poke_interval=0.5, timeout=60)
