"""What the provider costs: importing it, calling HubSpot through it, and the demo. This is ``make benchmark``."""

import compileall
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

#: Importing in a fresh process, beyond what any DAG file imports anyway.
IMPORT = """
import time
started = time.process_time()
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
before = time.process_time()
{statement}
print((before - started) * 1000, (time.process_time() - before) * 1000)
"""
IMPORTS = {
    "this provider's operators and sensors": (
        "import airflow_provider_hubassoc.operators, airflow_provider_hubassoc.sensors"
    ),
    "Airflow's BashOperator": "import airflow.providers.standard.operators.bash",
}

#: A HubSpot in a process of its own, so that its work does not count as the client's.
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


def imports() -> None:
    """Measure the CPU time that importing adds to ``airflow.sdk``."""
    print(f"Importing, CPU milliseconds beyond airflow.sdk (median of {PROCESSES} fresh processes)")
    compileall.compile_dir(environment.REPOSITORY / "airflow_provider_hubassoc", quiet=1)  # as pip does
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in range(PROCESSES):
        for name, statement in IMPORTS.items():
            process = subprocess.run(
                [sys.executable, "-c", IMPORT.format(statement=statement)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=True,
            )
            sdk, ours = map(float, process.stdout.split())
            figures["airflow.sdk itself, as a measure of this machine"].append(sdk)
            figures[name].append(ours)
    for name, values in figures.items():
        line(name, f"{statistics.median(values):.1f} ms", "at most 5 ms" if "provider" in name else "")


def submit_and_wait() -> None:
    """Count what one operator sends that submits a batch of two and waits for 2 seconds."""
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
    """Run a HubSpot in a process of its own; yield its URL and token."""
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
                mine, theirs = cpu(ours), cpu(bare)
                ratios.append(mine / theirs)
                milliseconds.append((mine, theirs))
            mine, theirs = (statistics.median(column) for column in zip(*milliseconds, strict=True))
            line(f"{name}, HubSpotClient", f"{mine:.2f} ms")
            line(f"{name}, requests.Session", f"{theirs:.2f} ms")
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
        imports()
        submit_and_wait()
        cpu_per_call()
        demo()


if __name__ == "__main__":
    main()
