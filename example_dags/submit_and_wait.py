"""Set association limits in HubSpot, then wait in a separate task until they are settled."""

from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor

with DAG(
    dag_id="hubspot_association_limits",
    schedule=None,  # trigger it by hand; setting a limit that is already in force does no harm
    catchup=False,
    tags=["hubspot"],
    doc_md=__doc__,
) as dag:
    # A contact may have at most five companies, and be the billing contact of at most one.
    submit = HubSpotAssociationLimitsOperator(
        task_id="submit",
        from_object_type="contacts",
        to_object_type="companies",
        inputs=[
            {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5},
            {"category": "HUBSPOT_DEFINED", "typeId": 931, "maxToObjectIds": 1},
        ],
        wait_for_completion=False,  # the next task does
    )

    # The operator returns the handle of the batch to wait for. Between two reads the sensor holds no worker slot if its
    # mode is "reschedule", and waits in the triggerer if deferrable is True.
    wait = HubSpotAssociationLimitsSensor(
        task_id="wait",
        operation=submit.output,
        poke_interval=0.5,  # seconds; most batches end at once. The intervals grow up to max_poll_interval
        timeout=600,
    )
