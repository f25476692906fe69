"""Fixtures of the fault matrix."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot import bounded_http, client, error_mapping, transport
from airflow_provider_hubassoc.limits import concurrency, wait
from tests.faults.guard import guarded

GUARD_SECONDS = 60


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed up the clock, and nothing else.

    Shorter are: the client's backoff, the time between two reads, what a whole answer may take, HubSpot's lock (423)
    and its ten seconds (429). What HubSpot asks for in Retry-After is not.
    """
    poll_delay = wait.poll_delay

    def faster(*args: Any, **kwargs: Any) -> float:
        return poll_delay(*args, **kwargs) / 20

    monkeypatch.setattr(client, "RetryPolicy", functools.partial(client.RetryPolicy, first_wait=0.01))
    monkeypatch.setattr(bounded_http, "TIMEOUTS_PER_ANSWER", 1)
    monkeypatch.setattr(transport, "_REJECTED_PAUSE", (0.05, 0.1))
    monkeypatch.setattr(wait, "poll_delay", faster)
    monkeypatch.setattr(error_mapping, "_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(concurrency, "_INTERVAL", 0.05)


@pytest.fixture
def guard() -> Iterator[None]:
    with guarded(GUARD_SECONDS):
        yield
