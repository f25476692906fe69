"""A time limit for a piece of a test."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def guarded(seconds: int) -> Iterator[None]:
    """Fail the test if the block takes longer, and print the stack of every thread.

    It raises pytest's own failure: the code under test might handle a TimeoutError as an error of the network.
    """

    def hangs(*_: object) -> None:
        faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
        pytest.fail(f"hangs for more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
