"""Mistakes in declared limits, their places, and the way in which messages show values and places."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from airflow_provider_hubassoc.errors import HubassocError

_MAX_LENGTH = 60
"""Longest text of a value in a message."""

_MAX_PROBLEMS = 100
"""Most problems that the message of one error lists."""

DataPath = tuple[str | int, ...]
"""Where something is in the data: keys and indices from the root."""

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
    """One error or warning about declared limits.

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
    def place(self) -> Place:
        """Place in the text."""
        return Place(self.source, self.line, self.column)

    @property
    def location(self) -> str:
        """Place as text: ``limits.yaml:12:7``; empty if unknown."""
        return str(self.place)

    @property
    def text(self) -> str:
        """Return the path in the data, the value found and the message, without the place in the text."""
        found = f"found {self.found}; " if self.found is not None else ""
        return f"{f'{self.path}: ' if self.path else ''}{found}{self.message}"

    def __str__(self) -> str:
        # With a path the line is enough; without one the column shows where the parser failed.
        place = str(Place("", self.line, None if self.path else self.column))
        return f"{place}: {self.text}" if place else self.text


class ConfigError(HubassocError, ValueError):
    """Declared limits that cannot be used; holds every mistake at once.

    :param problems: the mistakes, in the order of the text.
    :param source: where the text came from, such as the path of the file.
    :param retryable: True if a later attempt may succeed, because the file is missing or unreadable for the moment.
    """

    def __init__(self, problems: list[Problem], source: str = "", *, retryable: bool = False) -> None:
        problems = [replace(problem, source=problem.source or source) for problem in problems]
        self.problems = problems
        self.source = source
        self.retryable = retryable
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = [f"{count} in {source or 'the declared limits'}:"]
        lines += [f"  {problem}" for problem in problems[:_MAX_PROBLEMS]]
        lines += [f"  ... and {len(problems) - _MAX_PROBLEMS} more"] if len(problems) > _MAX_PROBLEMS else []
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems, self.source), {"retryable": self.retryable}


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return ``; did you mean "..."?`` with the nearest of the words; an empty string if none is near."""
    by_lower_case = {candidate.lower(): candidate for candidate in words}
    matches = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return f'; did you mean "{by_lower_case[matches[0]]}"?' if matches else ""


def is_invisible(char: str) -> bool:
    """Return True for a character that a person cannot see: without width, a control or a direction mark."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") or bool(_BLANK.match(char))


def text_of(value: object) -> str | None:
    """Return ``str(value)``; None for an integer with more digits than Python writes out."""
    try:
        return str(value)
    except ValueError:
        return None


def show(value: object) -> str:
    """Return a value for a message: scalars as they are, shortened; never the content of a list or mapping."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = text_of(value)
    if text is None:
        return f"a huge {type(value).__name__}"
    text = f'"{text}"' if isinstance(value, str) else text
    # Invisible characters become their code points; so does every space character except the usual one.
    text = "".join(char if char.isprintable() and not _BLANK.match(char) else f"<U+{ord(char):04X}>" for char in text)
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"


def show_exactly(text: str) -> str:
    """Return a text for a message so that look-alikes differ: ``"De<U+0301>cideur"`` beside ``"Décideur"``."""
    shown = re.sub('  +| (?="$)', lambda spaces: "<U+0020>" * len(spaces[0]), show(text))
    return "".join(f"<U+{ord(char):04X}>" if unicodedata.combining(char) else char for char in shown)


def show_path(path: DataPath) -> str:
    """Return a path as a person writes it: ``associations[0].labels["Billing contact"].limit``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"\w{1,60}", part) and not any(map(is_invisible, part)):
            text += f".{part}" if text else part
        else:
            text += f"[{show(part)}]"
    return text
