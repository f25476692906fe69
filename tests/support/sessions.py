"""Processes that end with the one that started them, however that one ends.

Each process leads a separate session. A reaper, a process beside them, learns of each leader; when the process
that started them ends without having stopped them (a crash, SIGKILL), the reaper kills what lives in their sessions.

``python -m tests.support.sessions`` is the reaper: it reads the ids of the leaders from its standard input.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import psutil

from tests.support.environment import REPOSITORY


class Sessions:
    """A set of processes, each of which leads a session."""

    def __init__(self) -> None:
        self._leaders: set[int] = set()
        self._reaper: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in a separate session.

        :param command: the command line.
        :param options: passed on to ``subprocess.Popen``.
        """
        if self._reaper is None:
            reaper = [sys.executable, "-m", __name__]
            self._reaper = subprocess.Popen(reaper, stdin=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True)
        assert self._reaper.stdin is not None
        process = subprocess.Popen(command, start_new_session=True, **options)
        self._leaders.add(process.pid)
        self._reaper.stdin.write(b"%d\n" % process.pid)
        self._reaper.stdin.flush()
        return process

    def members(self) -> set[int]:
        """Return the ids of all processes that live in the sessions, also after their leader has ended."""
        return members(self._leaders)

    def kill(self, *, except_for: Collection[int] = ()) -> None:
        """Kill every process of the sessions.

        :param except_for: leaders whose sessions are spared.
        """
        kill_members(self._leaders - set(except_for))

    def close(self) -> None:
        """End the reaper; it kills what is still alive."""
        if self._reaper is not None:
            self._reaper.communicate()
            self._reaper = None


def members(leaders: set[int]) -> set[int]:
    """Find the processes of some sessions. Tasks of Airflow have separate process groups, but not sessions.

    :param leaders: the process ids that the sessions are named by.
    :return: the ids of the processes that are alive.
    """
    found = set()
    for process in psutil.process_iter(["pid", "status"]):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in leaders and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def kill_members(leaders: set[int]) -> None:
    """Kill all processes of some sessions, including those that start in the meantime.

    :param leaders: the process ids that the sessions are named by.
    """
    while pids := members(leaders):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def main() -> None:
    """Wait for the end of standard input, then kill the sessions that were named there."""
    kill_members({int(line) for line in sys.stdin})


if __name__ == "__main__":
    main()
