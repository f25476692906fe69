"""Arguments of operators and sensors: literal in the DAG file, or known only when the task runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException


def is_literal(value: Any) -> bool:
    """Whether an argument is when the DAG is parsed what it will be in the task: plain data, and no template."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    return value is None or isinstance(value, (int, float, timedelta, Mapping, list, tuple, bytes, set))


class InvalidArgumentsError(AirflowFailException, ValueError):
    """Arguments that cannot work; it fails the parsing of a DAG file, and a mapped task without retries."""


@contextmanager
def mistakes_fail_parsing() -> Iterator[None]:
    """Raise :class:`InvalidArgumentsError` for what is wrong with arguments: a mapped task is built when it runs."""
    try:
        yield
    except ValueError as error:
        raise InvalidArgumentsError(str(error)) from error


def plain(value: Any) -> Any:
    """Return a list for Airflow's lazy sequence of what mapped tasks returned, everything else as it is."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value
