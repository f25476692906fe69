"""Words for mistakes inside one declaration, which pydantic finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from airflow_provider_hubassoc.hubspot.constants import MAX_INT32
from airflow_provider_hubassoc.limits.config.document import Document
from airflow_provider_hubassoc.limits.config.models import (
    AssociationConfig,
    LabelConfig,
    LimitsConfig,
    PortalConfig,
    TypeConfig,
)
from airflow_provider_hubassoc.limits.config.syntax import COMMENT, find_slip, missing_space
from airflow_provider_hubassoc.limits.problems import DataPath, Problem, did_you_mean

_MODELS_BY_KEY: dict[str, type[BaseModel]] = {
    "associations": AssociationConfig,
    "labels": LabelConfig,
    "types": TypeConfig,
    "portals": PortalConfig,
}
"""Key of a list or mapping -> model of its items."""

_MESSAGES = {
    "missing": "is missing",
    "model_type": "allowed: a mapping",
    "dict_type": "allowed: a mapping",
    "list_type": "allowed: a list",
    "string_type": "allowed: text",
    "string_too_short": "must not be empty",
    "bool_type": "allowed: true or false",
    "int_type": "allowed: a whole number",
}
"""Type of a pydantic error -> message. Errors of this package's own types bring their message along."""

_EXPECTS_COLLECTION = ("model_type", "dict_type", "list_type")


def problem_of(document: Document, mistake: Mapping[str, Any]) -> Problem:
    """Return one of pydantic's errors as a problem of the file.

    :param mistake: an item of ``ValidationError.errors()``.
    """
    path: DataPath = mistake["loc"]
    kind, found = mistake["type"], mistake["input"]
    if path[-1:] == ("[key]",) and kind != "extra_forbidden":  # pydantic's mark for the key itself
        path = path[:-1]
    if kind == "missing":
        return document.problem(path, _MESSAGES[kind])
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path)
        hint = missing_space(str(path[-1])) or did_you_mean(str(path[-1]), allowed)
        return document.problem(path, f"unknown key; allowed: {', '.join(allowed)}{hint}")
    if path and path[-1] == "limit" and not _has(document.data, path):
        path = path[:-1]  # the limit of a label, given alone
    message = _MESSAGES.get(kind, str(mistake["msg"]))
    if kind in ("enum", "literal_error"):
        message = f"allowed: {mistake['ctx']['expected']}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        message = f"allowed: a whole number from 1 to {MAX_INT32}"
    if isinstance(found, str) and kind in _EXPECTS_COLLECTION:
        message += _syntax_hint(document, path, found)
    if isinstance(found, str) and kind == "limit" and path[-2:-1] == ("labels",):
        message += _comment_hint(document, path)
    return document.problem(path, message, found=found)


def _syntax_hint(document: Document, path: DataPath, found: str) -> str:
    """Return a hint where YAML reads less than is written: ``Contract #1: 2`` is "Contract" and a comment."""
    place = document.place(path)
    line = place.line if place and place.line else 0
    slips = (find_slip(document.lines, number) for number in (line, line + 1))
    slip = next((slip for slip in slips if slip), None)
    return f"; {slip.reason}; {slip.cure}" if slip else missing_space(found)


def _comment_hint(document: Document, path: DataPath) -> str:
    place = document.place(path)
    slip = find_slip(document.lines, place.line) if place and place.line else None
    return f"; {slip.reason}; {slip.cure}" if slip and slip.reason == COMMENT else ""


def _allowed_keys(path: DataPath) -> list[str]:
    """Return the keys that are allowed beside the last one of a path."""
    # Before the key comes an item (an index, a label, a portal), and before that the list or mapping it is in.
    model = _MODELS_BY_KEY[str(path[-3])] if len(path) > 2 else LimitsConfig
    return [field.alias or name for name, field in model.model_fields.items()]


def _has(data: Any, path: DataPath) -> bool:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
