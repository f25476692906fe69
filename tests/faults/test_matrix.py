"""Every fault in every entry point: the outcome, the requests, the limits of the portal, and the message."""

from __future__ import annotations

import itertools
import logging
import random
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.errors import HubSpotOperationError, HubSpotRateLimitError
from airflow_provider_hubassoc.limits.apply import ApplyError
from tests.faults import catalogue
from tests.faults.catalogue import (
    BATCH_FAULTS,
    FAULTS,
    MAX_RETRIES,
    NO_FAULTS,
    BatchFault,
    Fault,
    Kind,
    Outcome,
    Portal,
    Strikes,
    why_not,
)
from tests.faults.ways import INTERVAL, PLACES, WAYS, Case, Place, Shown, World, cause, world_of
from tests.support import figures
from tests.support.airflow_in_memory import HAS_3_3
from tests.support.scenarios import LIMITS
from tests.support.tracebacks import everything_shown

DRIFTED = {("0-1", "0-2", "HUBSPOT_DEFINED", 279): 3}
_NAMES_A_SECOND = "429 with Retry-After in seconds"
_POOL = 16
_PACER_ATTEMPTS = 4


@dataclass(frozen=True)
class Cell:
    fault: Fault | BatchFault
    place: Place
    lasting: bool

    def __str__(self) -> str:
        passing = "" if self.lasting else ", once"
        return f"{self.fault}{passing}-{self.place}"


CELLS = [
    Cell(fault, place, lasting)
    for fault in [*FAULTS, *NO_FAULTS, *BATCH_FAULTS]
    for place in PLACES
    for lasting in ([True] if isinstance(fault, BatchFault) else [True, False])
    if why_not(fault, place, lasting=lasting) is None
]


def _in_short_form(cells: list[Cell]) -> set[Cell]:
    """Choose the cells of the short form: every fault that lasts, everywhere; of those that pass, a third.

    All of those in which HubSpot names a second, for they alone show that nothing is sent before.

    Of faults that differ in the body of the answer only, one stands for all in each place. So every status is met in
    every place, and every body somewhere.
    """
    chosen: dict[Any, Cell] = {}
    choice = random.Random(4)
    for cell in choice.sample(cells, len(cells)):
        variant = cell.fault.variant_of if isinstance(cell.fault, Fault) else None
        chosen.setdefault((variant or cell.fault.name, cell.place, cell.lasting), cell)
    everywhere = {cell.fault for cell in cells} - {cell.fault for cell in cells if cell.lasting}
    everywhere |= {fault for fault in FAULTS if fault.name == _NAMES_A_SECOND}
    return {cell for cell in chosen.values() if cell.lasting or cell.fault in everywhere or choice.random() < 1 / 3}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        short = _in_short_form(CELLS)
        cells = CELLS if metafunc.config.getoption("--full") else [cell for cell in CELLS if cell in short]
        metafunc.parametrize("cell", cells, ids=str)


_TOKEN_HAS_WORKED = {
    ("hook", "wait"): "PPPP",
    ("operator in the worker", "write"): "CC",
    ("operator in the worker", "wait"): "PPPP",
    ("operator deferred", "write"): "CC",
    ("operator deferred", "wait"): "PP",
    ("sync apply", "read"): "RR",
    ("sync apply", "write"): "CC",
}
"""Where HubSpot has accepted the token before it rejects it, and what is sent until Airflow retries the task."""


def expected(cell: Cell) -> Outcome:
    fault, place = cell.fault, cell.place
    if isinstance(fault, BatchFault):
        outcome = (fault.drift or fault.outcome) if place.way == "drift trigger" else fault.outcome
    elif place.hit == "write":
        outcome = catalogue.outcome_of_write(fault, lasting=cell.lasting)
    elif place.hit == "read":
        outcome = catalogue.outcome_of_read(fault, lasting=cell.lasting)
    else:
        outcome = catalogue.outcome_of_wait(fault, lasting=cell.lasting)
    if fault.name == "401" and cell.lasting and (place.way, place.hit) in _TOKEN_HAS_WORKED:
        sent = _TOKEN_HAS_WORKED[place.way, place.hit]
        outcome = Outcome(Kind.RETRIES, outcome.error, sent, outcome.portal)
    if place.way == "sync apply":
        return _of_sync(cell, outcome)
    if place.way == "drift trigger" and outcome.kind is not Kind.SUCCEEDS:
        # A watch goes on, whatever it meets.
        return Outcome(Kind.WAITS, sent=outcome.sent if isinstance(fault, Fault) and fault.named_time else None)
    if place.way == "sensor reschedule" and outcome.kind is Kind.RETRIES and not HAS_3_3:
        return Outcome(Kind.WAITS)  # failed reads in a row are not remembered from one process to the next
    return outcome


def _of_sync(cell: Cell, outcome: Outcome) -> Outcome:
    """Return the outcome of a sync, which verifies its writes and so never reports a completed write as a failure."""
    fault = cell.fault
    if isinstance(fault, BatchFault) and catalogue.NO_SUCH_TYPE in fault.inputs:
        return Outcome(Kind.FAILS, portal=Portal.AS_BEFORE)  # the plan leaves the direction as it is
    if isinstance(fault, BatchFault):
        return Outcome(Kind.RETRIES if outcome.kind is Kind.WAITS else outcome.kind, portal=outcome.portal)
    if cell.place.hit == "write" and fault.retryable and fault.strikes is Strikes.AFTER:
        return Outcome(Kind.SUCCEEDS, sent=outcome.sent)
    if cell.place.hit == "wait" and outcome.kind is not Kind.SUCCEEDS:
        return Outcome(Kind.RETRIES)  # everything is applied, and not seen in force
    return outcome


# -- the test --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    ran = [item for item in request.session.items if "cell" in getattr(item, "fixturenames", ())]
    faults = len(FAULTS) + len(NO_FAULTS) + len(BATCH_FAULTS)
    figures.report("faults x ways", f"{faults} faults x {len(WAYS)} ways, {len(ran)} cells")


@pytest.mark.usefixtures("fast_clock", "guard")
def test_fault(cell: Cell, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    threads = set(threading.enumerate())
    with world_of(cell.fault, cell.place) as world:
        outcome = expected(cell)
        tries = cell.place.run(world, _case(world, cell, outcome))
        try:
            shown = next(tries)
            secrets = [*caplog.messages, *capfd.readouterr(), everything_shown(shown.error) if shown.error else ""]
            _assert_outcome(cell, outcome, shown)
            _assert_requests(cell, outcome, shown)
            _assert_retry_after(cell, world)
            _assert_portal(cell, outcome, shown)
            _assert_next_try(cell, outcome, shown, world, tries)
        finally:
            tries.close()  # type: ignore[attr-defined]
        _assert_never_created_twice(cell.fault, world)
        assert not [secret for secret in world.secrets for text in secrets if secret in text], "a secret is shown"
        assert world.elsewhere.received == []
    _assert_no_thread_is_left(threads)


def _case(world: World, cell: Cell, outcome: Outcome) -> Case:
    fault, place = cell.fault, cell.place
    patient = outcome.kind is not Kind.WAITS
    if place.way == "sync apply":
        # What it is to see in the end is there at once, or never.
        patient = outcome.kind is Kind.SUCCEEDS
    world.hubspot.settings.status_links = place.links

    if isinstance(fault, Fault):
        if place.hit == "wait" and place.way not in ("sync apply", "drift trigger"):
            world.hubspot.settings.processing_seconds = 0.1
        return Case(lambda: place.strike(world, fault.inject, lasting=cell.lasting), patient=patient)

    def strike() -> None:
        for name, value in fault.settings.items():
            setattr(world.hubspot.settings, name, value)
        if fault.lost:
            world.hubspot.inject(method="POST", path="*/batch/*", reset=True, after=True)
        elif fault.answer is not None:
            world.hubspot.inject(method="POST", path="*/batch/*", body=fault.answer(world), after=fault.done)

    return Case(strike, inputs=fault.inputs, verify=fault.verify, patient=patient)


def _assert_outcome(cell: Cell, outcome: Outcome, shown: Shown) -> None:
    what = f"{shown.kind}, {shown.error!r}, sent {shown.sent}"
    assert shown.kind is outcome.kind, what
    error = cause(shown.error)
    if shown.state is not None and HAS_3_3:
        states = {Kind.SUCCEEDS: "success", Kind.FAILS: "failed", Kind.RETRIES: "up_for_retry", Kind.WAITS: shown.state}
        assert shown.state == states[outcome.kind]
    if shown.kind is Kind.SUCCEEDS or cell.place.way == "drift trigger":
        assert shown.error is None
    elif cell.place.way == "sync apply":
        assert isinstance(error, ApplyError) or type(error) is outcome.error, what
    elif error is not None:
        assert type(error) is outcome.error, what
    else:
        assert shown.kind is Kind.WAITS, what
    comes_back = isinstance(cell.fault, Fault) and cell.fault.named_time and cell.lasting and shown.kind is Kind.RETRIES
    if HAS_3_3 and comes_back and shown.state and not (cell.place.way == "sync apply" and cell.place.hit == "wait"):
        assert (shown.retry_delay or 0) > 60, "Airflow does not come back at the time HubSpot named"


def _assert_requests(cell: Cell, outcome: Outcome, shown: Shown) -> None:
    fault, place, sent = cell.fault, cell.place, shown.sent
    if place.hit == "wait":
        _assert_pace(cell, shown)
    if isinstance(fault, BatchFault) or not fault.counted or outcome.sent is None:
        return
    if place.hit == "wait":
        polls = len(_polls(sent))
        wanted = len(outcome.sent)
        if outcome.kind is Kind.RETRIES and not fault.named_time:
            wanted += place.looks - 1
        assert polls == wanted, sent
        return
    wanted_sent = outcome.sent
    if place.way == "sync apply":
        # A 429 that outlasts the client's own retries is waited out, and the request made again.
        if fault.error is HubSpotRateLimitError and len(wanted_sent) > MAX_RETRIES:
            wanted_sent *= _PACER_ATTEMPTS
        wanted_sent = wanted_sent if place.hit == "read" else "R" + wanted_sent
    assert sent.startswith(wanted_sent), sent
    rest = sent.removeprefix(wanted_sent)
    if place.hit == "read" and place.way == "sync apply" and outcome.kind is Kind.SUCCEEDS:
        rest = rest.removeprefix("C")  # and now it writes
    assert set(rest) <= {"R"} if place.way == "sync apply" else not rest, sent


def _polls(sent: str) -> list[str]:
    """Return the polls of a wait: each a read of the status link or the pair, or of one after the other."""
    tail = re.split("[CU]", sent.replace("T", "").replace("L", ""))[-1]
    return re.findall("SR?|R", tail)


def _assert_pace(cell: Cell, shown: Shown) -> None:
    sends_twice = isinstance(cell.fault, Fault) and cell.fault.token_worked
    if cell.place.way == "sync apply" or sends_twice or not shown.times:
        return
    polls = len(_polls(shown.sent))
    span = shown.times[-1] - shown.times[0]
    assert polls - 1 - cell.place.looks <= span / (0.9 * INTERVAL), f"{polls} polls within {span:.2f} s"


def _assert_retry_after(cell: Cell, world: World) -> None:
    """After an answer that names a second, nothing is sent for a second."""
    if cell.fault.name != _NAMES_A_SECOND or cell.lasting:
        return
    requests = world.hubspot.requests
    for struck, following in itertools.pairwise(requests):
        if struck.status == 429:
            assert following.received_at - struck.received_at >= 0.99, "sent before the time that HubSpot named"


def _assert_portal(cell: Cell, outcome: Outcome, shown: Shown) -> None:
    if cell.place.way == "drift trigger":
        if shown.kind is Kind.SUCCEEDS:
            assert [len(drift) for drift in shown.drift] == [1]
            assert shown.drift[0][0].endswith("is 3, should be 5")
        return
    if cell.place.way == "hook" and cell.place.hit == "read":
        return
    asked = dict(LIMITS)
    if shown.kind is Kind.SUCCEEDS:
        assert shown.portal == asked, "a success although limits are missing"
    if isinstance(cause(shown.error), HubSpotOperationError):
        assert shown.portal != asked, "work that HubSpot did is reported as a failure"
    if cell.place.hit != "wait" or isinstance(cell.fault, BatchFault):
        held = {Portal.AS_ASKED: asked, Portal.AS_BEFORE: {}}.get(outcome.portal, {next(iter(LIMITS)): 5})
        assert shown.portal == held
    if cell.place.way == "sync apply":
        assert bool(shown.asset_events) is (shown.kind is Kind.SUCCEEDS)


def _assert_next_try(cell: Cell, outcome: Outcome, shown: Shown, world: World, tries: Iterator[Shown]) -> None:
    """When the fault is over, the next try succeeds, whatever state the previous one has left."""
    if shown.kind in (Kind.SUCCEEDS, Kind.FAILS):
        return
    is_batch = isinstance(cell.fault, BatchFault)
    if "refused" in str(cell.fault) and is_batch:
        return  # the next try is refused as well
    if is_batch and (cell.place.way.startswith("sensor") or cell.place.way == "drift trigger"):
        return  # it waits for what never comes, or sees nothing
    fault = cell.fault
    if cell.place.way == "drift trigger" and (fault.moves or fault.asks_for_token or fault.named_time):  # type: ignore[union-attr]
        return  # a changed connection is noticed some minutes later; the time that HubSpot named has not come
    world.end_faults()
    again = next(tries)
    assert again.kind is Kind.SUCCEEDS, (again.kind, again.error, again.sent)
    if cell.place.way == "drift trigger":
        assert world.portal == DRIFTED
    elif not (cell.place.way == "hook" and cell.place.hit == "read"):
        assert world.portal == LIMITS


def _assert_never_created_twice(fault: Fault | BatchFault, world: World) -> None:
    """No input may be in a create after one that HubSpot has carried out."""
    not_done = {400, 401, 403, 404, 414, 423, 429, 437, 477}
    if isinstance(fault, Fault) and fault.strikes is Strikes.BEFORE:
        not_done |= {302, 500, 502, 503, 504, *range(520, 531)}
    if isinstance(fault, BatchFault) and not fault.done:
        not_done.add(200)  # HubSpot answers 201 to a create
    created: set[tuple[str, int]] = set()
    for request in world.hubspot.requests:
        if request.method == "POST" and request.path.endswith("/batch/create"):
            inputs = {(limit_input["category"], limit_input["typeId"]) for limit_input in request.body["inputs"]}
            assert not inputs & created, "created twice"
            if request.status not in not_done:
                created |= inputs


def _assert_no_thread_is_left(before: set[threading.Thread]) -> None:
    """Nothing is left but the bounded pool of the triggerer's requests, and what Airflow itself keeps or ends late."""
    end = time.monotonic() + 5
    airflows = re.compile("ThreadPoolExecutor-|.*_handle_socket_comms")
    while left := [thread for thread in set(threading.enumerate()) - before if not airflows.match(thread.name)]:
        if all(thread.name.startswith("hubspot_") for thread in left):
            break
        assert time.monotonic() < end, f"threads left over: {left}"
        time.sleep(0.01)
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("hubspot_")]) <= _POOL
