"""Handling of Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from airflow_provider_hubassoc.terminal.arguments import INTERRUPTED


class Interruption:
    """Ctrl-C: the first one stops the program after the requests in progress, the second one immediately."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self.notice = ""
        """Sentence printed at the first Ctrl-C, which says why the program waits. Empty if it does not wait."""

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGINT inside the block, unless the process already has a handler other than Python's."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def sleep(self, duration: float) -> None:
        """Wait between requests.

        :param duration: seconds.
        :raises KeyboardInterrupt: immediately after Ctrl-C, in every thread.
        """
        if self._requested.wait(duration):
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._requested.is_set():
            _write_now(f"{_SHOW_CURSOR if os.isatty(2) else ''}Left without waiting. {_STATE_UNKNOWN}\n")
            os._exit(INTERRUPTED)
        self._requested.set()
        if self.notice:
            _write_now(f"\n{self.notice} Press Ctrl-C again to leave now.\n")
        raise KeyboardInterrupt


_SHOW_CURSOR = "\x1b[?25h"  # the progress bar hides it
_STATE_UNKNOWN = "Requests in progress may still take effect; run the command again to see the portal's state."


def _write_now(message: str) -> None:
    """Write to standard error without its buffer, which the signal may have interrupted during a write."""
    with contextlib.suppress(OSError):
        os.write(2, message.encode())
