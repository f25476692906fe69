"""Mistakes in declared limits: what is wrong, where it is, and how values and places are shown in messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from airflow_provider_hubassoc.errors import HubassocError

_MAX_SHOWN = 60

_MAX_TOLD = 100

_HUGE = "a huge "

DataPath = tuple[str | int, ...]
"""Where something is in the data: keys and indices from the top."""

# Characters without width or ink that Unicode counts among letters, marks and symbols.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


class Place(NamedTuple):
    """Where something is declared.

    :param source: path of the file; empty for text that came from no file.
    :param line: line, from 1; None if unknown.
    :param column: column, from 1; None if unknown.
    """

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Write the place as compilers do, ``limits.yaml:12:7``; without a file as ``line 12, column 7``."""
        if self.source:
            return ":".join(str(part) for part in self if part is not None)
        names = ("line", "column")
        return ", ".join(f"{name} {part}" for name, part in zip(names, self[1:], strict=True) if part is not None)


@dataclass(frozen=True)
class Problem:
    """One mistake, or one thing to think about, in declared limits.

    :param message: what is wrong and what is allowed.
    :param path: where in the data, as a person writes it: ``associations[0].labels["Billing contact"]``.
    :param line: line of the text, from 1; None where there is no text.
    :param found: the value found there, shortened.
    :param severity: an error makes the declaration unusable, a warning does not.
    :param column: column of the text, from 1; None where there is no text.
    :param source: path of the file; empty if it came from no file.
    """

    message: str
    path: str = ""
    line: int | None = None
    found: str | None = None
    severity: Literal["error", "warning"] = "error"
    column: int | None = None
    source: str = ""

    @property
    def location(self) -> str:
        """The place as text: ``limits.yaml:12:7``; empty if unknown."""
        return str(Place(self.source, self.line, self.column))

    def __str__(self) -> str:
        # With a path the line is enough; without one the column leads to what the parser stumbled over.
        place = str(Place("", self.line, None if self.path else self.column))
        where = ": ".join(part for part in (place, self.path) if part)
        found = f"found {self.found}; " if self.found is not None else ""
        text = f"{found}{self.message}"
        return f"{where}: {text}" if where else text


class ConfigError(HubassocError, ValueError):
    """Declared limits that cannot be used; holds every mistake at once.

    :param problems: the mistakes, in the order of the text.
    :param source: where the text came from, such as the path of the file.
    :param retryable: whether a later attempt may succeed: the file is missing or unreadable for the moment.
    """

    def __init__(self, problems: list[Problem], source: str = "", *, retryable: bool = False) -> None:
        problems = [replace(problem, source=problem.source or source) for problem in problems]
        self.problems = problems
        self.source = source
        self.retryable = retryable
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        head = f"{count} in {source or 'the declared limits'}"
        told = [f"  {problem}" for problem in problems[:_MAX_TOLD]]
        told += [f"  ... and {len(problems) - _MAX_TOLD} more"] if len(problems) > _MAX_TOLD else []
        super().__init__("\n".join([f"{head}:", *told]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems, self.source), {"retryable": self.retryable}


def is_invisible(char: str) -> bool:
    """Return True for a character that a person cannot see: without width, a control or a direction mark."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") or bool(_BLANK.match(char))


def show(value: object) -> str:
    """Show a value in a message: scalars as they are, shortened; never what is inside a list or mapping."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    except ValueError:  # Python writes out no integer of more than some thousand digits
        return f"{_HUGE}{type(value).__name__}"
    # What cannot be seen is written as a code point; so is a blank that is none of the usual ones.
    text = "".join(char if char.isprintable() and not _BLANK.match(char) else f"<U+{ord(char):04X}>" for char in text)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def show_exactly(text: str) -> str:
    """Show a text so that it cannot be mistaken for a look-alike: ``"De<U+0301>cideur"``, not ``"Décideur"``."""
    shown = re.sub('  +| (?="$)', lambda blanks: "<U+0020>" * len(blanks[0]), show(text))
    return "".join(f"<U+{ord(char):04X}>" if unicodedata.combining(char) else char for char in shown)


def show_path(path: DataPath) -> str:
    """Write a path as a person would: ``associations[0].labels["Billing contact"].limit``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"\w{1,60}", part) and not any(map(is_invisible, part)):
            text += f".{part}" if text else part
        else:
            text += f"[{show(part)}]"
    return text
