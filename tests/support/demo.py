"""An example DAG in a real Airflow against an embedded HubSpot, in one process: this is ``make demo``.

The metadata database (SQLite), the task runner, XCom, and the HTTP between the tasks and HubSpot are real. What is
missing from a whole Airflow are the scheduler and the other daemons; ``make airflow`` has them.
"""

import argparse
import gc
import os
import runpy
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.simulator import Simulator
from tests.support import environment

EXAMPLE = environment.EXAMPLE_DAGS / "submit_and_wait.py"
#: The association types which the example limits: object types, category, type id, name.
TYPES = (
    ("contacts", "companies", "HUBSPOT_DEFINED", 279, "Contact to company"),
    ("contacts", "companies", "HUBSPOT_DEFINED", 931, "Billing contact to company"),
)
PROCESSING_SECONDS = 2.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    :param arguments: the command line, without the program.
    :return: exit code: 0 if the DAG run succeeded.
    """
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=environment.STATE / "demo", help="emptied first")
    parser.add_argument("--canceled", action="store_true", help="let HubSpot cancel the batch")
    options = parser.parse_args(arguments)

    gc.disable()  # the process does not live long enough for garbage; looking for it takes a seventh of the time
    home = environment.fresh_folder(options.folder)
    log = home / "airflow.log"
    # The console keeps the terminal; what Airflow and its libraries write goes to the log.
    console = Console(file=os.fdopen(os.dup(1), "w"), width=110, highlight=False, soft_wrap=True)
    with Simulator(processing_seconds=PROCESSING_SECONDS, canceled=options.canceled) as hubspot:
        from_type, to_type, category, type_id, _ = TYPES[0]
        hubspot.set_limit(from_type, to_type, category, type_id, 2)
        environment.become(
            environment.airflow_environment(home) | environment.connection_variable(hubspot.url, hubspot.token)
        )
        console.print(
            f"airflow-provider-hubassoc {__version__}: sets limits in HubSpot and waits until they are settled.\n"
            f"HubSpot is a simulator, embedded in this process. Airflow is a real one, as in `dag.test()`.\n"
        )
        console.print(f"[bold]The portal's limits before[/] (portal {hubspot.portal_id})")
        console.print(limits_table(hubspot))
        console.print(f"\n[bold]Airflow runs[/] {shown(EXAMPLE)}")
        course = Course(console)
        try:
            with output_in(log):
                state = run_example(course)
        except Exception:
            traceback.print_exc()
            state = "failed"
        colour = "green" if state == "success" else "red"
        course.tell("airflow", f"[{colour}]{state}[/] (HubSpot took {PROCESSING_SECONDS} seconds of the time)")
        console.print("\n[bold]The portal's limits now[/]")
        console.print(limits_table(hubspot))

    if state != "success":
        console.print(f"\n[red]The DAG run failed.[/] The end of {shown(log)}:\n")
        console.print("\n".join(log.read_text(errors="replace").splitlines()[-25:]), markup=False)
        return 1
    console.print(
        f"""
[bold]Look further[/]
  make airflow                            the same with all of Airflow: scheduler, triggerer, web UI
  less {shown(EXAMPLE):<34} the DAG that ran
  less {shown(log):<34} what Airflow wrote meanwhile
  python -m airflow_provider_hubassoc.simulator --help      the simulator alone (in .venv)"""
    )
    return 0


class Course:
    """The course of events, printed as it goes, with the seconds since its start.

    :param console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_at = time.monotonic()

    def tell(self, who: str, what: str) -> None:
        """Print one line."""
        self._console.print(f"  {time.monotonic() - self._started_at:4.1f} s  [cyan]{who:<8}[/] {what}")

    @contextmanager
    def with_answers(self) -> Iterator[None]:
        """Tell every request of a task, with its answer. The tasks run in this process, so they can be overheard."""
        send = requests.Session.send

        def overheard(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            response = send(self, request, **options)
            status = response.json().get("status", "") if response.content else ""
            path = request.path_url.removeprefix("/crm/associations/2026-03/definitions/configurations/")
            path = path if len(path) < 45 else f"{path[:43]}…"
            course.tell(
                os.environ.get("AIRFLOW_CTX_TASK_ID", ""),
                f"{request.method:<4} {path:<44} {response.status_code} [bold]{status}[/]",
            )
            return response

        course = self
        requests.Session.send = overheard  # type: ignore[method-assign]
        try:
            yield
        finally:
            requests.Session.send = send  # type: ignore[method-assign]


def run_example(course: Course) -> str:
    """Make the metadata database, run the example once, and return the state of the run."""
    course.tell("airflow", "makes its metadata database")
    from airflow.utils.db import initdb

    initdb()
    dag: Any = runpy.run_path(str(EXAMPLE))["dag"]
    course.tell("airflow", f"starts the DAG {dag.dag_id}")
    with course.with_answers():
        return str(dag.test().state)


def limits_table(hubspot: Simulator) -> Table:
    """Show the limits of the association types as the portal has them now."""
    limits = {(category, type_id): limit for (_, _, category, type_id), limit in hubspot.limits().items()}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for from_type, to_type, category, type_id, name in TYPES:
        limit = str(limits.get((category, type_id), "unlimited"))
        table.add_row(f"  {from_type} -> {to_type}", name, f"{category} {type_id}", f"[bold]{limit}[/]")
    return table


def shown(path: Path) -> str:
    """Return a path as it is typed in the folder where the demo was started."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


@contextmanager
def output_in(path: Path) -> Iterator[None]:
    """Let whatever is written to standard output and error, by whatever code, end in a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab") as log:
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


if __name__ == "__main__":
    sys.exit(main())
