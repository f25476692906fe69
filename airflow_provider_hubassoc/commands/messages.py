"""Errors and problems as text for the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_hubassoc.hubspot.errors import HubSpotError
from airflow_provider_hubassoc.limits.problems import ConfigError, Place, Problem
from airflow_provider_hubassoc.limits.wording import count_of


def error_text(error: Exception, connection_name: str, *, say_problems: Callable[[str], None] | None = None) -> str:
    """Return one message for an error.

    :param error: the error.
    :param connection_name: of the connection in use; empty if there is none.
    :param say_problems: prints each mistake in a file on a separate line, as editors and CI systems read it; None
        to have all mistakes in the returned text.
    """
    if isinstance(error, ConfigError):
        return _config_error_text(error, say_problems)
    message = str(error)
    if isinstance(error, OSError):
        message = ": ".join(str(part) for part in (error.filename, error.strerror or message) if part)
    if isinstance(error, HubSpotError) and connection_name and connection_name not in message:
        message += f" (connection {connection_name})"
    return message


def _config_error_text(error: ConfigError, say_problems: Callable[[str], None] | None) -> str:
    source = error.source or "the declared limits"
    if say_problems is not None and any(problem.line is not None for problem in error.problems):
        for problem in error.problems:
            say_problems(problem_line(source, problem))
        return f"{count_of(len(error.problems), 'mistake')} in {source}; nothing was changed."
    if len(error.problems) == 1:
        return f"{_place(source, error.problems[0])}: {error.problems[0].text}"
    return str(error)


def problem_line(file: str, problem: Problem) -> str:
    """Return a problem in the form that editors and CI systems read: ``limits.yaml:12:7: error: ...``."""
    return f"{_place(file, problem)}: {problem.severity}: {problem.text}"


def problem_json(file: str, problem: Problem) -> dict[str, Any]:
    """Return a problem as JSON."""
    return {
        "file": file,
        "severity": problem.severity,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "found": problem.found,
        "message": problem.message,
    }


def _place(file: str, problem: Problem) -> str:
    return str(Place(problem.source or file, problem.line, problem.column))
