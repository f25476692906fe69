"""Set association limits in HubSpot, then wait in a task of its own until HubSpot has settled them."""

from airflow.sdk import DAG

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor

with DAG(
    dag_id="hubspot_association_limits",
    schedule=None,  # run it by hand; a limit that is already in force may be set again
    catchup=False,
    tags=["hubspot"],
    doc_md=__doc__,
) as dag:
    # A contact may have five companies at most, and be the billing contact of one.
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

    # What the operator returns says which operation to wait for. Between two looks at HubSpot the task holds
    # no worker slot if mode is "reschedule", and lives in the triggerer if deferrable is True.
    wait = HubSpotAssociationLimitsSensor(
        task_id="wait",
        operation=submit.output,
        poke_interval=0.5,  # seconds; mostly HubSpot is done at once. The waits grow up to max_poll_interval
        timeout=600,
    )
