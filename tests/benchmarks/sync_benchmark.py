"""Cost of a sync of a large portal: 200 directions with 10 limits each, at 50 ms for every answer of HubSpot's.

Each way does the same work on a fresh portal: read every direction's limits and labels, because the file has names;
create the ten limits; read them back. Beside this package's, with 1, 8 and 16 directions at the same time: HubSpot's
own client for Python, one call after another.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from hubspot import HubSpot
from hubspot.crm.associations.v4 import schema

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.plan import build_plan
from airflow_provider_hubassoc.limits.snapshot import read_state

DIRECTIONS = 200
LABELS = 9  # and the unlabeled type: ten limits
LATENCY_SECONDS = 0.05
OBJECT_LIMIT, LABEL_LIMIT = 50, 5

#: A simulator in a separate process, so that its work does not slow down the client.
PORTAL = f"""
import sys
from airflow_provider_hubassoc.simulator import Simulator
with Simulator(latency_seconds={LATENCY_SECONDS}) as simulator:
    for number in range({DIRECTIONS}):
        thing = simulator.add_object_type(f"thing_{{number}}")
        for label in range({LABELS}):
            simulator.add_label("contacts", thing, label=f"Label {{label}}", name=f"l_{{number}}_{{label}}")
    print(simulator.url, simulator.token, flush=True)
    sys.stdin.read()
"""
THINGS = [f"p_thing_{number}" for number in range(DIRECTIONS)]
CONFIG = {
    "version": 1,
    "associations": [
        {
            "from": "contacts",
            "to": thing,
            "limit": OBJECT_LIMIT,
            "labels": {f"Label {label}": LABEL_LIMIT for label in range(LABELS)},
        }
        for thing in THINGS
    ],
}


@contextmanager
def portal() -> Iterator[tuple[str, str]]:
    """Run a fresh portal; yield its URL and token."""
    process = subprocess.Popen([sys.executable, "-c", PORTAL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url, token = process.stdout.readline().split()
        yield url, token
    finally:
        process.communicate("")


def sync(url: str, token: str, max_concurrency: int) -> None:
    """Do the work with this package."""
    with HubSpotClient(HubSpotSettings.parse({"base_url": url, "access_token": token})) as client:
        config = load_config(CONFIG).resolve()
        plan = build_plan(config, read_state(config, client, max_concurrency=max_concurrency))
        report = apply_plan(plan, client, max_concurrency=max_concurrency)
        assert report.ok
        assert len(report.outcomes) == DIRECTIONS * (LABELS + 1)


def one_call_after_another(url: str, token: str) -> None:
    """Do the same work with HubSpot's client."""
    api = HubSpot(access_token=token).crm.associations.v4.schema
    limits, labels = api.definition_configurations_api, api.definitions_api
    for client in (limits, labels):
        client.api_client.configuration.host = url
    for thing in THINGS:
        before = limits.get_all_between_two_object_types("contacts", thing).results
        assert before == []
        types = labels.get_all("contacts", thing).results
        wanted = {row.type_id: LABEL_LIMIT if row.label else OBJECT_LIMIT for row in types}
        inputs = [
            schema.PublicAssociationDefinitionConfigurationCreateRequest(
                category="USER_DEFINED", type_id=type_id, max_to_object_ids=limit
            )
            for type_id, limit in wanted.items()
        ]
        batch = schema.BatchInputPublicAssociationDefinitionConfigurationCreateRequest(inputs=inputs)
        answer = limits.batch_create("contacts", thing, batch)
        assert answer.status == "COMPLETE"
        seen = limits.get_all_between_two_object_types("contacts", thing).results
        assert {row.type_id: row.user_enforced_max_to_object_ids for row in seen} == wanted


def measure(work: Callable[[str, str], None]) -> tuple[int, float]:
    """Return the requests and the seconds that the work takes on a fresh portal."""
    with portal() as (url, token), requests.Session() as session:
        session.trust_env = False
        before = time.monotonic()
        work(url, token)
        seconds = time.monotonic() - before
        received: Any = session.get(f"{url}/_simulator/requests", timeout=30).json()
        state: Any = session.get(f"{url}/_simulator/portal", timeout=30).json()
    assert len(state["limits"]) == DIRECTIONS * (LABELS + 1)
    return len(received["results"]), seconds


def main() -> None:
    """Print requests, seconds, and how many times faster than HubSpot's client that is."""
    print(
        f"A sync of {DIRECTIONS} directions with {LABELS + 1} limits each, {LATENCY_SECONDS * 1000:.0f} ms latency\n"
        f"  {'':<46}{'requests':>10}{'seconds':>10}{'faster':>10}",
        flush=True,
    )
    ways: dict[str, Callable[[str, str], None]] = {"hubspot-api-client, one call after another": one_call_after_another}
    for max_concurrency in (1, 8, 16):
        ways[f"this package, max_concurrency={max_concurrency}"] = lambda url, token, many=max_concurrency: sync(
            url, token, many
        )
    baseline = None
    for name, work in ways.items():
        received, seconds = measure(work)
        baseline = baseline or seconds
        print(f"  {name:<46}{received:>10}{seconds:>10.1f}{baseline / seconds:>9.1f}x", flush=True)


if __name__ == "__main__":
    main()
