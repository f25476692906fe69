"""A plan for people: in a terminal, as plain text for logs, and as Markdown."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import WRITES, Change, Plan
from airflow_provider_hubassoc.limits.wording import limit_text, one_line

_SYMBOLS = {"create": "+", "update": "~", "purge": "-", "unchanged": "=", "unmanaged": "?"}
_STYLES = {"create": "green", "update": "yellow", "purge": "red", "unchanged": "", "unmanaged": "dim"}
_COMMENT_LENGTH = 65_536
"""Characters that GitHub accepts in one comment."""
_ROW_LENGTH = 2_000
"""Characters of one row in a comment."""
_TABLE_HEADING = ["| | From -> to | Association type | Current | Planned |", "|---|---|---|---:|---:|"]


def render_terminal(plan: Plan, *, show_unchanged: bool = False) -> RenderableType:
    """Return the plan for a terminal.

    :param show_unchanged: list the limits that stay as they are, too.
    """
    parts: list[RenderableType] = []
    rows = _rows(plan, show_unchanged)
    if rows:
        parts += [_table(rows), Text()]
    # Text, not markup: a label may be called "[red]".
    parts += [Text(one_line(f"+ {label}"), style="green") for label in plan.new_labels]
    parts += [Text(one_line(f"Warning: {warning}"), style="yellow") for warning in plan.warnings]
    parts += [Text(one_line(f"Error: {skipped}"), style="red") for skipped in (*plan.unfit, *plan.unread)]
    return Group(*parts, Text(plan.summary, style="bold"))


def _table(rows: Iterable[Change]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("From -> to", overflow="fold")
    table.add_column("Association type", overflow="fold")
    table.add_column("Current", justify="right", no_wrap=True)
    table.add_column("Planned", justify="right", no_wrap=True)
    previous = None
    for change in rows:
        direction = str(change.direction) if change.direction != previous else ""
        previous = change.direction
        cells = [f"{_SYMBOLS[change.action]} {change.action}", direction, change.name, *_current_and_target(change)]
        table.add_row(*(Text(one_line(cell), style=_STYLES[change.action]) for cell in cells))
    return table


def render_text(plan: Plan, *, width: int = 120) -> str:
    """Return the plan as plain text for logs. If it has several lines, it begins with a line break.

    :param width: characters of the longest line.
    """
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(render_terminal(plan))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join(["", *lines] if len(lines) > 1 else lines)


def render_markdown(plan: Plan) -> str:
    """Return the plan as Markdown, for people in Airflow's UI."""
    lines = [f"**{plan.summary}**"]
    rows = _rows(plan, show_unchanged=False)
    if rows:
        lines += ["", *_TABLE_HEADING, *map(_markdown_row, rows)]
    notes = [*_markdown_notes(plan), *_markdown_errors(plan)]
    if notes:
        lines += ["", *notes]
    return "\n".join(lines) + "\n"


def render_comment(plan: Plan) -> str:
    """Return the plan as Markdown that fits into one comment of a pull request.

    Errors come first, then counts for each direction, then as many changes and notes as there is room for. A line says
    how many are left out.
    """
    sections: list[tuple[list[str], list[str], str]] = [
        ([], _markdown_errors(plan), "errors"),
        (["| From -> to | create | update | purge |", "|---|---:|---:|---:|"], _markdown_counts(plan), "directions"),
        (_TABLE_HEADING, list(map(_markdown_row, plan.writes)), "changes"),
        ([], _markdown_notes(plan), "notes"),
    ]
    lines = [f"**{plan.summary}**"]
    room = _COMMENT_LENGTH - len(lines[0]) - 1_000  # for headings, and for the lines about omitted rows
    for heading, rows, noun in sections:
        shown = []
        for row in map(_shortened, rows):
            if room < len(row) + 1:
                break
            room -= len(row) + 1
            shown.append(row)
        if shown:
            lines += ["", *heading, *shown]
        if len(shown) < len(rows):
            lines += ["", f"... and {len(rows) - len(shown)} more {noun}; see the complete plan."]
    return "\n".join(lines) + "\n"


def _rows(plan: Plan, show_unchanged: bool) -> list[Change]:
    return [change for change in plan.changes if show_unchanged or change.action != "unchanged"]


def _current_and_target(change: Change) -> tuple[str, str]:
    current = limit_text(change.current)
    if change.null_in_file:
        return current, "null in the file"
    return current, limit_text(change.target) if change.is_write else ""


def _markdown_row(change: Change) -> str:
    cells = [change.action, str(change.direction), change.name, *_current_and_target(change)]
    return f"| {' | '.join(map(_escaped, cells))} |"


def _markdown_counts(plan: Plan) -> list[str]:
    counts: dict[Direction, Counter[str]] = {}
    for change in plan.writes:
        counts.setdefault(change.direction, Counter())[change.action] += 1
    return [
        f"| {_escaped(str(direction))} | {' | '.join(str(counted[action]) for action in WRITES)} |"
        for direction, counted in counts.items()
    ]


def _markdown_notes(plan: Plan) -> list[str]:
    notes = [f"New: {label}" for label in plan.new_labels]
    notes += [f"Warning: {warning}" for warning in plan.warnings]
    return [f"- {_escaped(note)}" for note in notes]


def _markdown_errors(plan: Plan) -> list[str]:
    return [f"- {_escaped(f'Error: {skipped}')}" for skipped in (*plan.unfit, *plan.unread)]


def _shortened(row: str) -> str:
    """Shorten a long row of Markdown, but not inside an escape or an entity."""
    if len(row) <= _ROW_LENGTH:
        return row
    return re.sub(r"(&[a-z]*|\\)$", "", row[: _ROW_LENGTH - 100]) + (" ... |" if row.startswith("|") else " ...")


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(one_line(text), quote=False).replace("&gt;", ">"))
