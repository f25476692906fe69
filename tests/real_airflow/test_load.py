"""Many batches that one triggerer of a real Airflow waits for: it notices each end in time.

No worker and no scheduler: what they leave behind when a task defers is written by ``tests.support.waiting``.
The simulator has accepted every operation. Each one ends at a different time; one in ten has a status link.
"""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.triggers import operation_from_event
from tests.real_airflow.conftest import ended_on_sigterm
from tests.support import environment, figures
from tests.support.inputs import parse_inputs
from tests.support.polling import wait_for
from tests.support.stack import STARTUP_SECONDS, Stack, StackError, migrated_database

pytestmark = pytest.mark.alone

SEED = 20260304
POLL_INTERVAL, MAX_POLL_INTERVAL = 5.0, 10.0
LATEST = MAX_POLL_INTERVAL * 1.1
"""One poll interval and a tenth, seconds: nothing is noticed later than that after its end."""
FROM = "contacts"
BLOCKED = "Triggerer's async thread was blocked"
_FIRED = re.compile(r"^(\S+) .*Trigger fired event .* map_index=(\d+) ", re.MULTILINE)


@dataclass(frozen=True)
class Scale:
    """Size of the load.

    :param waits: how many operations.
    :param pairs: on how many pairs.
    :param loading: seconds from the first operation to the first end; until then all of them have to be waiting.
    :param ends: over how many seconds the ends are spread.
    """

    waits: int
    pairs: int
    loading: float
    ends: float


SHORT = Scale(waits=100, pairs=10, loading=13, ends=5)
FULL = Scale(waits=1000, pairs=50, loading=30, ends=60)


@dataclass
class Waiting:
    """One operation, and the result of the wait for it. All times are seconds since the epoch."""

    handle: dict[str, Any]
    ends_at: float
    reads: list[float] = field(default_factory=list)
    started_at: float = 0.0
    fired_at: float = 0.0
    stored_at: float = 0.0
    state: str = ""
    next_method: str = ""
    event: Any = None

    @property
    def path(self) -> str:
        """The path that is read to learn its state."""
        if link := self.handle["status_link"]:
            return urlsplit(link).path
        pair = f"{self.handle['from_object_type']}/{self.handle['to_object_type']}"
        return f"/crm/associations/2026-03/definitions/configurations/{pair}"

    @property
    def seen_at(self) -> float:
        """When HubSpot received the read that showed the end: the last one before the event."""
        return max((read for read in self.reads if read <= self.fired_at), default=0.0)


@dataclass
class Course:
    """The course of the whole load."""

    waits: list[Waiting]
    blocked: list[str]
    """Airflow's warnings about a blocked event loop after it had started all waits.

    Before, it says so of itself: with 1,000 of Airflow's own triggers, which only sleep, it does so in every run.
    """


class TriggererAlone(Stack):
    """One triggerer, its metadata database, and the HubSpot it reads."""

    def __enter__(self) -> TriggererAlone:
        try:
            self._resources.enter_context(self.hubspot)
            shutil.copyfile(migrated_database(), self.home / "airflow.db")
            self.start("triggerer")
            wait_for("the triggerer", self._up, timeout=STARTUP_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def _up(self) -> bool | None:
        self.check()
        return True if self.query("SELECT id FROM job WHERE job_type = 'TriggererJob'") and self.runners() else None

    def query(self, statement: str) -> list[Any]:
        """Read the metadata database."""
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as database:
            return database.execute(statement).fetchall()

    def runners(self) -> list[psutil.Process]:
        """Return the process with the event loop, the child of the one that keeps the database."""
        return psutil.Process(self.components["triggerer"].pid).children()

    def memory(self) -> int:
        """Return the bytes that the process with the event loop holds."""
        [runner] = self.runners()
        return int(runner.memory_info().rss)

    def wait_in(self, waits: list[Waiting]) -> None:
        """Put the waits into the metadata database."""
        given = {
            "connection": {
                "conn_id": environment.CONNECTION_ID,
                "conn_type": "hubspot",
                "host": self.hubspot.url,
                "password": self.token,
            },
            "waits": [
                {
                    "hubspot_conn_id": environment.CONNECTION_ID,
                    "operation": wait.handle,
                    "waited": 600.0,  # so that the time between two reads has grown to its maximum
                    "timeout": 3600.0,
                    "poll_interval": POLL_INTERVAL,
                    "max_poll_interval": MAX_POLL_INTERVAL,
                    "max_poll_failures": 5,
                }
                for wait in waits
            ],
        }
        finished = subprocess.run(
            [sys.executable, "-m", "tests.support.waiting"],
            cwd=environment.REPOSITORY,
            env=self.environment,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=STARTUP_SECONDS,
            check=False,
        )
        if finished.returncode != 0:
            raise StackError(finished.stderr)

    def logs(self) -> dict[int, Path]:
        """Return the log of the triggerer about each wait."""
        return {int(path.parent.name.partition("=")[2]): path for path in self.home.glob("logs/**/*.trigger.*.log")}


def operations(hubspot: Simulator, scale: Scale) -> list[Waiting]:
    """Submit the operations, each for a different association type."""
    seeded = random.Random(SEED)
    things = [hubspot.add_object_type(f"thing_{number}") for number in range(scale.pairs)]
    first_end = time.time() + scale.loading
    ends = [seeded.uniform(first_end, first_end + scale.ends) for _ in range(scale.waits)]
    waits = []
    with HubSpotClient(HubSpotSettings.parse({"base_url": hubspot.url, "access_token": hubspot.token})) as client:
        for number, ends_at in enumerate(ends):
            thing = things[number % scale.pairs]
            type_id, _ = hubspot.add_label(FROM, thing, label=f"Label {number}", name=f"label_{number}")
            inputs = parse_inputs(
                FROM, thing, [{"category": "USER_DEFINED", "typeId": type_id, "maxToObjectIds": 1 + number}], "create"
            )
            hubspot.settings.status_links = seeded.random() < 0.1
            hubspot.settings.processing_seconds = ends_at - time.time()
            operation = BatchOperation(action="create", from_object_type=FROM, to_object_type=thing, inputs=inputs)
            handle = operation.with_answer(client.create_limits(FROM, thing, inputs)).to_dict()
            assert (handle["status"], bool(handle["status_link"])) == ("PENDING", hubspot.settings.status_links)
            waits.append(Waiting(handle, ends_at))
    return waits


def seconds(timestamp: str) -> float:
    """Read a time of a log or of the database, which is UTC."""
    return datetime.fromisoformat(timestamp.replace("Z", "").partition("+")[0] + "+00:00").timestamp()


def record_ends(stack: TriggererAlone, waits: list[Waiting]) -> None:
    """Record the end of each wait, from the database, the logs, and HubSpot."""
    columns = "map_index, state, next_method, next_kwargs, scheduled_dttm"
    rows = stack.query(f"SELECT {columns} FROM task_instance WHERE map_index >= 0")
    reads: dict[str, list[float]] = {}
    for request in stack.hubspot.requests:
        if request.method == "GET":
            reads.setdefault(request.path, []).append(request.received_at)
    logs = stack.logs()
    assert len(rows) == len(logs) == len(waits)
    # The triggerer closes the log of a wait when it notices the end; later lines are in its own log.
    for timestamp, map_index in _FIRED.findall(stack.log_path("triggerer").read_text()):
        waits[int(map_index)].fired_at = seconds(timestamp)
    for map_index, state, next_method, next_kwargs, scheduled in rows:
        wait = waits[map_index]
        wait.state, wait.next_method, wait.event = state, next_method, json.loads(next_kwargs).get("event")
        wait.stored_at = seconds(scheduled) if scheduled else 0.0
        wait.reads = reads.get(wait.path, [])
        for line in logs[map_index].read_text().splitlines():
            said = json.loads(line)
            if said["event"].endswith("starting"):
                wait.started_at = seconds(said["timestamp"])
            elif said["event"] == "Trigger fired event":
                wait.fired_at = seconds(said["timestamp"])


def report_figures(waits: list[Waiting], memory: list[int]) -> None:
    """Report the figures at the end of the run."""
    noticed = [wait for wait in waits if wait.fired_at]
    late = {
        "read": [wait.seen_at - wait.ends_at for wait in noticed],
        "event": [wait.fired_at - wait.ends_at for wait in noticed],
        "database": [wait.stored_at - wait.ends_at for wait in noticed],
    }
    reads = {wait.path: wait.reads for wait in waits}
    times = [moment for moments in reads.values() for moment in moments]
    minutes = (max(wait.fired_at for wait in noticed) - min(wait.started_at for wait in waits)) / 60
    before, waiting, after = (round(size / 2**20) for size in memory)
    figures.report(
        "load: waits, directions, status links",
        f"{len(waits)}, {len({wait.handle['to_object_type'] for wait in waits})},"
        f" {sum(bool(wait.handle['status_link']) for wait in waits)}",
    )
    latest = ", by ".join(f"{what} {max(seconds):.1f}" for what, seconds in late.items())
    figures.report("load: noticed", f"{len(noticed)}, the latest (seconds after its end) by {latest}")
    figures.report(
        "load: requests per minute",
        f"{len(times) / minutes:.0f}; waits without sharing would make {60 / MAX_POLL_INTERVAL * len(waits):.0f}",
    )
    figures.report(
        "load: memory of the triggerer's event loop",
        f"{before} MiB empty, {waiting} MiB with all waits, {after} MiB after;"
        f" {(memory[1] - memory[0]) / len(waits) / 1024:.0f} KiB a wait",
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Iterator[Course]:
    """Let one triggerer wait for all batches at the same time, until all are over."""
    scale = FULL if full else SHORT
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Airflow keeps the log of every wait open.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors[0], min(descriptors[1], 4096)), descriptors[1]))
    try:
        with ended_on_sigterm(), TriggererAlone(tmp_path_factory.mktemp("load") / "airflow") as stack:
            memory = [stack.memory()]
            waits = operations(stack.hubspot, scale)
            stack.wait_in(waits)
            time.sleep(max(0.0, min(wait.ends_at for wait in waits) - time.time()))
            memory.append(stack.memory())

            def all_noticed() -> bool | None:
                stack.check()
                waiting = stack.query("SELECT count(*) FROM task_instance WHERE state = 'deferred'")
                return True if waiting == [(0,)] else None

            remaining = scale.ends + 3 * LATEST
            try:
                wait_for("all operations to be noticed", all_noticed, timeout=remaining, interval=1)
            finally:
                record_ends(stack, waits)
            memory.append(stack.memory())
            log = stack.log_path("triggerer")
        report_figures(waits, memory)
        loaded_at = max(wait.started_at for wait in waits)
        blocked = [line for line in log.read_text().splitlines() if BLOCKED in line]
        yield Course(waits, [line for line in blocked if seconds(line.split()[0]) > loaded_at])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)


def test_all_operations_are_waited_for_at_once_and_noticed(course: Course) -> None:
    first_end = min(wait.ends_at for wait in course.waits)
    assert [wait for wait in course.waits if not 0 < wait.started_at < first_end] == []
    for wait in course.waits:
        assert (wait.state, wait.next_method) == ("scheduled", "execute_complete")
        operation = operation_from_event(wait.event)
        assert operation.has_succeeded
        assert [limit.to_wire() for limit in operation.applied] == wait.handle["inputs"]


def test_no_operation_is_noticed_before_its_end_or_late(course: Course) -> None:
    lateness = sorted(wait.seen_at - wait.ends_at for wait in course.waits)
    assert lateness[0] >= 0
    assert lateness[-1] <= LATEST


def test_the_event_loop_is_never_reported_as_blocked(course: Course) -> None:
    assert course.blocked == []


def test_waits_for_the_same_pair_share_their_reads(course: Course) -> None:
    shortest = MAX_POLL_INTERVAL * 0.8
    for path, reads in {wait.path: wait.reads for wait in course.waits}.items():
        # One wait alone would make as many, at its interval less the jitter.
        assert (len(reads) - 1) * shortest <= reads[-1] - reads[0] + 0.5, path
