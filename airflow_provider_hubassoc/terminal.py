"""What the commands of a terminal share: parsers, streams, files, questions, progress and Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, NoReturn

from airflow_provider_hubassoc.errors import HubassocError

if TYPE_CHECKING:
    from airflow_provider_hubassoc.limits.concurrency import Progress

DONE, ERROR, PENDING, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


class UsageError(HubassocError):
    """The command line, or an environment variable or file that it relies on, cannot be used."""


# -- arguments -------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations, whose errors have exit code 1: ``plan`` uses argparse's 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Print the usage and one sentence, and exit with 1."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"Error: {message}\n")


def text(value: str) -> str:
    """Return an argument without blanks at its ends; an empty one, such as an unset variable, is an error."""
    stripped = value.strip()
    if not stripped:
        raise argparse.ArgumentTypeError("must not be empty")
    return stripped


def path(value: str) -> Path:
    """Return an argument that is a path."""
    return Path(text(value))


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds."""
    allowed = (
        f"a whole number of at least {minimum}" if maximum is None else f"a whole number from {minimum} to {maximum}"
    )

    def parse(value: str) -> int:
        digits = value.strip()
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 20
        number = int(digits) if is_number else -1
        if not is_number or number < minimum or (maximum is not None and number > maximum):
            raise argparse.ArgumentTypeError(f'must be {allowed}, got "{value}"')
        return number

    return parse


def seconds(maximum: float = 86_400) -> Callable[[str], float]:
    """Return a parser of a number of seconds, from 0."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= maximum:
            raise argparse.ArgumentTypeError(f'must be a number of seconds from 0 to {maximum:.0f}, got "{value}"')
        return number

    return parse


# -- streams ---------------------------------------------------------------------------------------------------


def say(message: str) -> None:
    """Print a line on standard error. A reader that has gone away must not end the work."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def replace_unencodable() -> None:
    """Let output replace characters that a stream cannot encode, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")


@contextlib.contextmanager
def document_stream() -> Iterator[IO[str]]:
    """Keep standard output for the document of a command; everything else that is printed goes to standard error.

    Airflow's loggers, and whatever a secrets backend runs, write to standard output.

    :return: the stream for the document.
    """
    stdout = sys.stdout
    try:
        descriptor = stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by a program that runs the command itself
        descriptor = -1
    if descriptor != 1:
        with open(os.devnull, "w", encoding="utf-8") if stdout is None else contextlib.nullcontext(stdout) as document:
            sys.stdout = sys.stderr
            try:
                yield document
            finally:
                sys.stdout = stdout
        return
    stdout.flush()
    with open(os.dup(1), "w", encoding=stdout.encoding, errors="replace") as document:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        try:
            yield document
        finally:
            os.dup2(document.fileno(), 1)
            sys.stdout = stdout


def can_encode(stream: IO[str], content: str) -> bool:
    """Whether a stream can take a text as it is."""
    try:
        content.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def writing(stream: IO[str]) -> Iterator[None]:
    """Flush what is written inside. A reader that has seen enough (``| head``) is no error.

    :raises UsageError: if the output cannot be written, such as to a full disk.
    """
    try:
        try:
            yield
        finally:
            stream.flush()
    except OSError as error:
        discard(stream)
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"the output could not be written: {error.strerror}") from None


def discard(stream: IO[str]) -> None:
    """Drop what a broken stream still holds: flushing it at the end would fail again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def read_stdin(maximum: int) -> bytes:
    """Read standard input, one byte more than ``maximum`` at most."""
    if sys.stdin is None:
        return b""
    stream = getattr(sys.stdin, "buffer", None)
    return stream.read(maximum + 1) if stream is not None else sys.stdin.read(maximum + 1).encode()


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person is at the other end of a stream."""
    return stream is not None and not stream.closed and stream.isatty()


# -- files -----------------------------------------------------------------------------------------------------


def check_target(target: Path) -> None:
    """Check that a file can be written, before any work is done for it.

    :raises UsageError: if it is a folder, read-only, or in a folder that does not exist.
    """
    real = Path(os.path.realpath(target))
    if real.is_dir():
        raise UsageError(f"{target} is a folder; name a file in it")
    if not real.parent.is_dir():
        raise UsageError(f"{target} cannot be written: the folder {real.parent} does not exist")
    if real.exists() and not os.access(real, os.W_OK):
        raise UsageError(f"{target} cannot be written: it is read-only")
    if is_replaceable(target) and not os.access(real.parent, os.W_OK):
        raise UsageError(f"{target} cannot be written: no permission to create files in {real.parent}")


def is_replaceable(target: Path) -> bool:
    """Whether a path is, or can become, a regular file: a device or pipe is written to, never replaced."""
    try:
        return stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return True


def write_file(target: Path, content: str) -> None:
    """Write a file as a whole or not at all. An existing one keeps its permissions, a symbolic link its place.

    :raises UsageError: if it cannot be written.
    """
    check_target(target)
    try:
        if is_replaceable(target):
            _replace(Path(os.path.realpath(target)), content.encode())
        else:
            target.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{target} could not be written: {error.strerror}") from None


def _replace(target: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            existing = target.stat()
            if hasattr(os, "chown") and (existing.st_uid, existing.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.chown(temporary, existing.st_uid, existing.st_gid)
            os.chmod(temporary, stat.S_IMODE(existing.st_mode))
        else:
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """Return the umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# -- progress --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Show progress on standard error: a bar in a terminal, a line every few seconds in a log."""
    if not is_terminal(sys.stderr):
        yield _PlainProgress()
        return
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
    """Prints a line at most every few seconds; none for short work."""

    _EVERY = 5.0

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._EVERY:
            self._last = now
            say(f"{what}: {done} of {total}")


# -- Ctrl-C ----------------------------------------------------------------------------------------------------


class Interruption:
    """Ctrl-C: the first one stops as soon as the requests under way are answered, the second one exits at once."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self.notice = ""
        """Printed at the first Ctrl-C: what the program waits for. Empty if it does not wait."""

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGINT inside, unless the program around has a handler of its own."""
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
        :raises KeyboardInterrupt: at once after Ctrl-C, in every thread.
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
_STATE_UNKNOWN = "Requests under way may still take effect; run the command again to see the portal's state."


def _write_now(message: str) -> None:
    """Write to standard error past its buffer, which a signal may have interrupted in the middle of a write."""
    with contextlib.suppress(OSError):
        os.write(2, message.encode())
