"""The schedule of a wait: when to read, and when to give up."""

from __future__ import annotations

import time
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
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.wait import Wait, poll_delay

PENDING = BatchOperation.from_dict(
    {
        "action": "update",
        "from_object_type": "contacts",
        "to_object_type": "companies",
        "inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}],
    }
)


def wait_for(**options: Any) -> Wait:
    defaults: dict[str, Any] = {
        "timeout": 600.0,
        "poll_interval": 5.0,
        "max_poll_interval": 60.0,
        "max_poll_failures": 3,
    }
    return Wait(PENDING, **{**defaults, **options})


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
def test_a_delay_is_between_its_interval_and_its_maximum(elapsed: float, interval: float, maximum: float) -> None:
    delay = poll_delay(elapsed, interval, maximum)
    highest = max(interval, maximum, 2.5)
    assert 0.8 * min(interval + elapsed / 2, highest) * 0.999 <= delay <= highest


@given(interval=st.floats(0.01, 100), maximum=st.floats(0.01, 100), length=st.floats(30, 600))
def test_a_wait_reads_at_most_once_a_second_on_average(interval: float, maximum: float, length: float) -> None:
    elapsed, reads = 0.0, 0
    while (elapsed := elapsed + poll_delay(elapsed, interval, maximum)) < length:
        reads += 1
    assert reads <= length


def test_delays_grow_by_half_up_to_their_maximum() -> None:
    elapsed, waits = 0.0, []
    while elapsed < 600:
        waits.append(poll_delay(elapsed, 1.0, 60.0))
        elapsed += waits[-1]
    assert 0.8 <= waits[0] <= 1
    assert waits[5] > 3 * waits[0]
    assert all(48 <= wait <= 60 for wait in waits[-4:])
    assert len(waits) < 26


def test_delays_are_jittered() -> None:
    assert len({poll_delay(0, 5, 60) for _ in range(50)}) > 40


def test_the_delay_depends_on_the_elapsed_time_alone() -> None:
    """A wait that moves to another process keeps its pace."""
    assert all(24 <= wait_for(waited=50).next_delay() <= 30 for _ in range(50))


def test_the_last_read_is_made_at_the_timeout() -> None:
    assert 0 < wait_for(timeout=100.0, waited=99.5).next_delay() <= 0.5
    wait = wait_for(timeout=100.0, waited=100.0)
    wait.poll(unchanged)
    with pytest.raises(HubSpotOperationTimeoutError) as error:
        wait.next_delay()
    assert str(error.value) == (
        "The limits contacts -> companies were not settled within 100 s (status PENDING): HUBSPOT_DEFINED 279: not"
        " read yet, should be 5. Check the limits in HubSpot, and increase the timeout if HubSpot needs more time."
    )
    assert error.value.retryable


def test_without_a_timeout_a_wait_never_ends() -> None:
    assert 48 <= wait_for(timeout=None, waited=1e8).next_delay() <= 60


def test_a_negative_time_waited_counts_as_zero() -> None:
    assert 4 <= wait_for(waited=-3600).next_delay() <= 5


@pytest.mark.parametrize("waited", [600.0, 601.0, 1e9])
def test_a_wait_never_times_out_before_its_first_read(waited: float) -> None:
    wait = wait_for(waited=waited)
    assert wait.next_delay() == 0
    wait.poll(failing(HubSpotUnavailableError("x")))
    with pytest.raises(HubSpotOperationTimeoutError):
        wait.next_delay()


@pytest.mark.parametrize("shift", [-660.0, 660.0])
def test_an_adjusted_system_clock_does_not_change_the_wait(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = wait_for(timeout=0.05)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    wait.poll(unchanged)
    assert 0 <= wait.elapsed < 60
    while wait.elapsed < 0.05:
        time.sleep(0.01)
    with pytest.raises(HubSpotOperationTimeoutError):
        wait.next_delay()


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
def test_a_permanent_error_of_a_read_ends_the_wait(error: HubSpotError) -> None:
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
def test_failed_reads_in_a_row_end_the_wait_with_a_poll_error(error: HubSpotError) -> None:
    wait = wait_for(max_poll_failures=3)
    for _ in range(2):
        wait.poll(failing(error))
    with pytest.raises(HubSpotPollError, match="failed 3 times in a row; the batch itself may have succeeded"):
        wait.poll(failing(error))
    assert wait.operation == PENDING


def test_a_successful_read_resets_the_failures() -> None:
    wait = wait_for(max_poll_failures=2)
    for _ in range(5):
        wait.poll(failing(HubSpotUnavailableError("x")))
        assert wait.failures == 1
        wait.poll(unchanged)
        assert wait.failures == 0


def test_a_pause_that_hubspot_asks_for_is_waited_once() -> None:
    wait = wait_for(timeout=600.0)
    wait.poll(failing(HubSpotRateLimitError("x", retry_after=200)))
    assert wait.next_delay() == 200
    wait.poll(unchanged)
    assert wait.next_delay() < 10


def test_a_pause_longer_than_the_time_left_ends_the_wait() -> None:
    wait = wait_for(timeout=600.0, waited=500.0)
    wait.poll(failing(HubSpotRateLimitError("x", retry_after=200)))
    with pytest.raises(
        HubSpotPollError, match=r"pause of 200 s, .* ends in 99\.\d+ s\. The batch .* succeeded"
    ) as error:
        wait.next_delay()
    assert error.value.retry_after == 200


def test_a_poll_error_says_when_to_retry() -> None:
    with pytest.raises(HubSpotPollError) as error:
        wait_for(max_poll_failures=1).poll(failing(HubSpotRateLimitError("x", retry_after=900)))
    assert error.value.retry_after == 900


def test_the_state_that_was_read_is_kept() -> None:
    wait = wait_for()
    wait.poll(lambda operation: operation.with_answer(BatchAnswer.model_validate({"status": "CANCELED"})))
    assert wait.operation.has_failed


COMPLETE = BatchAnswer.model_validate({"status": "COMPLETE"})


def test_after_completion_the_next_read_is_due_at_once_and_delays_start_again() -> None:
    wait = Wait(
        PENDING.model_copy(update={"verify": True}),
        waited=300.0,
        timeout=None,
        poll_interval=5.0,
        max_poll_interval=60.0,
        max_poll_failures=3,
    )
    assert wait.next_delay() >= 48
    wait.poll(lambda operation: operation.with_answer(COMPLETE))
    assert wait.next_delay() == 0
    wait.poll(lambda operation: operation.with_limits([]))
    assert 4 <= wait.next_delay() <= 5.5


def test_a_completed_batch_to_verify_is_read_at_once() -> None:
    done = PENDING.with_answer(COMPLETE).model_copy(update={"verify": True})
    wait = Wait(done, timeout=None, poll_interval=5.0, max_poll_interval=60.0, max_poll_failures=3)
    assert wait.next_delay() == 0
    wait.poll(failing(HubSpotUnavailableError("x")))
    assert wait.next_delay() >= 4


def test_the_first_rejection_of_a_token_that_worked_is_a_failed_read() -> None:
    wait = wait_for(token_worked=True)
    wait.poll(failing(HubSpotAuthenticationError("x", status=401)))
    assert wait.failures == 1
    wait.poll(unchanged)
    wait.poll(failing(HubSpotAuthenticationError("x", status=401)))
    assert wait.failures == 1
    with pytest.raises(HubSpotAuthenticationError):
        wait.poll(failing(HubSpotAuthenticationError("x", status=401)))


def test_a_refused_token_refresh_ends_the_wait() -> None:
    wait = wait_for(token_worked=True)
    with pytest.raises(HubSpotAuthenticationError):
        wait.poll(failing(HubSpotAuthenticationError("x", status=400, category="BAD_REFRESH_TOKEN")))


def test_a_second_rejection_in_a_row_is_left_to_a_retry() -> None:
    wait = wait_for()
    wait.poll(unchanged)  # HubSpot accepts the token
    first = HubSpotAuthenticationError("x", status=401)
    wait.poll(failing(first))
    with pytest.raises(HubSpotAuthenticationError) as error:
        wait.poll(failing(first))
    assert error.value.retryable
    assert error.value.__cause__ is None  # the retry policy would judge the task by a permanent cause
    assert not first.retryable  # the error itself stays as it was made


def test_a_pause_that_hubspot_asks_for_also_delays_a_read_that_is_due_at_once() -> None:
    done = PENDING.with_answer(COMPLETE).model_copy(update={"verify": True})
    wait = Wait(done, timeout=None, poll_interval=5.0, max_poll_interval=60.0, max_poll_failures=3)
    wait.hold = 200.0
    assert wait.next_delay() == 200
