"""What hangs has failed."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def guarded(seconds: int) -> Iterator[None]:
    """Fail what takes longer, and show where every thread is.

    With pytest's own failure, which no code takes for an error of the network, as it may take a TimeoutError.
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
