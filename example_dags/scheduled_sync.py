"""Keep a portal's association limits as the file beside this DAG says, once a day."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

with DAG(
    dag_id="hubspot_limits_sync",
    schedule="@daily",
    catchup=False,
    max_active_runs=1,  # two syncs of one portal at a time would only get into each other's way
    tags=["hubspot"],
    doc_md=__doc__,
):
    HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        config=str(Path(__file__).with_name("limits.yaml")),
        deferrable=True,  # the triggerer sees the limits settle
        retries=3,
        retry_delay=timedelta(minutes=1),
    )
