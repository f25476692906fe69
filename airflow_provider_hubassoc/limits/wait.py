"""When to read the state of a batch operation again, and when to give up."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotOperationTimeoutError,
    HubSpotPollError,
)
from airflow_provider_hubassoc.hubspot.models import BatchStatus
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.operation_text import join_first

_GROWTH = 1.5
_JITTER = 0.2
_SHORTEST_MAXIMUM = 2.5
"""Seconds that the delays grow to at least, whatever the user asks for: less than one read a second."""


class Wait:
    """The schedule of one wait for a batch: when to read, and when to give up. It neither sleeps nor reads.

    ::

        while not wait.operation.is_over:
            sleep(wait.next_delay())
            wait.poll(read)

    It measures time by the monotonic clock of its process, so a wrong or adjusted system clock does no harm.

    :param operation: the batch as it is known at the start.
    :param waited: seconds already waited in another process.
    :param timeout: maximum duration of the wait, seconds; None for no limit. At least one read is made in any case.
    :param poll_interval: approximate time before the first read, seconds.
    :param max_poll_interval: maximum time between two reads, seconds.
    :param max_poll_failures: number of failed reads in a row that ends the wait.
    :param connection_name: id of the connection, for messages.
    :param token_worked: whether HubSpot has accepted the token shortly before the wait, in another process. HubSpot
        sometimes rejects a valid token, so the first rejection then counts as a failed read.
    :param on_change: called with one line of text for each change of the batch's status.
    """

    def __init__(
        self,
        operation: BatchOperation,
        *,
        waited: float = 0.0,
        timeout: float | None,
        poll_interval: float,
        max_poll_interval: float,
        max_poll_failures: int,
        connection_name: str | None = None,
        token_worked: bool = False,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        self.operation = operation
        self.failures = 0
        self.hold = 0.0
        """Pause that HubSpot asked for in answer to the latest read, seconds."""
        self._began = time.monotonic() - max(0.0, waited)
        self._has_read = False
        self.reads_now = operation.status.is_terminal and not operation.is_over and operation.in_force is None
        """Whether the next read is due immediately: HubSpot has just completed a batch that needs verification."""
        self._growth_began = self._began
        self._timeout = timeout
        self._poll_interval = poll_interval
        self._max_poll_interval = max_poll_interval
        self._max_poll_failures = max_poll_failures
        self._direction = operation.direction_in(connection_name)
        self._token_worked = token_worked
        self._on_change = on_change

    @property
    def elapsed(self) -> float:
        """Seconds waited so far."""
        return time.monotonic() - self._began

    def next_delay(self) -> float:
        """Return how long to sleep before the next read, seconds.

        :raises HubSpotOperationTimeoutError: if the timeout has passed and a read has been made.
        :raises HubSpotPollError: as :meth:`delay_after`.
        """
        if self.reads_now and not self.hold:
            return 0.0
        elapsed = self.elapsed
        if self._has_read and self._timeout is not None and elapsed >= self._timeout:
            raise HubSpotOperationTimeoutError(self.timeout_message(self._timeout))
        return self.delay_after(elapsed)

    def timeout_message(self, timeout: float) -> str:
        """Return the message of a timeout: the missing limits, and advice.

        :param timeout: how long the wait has lasted, seconds.
        """
        return (
            f"The limits {self._direction} were not settled within {timeout:g} s"
            f" (status {self.operation.status.value}): {join_first(self.operation.missing, '; ')}."
            " Check the limits in HubSpot, and increase the timeout if HubSpot needs more time."
        )

    def delay_after(self, elapsed: float) -> float:
        """Return how long to sleep before the next read, seconds; at most the time that is left.

        :param elapsed: seconds since the wait began.
        :raises HubSpotPollError: if HubSpot asked for a pause that is longer than the time left.
        """
        left = math.inf if self._timeout is None else max(0.0, self._timeout - elapsed)
        if self.hold > left:
            raise HubSpotPollError(
                f"HubSpot asked for a pause of {self.hold:g} s, but the wait for the limits {self._direction} ends in"
                f" {left:g} s. The batch itself may have succeeded.",
                retry_after=self.hold,
            )
        if self._growth_began > self._began:
            elapsed = time.monotonic() - self._growth_began
        return min(left, max(poll_delay(elapsed, self._poll_interval, self._max_poll_interval), self.hold))

    def poll(self, read: Callable[[BatchOperation], BatchOperation]) -> None:
        """Read the state of the batch once. A failed read is not a failed batch.

        :param read: reads the state of the operation, and returns the updated operation.
        :raises HubSpotPollError: after ``max_poll_failures`` failed reads in a row.
        :raises HubSpotError: if no later read can succeed either (authentication, scopes ...).
        """
        before = self.operation.status
        self.hold = 0.0
        self.reads_now = False
        self._has_read = True
        try:
            self.operation = read(self.operation)
        except HubSpotError as error:
            self._count_failure(error)
        else:
            self.failures = 0
            self._token_worked = True
            if self.operation.status is not before:
                self._status_changed(before)

    def _count_failure(self, error: HubSpotError) -> None:
        is_rejected = isinstance(error, HubSpotAuthenticationError)
        # HubSpot sometimes rejects a valid token with 401; a refused refresh (400) is permanent.
        is_sporadic = is_rejected and self._token_worked and error.status == 401
        if not error.retryable and not is_sporadic:
            raise error
        if is_rejected and self.failures:  # leave a second rejection in a row to Airflow's retries
            raise error.replace(retryable=True) from None
        self.failures += 1
        self.hold = error.retry_after or 0.0
        if self.failures >= self._max_poll_failures:
            raise HubSpotPollError(
                f"Reading the limits {self._direction} failed {self.failures} times in a row;"
                f" the batch itself may have succeeded. Last error: {error}",
                retry_after=error.retry_after,
            ) from None

    def _status_changed(self, before: BatchStatus) -> None:
        status = self.operation.status
        if status.is_terminal and not before.is_terminal and not self.operation.is_over:
            self.reads_now = True
            self._growth_began = time.monotonic()
        if self._on_change is not None:
            self._on_change(
                f"The batch {self._direction} changed from {before.value} to {status.value} after {self.elapsed:.1f} s."
            )


def poll_delay(elapsed: float, interval: float, maximum: float) -> float:
    """Return the time until the next read: it grows with the time waited, up to a maximum, with jitter.

    It depends on the elapsed time alone, so that a wait that moves to another process keeps its pace.

    :param elapsed: seconds waited so far.
    :param interval: the first delay, seconds.
    :param maximum: the longest delay, seconds, at least 2.5; the jitter takes off up to a fifth.
    """
    longest = max(interval, maximum, _SHORTEST_MAXIMUM)
    return min(interval + (_GROWTH - 1) * elapsed, longest) * random.uniform(1 - _JITTER, 1)
