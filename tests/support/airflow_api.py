"""A client of Airflow's REST API, for tests that run a real Airflow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import requests

from tests.support.polling import wait_for


class AirflowAPI:
    """A little of Airflow's REST API (``/api/v2``).

    :param url: base URL of the api-server.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy stands between this machine and itself

    def log_in(self) -> None:
        """Fetch a token; in this deployment everybody is an admin."""
        answer = self.session.get(f"{self.url}/auth/token", timeout=30)
        answer.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the API and decode its answer.

        :param method: HTTP method.
        :param path: path below ``/api/v2``.
        :param arguments: passed on to ``requests``.
        :return: the decoded JSON body, or None if it is empty.
        :raises requests.HTTPError: on an answer of 400 or above, with its body in the message.
        """
        # A database on SQLite is locked now and then; Airflow says 500 then, and means "again, please".
        for attempt in range(5):
            answer = self.session.request(method, f"{self.url}/api/v2{path}", timeout=30, **arguments)
            if answer.status_code != 500 or attempt == 4:
                break
            time.sleep(1)
        if answer.status_code >= 400:
            raise requests.HTTPError(f"{method} {path}: {answer.status_code} {answer.text}", response=answer)
        return answer.json() if answer.content else None

    def health(self) -> dict[str, str | None]:
        """Return the status of each component, by Airflow's name for it."""
        return {name: part["status"] for name, part in self.call("GET", "/monitor/health").items()}

    def dags(self) -> list[dict[str, Any]]:
        """Return the DAGs that Airflow has read so far."""
        dags: list[dict[str, Any]] = self.call("GET", "/dags")["dags"]
        return dags

    def unpause(self, dag_id: str) -> None:
        """Let the runs of a DAG start."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def import_errors(self) -> list[str]:
        """Return the stack trace of every DAG file that could not be read."""
        return [error["stack_trace"] for error in self.call("GET", "/importErrors")["import_errors"]]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a DAG run and return its id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a DAG run; ``~`` stands for all DAGs, and for all runs."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"
        instances: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", path, params={"limit": 100, "offset": len(instances), "order_by": "id"})
            instances += page["task_instances"]
            if not page["task_instances"] or len(instances) >= page["total_entries"]:
                return instances

    def of_task(self, instance: Mapping[str, Any]) -> str:
        """Return the path of a task instance."""
        return f"/dags/{instance['dag_id']}/dagRuns/{quote(instance['dag_run_id'])}/taskInstances/{instance['task_id']}"

    def xcom(self, instance: Mapping[str, Any], key: str = "return_value") -> Any:
        """Return the XCom of a task instance under a key."""
        answer = self.call(
            "GET",
            f"{self.of_task(instance)}/xcomEntries/{key}",
            params={"map_index": instance["map_index"], "deserialize": False},
        )
        return answer["value"]

    def log(self, instance: Mapping[str, Any]) -> str:
        """Return the log of the last try of a task instance, one event a line."""
        answer = self.call(
            "GET",
            f"{self.of_task(instance)}/logs/{instance['try_number']}",
            params={"map_index": instance["map_index"], "full_content": True},
            headers={"Accept": "application/json"},
        )
        lines = []
        for event in answer["content"]:
            lines.append(str(event.get("event", event)))
            lines += [f"{detail['exc_type']}: {detail['exc_value']}" for detail in event.get("error_detail") or ()]
        return "\n".join(lines)

    def links(self, instance: Mapping[str, Any]) -> dict[str, str | None]:
        """Return the extra links of a task instance, by name."""
        params = {"map_index": instance["map_index"]}
        links: dict[str, str | None] = self.call("GET", f"{self.of_task(instance)}/links", params=params)["extra_links"]
        return links

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, timeout: float = 300) -> FinishedRun:
        """Trigger a DAG, watch its tasks, and wait for the end of the run.

        :param dag_id: the DAG.
        :param conf: values for its params.
        :param timeout: seconds after which it is given up.
        :return: the run, with every state that a task was seen in.
        :raises TimeoutError: if the run has not ended by then.
        """
        return self.finish(dag_id, self.trigger(dag_id, conf), timeout=timeout)

    def finish(self, dag_id: str, run_id: str, *, timeout: float = 300) -> FinishedRun:
        """Watch the tasks of a run, and wait for its end; parameters and more as :meth:`run`."""
        seen: dict[tuple[str, int], list[str]] = {}

        def look() -> str | None:
            for instance in self.task_instances(dag_id, run_id):
                states = seen.setdefault((instance["task_id"], instance["map_index"]), [])
                if instance["state"] and instance["state"] not in states[-1:]:
                    states.append(instance["state"])
            state = self.run_state(dag_id, run_id)
            return state if state in ("success", "failed") else None

        state = wait_for(f"the end of {dag_id} {run_id}, seen: {seen}", look, timeout=timeout)
        return FinishedRun(self, dag_id, run_id, state, seen)


class FinishedRun:
    """A DAG run that has ended.

    :param api: where it can be asked about.
    :param dag_id: its DAG.
    :param run_id: its id.
    :param state: ``success`` or ``failed``.
    :param seen: by task id and map index (-1 if not mapped), the states that were seen in order. Short ones
        may be missing.
    """

    def __init__(
        self, api: AirflowAPI, dag_id: str, run_id: str, state: str, seen: dict[tuple[str, int], list[str]]
    ) -> None:
        self.api = api
        self.dag_id = dag_id
        self.run_id = run_id
        self.state = state
        self.seen = seen
        self.instances = {
            (instance["task_id"], instance["map_index"]): instance for instance in api.task_instances(dag_id, run_id)
        }

    def xcom(self, task_id: str, map_index: int = -1, key: str = "return_value") -> Any:
        """Return the XCom of a task."""
        return self.api.xcom(self.instances[task_id, map_index], key)

    def summary(self) -> str:
        """Describe the run, for the message of a failed assertion."""
        lines = [f"{self.dag_id} {self.run_id}: {self.state}"]
        for key, instance in self.instances.items():
            lines.append(f"--- {key} {instance['state']}, try {instance['try_number']}, seen {self.seen.get(key)}")
            with suppress(requests.RequestException):
                lines.append(self.api.log(instance))
        return "\n".join(lines)
