"""Notice when somebody changes a limit by hand in HubSpot, and restore it."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_hubassoc.assets import drift_watchers
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsSyncOperator

LIMITS = str(Path(__file__).with_name("limits.yaml"))

# One watcher for each direction in the file. The triggerer reads HubSpot every five minutes and reports drift after a
# difference has lasted for five minutes, because until then a read may show old limits. To see drift reported within a
# minute with the simulator, set HUBSPOT_DRIFT_SECONDS=5 in the environment of the DAG processor.
SECONDS = float(os.environ.get("HUBSPOT_DRIFT_SECONDS", "300"))
drifted = Asset(
    "hubspot_limits_drifted", watchers=drift_watchers(LIMITS, poll_interval=SECONDS, settle_seconds=SECONDS)
)

with DAG(
    dag_id="hubspot_limits_restore_drift",
    schedule=[drifted],
    catchup=False,
    max_active_runs=1,
    tags=["hubspot"],
    doc_md=__doc__,
):

    @task
    def notify(triggering_asset_events: Any = None) -> list[str]:
        """Return one line for each difference. Replace this with a message to your team's channel."""
        events = [event for events in triggering_asset_events.values() for event in events]
        return [line for event in events for line in event.extra["payload"]["drift"]]

    notify() >> HubSpotAssociationLimitsSyncOperator(
        task_id="sync",
        config=LIMITS,
        retries=3,
        retry_delay=timedelta(minutes=1),
    )
