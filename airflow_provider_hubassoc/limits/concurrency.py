"""Requests from several threads, kept within HubSpot's ten-second limit.

Source: HubSpot's "API usage guidelines": ``X-HubSpot-RateLimit-*`` headers; 429 with ``policyName``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotRateLimitError

_INTERVAL = 10.0
"""HubSpot counts requests over this many seconds, unless its headers say otherwise."""

_LONGEST_HOLD = 60.0
_ATTEMPTS = 4

T = TypeVar("T")
K = TypeVar("K")

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("read", "write", "verify"), how many directions are done, and of how many."""

MAX_CONCURRENCY = 8


class Pacer:
    """Lets threads call HubSpot at full speed while there is room, and at the permitted pace when there is little.

    :param client: shared by the threads; it repeats what HubSpot refuses with 429 itself, a few times.
    :param reserve: requests left at which the pace is slowed down; more than can be on their way at once.
    :param sleep: waits, seconds.
    """

    def __init__(self, client: HubSpotClient, reserve: int, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._reserve = reserve
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_start = 0.0

    def call(self, request: Callable[[], T]) -> T:
        """Make one request when there is room for it.

        A 429 that outlasts the client's own retries holds all threads for HubSpot's interval, then the request is
        made again: HubSpot has not carried it out. A limit that lasts longer, such as the daily one, is raised.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            self._wait_for_turn()
            try:
                return request()
            except HubSpotRateLimitError as error:
                limit = self._client.rate_limit
                hold = max(error.retry_after or 0.0, limit.interval if limit else _INTERVAL)
                too_long = error.policy == "DAILY" or hold > _LONGEST_HOLD
                # An attempt before the one that was refused may have got through.
                if attempt == _ATTEMPTS or too_long or error.outcome_unknown:
                    raise
                with self._lock:
                    self._next_start = max(self._next_start, time.monotonic() + hold)
        raise AssertionError("unreachable")

    def _wait_for_turn(self) -> None:
        limit = self._client.rate_limit
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            if limit is not None and limit.maximum > 0 and limit.remaining <= self._reserve:
                # At this pace the rolling window never holds more than the maximum.
                self._next_start = start + limit.interval / limit.maximum
        self._sleep(max(0.0, start - now))  # also without a wait: it may raise to end the work


def concurrently(
    what: str,
    keys: Sequence[K],
    work: Callable[[K], T],
    max_concurrency: int,
    progress: Progress | None,
) -> dict[K, T]:
    """Do the work for every key in a pool of threads; an exception ends it once the running work is done.

    :return: the results, in the order of the keys.
    """
    if max_concurrency < 1:
        raise ValueError("max_concurrency must be at least 1")
    if not keys:
        return {}
    results: dict[K, T] = {}
    with ThreadPoolExecutor(min(max_concurrency, len(keys)), thread_name_prefix="hubassoc") as pool:
        futures = {pool.submit(work, key): key for key in keys}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                results[futures[future]] = future.result()
                if progress is not None:
                    progress(what, done, len(keys))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {key: results[key] for key in keys}
