"""Cost of the provider: importing it, calling HubSpot through it, and the demo (``make benchmark``)."""

import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests

from tests.support import environment

PROCESSES = 9
ROUNDS = 15
CALLS_PER_ROUND = 40

#: Parsing a DAG file in a fresh process, beyond what every DAG file imports; prints milliseconds of CPU time as JSON.
PARSE = """
import json, time
marks = [("start", time.process_time())]
def mark(name):
    marks.append((name, time.process_time()))
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
mark("airflow.sdk itself, as a measure of this machine")
from airflow_provider_hubassoc.operators import (
    HubSpotAssociationLimitsOperator, HubSpotAssociationLimitsSyncOperator
)
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
mark("modules")
with DAG("benchmark", schedule=None):
    def set_limits(number):
        inputs = {inputs}
        return HubSpotAssociationLimitsOperator(
            task_id=f"set_limits_{{number}}", from_object_type="contacts", to_object_type="companies", inputs=inputs
        )
    def sync(number):
        return HubSpotAssociationLimitsSyncOperator(task_id=f"sync_{{number}}", config="/limits.yaml")
    def wait(number):
        return HubSpotAssociationLimitsSensor(task_id=f"wait_{{number}}", operation=batch.output)
    marks.append(("", time.process_time()))
    batch = set_limits("first")
    mark("first batch operator")
    sync("first")
    mark("first sync operator")
    wait("first")
    mark("first sensor")
    for name, make in {{"batch operator": set_limits, "sync operator": sync, "sensor": wait}}.items():
        for number in range({further}):
            make(number)
        mark(f"each further {{name}}")
    from airflow.providers.standard.operators.bash import BashOperator
    mark("BashOperator: modules")
    BashOperator(task_id="bash", bash_command="true")
    mark("BashOperator: the first")
    for number in range({further}):
        BashOperator(task_id=f"bash_{{number}}", bash_command="true")
    mark("BashOperator: each further one")
print(json.dumps({{name: (end - start) * 1000 for (_, start), (name, end) in zip(marks, marks[1:]) if name}}))
"""
FURTHER = 100
PARSE_AIM = 8

#: A simulator in a separate process, so that its work does not count as the client's.
HUBSPOT = """
import sys
from airflow_provider_hubassoc.simulator import Simulator
with Simulator() as simulator:
    print(simulator.url, simulator.token, flush=True)
    sys.stdin.read()
"""

INPUTS = [
    {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5},
    {"category": "HUBSPOT_DEFINED", "typeId": 931, "maxToObjectIds": 1},
]


def line(what: str, figure: str, aim: str = "") -> None:
    """Print one figure."""
    print(f"  {what:<58}{figure:>12}{'   aim: ' + aim if aim else ''}", flush=True)


def parsing() -> None:
    """Measure the CPU time that a DAG file with one task of each kind adds to ``airflow.sdk``."""
    print(f"Parsing a DAG file, CPU milliseconds beyond airflow.sdk (medians of {PROCESSES} fresh processes)")
    compileall.compile_dir(environment.REPOSITORY / "airflow_provider_hubassoc", quiet=1)  # as pip does
    script = PARSE.format(inputs=INPUTS, further=FURTHER)
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in range(PROCESSES):
        process = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
        for name, milliseconds in json.loads(process.stdout).items():
            figures[name].append(milliseconds / FURTHER if "further" in name else milliseconds)
    for name, values in figures.items():
        line(name, f"{statistics.median(values):.2f} ms")
    of_each_kind = ("modules", "first batch operator", "first sync operator", "first sensor")
    together = [sum(parts) for parts in zip(*(figures[name] for name in of_each_kind), strict=True)]
    line("modules and the first of each kind", f"{statistics.median(together):.1f} ms", f"at most {PARSE_AIM} ms")


def submit_and_wait() -> None:
    """Count the requests of one operator that submits a batch of two and waits for 2 seconds."""
    from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
    from airflow_provider_hubassoc.simulator import Simulator

    print("One submit-and-wait: a batch of two inputs, which HubSpot processes for 2 seconds")
    with Simulator(processing_seconds=2) as hubspot:
        os.environ.update(environment.connection_variable(hubspot.url, hubspot.token))
        operator = HubSpotAssociationLimitsOperator(
            task_id="benchmark",
            from_object_type="contacts",
            to_object_type="companies",
            inputs=INPUTS,
            poll_interval=1,
            deferrable=False,
        )
        context: Any = {"ti": SimpleNamespace(xcom_push=lambda *pushed, **more: None, try_number=1)}
        operator.execute(context)
        received = list(hubspot.requests)
    line("requests", str(len(received)))
    line("TCP connections", str(len({request.connection for request in received})), "1")


@contextmanager
def hubspot_process() -> Iterator[tuple[str, str]]:
    """Run a simulator in a separate process; yield its URL and token."""
    process = subprocess.Popen(
        [sys.executable, "-c", HUBSPOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url, token = process.stdout.readline().split()
        yield url, token
    finally:
        process.communicate("")


def cpu_per_call() -> None:
    """Compare the CPU time of the client with that of a bare session, in turns."""
    from airflow_provider_hubassoc.hooks import HubSpotHook

    print(f"CPU of one call in the client's process ({ROUNDS} rounds of {CALLS_PER_ROUND} calls each, in turns)")
    with hubspot_process() as (url, token), requests.Session() as session:
        os.environ.update(environment.connection_variable(url, token))
        client = HubSpotHook().get_conn()
        session.headers["Authorization"] = f"Bearer {token}"
        base = f"{url}/crm/associations/2026-03/definitions/configurations/contacts/companies"

        def bare_create() -> None:
            session.post(f"{base}/batch/create", json={"inputs": INPUTS}, timeout=30).json()

        def bare_read() -> None:
            session.get(base, timeout=30).json()

        pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "read the limits of a pair": (lambda: client.get_limits("contacts", "companies"), bare_read),
            "create two limits": (lambda: client.create_limits("contacts", "companies", INPUTS), bare_create),
        }
        for name, (ours, bare) in pairs.items():
            ours(), bare()
            ratios, milliseconds = [], []
            for _ in range(ROUNDS):
                client_time, session_time = cpu(ours), cpu(bare)
                ratios.append(client_time / session_time)
                milliseconds.append((client_time, session_time))
            client_time, session_time = (statistics.median(column) for column in zip(*milliseconds, strict=True))
            line(f"{name}, HubSpotClient", f"{client_time:.2f} ms")
            line(f"{name}, requests.Session", f"{session_time:.2f} ms")
            line(f"{name}, ratio", f"{statistics.median(ratios):.2f}", "at most 1.2")


def cpu(call: Callable[[], object]) -> float:
    """Return the milliseconds of CPU time that a call takes, on average over a round."""
    before = time.process_time()
    for _ in range(CALLS_PER_ROUND):
        call()
    return (time.process_time() - before) * 1000 / CALLS_PER_ROUND


def demo() -> None:
    """Measure how long the demo takes once everything is installed."""
    print("hubassoc demo (3 runs)")
    seconds = []
    for _ in range(3):
        before = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "airflow_provider_hubassoc", "demo"],
            cwd=environment.REPOSITORY,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds.append(time.monotonic() - before)
    line("seconds", f"{statistics.median(seconds):.1f} s", "at most 10 s")


def main() -> None:
    """Print all figures. Airflow keeps what it writes in a temporary folder."""
    with tempfile.TemporaryDirectory() as home:
        environment.become(environment.airflow_environment(Path(home)))
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        parsing()
        submit_and_wait()
        cpu_per_call()
        demo()


if __name__ == "__main__":
    main()
