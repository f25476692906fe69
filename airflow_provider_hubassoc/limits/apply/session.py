"""State shared by the parts of one apply: paced requests, progress, and the error that stops everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotError
from airflow_provider_hubassoc.limits.apply.report import Outcome
from airflow_provider_hubassoc.limits.concurrency import Pacer, Progress, concurrently
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh
from airflow_provider_hubassoc.limits.wait import Wait

INTERRUPTED = "interrupted before HubSpot answered"

_POLL_INTERVAL = 1.0
_MAX_POLL_INTERVAL = 5.0
_MAX_POLL_FAILURES = 5

T = TypeVar("T")
K = TypeVar("K")


class ApplySession:
    """One apply's access to the portal, for all its threads. Parameters: :func:`~.run.apply_plan`."""

    def __init__(
        self,
        client: HubSpotClient,
        *,
        max_concurrency: int,
        progress: Progress | None,
        sleep: Callable[[float], None],
        on_outcomes: Callable[[Sequence[Outcome]], None] | None,
    ) -> None:
        self._client = client
        self._max_concurrency = max_concurrency
        self._progress = progress
        self._sleep = sleep
        self._on_outcomes = on_outcomes
        self._pacer = Pacer(client, 2 * max_concurrency, sleep=sleep)
        self._lock = threading.Lock()
        self._fatal: HubSpotError | None = None

    @property
    def stopped(self) -> str | None:
        """Why nothing more is sent: an error that affects every request; None as long as there is none."""
        return None if self._fatal is None else f"stopped, because every further request would fail: {self._fatal}"

    def call(self, request: Callable[[HubSpotClient], T]) -> T:
        """Make one request when the rate limit has room for it.

        :raises HubSpotError: if it failed. An error that affects every request stops the apply.
        """
        try:
            return self._pacer.call(lambda: request(self._client))
        except HubSpotError as error:
            self._stop_after(error)
            raise

    def follow(self, wait: Wait, is_done: Callable[[BatchOperation], bool]) -> None:
        """Read the state of an operation until it is done.

        :raises HubSpotError: if the wait ends before that. A failed read alone does not stop the apply.
        """
        try:
            while not is_done(wait.operation):
                self._sleep(wait.next_delay())
                wait.poll(lambda operation: self._pacer.call(lambda: refresh(self._client, operation)))
        except HubSpotError as error:
            self._stop_after(error)
            raise

    def for_each(self, what: str, keys: Sequence[K], work: Callable[[K], T]) -> dict[K, T]:
        """Do the work for every key in a pool of threads, as :func:`~..concurrency.concurrently`."""
        return concurrently(what, keys, work, self._max_concurrency, self._progress)

    def publish(self, outcomes: Sequence[Outcome]) -> None:
        """Pass outcomes to the caller of the apply, one thread at a time."""
        if self._on_outcomes is not None:
            with self._lock:
                self._on_outcomes(outcomes)

    def _stop_after(self, error: HubSpotError) -> None:
        if error.affects_every_request:
            with self._lock:
                self._fatal = self._fatal or error


def wait_for(operation: BatchOperation, timeout: float | None) -> Wait:
    """Return the wait for an operation of an apply."""
    return Wait(
        operation,
        timeout=timeout,
        poll_interval=_POLL_INTERVAL,
        max_poll_interval=_MAX_POLL_INTERVAL,
        max_poll_failures=_MAX_POLL_FAILURES,
    )
