"""Plain data with the position of everything in it, so that a problem can name its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from airflow_provider_hubassoc.limits.problems import DataPath, Place, Problem, show, show_path


class Mark(NamedTuple):
    """Position in a text: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """Plain data and where it came from.

    :param data: dicts, lists, strings, numbers, None.
    :param marks: path -> position in the text; empty for data that never was text.
    :param name: path of the file; empty for text that came from no file.
    :param empty: paths whose value is empty in the text, as in ``limit:``; an explicit ``null`` is not.
    :param lines: of the text.
    """

    data: Any
    marks: Mapping[DataPath, Mark] = field(default_factory=dict)
    name: str = ""
    empty: frozenset[DataPath] = frozenset()
    lines: tuple[str, ...] = ()

    def place(self, path: DataPath) -> Place | None:
        """Return where a path is: the position of its nearest part that has one; None without a text."""
        if not self.marks:
            return None
        mark = next((self.marks[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.marks), None)
        return Place(self.name, *(mark or ()))

    def problem(
        self,
        path: DataPath,
        message: str,
        *,
        found: object = ...,
        shown: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """Return a problem at a path.

        :param found: the value found there.
        :param shown: the value found there, as the message shows it; by default a short form of ``found``.
        """
        place = self.place(path) or Place(self.name)
        if shown is None and found is not ...:
            shown = show(found)
        return Problem(message, show_path(path), place.line, shown, severity, place.column, place.source)
