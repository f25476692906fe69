"""When the client repeats a request, and how long it waits before."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotRateLimitError,
    HubSpotServerError,
    HubSpotUnavailableError,
)
from airflow_provider_hubassoc.hubspot.retries import RetryPolicy, parse_retry_after


def attempts(policy: RetryPolicy, error: Exception, *, idempotent: bool = True) -> list[float]:
    """Fail forever; return the waits between the attempts."""
    waits: list[float] = []

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        policy.retrying(waits.append, idempotent=idempotent)(fail)
    assert raised.value is error
    return waits


def test_the_waits_double_up_to_a_maximum() -> None:
    policy = RetryPolicy(max_retries=8, first_wait=1.0, max_wait=30.0)
    longest = [
        max(item) for item in zip(*(attempts(policy, HubSpotRateLimitError("x")) for _ in range(200)), strict=True)
    ]
    for wait, bound in zip(longest, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert bound * 0.8 < wait <= bound  # full jitter: anything up to the bound


def test_jitter_begins_at_zero() -> None:
    waits = [attempts(RetryPolicy(max_retries=1), HubSpotRateLimitError("x"))[0] for _ in range(200)]
    assert min(waits) < 0.1


@pytest.mark.parametrize("max_retries", [0, 1, 20])
def test_the_number_of_retries(max_retries: int) -> None:
    assert len(attempts(RetryPolicy(max_retries=max_retries), HubSpotUnavailableError("x"))) == max_retries


def test_retry_after_is_waited_in_addition() -> None:
    waits = attempts(RetryPolicy(max_retries=3), HubSpotRateLimitError("x", retry_after=60))
    assert all(60 <= wait <= 64 for wait in waits)


def test_a_retry_after_above_the_maximum_is_not_waited_for() -> None:
    assert attempts(RetryPolicy(), HubSpotRateLimitError("x", retry_after=60.1)) == []


@pytest.mark.parametrize(
    "error", [HubSpotError("x"), HubSpotAuthenticationError("x"), HubSpotServerError("x"), ValueError("x")]
)
def test_other_errors_are_not_repeated(error: Exception) -> None:
    assert attempts(RetryPolicy(), error) == []


def test_a_request_that_is_not_idempotent_is_repeated_only_if_it_was_not_carried_out() -> None:
    policy = RetryPolicy(max_retries=2)
    for refused in (
        HubSpotRateLimitError("x"),
        HubSpotUnavailableError("x", sent=False),
        HubSpotUnavailableError("x", status=423),
        HubSpotUnavailableError("x", status=477),
    ):
        assert len(attempts(policy, refused, idempotent=False)) == 2
    for unknown in (HubSpotUnavailableError("x"), HubSpotUnavailableError("x", status=503)):
        assert attempts(policy, unknown, idempotent=False) == []


def test_the_sleep_may_end_the_call() -> None:
    class KilledError(Exception):
        pass

    def sleep(seconds: float) -> None:
        raise KilledError

    def fail() -> None:
        raise HubSpotRateLimitError("x")

    with pytest.raises(KilledError):
        RetryPolicy().retrying(sleep, idempotent=True)(fail)


# -- Retry-After --


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("5", 5),
        (" 5 ", 5),
        ("0.5", 0.5),
        ("-3", 0),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("5, 5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


@pytest.mark.parametrize("ahead", [30, 86_400])
def test_retry_after_as_a_date(ahead: int) -> None:
    seconds = parse_retry_after(formatdate(time.time() + ahead, usegmt=True))
    assert seconds is not None
    assert ahead - 30 <= seconds <= ahead


@settings(max_examples=50)
@given(
    st.text() | st.from_regex(r"[A-Za-z]{0,4},? ?\d{0,3} [A-Za-z]{0,4} \d{0,10} \d{0,3}:\d{0,3}:\d{0,3} ?[A-Z+\-\d]*")
)
def test_any_retry_after_is_read_or_ignored(header: str) -> None:
    seconds = parse_retry_after(header)
    assert seconds is None or 0 <= seconds < float("inf")
