"""A whole Airflow on this machine, with an embedded HubSpot: for the tests, and for ``make airflow``.

``airflow standalone`` is not used: it opens log servers to the network and leaves its children behind when
it is told to stop. Here every component is a session of its own, and ends when the stack ends.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import psutil
import requests

from airflow_provider_hubassoc.simulator import Simulator
from tests.support import environment

T = TypeVar("T")

#: Airflow's commands. The log servers of scheduler and triggerer would listen on every address.
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
STARTUP_SECONDS = 300
SHUTDOWN_SECONDS = 30


class StackError(Exception):
    """Airflow did not start, or a part of it ended on its own."""


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(path: Path, lines: int = 40) -> str:
    """Read the last lines of a log."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def wait_for(what: str, look: Callable[[], T | None], *, timeout: float, interval: float = 0.25) -> T:
    """Look again and again until there is something to see.

    :param what: what is waited for, for the message of the error.
    :param look: returns None as long as it is not there.
    :param timeout: seconds after which it is given up.
    :param interval: seconds between two looks.
    :return: what ``look`` returned.
    :raises TimeoutError: if it never came.
    """
    deadline = time.monotonic() + timeout
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {timeout:.0f} seconds in vain for {what}")
        time.sleep(interval)
    return seen


class AirflowAPI:
    """A little of Airflow's REST API (``/api/v2``).

    :param url: base URL of the api-server.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy stands between this machine and itself

    def log_in(self) -> None:
        """Fetch a token, as everybody may in a deployment where all are admins."""
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
        """Return what a task instance left behind under a key."""
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
            lines += [f"{each['exc_type']}: {each['exc_value']}" for each in event.get("error_detail") or ()]
        return "\n".join(lines)

    def links(self, instance: Mapping[str, Any]) -> dict[str, str | None]:
        """Return the extra links of a task instance, by name."""
        params = {"map_index": instance["map_index"]}
        links: dict[str, str | None] = self.call("GET", f"{self.of_task(instance)}/links", params=params)["extra_links"]
        return links

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, timeout: float = 300) -> "FinishedRun":
        """Trigger a DAG, watch its tasks, and wait for the end of the run.

        :param dag_id: the DAG.
        :param conf: values for its params.
        :param timeout: seconds after which it is given up.
        :return: the run, with every state that a task was seen in.
        :raises TimeoutError: if the run has not ended by then.
        """
        return self.finish(dag_id, self.trigger(dag_id, conf), timeout=timeout)

    def finish(self, dag_id: str, run_id: str, *, timeout: float = 300) -> "FinishedRun":
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
        """Return what a task left behind."""
        return self.api.xcom(self.instances[task_id, map_index], key)

    def account(self) -> str:
        """Tell what happened, for the message of a failed assertion."""
        lines = [f"{self.dag_id} {self.run_id}: {self.state}"]
        for key, instance in self.instances.items():
            lines.append(f"--- {key} {instance['state']}, try {instance['try_number']}, seen {self.seen.get(key)}")
            with suppress(requests.RequestException):
                lines.append(self.api.log(instance))
        return "\n".join(lines)


class Stack:
    """A running Airflow: api-server, scheduler, DAG processor and triggerer, and the HubSpot it talks to.

    A context manager. When it is entered, the connection ``hubspot_default`` is stored in the metadata database, and
    the DAGs without a schedule can be triggered; the others are paused. When it is left, nothing keeps running.

    :param home: the folder of its database and logs; emptied first.
    :param dags_folder: where the DAG files are.
    :param processing_seconds: how long the embedded HubSpot works on a batch operation.
    :param variables: further environment variables of its processes, such as Airflow's settings.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path = environment.EXAMPLE_DAGS,
        processing_seconds: float = 3,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.home = environment.fresh_folder(home)
        self.port = free_port()
        self.api = AirflowAPI(f"http://127.0.0.1:{self.port}")
        self.hubspot = Simulator(processing_seconds=processing_seconds)
        # A token of its own: whoever finds it somewhere knows where it came from.
        self.token = self.hubspot.issue_token()
        self.environment = (
            environment.without_airflow(os.environ)
            | environment.deployment_environment(self.home, port=self.port, dags_folder=dags_folder)
            | dict(variables or {})
        )
        self.dags_folder = dags_folder
        self.components: dict[str, subprocess.Popen[bytes]] = {}
        self._leaders: set[int] = set()
        self._resources = ExitStack()

    def log_path(self, component: str) -> Path:
        """Return where a component writes what it has to say."""
        return self.home / f"{component}.log"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of Airflow's in the environment of the stack.

        :param arguments: what stands behind ``airflow`` on the command line.
        :return: the finished process, with its output.
        """
        return subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STARTUP_SECONDS,
            check=False,
        )

    def check(self) -> None:
        """Make sure that every component still runs.

        :raises StackError: with the end of its log, if one does not.
        """
        for name, process in self.components.items():
            if process.poll() is not None:
                raise StackError(
                    f"airflow {name} ended with exit code {process.returncode}. The end of {self.log_path(name)}:\n"
                    f"{tail(self.log_path(name))}"
                )

    def __enter__(self) -> "Stack":
        try:
            self._resources.enter_context(self.hubspot)
            self._migrate()
            for name in COMPONENTS:
                self.start(name)
            wait_for("Airflow's components", self._healthy, timeout=STARTUP_SECONDS)
            stored = environment.connection(self.hubspot.url, self.token)
            self.api.call("POST", "/connections", json=stored)
            wait_for("the DAGs", self._dags_ready, timeout=STARTUP_SECONDS)
            for dag in self.api.dags():
                # Those with a schedule would start on their own, and meddle with what is shown or tested.
                if dag["timetable_summary"] is None:
                    self.api.unpause(dag["dag_id"])
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the stack, and the embedded HubSpot."""
        living = {process.pid for process in self.components.values()}
        # What a killed component has left behind has nobody who would end it in good order.
        kill_session_members(self._leaders - living)
        for process in self.components.values():
            if process.poll() is None:
                # The leader alone: it ends its children in good order.
                process.terminate()
        try:
            wait_for("Airflow to end", lambda: None if self.processes() else True, timeout=SHUTDOWN_SECONDS)
        except TimeoutError:
            kill_session_members(self._leaders)
        for process in self.components.values():
            process.wait()
        self.components.clear()
        self.api.session.close()
        self._resources.close()

    def start(self, name: str) -> None:
        """Start a component, also again after :meth:`kill`; its log goes on."""
        with self.log_path(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *COMPONENTS[name]],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.components[name] = process
        self._leaders.add(process.pid)

    def kill(self, name: str, *, with_children: bool) -> None:
        """Kill a component, as a machine does that runs out of memory: nothing is put in order.

        :param name: the component.
        :param with_children: kill its children too. Without it, the workers of a scheduler go on with their tasks.
        """
        process = self.components.pop(name)
        process.kill()
        process.wait()
        if with_children:
            kill_session_members({process.pid})

    def processes(self) -> set[int]:
        """Return the ids of all processes of the stack that live, also of what killed components have left."""
        return session_members(self._leaders)

    def _migrate(self) -> None:
        finished = self.command("db", "migrate")
        self.log_path("db-migrate").write_text(finished.stdout + finished.stderr)
        if finished.returncode != 0:
            raise StackError(f"airflow db migrate failed:\n{tail(self.log_path('db-migrate'))}")

    def _healthy(self) -> bool | None:
        self.check()
        try:
            health = self.api.health()
        except requests.RequestException:
            return None
        if set(health.values()) != {"healthy"}:
            return None
        self.api.log_in()
        return True

    def _dags_ready(self) -> bool | None:
        self.check()
        if errors := self.api.import_errors():
            raise StackError("Airflow cannot read a DAG file:\n" + "\n".join(errors))
        files = {path.name for path in self.dags_folder.glob("*.py")}
        parsed = {Path(dag["fileloc"]).name for dag in self.api.dags()}
        return True if files <= parsed else None


def session_members(leaders: set[int]) -> set[int]:
    """Find the processes of some sessions; tasks have process groups of their own, but not sessions.

    :param leaders: the process ids that the sessions are named by.
    :return: the ids of the processes that still live.
    """
    members = set()
    for process in psutil.process_iter(["pid", "status"]):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in leaders and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.add(process.pid)
    return members


def kill_session_members(leaders: set[int]) -> None:
    """Kill all processes of some sessions at once, also those that are born meanwhile."""
    while pids := session_members(leaders):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


class Stopped(BaseException):
    """Somebody asked this process to end."""


def _stop(number: int, frame: object) -> None:
    # Once is enough: what ends the stack must not be interrupted in turn.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    raise Stopped


def main() -> int:
    """Run the stack until Ctrl-C or SIGTERM; this is ``make airflow``."""
    parser = argparse.ArgumentParser(prog="make airflow", description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=environment.STATE / "airflow", help="emptied first")
    folder = parser.parse_args().folder
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, _stop)
    print(
        "Starting Airflow (api-server, scheduler, DAG processor, triggerer) and an embedded HubSpot: half a minute ...",
        flush=True,
    )
    try:
        with Stack(folder) as stack:
            print(
                f"""
  Airflow    {stack.api.url}    (no login: everybody on this machine is admin)
  HubSpot    {stack.hubspot.url}    (a simulator; what it received: {stack.hubspot.url}/_simulator/requests)
  Logs       {stack.home}

  DAGs       {stack.api.url}/dags: press the triangle of one to trigger it, then watch its grid
"""
                + "".join(
                    f"             {dag['dag_id']}{' (has a schedule, and is paused)' if dag['is_paused'] else ''}\n"
                    for dag in stack.api.dags()
                )
                + f"""
  Connection {stack.api.url}/connections: {environment.CONNECTION_ID} leads to the simulator; its icon tests it

Ctrl-C ends all of it.""",
                flush=True,
            )
            while True:
                stack.check()
                time.sleep(1)
    except Stopped:
        print("\nAirflow has ended.")
        return 0
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
