"""The entry points of the provider, and their surroundings: a HubSpot, a network, an Airflow, and known secrets."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotOperationTimeoutError
from airflow_provider_hubassoc.limits.apply import ApplyError
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh, submit
from airflow_provider_hubassoc.limits.wait import Wait
from airflow_provider_hubassoc.operators import (
    HubSpotAssociationLimitsOperator,
    HubSpotAssociationLimitsSyncOperator,
)
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsDriftTrigger
from tests.faults.catalogue import MAX_POLL_FAILURES, MAX_RETRIES, BatchFault, Fault, Kind, Strike
from tests.faults.proxy import Proxy, Seen
from tests.support.airflow_in_memory import Airflow, Try
from tests.support.inputs import parse_inputs
from tests.support.portal import association, declare
from tests.support.scenarios import FIVE_COMPANIES, FROM, ONE_PRIMARY, TO
from tests.support.wire import ACCOUNT, Peer, certificate, response

WRITES = ("POST", "*/batch/*")
READS = ("GET", "/crm/*")

INTERVAL = 0.05
"""About the time between two reads of a wait: a second of the product's, on a clock that runs twenty times as fast."""

_POLL_SECONDS = 1.0
_PATIENCE = 20.0
_SHORT_PATIENCE = 0.4
"""Timeout of a task whose batch does not end, seconds."""

_DRIFT_LOOKS = 5
"""Number of intervals for which a drift watch without drift is observed."""


class World:
    """Everything that one cell of the matrix needs; each cell has its own.

    :param fault: decides what the code connects to.
    """

    def __init__(
        self,
        fault: Fault | BatchFault,
        hubspot: Simulator,
        proxy: Proxy | None,
        elsewhere: Peer,
        folder: Path,
        environment: pytest.MonkeyPatch,
    ) -> None:
        self.hubspot = hubspot
        self.elsewhere = elsewhere
        self.airflow = Airflow()
        self._proxy = proxy
        self._tls = proxy.tls if proxy else None
        self._folder = folder
        self._environment = environment
        self._fault = fault
        oauth = hubspot.oauth
        oauth.client_secret, oauth.refresh_token = "canary-client-secret", "canary-refresh-token"
        self._token = hubspot.issue_token()
        self.secrets = [self._token, oauth.client_secret, oauth.refresh_token, "simulator-oauth-"]
        self.connect_to(self.address)

    @property
    def proxy(self) -> Proxy:
        assert self._proxy is not None, "the fault is not said to need a proxy"
        return self._proxy

    @property
    def is_counted(self) -> bool:
        """Whether requests are seen while the fault lasts."""
        return getattr(self._fault, "counted", True)

    @property
    def address(self) -> str:
        return self._proxy.url if self._proxy else self.hubspot.url

    @property
    def elsewhere_url(self) -> str:
        return f"http://127.0.0.1:{self.elsewhere.port}"

    def connect_to(self, address: str, **more: Any) -> None:
        """Change the connection.

        :param more: fields of its extra.
        """
        extra: dict[str, Any] = {"timeout": "5,5", "max_retries": MAX_RETRIES, **self._fault.extra, **more}
        if self._fault.oauth:
            app = self.hubspot.oauth
            extra |= {"auth_type": "oauth", "client_id": app.client_id, "client_secret": app.client_secret}
            extra |= {"refresh_token": app.refresh_token}
        if self._fault.through == "tls":
            extra["ca_bundle"] = str(self._folder / "certificate.pem")
        connection = {"conn_type": "hubspot", "host": address, "password": self._token, "extra": extra}
        self._environment.setenv("AIRFLOW_CONN_HUBSPOT_DEFAULT", json.dumps(connection))

    def rotate_token(self) -> None:
        """Revoke the access token and store another one in the connection."""
        self.hubspot.revoke(self._token)
        self._token = self.hubspot.issue_token()
        self.secrets.append(self._token)
        self.connect_to(self.address)

    def show_another_certificate(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.proxy.tls, _ = certificate(Path(folder))

    def end_faults(self) -> None:
        """End every fault."""
        self.hubspot.clear_faults()
        self.hubspot.settings.processing_seconds, self.hubspot.settings.canceled = 0, False
        if self._proxy is not None:
            self._proxy.tls = self._tls
            self._proxy.end_faults()
        self.connect_to(self.address)

    # -- requests --

    @property
    def requests(self) -> list[Seen]:
        """The requests sent to HubSpot, whether or not they arrived."""
        if self._proxy is not None:
            return list(self._proxy.seen)
        return [Seen(request.method, request.path, request.received_at) for request in self.hubspot.requests]

    @property
    def sent(self) -> str:
        """The requests in short form, one letter each, without those for account info.

        C: batch/create, U: batch/update, R: read of the pair, L: of its labels, S: of a status link, T: token refresh.
        """
        return "".join(_short(request) for request in self.requests)

    @property
    def portal(self) -> dict[Any, int]:
        return self.hubspot.limits()


def _short(request: Seen) -> str:
    last = request.path.rpartition("/")[2]
    if request.path.startswith("/oauth"):
        return "T"
    if request.path.startswith("/account-info"):
        return ""
    if request.method == "GET":
        return "L" if last == "labels" else "S" if "/operations/" in request.path else "R"
    return {"create": "C", "update": "U"}[last]


@contextmanager
def world_of(fault: Fault | BatchFault, place: Place) -> Iterator[World]:
    """Make the world that a fault needs in a place."""
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as environment,
        Simulator() as hubspot,
        Peer(response(ACCOUNT)) as elsewhere,
    ):
        path = Path(folder)
        if fault.through == "hubspot" and not place.ordered:
            yield World(fault, hubspot, None, elsewhere, path, environment)
            return
        tls = certificate(path)[0] if fault.through == "tls" else None
        with Proxy(hubspot.port, tls=tls) as proxy:
            yield World(fault, hubspot, proxy, elsewhere, path, environment)


# -- results ---------------------------------------------------------------------------------------------------


@dataclass
class Shown:
    """Result of one try."""

    kind: Kind
    error: BaseException | None
    """As it was raised."""
    sent: str
    """Since the try began."""
    times: list[float]
    portal: dict[Any, int]
    asset_events: list[Any] = field(default_factory=list)
    drift: list[Any] = field(default_factory=list)
    state: str | None = None
    retry_delay: float | None = None


def cause(error: BaseException | None) -> BaseException | None:
    """Return our own error behind one of Airflow's."""
    while error is not None and not isinstance(error, (HubSpotError, ApplyError)):
        error = error.__cause__
    return error


def _of_task(world: World, run: Try, since: int) -> Shown:
    error = cause(run.error)
    if run.state == "success":
        kind = Kind.SUCCEEDS
    elif isinstance(error, HubSpotOperationTimeoutError) or isinstance(run.error, AirflowSensorTimeout):
        kind = Kind.WAITS
    else:
        kind = Kind.RETRIES if run.state == "up_for_retry" else Kind.FAILS
    return Shown(
        kind,
        run.error,
        _sent_since(world, since),
        [request.at for request in world.requests[since:]],
        world.portal,
        asset_events=run.end.reported.get("outlet_events") or [],
        state=run.state,
        retry_delay=run.end.retry_delay,
    )


def _of_call(world: World, call: Callable[[], Any]) -> Shown:
    since = len(world.requests)
    error: HubSpotError | None = None
    try:
        call()
    except HubSpotError as raised:
        error = raised
    if error is None:
        kind = Kind.SUCCEEDS
    elif isinstance(error, HubSpotOperationTimeoutError):
        kind = Kind.WAITS
    else:
        kind = Kind.RETRIES if error.retryable else Kind.FAILS
    times = [request.at for request in world.requests[since:]]
    return Shown(kind, error, _sent_since(world, since), times, world.portal)


def _sent_since(world: World, since: int) -> str:
    return "".join(_short(request) for request in world.requests[since:])


# -- the entry points ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """The work that an entry point has to do.

    :param strike: brings the fault about; called once, at the time.
    :param inputs: what to ask for.
    :param verify: whether to wait until the limits are seen in force.
    :param patient: whether the wait may last until it is over.
    """

    strike: Callable[[], None]
    inputs: Sequence[dict[str, Any]] = (FIVE_COMPANIES, ONE_PRIMARY)
    verify: bool = False
    patient: bool = True

    @property
    def patience(self) -> float:
        return _PATIENCE if self.patient else _SHORT_PATIENCE


@dataclass(frozen=True, eq=False)
class Place:
    """The place in an entry point where a fault strikes.

    :param hit: ``write``, ``wait`` or ``read``.
    :param run: does it; returns what was seen of the first try, and a function that tries once more.
    :param requests: the requests that it strikes.
    :param begins_after: what a fault that strikes from a moment on has to wait for.
    :param same_client: whether the client is open by then, and with it the address fixed.
    :param links: whether the wait has a status link to read.
    :param ordered: whether every fault has to wait for that, as requests of the same kind come before.
    :param looks: how many processes look first: a fault that passes strikes each of them.
    :param strikes_first: whether the fault strikes the first request that a process makes with the token.
    """

    way: str
    hit: str
    run: Callable[[World, Case], Iterator[Shown]]
    requests: tuple[str, str]
    begins_after: tuple[str, str] | None = None
    same_client: bool = False
    links: bool = False
    ordered: bool = False
    looks: int = 1
    strikes_first: bool = False
    what: str = ""

    def __str__(self) -> str:
        return f"{self.way}-{self.what or self.hit}"

    def strike(self, world: World, inject: Callable[[Strike], None], *, lasting: bool) -> None:
        """Inject a fault in this place."""
        times = 10_000 if lasting else self.looks
        strike = Strike(world, *self.requests, lasting, times, None if self.ordered else self.begins_after)
        if self.ordered and self.begins_after:
            world.proxy.after(*self.begins_after, lambda: inject(strike))
        else:
            inject(strike)


def _submit(hook: HubSpotHook, case: Case, *, resend: bool = False) -> BatchOperation:
    inputs = parse_inputs(FROM, TO, list(case.inputs), "create")
    batch = BatchOperation(action="create", from_object_type=FROM, to_object_type=TO, inputs=inputs, verify=case.verify)
    return submit(hook.client, batch, resend=resend)


def _follow(hook: HubSpotHook, operation: BatchOperation, case: Case) -> BatchOperation:
    wait = Wait(
        operation,
        timeout=case.patience,
        poll_interval=_POLL_SECONDS,
        max_poll_interval=60.0,
        max_poll_failures=MAX_POLL_FAILURES,
    )
    while not wait.operation.is_over:
        time.sleep(wait.next_delay())
        wait.poll(lambda operation: refresh(hook.client.without_retries(), operation))
    return wait.operation


def hook_write(world: World, case: Case) -> Iterator[Shown]:
    """Submit a batch, and wait for it."""

    def submit_and_follow(*, resend: bool) -> None:
        with HubSpotHook() as hook:
            _follow(hook, _submit(hook, case, resend=resend), case).raise_for_failure()

    case.strike()
    yield _of_call(world, lambda: submit_and_follow(resend=False))
    yield _of_call(world, lambda: submit_and_follow(resend=True))


def hook_wait(world: World, case: Case) -> Iterator[Shown]:
    case.strike()
    with HubSpotHook() as hook:
        operation = _submit(hook, case)
        while True:
            yield _of_call(world, lambda: _follow(hook, operation, case).raise_for_failure())


def hook_read(world: World, case: Case) -> Iterator[Shown]:
    case.strike()
    while True:
        with HubSpotHook() as hook:
            yield _of_call(world, lambda: hook.get_limits(FROM, TO))


def operator(*, deferrable: bool) -> Callable[[World, Case], Iterator[Shown]]:
    def run(world: World, case: Case) -> Iterator[Shown]:
        with DAG("dag"):
            task = HubSpotAssociationLimitsOperator(
                task_id="set_limits",
                from_object_type=FROM,
                to_object_type=TO,
                inputs=list(case.inputs),
                poll_interval=_POLL_SECONDS,
                timeout=case.patience,
                max_poll_failures=MAX_POLL_FAILURES,
                verify=case.verify,
                deferrable=deferrable,
                retries=3,
            )
        case.strike()
        yield from _tries(world, task)

    return run


def sensor(**arguments: Any) -> Callable[[World, Case], Iterator[Shown]]:
    def run(world: World, case: Case) -> Iterator[Shown]:
        case.strike()
        with HubSpotHook() as hook:
            handle = json.loads(json.dumps(_submit(hook, case).to_dict()))
        with DAG("dag"):
            task = HubSpotAssociationLimitsSensor(
                task_id="wait",
                operation=handle,
                poke_interval=_POLL_SECONDS,
                timeout=case.patience,
                max_poll_failures=MAX_POLL_FAILURES,
                retries=3,
                **arguments,
            )
        yield from _tries(world, task)

    return run


def sync(*, deferrable: bool) -> Callable[[World, Case], Iterator[Shown]]:
    def run(world: World, case: Case) -> Iterator[Shown]:
        types = [
            {
                "category": limit_input["category"],
                "typeId": limit_input["typeId"],
                "limit": limit_input["maxToObjectIds"],
            }
            for limit_input in case.inputs
        ]
        with DAG("dag"):
            task = HubSpotAssociationLimitsSyncOperator(
                task_id="sync",
                config=declare(association(FROM, TO, types=types)),
                verify_timeout=case.patience,
                deferrable=deferrable,
                retries=3,
            )
        case.strike()
        yield from _tries(world, task)

    return run


def _tries(world: World, task: Any) -> Iterator[Shown]:
    for try_number in (1, 2, 3):
        since = len(world.requests)
        yield _of_task(world, world.airflow.run(task, try_number=try_number), since)


def drift(world: World, case: Case) -> Iterator[Shown]:
    """Watch a portal in which somebody has changed a limit."""
    world.hubspot.set_limit(FROM, TO, "HUBSPOT_DEFINED", 279, 3)
    case.strike()
    if case.verify:
        with HubSpotHook() as hook:
            hook.update_limits(FROM, TO, [FIVE_COMPANIES])
    yield from _watch(world, settle=8 * INTERVAL if case.verify else 0.0, patient=case.patient)


def _watch(world: World, *, settle: float, patient: bool) -> Iterator[Shown]:
    trigger = HubSpotAssociationLimitsDriftTrigger(
        association=association(FROM, TO, limit=5), poll_interval=INTERVAL, settle_seconds=settle
    )
    loop = asyncio.new_event_loop()
    events: list[Any] = []

    async def watch() -> None:
        with world.airflow.triggerer():
            async for event in trigger.run():
                events.append(event.payload["drift"])

    async def look(task: asyncio.Task[None], seconds: float) -> None:
        since, end = len(world.requests), time.monotonic() + seconds
        latest = end + 5 if world.is_counted else end  # a busy machine may take its time for the first read
        while not events and not task.done() and time.monotonic() < latest:
            if time.monotonic() >= end and len(world.requests) > since:
                break
            await asyncio.sleep(0.01)

    try:
        task = loop.create_task(watch())
        while True:
            since = len(world.requests)
            loop.run_until_complete(look(task, _PATIENCE if patient else settle + _DRIFT_LOOKS * INTERVAL))
            if task.done():
                task.result()
            times = [request.at for request in world.requests[since:]]
            kind = Kind.SUCCEEDS if events else Kind.WAITS
            yield Shown(kind, None, _sent_since(world, since), times, world.portal, drift=list(events))
            patient = True
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


PLACES = [
    Place("hook", "write", hook_write, WRITES, strikes_first=True),
    Place("hook", "wait", hook_wait, READS, WRITES, same_client=True, links=True),
    Place("hook", "read", hook_read, READS, strikes_first=True),
    Place("operator in the worker", "write", operator(deferrable=False), WRITES),
    Place("operator in the worker", "wait", operator(deferrable=False), READS, WRITES, same_client=True, links=True),
    Place("operator deferred", "write", operator(deferrable=True), WRITES),
    Place("operator deferred", "wait", operator(deferrable=True), READS, WRITES),
    Place("sensor poke", "wait", sensor(mode="poke"), READS, WRITES, links=True, strikes_first=True),
    Place("sensor reschedule", "wait", sensor(mode="reschedule"), READS, WRITES, strikes_first=True),
    Place("sensor deferrable", "wait", sensor(deferrable=True), READS, WRITES, links=True, looks=2, strikes_first=True),
    Place("sync apply", "read", sync(deferrable=False), READS),
    Place("sync apply", "write", sync(deferrable=False), WRITES, READS, same_client=True),
    Place(
        "sync apply", "wait", sync(deferrable=False), READS, WRITES, same_client=True, ordered=True, what="verification"
    ),
    Place("sync apply", "wait", sync(deferrable=True), READS, WRITES, ordered=True, what="deferred verification"),
    Place("drift trigger", "wait", drift, READS, strikes_first=True),
]

WAYS = list(dict.fromkeys(place.way for place in PLACES))
