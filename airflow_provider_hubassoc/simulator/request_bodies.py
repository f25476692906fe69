"""Reading of request bodies. Mistakes are refused in HubSpot's words.

FastAPI's own reading of declared parameters would cost more than the rest of a request, and would answer mistakes with
bodies that are not HubSpot's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from fastapi import Request

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.portal import CATEGORIES, Input

MAX_INT32 = 2**31 - 1

T = TypeVar("T")


async def json_object(request: Request) -> tuple[dict[str, Any], str]:
    """Return the parsed body and its text; HubSpot's messages name the place of a mistake in the text."""
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise RefusalError(415, "Unsupported Media Type", None)
    text = (await request.body()).decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise RefusalError(400, f"Invalid input JSON on line {line}, column {column}: Unexpected input") from None
    if not isinstance(value, dict):
        raise _cannot_deserialize(text, value, "request")
    return value, text


def field(source: Mapping[str, Any], text: str, name: str, kind: type[T], required: bool = True) -> T:
    """Return one field of a JSON object.

    :param source: the object.
    :param text: text of the whole body.
    :param kind: type that the value must have.
    :param required: False to return None for a missing field.
    """
    value = source.get(name)
    if value is None:
        if required:
            raise RefusalError(400, f"Invalid input JSON: Some required fields were not set: [{name}]")
        return cast(T, None)
    # A bool is an int in Python, but not for HubSpot.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _cannot_deserialize(text, value, {int: "int", str: "String", list: "List"}.get(kind, kind.__name__))
    if isinstance(value, int) and not -MAX_INT32 - 1 <= value <= MAX_INT32:
        raise RefusalError(400, f"Invalid input JSON on line 1, column 1: Numeric value ({value}) out of range of int")
    return value


async def batch_inputs(request: Request, with_limit: bool) -> list[Input]:
    """Return the inputs of a batch.

    :param with_limit: whether each input must have ``maxToObjectIds``.
    """
    body, text = await json_object(request)
    inputs = []
    for entry in field(body, text, "inputs", list):
        if not isinstance(entry, dict):
            raise _cannot_deserialize(text, entry, "PublicAssociationSpec")
        category = field(entry, text, "category", str)
        if category not in CATEGORIES:
            raise _cannot_deserialize(text, category, "AssociationCategory")
        type_id = field(entry, text, "typeId", int)
        limit = None
        if with_limit:
            limit = field(entry, text, "maxToObjectIds", int)
            if limit < 1:
                raise RefusalError(400, f"maxToObjectIds must be greater than or equal to 1, but was {limit}")
        inputs.append(Input(category, type_id, limit))
    if not inputs:
        raise RefusalError(400, "inputs must not be empty")
    return inputs


def _cannot_deserialize(text: str, value: Any, kind: str) -> RefusalError:
    shown = json.dumps(value)
    at = max(text.find(shown), 0)
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return RefusalError(
        400,
        f"Invalid input JSON on line {line}, column {column}: "
        f"Cannot deserialize value of type `{kind}` from {shown[:80]}",
    )
