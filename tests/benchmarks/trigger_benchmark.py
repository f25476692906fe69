"""Cost of waiting in a triggerer: 10,000 waits in one event loop, for operations of 100 pairs.

The simulator runs in a separate process, so that its work does not slow down the loop. Twenty association types
of each pair get their limits at different times; the waits for one type are noticed by the same read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support import environment

SEED = 20260304
TYPES = 20
POLL_INTERVAL, MAX_POLL_INTERVAL = 5.0, 15.0
FIRST_END, LAST_END = 20.0, 80.0
"""Seconds after the start; until the first end all waits are loaded."""
TICK = 0.01

#: It prints the type ids of each pair, sets the limits at the times that it reads, and prints the reads at the end.
PORTAL = """
import json, sys, time
from airflow_provider_hubassoc.simulator import Simulator
pairs, types = map(int, sys.argv[1:])
with Simulator() as simulator:
    things = {}
    for number in range(pairs):
        thing = simulator.add_object_type(f"thing_{number}")
        things[thing] = [
            simulator.add_label("contacts", thing, label=f"Label {each}", name=f"l_{number}_{each}")[0]
            for each in range(types)
        ]
    print(json.dumps([simulator.url, simulator.token, things]), flush=True)
    for at, thing, type_id in json.loads(sys.stdin.readline()):
        time.sleep(max(0, at - time.time()))
        simulator.set_limit("contacts", thing, "USER_DEFINED", type_id, 5)
    sys.stdin.read()
    print(json.dumps([each.received_at for each in simulator.requests]))
"""


@contextmanager
def portal(pairs: int, types: int) -> Iterator[subprocess.Popen[str]]:
    """Run a portal with pairs that have labels."""
    with subprocess.Popen(
        [sys.executable, "-c", PORTAL, str(pairs), str(types)],
        cwd=environment.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def lags(figures: list[float]) -> None:
    """Record repeatedly how late the event loop wakes up."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        figures.append(time.perf_counter() - before - TICK)


async def measure(waits: int, pairs: int) -> None:
    """Wait for everything; print the figures."""
    from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger, operation_from_event
    from tests.support.airflow_in_memory import Airflow

    seeded = random.Random(SEED)
    lateness: list[float] = []
    lag: list[float] = []

    def trigger(thing: str, type_id: int) -> HubSpotAssociationLimitsTrigger:
        one = {"category": "USER_DEFINED", "typeId": type_id, "maxToObjectIds": 5}
        return HubSpotAssociationLimitsTrigger(
            hubspot_conn_id=environment.CONNECTION_ID,
            operation={"action": "create", "from_object_type": "contacts", "to_object_type": thing, "inputs": [one]},
            timeout=3600.0,
            poll_interval=POLL_INTERVAL,
            max_poll_interval=MAX_POLL_INTERVAL,
            max_poll_failures=5,
        )

    async def noticed(waiting: HubSpotAssociationLimitsTrigger, ends_at: float) -> None:
        async for event in waiting.run():
            lateness.append(time.time() - ends_at)
            assert operation_from_event(event.payload).has_succeeded

    with portal(pairs, TYPES) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url, token, things = json.loads(process.stdout.readline())
        types = [(thing, type_id) for thing, type_ids in things.items() for type_id in type_ids]
        begun = time.time()
        ends = {association_type: begun + seeded.uniform(FIRST_END, LAST_END) for association_type in types}
        process.stdin.write(json.dumps(sorted((at, *each) for each, at in ends.items())) + "\n")
        process.stdin.flush()
        connection = {"conn_id": environment.CONNECTION_ID, "conn_type": "hubspot", "host": url, "password": token}
        connection |= dict.fromkeys(("schema", "login", "port", "extra"))
        with Airflow(connections={environment.CONNECTION_ID: connection}).triggerer():
            # One that has read before the others come: the modules it needs are not counted as theirs.
            first = asyncio.create_task(noticed(trigger(*types[0]), ends[types[0]]))
            await asyncio.sleep(POLL_INTERVAL * 1.2)
            memory = psutil.Process().memory_info().rss
            sampler = asyncio.create_task(lags(lag))
            tasks = [first]
            for number in range(1, waits):
                each = types[number % len(types)]
                tasks.append(asyncio.create_task(noticed(trigger(*each), ends[each])))
                await asyncio.sleep(0)  # as Airflow's triggerer does it
            print(f"  all waits loaded after {time.time() - begun - POLL_INTERVAL * 1.2:.1f} s", flush=True)
            await asyncio.gather(*tasks)
            sampler.cancel()
            with suppress(asyncio.CancelledError):
                await sampler
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - memory
        reads, _ = process.communicate()
    received = json.loads(reads)
    per_second = Counter(int(at) for at in received)
    seconds = max(received) - min(received)
    print(
        f"  {'memory':<28}{memory / waits / 1024:>9.1f} KiB a wait, at the most\n"
        f"  {'requests':<28}{len(received) / seconds:>9.1f} a second, {max(per_second.values())} in the busiest,"
        f" {len(received)} in all\n"
        f"  {'lag of the event loop':<28}{shown(lag, 1000)} ms\n"
        f"  {'noticed after the end':<28}{shown(lateness, 1)} s (time between two reads: {MAX_POLL_INTERVAL:.0f} s)",
        flush=True,
    )


def shown(figures: Sequence[float], factor: float) -> str:
    """Return p50, p99 and the greatest."""
    hundredths = statistics.quantiles(figures, n=100)
    return f"{hundredths[49] * factor:>9.1f} p50 {hundredths[98] * factor:>9.1f} p99 {max(figures) * factor:>9.1f} max"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trigger_benchmark", description=__doc__)
    parser.add_argument("--waits", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        # Airflow reads it when it is first imported.
        environment.become(environment.airflow_environment(Path(home)))
        print(f"{options.waits} waits for operations of {options.pairs} pairs in one event loop", flush=True)
        asyncio.run(measure(options.waits, options.pairs))


if __name__ == "__main__":
    main()
