"""Write deferred tasks into a metadata database, without a worker.

``python -m tests.support.waiting``, in the environment of an Airflow whose database is migrated. On its standard
input it takes JSON: ``connection``, as Airflow's model takes it, and ``waits``, the arguments of one
``HubSpotAssociationLimitsTrigger`` each. What it writes is what an operator leaves behind when it defers: a mapped task
instance for each wait, in the state deferred, and its trigger with encrypted arguments.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.models.connection import Connection
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk import DAG, task
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from airflow.utils import timezone
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger

DAG_ID = "waiting"
TASK_ID = "submit"
_BUNDLE = "waiting"


def _dag() -> DAG:
    with DAG(DAG_ID, schedule=None) as dag:

        @task
        def batches() -> list[dict[str, Any]]:
            return []

        HubSpotAssociationLimitsOperator.partial(task_id=TASK_ID, deferrable=True).expand_kwargs(batches())
    return dag


def main() -> None:
    """Write it all in one transaction: the triggerer sees every wait or none."""
    given = json.load(sys.stdin)
    dag = _dag()
    now = timezone.utcnow()
    with create_session() as session:
        session.add(Connection(**given["connection"]))
        session.add(DagBundleModel(name=_BUNDLE))
        session.flush()
        SerializedDAG.bulk_write_to_db(_BUNDLE, None, [dag], session=session)
        SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), _BUNDLE, session=session)
        session.flush()
        version = DagVersion.get_latest_version(DAG_ID, session=session)
        assert version is not None
        stored: Any = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        run = stored.create_dagrun(
            run_id="manual__load",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            start_date=now,
            session=session,
        )
        for map_index, arguments in enumerate(given["waits"]):
            trigger = Trigger.from_object(HubSpotAssociationLimitsTrigger(**arguments))
            session.add(trigger)
            session.flush()
            instance = TaskInstance(
                stored.get_task(TASK_ID),
                version.id,
                run_id=run.run_id,
                state=TaskInstanceState.DEFERRED,
                map_index=map_index,
            )
            instance.try_number = 1
            instance.start_date = now
            instance.trigger_id = trigger.id
            instance.next_method = "execute_complete"
            instance.next_kwargs = {}
            session.add(instance)


if __name__ == "__main__":
    main()
