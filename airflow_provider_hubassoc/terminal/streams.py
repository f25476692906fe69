"""Standard input, output and error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO

from airflow_provider_hubassoc.terminal.arguments import UsageError


def say(message: str) -> None:
    """Print a line on standard error. A closed pipe does not end the command."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def replace_unencodable() -> None:
    """Make standard output and error replace characters that they cannot encode, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")


@contextlib.contextmanager
def document_stream() -> Iterator[IO[str]]:
    """Reserve standard output for the document of a command, and send all other output to standard error.

    Airflow's loggers and the programs that a secrets backend runs write to standard output.

    :return: the stream for the document.
    """
    stdout = sys.stdout
    try:
        descriptor = stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by a program that calls main()
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
    """Return True if a stream can encode a text."""
    try:
        content.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def writing(stream: IO[str]) -> Iterator[None]:
    """Flush the output of the block. A reader that closes the pipe early (``| head``) is not an error.

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
    """Discard the buffer of a broken stream, so that flushing it at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def read_stdin(maximum: int) -> bytes:
    """Read standard input.

    :param maximum: number of bytes allowed; one more is read, so that the caller can tell that there are too many.
    """
    if sys.stdin is None:
        return b""
    stream = getattr(sys.stdin, "buffer", None)
    return stream.read(maximum + 1) if stream is not None else sys.stdin.read(maximum + 1).encode()


def is_terminal(stream: IO[str] | None) -> bool:
    """Return True if a stream is a terminal."""
    return stream is not None and not stream.closed and stream.isatty()
