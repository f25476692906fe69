"""Plan, let a person approve the plan in Airflow's UI, then apply exactly that plan.

If the portal is as declared, the tasks after the plan are skipped and nobody is asked.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

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

    @task.short_circuit
    def has_changes(planned: dict[str, Any]) -> bool:
        """Return whether there is anything to approve."""
        return bool(planned["has_changes"])

    approve = ApprovalOperator(
        task_id="approve",
        subject=(
            "Apply these association limits to HubSpot portal {{ ti.xcom_pull(task_ids='plan')['portal_id'] }}"
            " (connection hubspot_default)?"
        ),
        body="{{ ti.xcom_pull(task_ids='plan', key='plan_markdown') }}",
    )

    # Fails, and writes nothing, if the portal has changed since the plan was made.
    apply = HubSpotAssociationLimitsSyncOperator(
        task_id="apply",
        plan=plan.output["plan"],
        retries=2,
        retry_delay=timedelta(seconds=10),
    )

    has_changes(plan.output) >> approve >> apply
