"""``hubassoc demo``: run a DAG in Airflow against an embedded simulator, in one process.

Airflow's metadata database (SQLite), its task runner and XCom are real, and so is the HTTP between the tasks and the
simulator. The DAG runs as in ``dag.test()``: without scheduler, triggerer and web UI.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import requests
from rich.console import Console
from rich.table import Table

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.terminal import UsageError, check_target

_DAG_FILE = Path(__file__).with_name("demo_dag.py")
_LIMITS = (
    ("HUBSPOT_DEFINED", 279, "Contact to company"),
    ("HUBSPOT_DEFINED", 931, "Billing contact to company"),
)
"""The association types that the DAG limits: category, typeId, name."""

_DIRECTION = ("contacts", "companies")
_PROCESSING_SECONDS = 2.5
_LOG_LINES_SHOWN = 25

_Limits = Mapping[tuple[str, int], int]


def run_demo(document: IO[str], *, canceled: bool = False, log: Path | None = None) -> bool:
    """Run the demo in a temporary folder, which is removed at the end.

    Changes the environment variables of this process and how it handles SIGTERM.

    :param document: stream to which the demo prints its course.
    :param canceled: whether the simulator cancels the batch, so that the DAG run fails.
    :param log: file for the output of Airflow and its libraries; None to keep it only until the end of the demo.
    :return: whether the DAG run succeeded.
    :raises UsageError: if the log cannot be written, Airflow is not installed, or this process uses it already.
    """
    if log is not None:
        check_target(log)
    if "airflow" in sys.modules:
        raise UsageError("the demo cannot run in a process that has imported Airflow; run hubassoc demo in a shell")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the temporary folder is removed
    console = Console(file=document, width=110, highlight=False, soft_wrap=True)
    with (
        tempfile.TemporaryDirectory(prefix="hubassoc-demo-", ignore_cleanup_errors=True) as folder,
        Simulator(processing_seconds=_PROCESSING_SECONDS, canceled=canceled) as hubspot,
    ):
        hubspot.set_limit(*_DIRECTION, *_LIMITS[0][:2], 2)
        before = _limits_of(hubspot)
        _configure_airflow(Path(folder), hubspot)
        console.print(
            f"airflow-provider-hubassoc {__version__}: a DAG sets association limits and waits until HubSpot has "
            "settled them.\nAirflow is real. HubSpot is a simulator in this process: nothing leaves this machine.\n"
        )
        console.print(f"[bold]Limits before[/] (portal {hubspot.portal_id})")
        console.print(_limits_table(before))
        console.print("\n[bold]Airflow runs the DAG[/]")
        log_file = log or Path(folder) / "airflow.log"
        with _output_in(log_file):
            state = _run_dag(Path(folder), _Timeline(console))
        console.print("\n[bold]Limits now[/]")
        console.print(_limits_table(_limits_of(hubspot)))
        if state == "success":
            console.print(f"\n[bold]What happened[/]\n{_summary(hubspot, before)}\n\n{_next_steps(log)}")
        else:
            console.print("\n[red]The DAG run failed.[/] The end of Airflow's log:\n")
            lines = log_file.read_text(errors="replace").splitlines()
            console.print("\n".join(lines[-_LOG_LINES_SHOWN:]), markup=False)
    return state == "success"


def _configure_airflow(home: Path, hubspot: Simulator) -> None:
    """Point this process to a separate Airflow. Airflow reads the environment once, when it is imported."""
    (home / "dags").mkdir()
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
        del os.environ[name]
    connection = {"conn_type": "hubspot", "host": hubspot.url, "password": hubspot.token}
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AIRFLOW_CONN_HUBSPOT_DEFAULT=json.dumps(connection),
        NO_PROXY="*",
        no_proxy="*",
    )


def _run_dag(home: Path, timeline: _Timeline) -> str:
    """Create the metadata database and run the DAG once.

    :return: the state of the DAG run.
    """
    gc.disable()  # garbage collection takes a seventh of the time, and the process ends soon
    try:
        timeline.add("airflow", "creates its metadata database")
        try:
            from airflow.utils.db import initdb
        except ImportError:
            raise UsageError("the demo needs Airflow, which is not installed here") from None
        initdb()
        # Airflow runs only the DAGs in its DAGs folder.
        dag_file = shutil.copy(_DAG_FILE, home / "dags")
        dag = runpy.run_path(str(dag_file))["dag"]
        timeline.add("airflow", f"starts the DAG {dag.dag_id}")
        started_at = time.monotonic()
        with timeline.with_requests():
            state = str(dag.test().state)
        colour = "green" if state == "success" else "red"
        timeline.add("airflow", f"[{colour}]{state}[/] after {time.monotonic() - started_at:.1f} s")
        return state
    except UsageError:
        raise
    except Exception:
        traceback.print_exc()
        return "failed"
    finally:
        gc.enable()


class _Timeline:
    """Prints each event immediately, with the seconds since the start.

    :param console: where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_at = time.monotonic()

    def add(self, actor: str, event: str) -> None:
        """Print one line."""
        self._console.print(f"  {time.monotonic() - self._started_at:4.1f} s  [cyan]{actor:<8}[/] {event}")

    @contextmanager
    def with_requests(self) -> Iterator[None]:
        """Print each request that a task sends, with its answer. The tasks run in this process."""
        send = requests.Session.send

        def send_and_print(
            session: requests.Session, request: requests.PreparedRequest, **options: Any
        ) -> requests.Response:
            response = send(session, request, **options)
            status = response.json().get("status", "") if response.content else ""
            path = request.path_url.removeprefix("/crm/associations/2026-03/definitions/configurations/")
            path = path if len(path) < 45 else f"{path[:43]}…"
            task_id = os.environ.get("AIRFLOW_CTX_TASK_ID", "")
            self.add(task_id, f"{request.method:<4} {path:<44} {response.status_code} [bold]{status}[/]")
            return response

        requests.Session.send = send_and_print  # type: ignore[assignment,method-assign]  # restored below
        try:
            yield
        finally:
            requests.Session.send = send  # type: ignore[method-assign]  # as it was


def _limits_of(hubspot: Simulator) -> _Limits:
    return {(category, type_id): limit for (_, _, category, type_id), limit in hubspot.limits().items()}


def _limits_table(limits: _Limits) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for category, type_id, name in _LIMITS:
        limit = str(limits.get((category, type_id), "unlimited"))
        table.add_row(f"  {' -> '.join(_DIRECTION)}", name, f"{category} {type_id}", f"[bold]{limit}[/]")
    return table


def _summary(hubspot: Simulator, before: _Limits) -> str:
    """Describe a successful run in plain words."""
    now = _limits_of(hubspot)
    (companies, companies_before), (billing, billing_before) = (
        (now[category, type_id], before.get((category, type_id), "unlimited")) for category, type_id, _ in _LIMITS
    )
    reads = sum(request.method == "GET" and "/operations/" in request.path for request in hubspot.requests)
    return f"""\
  1. The task submit sent one batch with both limits. HubSpot accepted it and answered PENDING.
  2. The task wait read the status of the batch {reads} times, until HubSpot answered COMPLETE.
  3. A contact can now have at most {companies} companies (before: {companies_before}), and be the billing contact of \
{billing} company (before: {billing_before})."""


def _next_steps(log: Path | None) -> str:
    return f"""\
The DAG that ran: {_short(_DAG_FILE)}{"" if log is None else f"{chr(10)}Airflow's log: {_short(log)}"}

[bold]Next steps[/]
  hubassoc demo --canceled   the same DAG, with a batch that HubSpot cancels
  hubassoc simulator         the simulated portal alone, for your own DAGs
  hubassoc --help            limits as code: export, validate, plan, apply"""


def _short(path: Path) -> str:
    """Return a path relative to the current folder, if it is inside."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


@contextmanager
def _output_in(path: Path) -> Iterator[None]:
    """Redirect standard output and standard error of the whole process to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, number in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
