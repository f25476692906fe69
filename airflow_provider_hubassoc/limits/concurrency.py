"""Concurrent requests that stay within HubSpot's ten-second limit, and their progress.

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
"""Seconds over which HubSpot counts requests, unless its headers say otherwise."""

_LONGEST_PAUSE = 60.0
_MAX_ATTEMPTS = 4

T = TypeVar("T")
K = TypeVar("K")

Progress = Callable[[str, int, int], None]
"""Called with the work ("read", "write", "verify" ...), the number of directions done, and the number of all."""

MAX_CONCURRENCY = 8
"""Default number of directions at the same time."""


class Pacer:
    """Limits the pace of requests from several threads.

    They run at full speed while many requests are left, and at HubSpot's permitted rate when few are.

    :param client: shared by the threads; it repeats requests that HubSpot refuses with 429 itself, a few times.
    :param reserve: number of requests left at which the pace slows down; more than can be in flight at once.
    :param sleep: waits, seconds.
    """

    def __init__(self, client: HubSpotClient, reserve: int, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._reserve = reserve
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_start = 0.0

    def call(self, request: Callable[[], T]) -> T:
        """Make one request when its turn comes.

        A 429 that outlasts the client's own retries pauses all threads for HubSpot's interval. Then the request is
        repeated: HubSpot has not carried it out.

        :raises HubSpotRateLimitError: if the limit lasts longer, such as the daily one.
        :raises HubSpotError: as the request raises it.
        """
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            self._wait_for_turn()
            try:
                return request()
            except HubSpotRateLimitError as error:
                limit = self._client.rate_limit
                pause = max(error.retry_after or 0.0, limit.interval if limit else _INTERVAL)
                is_too_long = error.policy == "DAILY" or pause > _LONGEST_PAUSE
                # HubSpot may have carried out an attempt before the one it refused.
                if attempt == _MAX_ATTEMPTS or is_too_long or error.outcome_unknown:
                    raise
                with self._lock:
                    self._next_start = max(self._next_start, time.monotonic() + pause)
        raise AssertionError("unreachable")

    def _wait_for_turn(self) -> None:
        limit = self._client.rate_limit
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            if limit is not None and limit.maximum > 0 and limit.remaining <= self._reserve:
                # At this pace HubSpot's rolling window never holds more requests than the maximum.
                self._next_start = start + limit.interval / limit.maximum
        self._sleep(max(0.0, start - now))  # called even for no time: it may raise to end the work


def concurrently(
    what: str,
    keys: Sequence[K],
    work: Callable[[K], T],
    max_concurrency: int,
    progress: Progress | None,
) -> dict[K, T]:
    """Do the work for every key in a pool of threads.

    :param what: name of the work, for ``progress``.
    :param keys: such as directions.
    :param work: returns the result for one key. An exception ends everything once the running work is done.
    :param max_concurrency: number of threads.
    :param progress: called after each key.
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
