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
from airflow_provider_hubassoc.limits.operation import MAX_INPUTS_SHOWN, BatchOperation

_GROWTH = 1.5
_JITTER = 0.2
_SHORTEST_MAXIMUM = 2.5
"""Seconds that the waits between reads grow to at least, however short the interval: less than one read a second."""


class Wait:
    """The course of one wait for an operation: when to read, and when to give up. It neither sleeps nor reads.

    ::

        while not wait.operation.is_over:
            sleep(wait.next_delay())
            wait.poll(read)

    The wait measures time by the monotonic clock of its own process, so clocks that are wrong or changed do no harm.

    :param operation: the operation as it is known at the start.
    :param waited: seconds that were waited before, in another process.
    :param timeout: how long the wait may last, seconds; None for no limit. At least one read is made in any case.
    :param poll_interval: about how long after the start the first read is made, seconds.
    :param max_poll_interval: the longest time between two reads, seconds.
    :param max_poll_failures: number of failed reads in a row that ends the wait.
    :param connection_name: id of the connection, for messages.
    :param token_worked: whether HubSpot has accepted the token shortly before the wait, in another process. HubSpot
        sometimes rejects a valid token, so the first rejection then counts as a failed read.
    :param on_change: called with one line of text for each change of the operation's status.
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
        """Seconds for which HubSpot asked not to be read, with the latest read."""
        self._began = time.monotonic() - max(0.0, waited)
        self._has_read = False
        self.reads_now = operation.status.is_terminal and not operation.is_over and operation.in_force is None
        """Whether the next read is due at once: HubSpot has just completed a batch that is to be verified."""
        self._growth_began = self._began
        self._timeout = timeout
        self._poll_interval = poll_interval
        self._max_poll_interval = max_poll_interval
        self._max_poll_failures = max_poll_failures
        self._place = operation.direction_in(connection_name)
        self._token_worked = token_worked
        self._on_change = on_change

    @property
    def elapsed(self) -> float:
        """Seconds waited so far."""
        return time.monotonic() - self._began

    def next_delay(self) -> float:
        """Return how long to sleep before the next read, seconds.

        :raises HubSpotOperationTimeoutError: if the time is up and a read has been made.
        :raises HubSpotPollError: as :meth:`delay_after`.
        """
        if self.reads_now and not self.hold:
            return 0.0
        elapsed = self.elapsed
        if self._has_read and self._timeout is not None and elapsed >= self._timeout:
            raise HubSpotOperationTimeoutError(self.timeout_message(self._timeout))
        return self.delay_after(elapsed)

    def timeout_message(self, timeout: float) -> str:
        """Say what is missing after a timeout, and what to do.

        :param timeout: how long the wait has lasted, seconds.
        """
        missing = self.operation.missing
        shown = "; ".join(missing[:MAX_INPUTS_SHOWN])
        more = f"; and {len(missing) - MAX_INPUTS_SHOWN} more" if len(missing) > MAX_INPUTS_SHOWN else ""
        return (
            f"The limits {self._place} were not settled within {timeout:g} s"
            f" (status {self.operation.status.value}): {shown}{more}."
            " Check the limits in HubSpot, and increase the timeout if HubSpot needs more time."
        )

    def delay_after(self, elapsed: float) -> float:
        """Return how long to sleep before the next read, seconds; no longer than there is time left.

        :param elapsed: seconds since the wait began.
        :raises HubSpotPollError: if HubSpot asks to be left alone for longer than that.
        """
        left = math.inf if self._timeout is None else max(0.0, self._timeout - elapsed)
        if self.hold > left:
            raise HubSpotPollError(
                f"HubSpot asks not to be read for {self.hold:g} s, and the wait for the limits"
                f" {self._place} has {left:g} s left; the operation itself may have succeeded",
                retry_after=self.hold,
            )
        if self._growth_began > self._began:
            elapsed = time.monotonic() - self._growth_began
        return min(left, max(poll_delay(elapsed, self._poll_interval, self._max_poll_interval), self.hold))

    def poll(self, read: Callable[[BatchOperation], BatchOperation]) -> None:
        """Read the operation's state once. A failed read is not a failed operation.

        :param read: reads what the operation asks for and returns it with what was read.
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
            # HubSpot sometimes rejects a valid token with 401; a refused refresh (400) is definite.
            # A second rejection in a row is left to Airflow's retries.
            is_sporadic = error.retryable or (self._token_worked and error.status == 401)
            if isinstance(error, HubSpotAuthenticationError) and is_sporadic:
                error.retryable = True
                if self.failures:
                    raise
            elif not error.retryable:
                raise
            self.failures += 1
            self.hold = error.retry_after or 0.0
            if self.failures >= self._max_poll_failures:
                raise HubSpotPollError(
                    f"Reading the limits {self._place} failed {self.failures} times in a row;"
                    f" the operation itself may have succeeded. Last: {error}",
                    retry_after=error.retry_after,
                ) from None
        else:
            self.failures = 0
            self._token_worked = True
            if self.operation.status is not before:
                self._note_status(before)

    def _note_status(self, before: BatchStatus) -> None:
        status = self.operation.status
        if status.is_terminal and not before.is_terminal and not self.operation.is_over:
            self.reads_now = True
            self._growth_began = time.monotonic()
        if self._on_change is not None:
            text = f"The batch {self._place} changed from {before.value} to {status.value}"
            self._on_change(f"{text} after {self.elapsed:.1f} s.")


def poll_delay(elapsed: float, interval: float, maximum: float) -> float:
    """Return the time until the next read: growing with the time already waited, up to a maximum, with jitter.

    It depends on the elapsed time alone, so that a wait goes on in step after a change of process.

    :param elapsed: seconds waited so far.
    :param interval: the first wait, seconds.
    :param maximum: the longest wait, seconds, from 2.5; the jitter may take a fifth off.
    """
    longest = max(interval, maximum, _SHORTEST_MAXIMUM)
    return min(interval + (_GROWTH - 1) * elapsed, longest) * random.uniform(1 - _JITTER, 1)
