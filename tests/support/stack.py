"""A whole Airflow on this machine, with a simulator: for the tests, and for ``make airflow``.

``airflow standalone`` is not used: it opens log servers to the network, and its children outlive it. Here each
component leads a separate session, and ends with the stack.
"""

import argparse
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import requests

from airflow_provider_hubassoc.simulator import Simulator
from tests.support import environment
from tests.support.airflow_api import AirflowAPI
from tests.support.polling import wait_for
from tests.support.sessions import Sessions, kill_members

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
    """Find a port of the loopback address that nobody listens on.

    It stays unused until the api-server listens on it. So it is below the ports that the system hands out by itself,
    and each pytest worker searches a separate range.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(range(20_000 + worker % 12 * 1_000, 21_000 + worker % 12 * 1_000))
    random.shuffle(ports)
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise StackError("No free port")


def tail(path: Path, lines: int = 40) -> str:
    """Read the last lines of a log."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def migrated_database() -> Path:
    """Return an empty metadata database, which the first caller makes and all later runs copy.

    :return: an SQLite file; it must not be changed.
    :raises StackError: if Airflow cannot make it.
    """
    database = environment.STATE / "cache" / f"airflow-{version('apache-airflow-core')}.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_suffix(".lock").open("w") as lock, tempfile.TemporaryDirectory(dir=database.parent) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            finished = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=environment.without_airflow(os.environ) | environment.airflow_environment(Path(folder)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=STARTUP_SECONDS,
                check=False,
            )
            if finished.returncode != 0:
                raise StackError(f"airflow db migrate failed:\n{finished.stdout[-5000:]}")
            Path(folder, "airflow.db").rename(database)
    return database


class Stack:
    """A running Airflow: api-server, scheduler, DAG processor and triggerer, and the HubSpot it talks to.

    A context manager. When it is entered, the connection ``hubspot_default`` is stored in the metadata database, and
    the DAGs without a schedule can be triggered; the others are paused. When it is left, nothing keeps running.

    :param home: the folder of its database and logs; emptied first.
    :param dags_folder: where the DAG files are.
    :param processing_seconds: how long the simulator works on a batch operation.
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
        # A unique token: if it is found somewhere, its origin is known.
        self.token = self.hubspot.issue_token()
        self.environment = (
            environment.without_airflow(os.environ)
            | environment.deployment_environment(self.home, port=self.port, dags_folder=dags_folder)
            | dict(variables or {})
        )
        self.dags_folder = dags_folder
        self.components: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions = Sessions()
        self._resources = ExitStack()

    def log_path(self, component: str) -> Path:
        """Return the path of a component's log."""
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
            shutil.copyfile(migrated_database(), self.home / "airflow.db")
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
        """End every process of the stack, and the simulator."""
        living = {process.pid for process in self.components.values()}
        # Nobody stops the children of a component that was killed.
        self._sessions.kill(except_for=living)
        for process in self.components.values():
            if process.poll() is None:
                # The leader alone: it ends its children in good order.
                process.terminate()
        try:
            wait_for("Airflow to end", lambda: None if self.processes() else True, timeout=SHUTDOWN_SECONDS)
        except TimeoutError:
            self._sessions.kill()
        for process in self.components.values():
            process.wait()
        self._sessions.close()
        self.components.clear()
        self.api.session.close()
        self._resources.close()

    def start(self, name: str) -> None:
        """Start a component, also again after :meth:`kill`; its log continues."""
        with self.log_path(name).open("ab") as log:
            process = self._sessions.start(
                [sys.executable, "-m", "airflow", *COMPONENTS[name]],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.components[name] = process

    def kill(self, name: str, *, with_children: bool) -> None:
        """Kill a component, as a machine that runs out of memory does: without any cleanup.

        :param name: the component.
        :param with_children: kill its children too. Without it, the workers of a scheduler go on with their tasks.
        """
        process = self.components.pop(name)
        process.kill()
        process.wait()
        if with_children:
            kill_members({process.pid})

    def processes(self) -> set[int]:
        """Return the ids of all processes of the stack that live, including those that killed components have left."""
        return self._sessions.members()

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
        "Starting Airflow (api-server, scheduler, DAG processor, triggerer) and the simulator: half a minute ...",
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
