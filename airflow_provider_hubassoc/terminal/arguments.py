"""Parsing of the command line: the parser and the types of its arguments."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_hubassoc.errors import HubassocError

DONE, ERROR, PENDING, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


class UsageError(HubassocError):
    """The command line, or an environment variable or file that it relies on, cannot be used."""


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations, with exit code 1 for errors: 2 means changes in ``plan``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with 1."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"Error: {message}\n")


def text(value: str) -> str:
    """Return an argument without surrounding white space.

    :raises argparse.ArgumentTypeError: if it is empty, such as an unset shell variable.
    """
    stripped = value.strip()
    if not stripped:
        raise argparse.ArgumentTypeError("must not be empty")
    return stripped


def path(value: str) -> Path:
    """Return an argument as a path."""
    return Path(text(value))


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser for whole numbers.

    :param minimum: smallest number allowed.
    :param maximum: largest number allowed; None for no bound.
    """
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
    """Return a parser for a number of seconds from 0 to a maximum."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= maximum:
            raise argparse.ArgumentTypeError(f'must be a number of seconds from 0 to {maximum:.0f}, got "{value}"')
        return number

    return parse
