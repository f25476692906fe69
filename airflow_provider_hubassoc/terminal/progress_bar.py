"""Progress of long work, on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_hubassoc.terminal.streams import is_terminal, say

if TYPE_CHECKING:
    from airflow_provider_hubassoc.limits.concurrency import Progress


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Show progress on standard error: a bar in a terminal, a line every few seconds in a log."""
    if not is_terminal(sys.stderr):
        yield _PlainProgress()
        return
    # Not at the top: help and mistakes on the command line need no bar.
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield update


class _PlainProgress:
    """Prints a line at most every few seconds, and none for short work."""

    _EVERY = 5.0

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._EVERY:
            self._last = now
            say(f"{what}: {done} of {total}")
