"""Parsing of data from HubSpot: strict JSON, and texts of bounded length. DAG files import this module."""

from __future__ import annotations

from typing import Any

MAX_TEXT = 500
"""Maximum number of characters kept of one text from HubSpot: a sentence, never a whole payload."""


def parse_json(body: bytes | str) -> Any:
    """Parse strict JSON: no NaN, no half surrogate pairs.

    :raises ValueError: if it is not JSON.
    """
    from pydantic_core import from_json  # imported here to keep the import of this module cheap

    # from_json raises TypeError for a text with half a surrogate pair; encode() raises ValueError.
    return from_json(body.encode() if isinstance(body, str) else body, allow_inf_nan=False)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty dict if there is none."""
    try:
        payload = parse_json(body)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def text_of(value: object) -> str | None:
    """Return a text of HubSpot, shortened to a readable length; None if the value is not a text or is empty."""
    return value[:MAX_TEXT] if isinstance(value, str) and value else None
