"""Arguments of operators and sensors: some are literal in the DAG file, others are known only when the task runs."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePath
from types import FrameType
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.errors import HubassocError


def is_literal(value: Any) -> bool:
    """Return True for plain values whose final form is known at parse time (no Jinja, no XComArg)."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    plain_types = (numbers.Number, timedelta, Mapping, list, tuple, bytes, set, PurePath)
    return value is None or isinstance(value, plain_types)


_MAX_SHOWN = 100
_NO_DAG_FILES = frozenset({"airflow", __name__.partition(".")[0], *sys.stdlib_module_names})
"""Packages whose code may be on the stack between a DAG file and the constructor of an operator."""


class InvalidArgumentsError(HubassocError, AirflowFailException, ValueError):
    """Arguments that cannot be used. The error fails the parsing of a DAG file, and a running task without retries."""


class Mistakes:
    """Collects the mistakes in one task's arguments.

    :param task_id: of the task.
    :param is_parsing: whether a DAG file is being parsed; then the error names the line that defines the task.
    """

    def __init__(self, task_id: str, *, is_parsing: bool = True) -> None:
        self._task_id = task_id
        self._is_parsing = is_parsing
        self._found: list[str] = []

    def add(self, mistake: str) -> None:
        """Add a mistake; the text begins with the argument's name."""
        self._found.append(mistake)

    @contextmanager
    def collected(self, argument: str = "") -> Iterator[None]:
        """Add the mistakes that a check raises as :class:`ValueError`, and continue after the block.

        :param argument: the argument that is checked, for errors that do not name it; of ``ConfigError`` it is
            ``config``.
        """
        try:
            yield
        except ValueError as error:
            self.add_error(error, argument)

    def convert(
        self,
        task: Any,
        names: Sequence[str],
        convert: Callable[[str, Any], Any],
        is_known: Callable[[Any], bool] = lambda value: True,
    ) -> None:
        """Convert arguments of a task in place, and add the mistakes.

        :param task: the operator or sensor; the arguments are its attributes.
        :param names: of the arguments.
        :param convert: returns the converted value for (name, value), or raises :class:`ValueError`.
        :param is_known: False for values that only the running task knows; they stay unchanged.
        """
        for name in names:
            if is_known(value := getattr(task, name)):
                with self.collected():
                    setattr(task, name, convert(name, value))

    def add_error(self, error: ValueError, argument: str = "") -> None:
        """Add the mistakes that an error names."""
        # Not at the top: only a mistake needs it, and every DAG file imports this module.
        from airflow_provider_hubassoc.limits.problems import ConfigError

        if isinstance(error, ConfigError):
            argument = argument or "config"
        prefix = f"{argument}: " if argument else ""
        self._found += [f"{prefix}{problem}" for problem in getattr(error, "problems", None) or [error]]

    def error(self) -> InvalidArgumentsError | None:
        """Return the error that names every mistake once; None if there is none."""
        if not self._found:
            return None
        mistakes = list(dict.fromkeys(self._found))
        lines = [f"task {self._task_id}: {mistake}" for mistake in mistakes[:_MAX_SHOWN]]
        lines += [f"... and {len(mistakes) - _MAX_SHOWN} more"] if len(mistakes) > _MAX_SHOWN else []
        if self._is_parsing and (place := _place_in_dag_file()):
            lines.append(f"The task is defined in {place}.")
        return InvalidArgumentsError("\n".join(lines))


@contextmanager
def mistakes_fail_parsing(task_id: str, *, is_parsing: bool = True) -> Iterator[Mistakes]:
    """Raise one :class:`InvalidArgumentsError` with every mistake in the arguments of a task.

    Each check runs inside ``with mistakes.collected():``, so that one mistake does not hide the next. A
    :class:`ValueError` that leaves the block counts as a mistake, too.

    :param task_id: of the task (``self.task_id``, with its task group).
    :param is_parsing: False where a running task checks its rendered arguments.
    """
    mistakes = Mistakes(task_id, is_parsing=is_parsing)
    try:
        yield mistakes
    except ValueError as error:
        mistakes.add_error(error)
    failure = mistakes.error()
    if failure is not None:
        raise failure from None


def _place_in_dag_file() -> str:
    """Return file and line of the code that defines the task; an empty string while Airflow runs a mapped task.

    Airflow cuts tracebacks to their last two frames (``[core] dagbag_import_error_traceback_depth``), and the DAG file
    is further up. So the message has to name the place.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
        if frame.f_code.co_name == "unmap" and module.startswith("airflow."):
            return ""
        is_installed = "site-packages" in file or "dist-packages" in file
        if not is_installed and module.partition(".")[0] not in _NO_DAG_FILES:
            return f"{file}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""


def materialized(value: Any) -> Any:
    """Return a list for Airflow's lazy sequence of the results of mapped tasks, and everything else unchanged."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value
