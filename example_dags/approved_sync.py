"""Plan, have a person approve the plan in Airflow's UI, then apply exactly that plan."""

from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

with DAG(
    dag_id="hubspot_limits_approved_sync",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["hubspot"],
    doc_md=__doc__,
):
    plan = HubSpotAssociationLimitsSyncOperator(
        task_id="plan",
        config=str(Path(__file__).with_name("limits.yaml")),
        mode="plan",  # never writes
        retries=2,
        retry_delay=timedelta(seconds=10),
    )

    approve = ApprovalOperator(
        task_id="approve",
        subject="Apply these association limits to HubSpot?",
        body="{{ ti.xcom_pull(task_ids='plan', key='plan_markdown') }}",
    )

    # Fails, and writes nothing, if the portal has changed since the plan was made.
    apply = HubSpotAssociationLimitsSyncOperator(
        task_id="apply",
        plan=plan.output["plan"],
        retries=2,
        retry_delay=timedelta(seconds=10),
    )

    plan >> approve >> apply
