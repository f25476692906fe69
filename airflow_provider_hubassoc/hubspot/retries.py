"""Retry policy for requests to HubSpot.

The client repeats requests after errors that are ``transient`` (see :mod:`.errors`), with exponential backoff and full
jitter, and never before HubSpot's ``Retry-After``. If that is longer than ``longest_wait``, the client raises the error
immediately, with the time in ``retry_after``.

Sources: HubSpot's "Handling errors" and "API usage guidelines"; full jitter as in the AWS Architecture Blog,
"Exponential Backoff And Jitter".
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from airflow_provider_hubassoc.hubspot.errors import LONGEST_RETRY_AFTER, HubSpotError


@dataclass(frozen=True)
class RetryPolicy:
    """When and how often a request is repeated.

    :param max_retries: maximum number of attempts after the first one.
    :param first_wait: upper bound of the first wait, seconds; it doubles with each retry.
    :param max_wait: upper bound of the wait in addition to ``Retry-After``, seconds.
    :param longest_wait: longest ``Retry-After`` that the client sleeps, seconds.
    """

    max_retries: int = 5
    first_wait: float = 1.0
    max_wait: float = 30.0
    longest_wait: float = 60.0

    def retrying(self, sleep: Callable[[float], None], *, idempotent: bool) -> Retrying:
        """Return the tenacity controller for one call.

        :param sleep: waits the given seconds; may raise an exception to end the call early.
        :param idempotent: False if the request must not be repeated once HubSpot may have carried it out.
        """
        return Retrying(
            retry=retry_if_exception(lambda error: self.allows(error, idempotent=idempotent)),
            stop=stop_after_attempt(self.max_retries + 1),
            wait=self._wait,
            sleep=sleep,
            reraise=True,
        )

    def allows(self, error: BaseException, *, idempotent: bool = True) -> bool:
        """Return whether the client may repeat the request that failed with this error."""
        if not isinstance(error, HubSpotError) or not error.transient:
            return False
        return (idempotent or not error.outcome_unknown) and (error.retry_after or 0) <= self.longest_wait

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        retry_after = (error.retry_after if isinstance(error, HubSpotError) else None) or 0
        backoff = min(self.max_wait, self.first_wait * 2 ** (state.attempt_number - 1))
        return retry_after + random.uniform(0, backoff)


def parse_retry_after(value: str | None) -> float | None:
    """Parse a ``Retry-After`` header.

    :param value: seconds, or an HTTP date (RFC 9110, 10.2.3).
    :return: seconds from now, from 0 to a week; None if the header is missing or invalid.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
