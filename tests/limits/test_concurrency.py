"""Concurrent requests: their pace, their order and their errors."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_hubassoc.hubspot.errors import HubSpotRateLimitError, HubSpotUnavailableError
from airflow_provider_hubassoc.limits.concurrency import Pacer, concurrently
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import client_of


def test_the_pace_slows_down_before_the_rate_limit(hubspot: Simulator) -> None:
    """HubSpot's headers say how many requests are left; the last ones are spread out."""
    hubspot.settings.rate_limit = 40
    slept: list[float] = []
    with client_of(hubspot) as client:
        pacer = Pacer(client, 4, sleep=slept.append)
        for _ in range(40):
            pacer.call(lambda: client.get_limits("contacts", "deals"))
    assert not any(request.status == 429 for request in hubspot.requests)
    assert len(slept) >= 3
    assert max(slept) <= 10


def test_a_429_pauses_all_threads_and_is_repeated(hubspot: Simulator) -> None:
    body = {"status": "error", "message": "slow down", "errorType": "RATE_LIMIT", "policyName": "SECONDLY"}
    slept: list[float] = []
    with client_of(hubspot, max_retries=0) as client:
        pacer = Pacer(client, 4, sleep=slept.append)
        hubspot.inject(status=429, body=body, times=2)
        assert pacer.call(lambda: client.get_limits("contacts", "deals")) == []
        assert [round(seconds) for seconds in slept if seconds] == [10, 10]
        hubspot.inject(status=429, body={**body, "policyName": "DAILY"})
        with pytest.raises(HubSpotRateLimitError, match="slow down"):
            pacer.call(lambda: client.get_limits("contacts", "deals"))


@pytest.mark.parametrize(
    ("policy", "retry_after", "requests"),
    [("SECONDLY", None, 4), ("SECONDLY", 60.0, 4), ("SECONDLY", 61.0, 1), ("DAILY", None, 1)],
)
def test_a_429_that_lasts_longer_is_raised(
    hubspot: Simulator, policy: str, retry_after: float | None, requests: int
) -> None:
    attempts: list[HubSpotRateLimitError] = []

    def refused() -> None:
        attempts.append(HubSpotRateLimitError("slow down", policy=policy, retry_after=retry_after))
        raise attempts[-1]

    with client_of(hubspot) as client, pytest.raises(HubSpotRateLimitError) as raised:
        Pacer(client, 4, sleep=lambda seconds: None).call(refused)
    assert raised.value is attempts[-1]
    assert len(attempts) == requests


def test_results_are_in_the_order_of_the_keys() -> None:
    second_is_done = threading.Event()

    def work(key: str) -> str:
        if key == "first":
            assert second_is_done.wait(30)
        else:
            second_is_done.set()
        return key.upper()

    steps: list[tuple[str, int, int]] = []
    results = concurrently("read", ["first", "second"], work, 2, lambda *step: steps.append(step))
    assert list(results.items()) == [("first", "FIRST"), ("second", "SECOND")]
    assert steps == [("read", 1, 2), ("read", 2, 2)]


def test_an_exception_cancels_the_work_that_has_not_started() -> None:
    started: list[int] = []

    def work(key: int) -> None:
        started.append(key)
        if key == 0:
            raise HubSpotUnavailableError("x")
        time.sleep(0.05)

    with pytest.raises(HubSpotUnavailableError):
        concurrently("read", range(100), work, 1, None)
    assert len(started) < 100


def test_without_keys_there_is_no_work() -> None:
    assert concurrently("read", [], str, 1, None) == {}


def test_a_concurrency_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        concurrently("read", ["x"], str, 0, None)
