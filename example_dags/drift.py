"""Notice when somebody changes a limit by hand in HubSpot, and set it right."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_hubassoc.assets import drift_watchers
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

LIMITS = str(Path(__file__).with_name("limits.yaml"))

# One watcher for each direction in the file. The triggerer reads HubSpot every five minutes, and takes a difference
# for drift when it has lasted for five minutes: until then it may be an old copy of HubSpot's.
drifted = Asset("hubspot_limits_drifted", watchers=drift_watchers(LIMITS, poll_interval=300, settle_seconds=300))

with DAG(
    dag_id="hubspot_limits_mend_drift",
    schedule=[drifted],
    catchup=False,
    max_active_runs=1,
    tags=["hubspot"],
    doc_md=__doc__,
):

    @task
    def tell(triggering_asset_events: Any = None) -> list[str]:
        """Say what has drifted; send it to a channel of yours."""
        events = [event for events in triggering_asset_events.values() for event in events]
        return [line for event in events for line in event.extra["payload"]["drift"]]

    tell() >> HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        config=LIMITS,
        retries=3,
        retry_delay=timedelta(minutes=1),
    )
