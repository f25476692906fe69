"""Texts of labels: which ones a file may hold, and which ones look alike."""

from __future__ import annotations

import unicodedata

from airflow_provider_hubassoc.limits.problems import is_invisible


def canonical_label(text: str) -> str:
    """Return the form in which labels are compared that may look the same to a person.

    Case, runs of white space, composed and decomposed Unicode, and characters without width make no difference.
    Neither do compatibility forms (NFKC: full-width letters, ligatures, non-breaking spaces), because a person cannot
    tell most of them apart. A near miss is only reported: being too strict costs a question, being too lax a second
    label.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
    visible = (char for char in folded if char.isspace() or not is_invisible(char))
    return " ".join("".join(visible).split())


def label_problem(text: str) -> str | None:
    """Return the reason why a text cannot be a label in a file; None if it can.

    White space at the ends and invisible characters are more often a slip than intended. A label that has them in the
    portal can still be declared by its id, under ``types``.
    """
    if text != text.strip():
        return "must not begin or end with white space"
    for index, char in enumerate(text):
        if is_invisible(char) and not _belongs_to_neighbours(text, index):
            name = unicodedata.name(char, "a control character")
            return f"must not contain the invisible character U+{ord(char):04X} ({name})"
    return None


def _belongs_to_neighbours(text: str, index: int) -> bool:
    """Return True for an invisible character that shapes its neighbours, as in emoji, Persian or Hindi."""
    before, after = text[:index], text[index + 1 :]
    if 0xFE00 <= ord(text[index]) <= 0xFE0F:
        return bool(before) and unicodedata.category(before[-1]) in ("So", "Sm", "Sk", "Po", "Nd", "Lo")
    is_joiner = text[index] in "\u200c\u200d" and before and after
    return bool(is_joiner) and all(
        unicodedata.category(char) in ("Lo", "Mn", "Mc", "So", "Sk", "Cn") for char in (before[-1], after[0])
    )
