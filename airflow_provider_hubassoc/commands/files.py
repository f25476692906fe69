"""The files and arguments of commands: limits files, plans, and rules for overwriting files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_hubassoc import terminal
from airflow_provider_hubassoc.hubspot.object_types import is_object_type
from airflow_provider_hubassoc.limits.config.sources import SUFFIXES, read
from airflow_provider_hubassoc.limits.config.yaml_text import MAX_BYTES
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.limits.problems import ConfigError, Problem
from airflow_provider_hubassoc.terminal import UsageError, say

_STDIN = "<stdin>"


def limits_source(file: str) -> str | Path:
    """Return the path of a limits file, or the text of standard input for ``-``."""
    if file != "-":
        return Path(file)
    content = terminal.read_stdin(MAX_BYTES)
    try:
        return f"{content.decode('utf-8-sig')}\n"  # the line break tells text from a path
    except UnicodeDecodeError:
        raise ConfigError([Problem("is not UTF-8 text")], _STDIN) from None


def shown_name(file: str) -> str:
    """Return the name of a file for messages."""
    return _STDIN if file == "-" else file


def read_plan(file: str) -> Plan:
    """Read a plan that ``plan -o`` has written.

    :raises UsageError: if it cannot be read, or is not a plan.
    """
    try:
        content = terminal.read_stdin(100 * MAX_BYTES) if file == "-" else Path(file).read_bytes()
        return Plan.from_json(content)
    except OSError as error:
        raise UsageError(f"the plan {shown_name(file)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{shown_name(file)}: {error}. Make a plan with hubassoc plan -o FILE") from None


def output_path(output: Path | None) -> Path | None:
    """Return the file to write to; None for standard output, also if it is given as ``-`` or ``/dev/stdout``."""
    return None if output is None or str(output) in ("-", "/dev/stdout", "/dev/fd/1") else output


def check_export_target(output: Path, *, force: bool) -> None:
    """Check that an export may be written to a file.

    :param force: whether an existing file may be replaced.
    :raises UsageError: if it may not.
    """
    terminal.check_target(output)
    if not terminal.is_replaceable(output):
        return
    if os.path.lexists(output) and not force:
        raise UsageError(f"{output} exists; use --force to replace it, or name another file")
    if output.suffix.lower() not in SUFFIXES:
        say(f"Warning: {output}: plan and validate only read files whose name ends in {', '.join(SUFFIXES)}.")


def check_plan_target(output: Path, file: str) -> None:
    """Check that a plan may be written to a file.

    :param file: the limits file that the plan is made from.
    :raises UsageError: if it is a limits file or cannot be written.
    """
    terminal.check_target(output)
    if file != "-" and os.path.exists(file) and os.path.exists(output) and os.path.samefile(file, output):
        raise UsageError(f"{output} is the limits file itself; write the plan to another file")
    refuse_limits_file(output)


def refuse_limits_file(output: Path) -> None:
    """Refuse to replace a limits file with something else.

    :raises UsageError: if it is one, or cannot be written.
    """
    terminal.check_target(output)
    if terminal.is_replaceable(output) and output.exists():
        with contextlib.suppress(ConfigError):
            read(output)
            raise UsageError(f"{output} is a limits file; name another file")


def check_object_types(argument: str, object_types: Sequence[str]) -> None:
    """Check object types on the command line.

    :param argument: name of the argument, for the message.
    :raises UsageError: if one of them cannot be an object type.
    """
    for object_type in object_types:
        if not is_object_type(object_type):
            raise UsageError(
                f'{argument}: "{object_type}" is not an object type; use a name such as contacts, or an id'
            )
