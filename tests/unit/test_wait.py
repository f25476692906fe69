"""The course of a wait: when to read, when to give up. No clock is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotMissingScopesError,
    HubSpotOperationTimeoutError,
    HubSpotPollError,
    HubSpotRateLimitError,
    HubSpotServerError,
    HubSpotSettingsError,
    HubSpotTLSError,
    HubSpotUnavailableError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
)
from airflow_provider_hubassoc.hubspot.models import BatchAnswer
from airflow_provider_hubassoc.limits.operation import BatchOperation, Wait, poll_delay

PENDING = BatchOperation.from_dict(
    {
        "action": "update",
        "from_object_type": "contacts",
        "to_object_type": "companies",
        "inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}],
    }
)
START = 1_700_000_000.0


def wait_for(**options: Any) -> Wait:
    defaults: dict[str, Any] = {
        "timeout": 600.0,
        "poll_interval": 5.0,
        "max_poll_interval": 60.0,
        "max_poll_failures": 3,
    }
    return Wait(PENDING, started_at=START, **{**defaults, **options})


def failing(error: HubSpotError) -> Callable[[BatchOperation], BatchOperation]:
    def read(operation: BatchOperation) -> BatchOperation:
        raise error

    return read


def unchanged(operation: BatchOperation) -> BatchOperation:
    return operation


@given(
    elapsed=st.floats(0, 1e9),
    interval=st.floats(0.01, 1e4),
    maximum=st.floats(0.01, 1e4),
)
def test_a_delay_is_near_its_interval_and_below_its_maximum(elapsed: float, interval: float, maximum: float) -> None:
    delay = poll_delay(elapsed, interval, maximum)
    highest = max(interval, maximum, 2.5)
    assert 0.8 * min(interval + elapsed / 2, highest) * 0.999 <= delay <= highest


@given(interval=st.floats(0.01, 100), maximum=st.floats(0.01, 100), length=st.floats(30, 600))
def test_no_wait_reads_more_than_once_a_second_on_average(interval: float, maximum: float, length: float) -> None:
    elapsed, reads = 0.0, 0
    while (elapsed := elapsed + poll_delay(elapsed, interval, maximum)) < length:
        reads += 1
    assert reads <= length


def test_the_waits_grow_by_half_until_they_are_at_their_maximum() -> None:
    elapsed, waits = 0.0, []
    while elapsed < 600:
        waits.append(poll_delay(elapsed, 1.0, 60.0))
        elapsed += waits[-1]
    assert 0.8 <= waits[0] <= 1
    assert waits[5] > 3 * waits[0]
    assert all(48 <= wait <= 60 for wait in waits[-4:])
    assert len(waits) < 26


def test_two_waits_do_not_go_in_step() -> None:
    assert len({poll_delay(0, 5, 60) for _ in range(50)}) > 40


def test_the_delay_depends_on_the_elapsed_time_alone() -> None:
    """So that a wait which goes on in another process goes on in step."""
    assert all(24 <= wait_for().next_delay(START + 50) <= 30 for _ in range(50))


def test_the_last_read_is_made_when_time_is_up() -> None:
    wait = wait_for(timeout=100.0)
    assert wait.next_delay(START + 99.5) == pytest.approx(0.5)
    with pytest.raises(HubSpotOperationTimeoutError) as error:
        wait.next_delay(START + 100)
    assert str(error.value) == (
        "The limits contacts -> companies were not settled within 100 s (status PENDING, 1 not confirmed)"
    )
    assert error.value.retryable


def test_without_a_timeout_a_wait_never_ends() -> None:
    assert 48 <= wait_for(timeout=None).next_delay(START + 1e8) <= 60


def test_a_clock_that_runs_backwards_does_no_harm() -> None:
    assert 4 <= wait_for().next_delay(START - 3600) <= 5


@pytest.mark.parametrize(
    "error",
    [
        HubSpotAuthenticationError("x"),
        HubSpotMissingScopesError("x"),
        HubSpotValidationError("x"),
        HubSpotSettingsError("x"),
        HubSpotTLSError("x"),
    ],
)
def test_a_read_that_can_never_succeed_ends_the_wait(error: HubSpotError) -> None:
    with pytest.raises(type(error)) as raised:
        wait_for().poll(failing(error))
    assert raised.value is error


@pytest.mark.parametrize(
    "error",
    [
        HubSpotUnavailableError("x"),
        HubSpotServerError("x"),
        HubSpotRateLimitError("x"),
        HubSpotUnreadableAnswerError("x"),
    ],
)
def test_failed_reads_in_a_row_end_the_wait_as_a_failed_poll(error: HubSpotError) -> None:
    wait = wait_for(max_poll_failures=3)
    for _ in range(2):
        wait.poll(failing(error))
    with pytest.raises(HubSpotPollError, match="failed 3 times in a row; the operation itself may have succeeded"):
        wait.poll(failing(error))
    assert wait.operation == PENDING


def test_a_good_read_forgives_the_bad_ones() -> None:
    wait = wait_for(max_poll_failures=2)
    for _ in range(5):
        wait.poll(failing(HubSpotUnavailableError("x")))
        assert wait.failures == 1
        wait.poll(unchanged)
        assert wait.failures == 0


def test_the_time_hubspot_names_is_waited_for_once() -> None:
    wait = wait_for(timeout=600.0)
    wait.poll(failing(HubSpotRateLimitError("x", retry_after=200)))
    assert wait.next_delay(START + 5) == 200
    with pytest.raises(HubSpotPollError, match=r"for 200 s, .* 100 s left; the operation .* succeeded") as error:
        wait.next_delay(START + 500)  # the time is up before HubSpot may be asked again
    assert error.value.retry_after == 200
    wait.poll(unchanged)
    assert wait.next_delay(START + 5) < 10


def test_a_given_up_wait_says_when_to_come_back() -> None:
    with pytest.raises(HubSpotPollError) as error:
        wait_for(max_poll_failures=1).poll(failing(HubSpotRateLimitError("x", retry_after=900)))
    assert error.value.retry_after == 900


def test_what_is_read_is_kept() -> None:
    wait = wait_for()
    wait.poll(lambda operation: operation.with_answer(BatchAnswer.model_validate({"status": "CANCELED"})))
    assert wait.operation.has_failed
