"""Any input of a user or of HubSpot ends in success, or in a typed error that names the place of the mistake.

The short form has the same cases in every run. The long form draws new ones, and prints how to repeat a failure.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from airflow_provider_hubassoc.simulator import Simulator
from tests.faults.entries import ENTRIES, Entry, World
from tests.faults.guard import guarded
from tests.support import environment, figures
from tests.support.wire import client_of

CASES = {False: 5_000, True: 100_000}
"""Long form? -> the least number of cases, over all entry points."""

HANG = 30
"""Seconds after which a case counts as hanging."""


@pytest.fixture(scope="module")
def connects() -> Iterator[list[Any]]:
    """Record the address of every attempt to open a connection."""
    noted: list[Any] = []

    def noting(known: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            noted.append(arguments)
            return known(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", noting(socket.socket.connect))
        patch.setattr(socket, "getaddrinfo", noting(socket.getaddrinfo))
        yield noted


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        Simulator() as hubspot,
        client_of(hubspot, max_retries=0, timeout=20) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.connection_variable(hubspot.url, hubspot.token).items():
            patch.setenv(name, value)
        yield World(hubspot, client, tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_whatever_is_put_in_ends_in_a_typed_error_that_names_the_place_or_in_success(
    entry: Entry, full: bool, world: World, connects: list[Any]
) -> None:
    share = -(-CASES[full] // len(ENTRIES))
    ran = 0

    @settings(
        max_examples=share,
        derandomize=not full,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(entry.cases)
    def put_in(case: Any) -> None:
        nonlocal ran
        ran += 1
        world.hubspot.clear_requests()
        world.hubspot.clear_faults()
        connects.clear()
        raised: Exception | None = None
        try:
            with guarded(HANG):
                entry.call(world, case)
        except entry.errors as error:
            raised = error
        if raised is not None:
            str(raised).encode()
            assert entry.names_the_place(case, raised), f"the place is not named: {type(raised).__name__}: {raised}"
        if entry.is_local:
            assert not connects
            assert not world.hubspot.requests

    put_in()
    assert ran >= share
    figures.count("fuzzed entries", 1)
    figures.count("fuzzed cases", ran)
