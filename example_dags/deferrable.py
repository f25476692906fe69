"""Set association limits in HubSpot and wait for them without holding a worker slot."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator

with DAG(
    dag_id="hubspot_association_limits_deferrable",
    schedule=None,
    catchup=False,
    tags=["hubspot"],
    doc_md=__doc__,
):
    # A deal may have at most ten contacts. The task ends when a read shows the limit in force.
    HubSpotAssociationLimitsOperator(
        task_id="set_limits",
        from_object_type="deals",
        to_object_type="contacts",
        inputs=[{"category": "HUBSPOT_DEFINED", "typeId": 3, "maxToObjectIds": 10}],
        deferrable=True,  # the triggerer waits
        verify=True,
        poll_interval=5,  # seconds
        retries=2,  # give every deferrable task some: a triggerer may restart
        retry_delay=timedelta(seconds=10),
    )
