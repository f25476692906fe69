"""Wait for a condition by polling."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], *, timeout: float, interval: float = 0.25) -> T:
    """Call a function until it returns something.

    :param what: what is waited for, for the message of the error.
    :param look: returns None as long as there is nothing to see.
    :param timeout: seconds after which to give up.
    :param interval: seconds between two calls.
    :return: what ``look`` returned.
    :raises TimeoutError: if it returned None until the timeout.
    """
    deadline = time.monotonic() + timeout
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"No {what} within {timeout:.0f} seconds")
        time.sleep(interval)
    return seen
