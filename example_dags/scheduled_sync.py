"""Bring a portal's association limits in line with the file beside this DAG, once a day."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

with DAG(
    dag_id="hubspot_limits_sync",
    schedule="@daily",
    catchup=False,
    max_active_runs=1,  # two syncs of one portal at the same time are safe, but do the work twice
    tags=["hubspot"],
    doc_md=__doc__,
):
    HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        config=str(Path(__file__).with_name("limits.yaml")),
        deferrable=True,  # the triggerer waits until the limits are settled
        retries=3,
        retry_delay=timedelta(minutes=1),
    )
