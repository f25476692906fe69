"""Figures that a test run reports at its end, collected from all pytest workers."""

from __future__ import annotations

from collections import Counter
from typing import Any

_texts: dict[str, str] = {}
_counts: Counter[str] = Counter()


def report(name: str, text: str) -> None:
    """Report a figure that one worker alone knows.

    :param name: what was measured.
    :param text: the figure, with its unit.
    """
    _texts[name] = text


def count(name: str, number: int) -> None:
    """Add to a figure that is summed over the whole run, and over all workers.

    :param name: what is counted.
    :param number: how many more.
    """
    _counts[name] += number


def collected() -> dict[str, Any]:
    """Return the figures of this process as plain data, to be sent to another one."""
    return {"texts": dict(_texts), "counts": dict(_counts)}


def add(figures: dict[str, Any]) -> None:
    """Add the figures of another process.

    :param figures: what :func:`collected` returned there.
    """
    _texts.update(figures["texts"])
    _counts.update(figures["counts"])


def lines() -> list[str]:
    """Return all figures, one a line."""
    return [f"{name}: {number:,}" for name, number in _counts.items()] + [
        f"{name}: {text}" for name, text in _texts.items()
    ]
