"""Notice when somebody changes a limit by hand in HubSpot, and restore it."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_hubassoc.assets import drift_watchers
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

LIMITS = str(Path(__file__).with_name("limits.yaml"))

# One watcher for each direction in the file. The triggerer reads HubSpot every five minutes, and reports drift when a
# difference has lasted for five minutes: until then a read may show old limits. To see it work within a minute, with
# the simulator, set HUBSPOT_DRIFT_SECONDS=5 where the DAG processor runs.
SECONDS = float(os.environ.get("HUBSPOT_DRIFT_SECONDS", "300"))
drifted = Asset(
    "hubspot_limits_drifted", watchers=drift_watchers(LIMITS, poll_interval=SECONDS, settle_seconds=SECONDS)
)

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
        """Return a line for each difference; send them to your team's channel here."""
        events = [event for events in triggering_asset_events.values() for event in events]
        return [line for event in events for line in event.extra["payload"]["drift"]]

    tell() >> HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        config=LIMITS,
        retries=3,
        retry_delay=timedelta(minutes=1),
    )
