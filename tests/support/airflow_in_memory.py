"""Airflow around a task, without a database: its real task runner, serializers and event loop of triggers.

Only the Execution API is replaced: :class:`Airflow` keeps in memory what the real one keeps in the metadata database.
It works with every version of Airflow that the provider supports, and with the beta of the next one.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any

from airflow import sdk
from airflow.sdk import TaskInstanceState, serde
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ConnectionResult, DeferTask, ErrorResponse, GetConnection
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor
from airflow.triggers.base import BaseTrigger
from pydantic import TypeAdapter

from airflow_provider_hubassoc.simulator import Simulator

httpx: Any = import_module(Client.__mro__[1].__module__.partition(".")[0])
"""The HTTP library of Airflow's client: ``httpx`` up to Airflow 3.3, ``httpx2`` in 3.4."""

HAS_3_3 = hasattr(sdk, "RetryPolicy")
"""Airflow 3.3 has retry policies and the task state store."""

# Airflow's task runner makes a new one for every field that it has rendered: half of the time a task takes here.
vars(task_runner)["TypeAdapter"] = functools.cache(TypeAdapter)

RUN_ID = "run"
RETURN_VALUE = "return_value"


@dataclass
class Leg:
    """One process of a task: from its start to its end, its deferral or its rescheduling."""

    state: str
    error: BaseException | None
    message: Any
    reported: dict[str, Any]
    """The last message to Airflow's API."""

    @property
    def retry_delay(self) -> float | None:
        """Seconds until the next try, where the retry policy chose them."""
        return self.reported.get("retry_delay_seconds")


@dataclass
class Try:
    """One try of a task, in as many legs as it took."""

    legs: list[Leg]
    xcoms: dict[str, Any]
    events: list[Any]

    @property
    def end(self) -> Leg:
        return self.legs[-1]

    @property
    def state(self) -> str:
        return self.end.state

    @property
    def error(self) -> BaseException | None:
        return self.end.error

    @property
    def result(self) -> Any:
        return self.xcoms.get(RETURN_VALUE)


@dataclass
class Airflow:
    """The Execution API, and the scheduler and triggerer as far as a single task sees them."""

    xcoms: dict[tuple[str, int, str], Any] = field(default_factory=dict)
    pushes: list[tuple[str, Any]] = field(default_factory=list)
    """Every XCom written, in order: key and value."""
    rendered: dict[str, Any] = field(default_factory=dict)
    store: dict[tuple[str, int, str], Any] = field(default_factory=dict)
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)
    reschedules: list[datetime] = field(default_factory=list)
    """When the legs of this try began that ended in being rescheduled."""
    asked_for_connections: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """The tasks downstream that a task has skipped."""

    @classmethod
    def connected_to(cls, hubspot: Simulator) -> Airflow:
        """Return an Airflow with a connection that only its API knows, none of the environment."""
        connection: dict[str, Any] = dict.fromkeys(("schema", "login", "port", "extra"))
        connection |= {"conn_id": "hubspot_default", "conn_type": "hubspot"}
        connection |= {"host": hubspot.url, "password": hubspot.token}
        return cls(connections={"hubspot_default": connection})

    # -- what a test does --

    def run(
        self, task: Any, *, try_number: int = 1, map_index: int = -1, max_legs: int = 50, inline: bool = False
    ) -> Try:
        """Run one try of a task to its end: what is deferred runs in an event loop, what is rescheduled again.

        :param inline: run triggers as ``dag.test()`` does.
        """
        self.reschedules = []
        legs = [self.leg(task, try_number=try_number, map_index=map_index)]
        events = []
        while legs[-1].state in ("deferred", "up_for_reschedule"):
            assert len(legs) < max_legs, "the task never ends"
            if legs[-1].state == "deferred":
                events.append((self.run_trigger_inline if inline else self.run_trigger)(legs[-1].message))
                legs.append(self.resume(task, legs[-1].message, events[-1], try_number=try_number, map_index=map_index))
            else:
                wake_up = legs[-1].message.reschedule_date
                threading.Event().wait(max(0.0, (wake_up - datetime.now(tz=timezone.utc)).total_seconds()))
                legs.append(self.leg(task, try_number=try_number, map_index=map_index, is_new_try=False))
        return Try(legs, self.xcoms_of(task.task_id, map_index), events)

    def resume(self, task: Any, deferral: DeferTask, event: Any, **options: Any) -> Leg:
        """Run the leg that follows a deferral, with the event as the triggerer would have stored it."""
        stored: Any = serde.deserialize(deferral.next_kwargs or {})
        kwargs = {**stored, "event": _through_json(event)}
        return self.leg(
            task, next_method=deferral.next_method, next_kwargs=serde.serialize(kwargs), is_new_try=False, **options
        )

    def leg(
        self,
        task: Any,
        *,
        try_number: int = 1,
        map_index: int = -1,
        next_method: str | None = None,
        next_kwargs: Any = None,
        is_new_try: bool = True,
    ) -> Leg:
        """Run a task in Airflow's own task runner until its process would end."""
        report: dict[str, Any] = {}
        key = (task.task_id, map_index)
        stale = [name for *owner, name in self.xcoms if tuple(owner) == key] if is_new_try else []

        def answer(request: Any) -> Any:
            match request.method, request.url.path.strip("/").split("/"):
                case "PATCH", ["task-instances", _, "run"]:
                    context = _run_context(task, try_number, next_method, next_kwargs)
                    context |= {"xcom_keys_to_clear": stale, "task_reschedule_count": len(self.reschedules)}
                    return httpx.Response(200, json=context)
                case "PATCH", ["task-instances", _, "state"]:
                    report.update(json.loads(request.content))
                    return httpx.Response(204)
            return self._answer(request, key)

        what = _task_instance(task.dag.dag_id, task.task_id, try_number, map_index)
        with _process_restored():
            result = _supervisor(answer).start(what=what, task=task)
        state = TaskInstanceState(result.state).value
        if state == "up_for_reschedule":
            self.reschedules.append(result.ti.start_date)
        return Leg(state, result.error, result.msg, report)

    def run_trigger(self, deferral: DeferTask) -> Any:
        """Run a deferred task's trigger as the triggerer does, and return the payload of its event."""

        async def first_event() -> Any:
            with self.triggerer():
                events = make_trigger(deferral).run()
                event = await anext(events)
                assert await anext(events, None) is None, "more than one event"
                return event.payload

        return _through_json(asyncio.run(asyncio.wait_for(first_event(), 30)))

    def run_trigger_inline(self, deferral: DeferTask) -> Any:
        """Run a deferred task's trigger as ``dag.test()`` does, and return the payload of its event."""

        def answer(request: Any) -> Any:
            return self._answer(request, ("", -1))

        ti = _task_instance("dag", "task", 1, -1)
        supervisor: Any = _supervisor(answer)
        event = supervisor.run_trigger_in_process(trigger=make_trigger(deferral), ti=ti)
        return _through_json(event.payload)

    @contextmanager
    def triggerer(self) -> Iterator[None]:
        """Be the triggerer: connections come through its supervisor, and asking it must not block the event loop."""
        comms: Any = _TriggererComms(self, asyncio.get_running_loop())
        task_runner.SUPERVISOR_COMMS = comms
        try:
            yield
        finally:
            del task_runner.SUPERVISOR_COMMS

    def xcoms_of(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the XComs of a task by key."""
        return {key: value for (task, index, key), value in self.xcoms.items() if (task, index) == (task_id, map_index)}

    # -- the API --

    def _answer(self, request: Any, owner: tuple[str, int]) -> Any:
        map_index = int(request.url.params.get("map_index", -1))
        match request.method, request.url.path.strip("/").split("/"):
            case "PUT", ["task-instances", _, "rtif"]:
                self.rendered = json.loads(request.content)
                return httpx.Response(201)
            case "PATCH", ["task-instances", _, "rendered-map-index"]:
                return httpx.Response(204)
            case "PATCH", ["task-instances", _, "skip-downstream"]:
                self.skipped += json.loads(request.content)["tasks"]
                return httpx.Response(204)
            case "GET", ["task-instances", _, "validate-inlets-and-outlets"]:
                return httpx.Response(200, json={"inactive_assets": []})
            case "GET", ["task-reschedules", _, "start_date"]:
                return httpx.Response(200, json=self.reschedules[0].isoformat() if self.reschedules else None)
            case "GET", ["connections", conn_id]:
                self.asked_for_connections.append(conn_id)
                return _found(self.connections.get(conn_id))
            case "POST", ["xcoms", _, _, task_id, key]:
                self.xcoms[task_id, map_index, key] = json.loads(request.content)
                self.pushes.append((key, json.loads(request.content)))
                return httpx.Response(201)
            case "DELETE", ["xcoms", _, _, task_id, key]:
                self.xcoms.pop((task_id, map_index, key), None)
                return httpx.Response(200)
            case "HEAD", ["xcoms", _, _, task_id, key]:
                return httpx.Response(200, headers={"Content-Range": f"map_indexes {len(self._mapped(task_id, key))}"})
            case "GET", ["xcoms", _, _, task_id, key]:
                if (task_id, map_index, key) not in self.xcoms:
                    return _found(None)
                return httpx.Response(200, json={"key": key, "value": self.xcoms[task_id, map_index, key]})
            case "GET", ["xcoms", _, _, task_id, key, "item", offset]:
                return httpx.Response(200, json=self._mapped(task_id, key)[int(offset)])
            case "GET", ["xcoms", _, _, task_id, key, "slice"]:
                bounds = (request.url.params.get(name) for name in ("start", "stop", "step"))
                part = slice(*(None if bound is None else int(bound) for bound in bounds))
                return httpx.Response(200, json=self._mapped(task_id, key)[part])
            case method, ["store", "ti", _, key]:
                place = (*owner, key)
                if method == "PUT":
                    self.store[place] = json.loads(request.content)["value"]
                elif method == "DELETE":
                    self.store.pop(place, None)
                else:
                    return _found({"value": self.store[place]} if place in self.store else None)
                return httpx.Response(204)
        raise AssertionError(f"unexpected call of Airflow's API: {request.method} {request.url}")

    def _mapped(self, task_id: str, key: str) -> list[Any]:
        return [self.xcoms[found] for found in sorted(self.xcoms) if (found[0], found[2]) == (task_id, key)]


def make_trigger(deferral: DeferTask) -> BaseTrigger:
    """Build the trigger of a deferral as the triggerer does: from a class path and stored JSON."""
    module, _, name = deferral.classpath.rpartition(".")
    arguments: Any = serde.deserialize(_through_json(deferral.trigger_kwargs))
    trigger: BaseTrigger = getattr(import_module(module), name)(**arguments)
    return trigger


class _TriggererComms:
    """The triggerer's way to its supervisor: asynchronous, and from other threads through the event loop."""

    def __init__(self, airflow: Airflow, loop: asyncio.AbstractEventLoop) -> None:
        self._airflow = airflow
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self.sent: deque[Any] = deque()

    def send(self, msg: Any) -> Any:
        assert threading.get_ident() != self._loop_thread, f"{type(msg).__name__} would block the event loop"
        return asyncio.run_coroutine_threadsafe(self.asend(msg), self._loop).result()

    async def asend(self, msg: Any) -> Any:
        await asyncio.sleep(0)
        if not isinstance(msg, GetConnection):
            return None
        self._airflow.asked_for_connections.append(msg.conn_id)
        connection = self._airflow.connections.get(msg.conn_id)
        if connection is None:
            return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
        return ConnectionResult(**connection)


def _supervisor(answer: Callable[[Any], Any]) -> type[InProcessTestSupervisor]:
    """Return Airflow's supervisor of tasks in its own process, with an Execution API that is answered here."""

    class Supervisor(InProcessTestSupervisor):
        @staticmethod
        def _api_client(*_: Any) -> Any:
            return InProcessTestSupervisor._Client(
                base_url=None, dry_run=True, token="", transport=httpx.MockTransport(answer)
            )

    return Supervisor


def _task_instance(dag_id: str, task_id: str, try_number: int, map_index: int) -> TaskInstance:
    return TaskInstance(
        id=uuid.uuid4(),
        task_id=task_id,
        dag_id=dag_id,
        run_id=RUN_ID,
        try_number=try_number,
        dag_version_id=uuid.uuid4(),
        map_index=map_index,
    )


@contextmanager
def _process_restored() -> Iterator[None]:
    """Undo the changes of the task runner to its process, which is ours."""
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, on_term)
        for name in [name for name in os.environ if name.startswith("AIRFLOW_CTX_")]:
            del os.environ[name]


def _run_context(task: Any, try_number: int, next_method: str | None, next_kwargs: Any) -> dict[str, Any]:
    now = datetime.now(tz=timezone.utc)
    day = (now - timedelta(hours=1)).isoformat()
    retries = task.retries or 0
    return {
        "dag_run": {
            "dag_id": task.dag.dag_id,
            "run_id": RUN_ID,
            "logical_date": day,
            "data_interval_start": day,
            "data_interval_end": day,
            "run_after": day,
            "start_date": day,
            "end_date": None,
            "run_type": "manual",
            "state": "running",
            "conf": {},
            "consumed_asset_events": [],
            "partition_key": None,
        },
        "max_tries": retries,
        "should_retry": try_number <= retries,
        "next_method": next_method,
        "next_kwargs": next_kwargs,
    }


def _found(value: Any) -> Any:
    if value is None:
        return httpx.Response(404, json={"detail": {"reason": "not_found"}})
    return httpx.Response(200, json=value)


def _through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
