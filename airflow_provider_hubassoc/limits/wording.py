"""Words that plans, reports and the command line share."""

from __future__ import annotations


def limit_text(limit: int | None) -> str:
    """Write a limit as in a file."""
    return "unlimited" if limit is None else str(limit)


def count_of(count: int, noun: str) -> str:
    """Write a number of things: ``1 direction``, ``2 directions``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def skipped_directions(unread: int, unfit: int) -> str:
    """Say how many directions were skipped; the beginning of a summary, empty if there are none.

    :param unread: directions that could not be read.
    :param unfit: directions whose declaration does not fit the portal.
    """
    unfit_text = f"{count_of(unfit, 'direction')} {'does' if unfit == 1 else 'do'} not fit the portal. "
    return (f"{count_of(unread, 'direction')} could not be read. " if unread else "") + (unfit_text if unfit else "")


def one_line(text: str) -> str:
    """Replace characters that would disturb a terminal or a table, such as line breaks and escapes."""
    return "".join(char if char.isprintable() else " " for char in text)
