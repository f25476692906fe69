"""Types of the values in a file: how each is validated, and how it appears in the JSON Schema."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from airflow_provider_hubassoc.hubspot.constants import MAX_INT32, AssociationCategory
from airflow_provider_hubassoc.hubspot.object_types import OBJECT_TYPE_IDS, normalize
from airflow_provider_hubassoc.limits.config.label_text import label_problem
from airflow_provider_hubassoc.limits.inputs import whole_number
from airflow_provider_hubassoc.limits.problems import did_you_mean

CATEGORIES = [category.value for category in AssociationCategory]
"""Categories that this package knows and sends."""

_CATEGORIES_ALLOWED = f"allowed: {', '.join(CATEGORIES)}"
_LIMIT_ALLOWED = f'allowed: a whole number from 1 to {MAX_INT32}, or "unlimited"'


def parse_limit(value: object) -> int | Literal["unlimited"]:
    """Return the limit that a value of a file means.

    :raises PydanticCustomError: if it means none.
    """
    if isinstance(value, str) and value.strip() == "unlimited":
        return "unlimited"
    number = whole_number(value)
    if number is not None and 1 <= number <= MAX_INT32:
        return number
    hint = ""
    if isinstance(value, str):
        is_nothing = value.strip().lower() in ("", "~", "none", "null", "nil")
        hint = "; to leave the limit unmanaged, write null" if is_nothing else did_you_mean(value, ["unlimited"])
    raise PydanticCustomError("limit", "{allowed}", {"allowed": _LIMIT_ALLOWED + hint})


def _object_type(value: str) -> str:
    value = value.strip()
    if re.fullmatch(r"\d+-\d+|p\d*_\w+", normalize(value), re.ASCII | re.IGNORECASE):
        return value
    raise PydanticCustomError(
        "object_type",
        "allowed: a HubSpot object type such as contacts, an object type id such as 0-1 or 2-123, or p_<name> for a "
        "custom object{hint}",
        {"hint": did_you_mean(value, OBJECT_TYPE_IDS)},
    )


def _visible_text(value: str) -> str:
    problem = label_problem(value)
    if problem is None:
        return value
    raise PydanticCustomError("text", "{problem}", {"problem": problem})


def _internal_name(value: str) -> str:
    if re.fullmatch(r"[^\d\s-][^\s-]*", value):
        return _visible_text(value)
    raise PydanticCustomError(
        "internal_name", "allowed: text without hyphens and spaces that does not start with a digit"
    )


def _category(value: object) -> str:
    if isinstance(value, AssociationCategory):
        return value.value
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("category", _CATEGORIES_ALLOWED)
    category = value.strip()
    if category in CATEGORIES:
        return category
    # HubSpot may use a category that this package does not know, so only a misspelling of a known one is refused.
    upper = category.upper()
    meant = [known for known in CATEGORIES if known.startswith(upper)]
    meant += difflib.get_close_matches(upper, CATEGORIES, n=1, cutoff=0.85)
    if meant:
        message = f'{_CATEGORIES_ALLOWED}; did you mean "{meant[0]}"?'
        raise PydanticCustomError("category", "{message}", {"message": message})
    return category


def _type_id(value: object) -> int:
    number = whole_number(value)
    if number is None:
        raise PydanticCustomError("type_id", "allowed: a whole number")
    return number


def _number(value: object) -> object:
    """Return the whole number that a value means, and anything else unchanged."""
    number = whole_number(value)
    return value if number is None else number


Limit = Annotated[
    int | Literal["unlimited"],
    PlainValidator(parse_limit),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_INT32},
                {"const": "unlimited"},
            ],
        }
    ),
]
"""How many records may be associated; ``unlimited`` for no limit."""

ObjectType = Annotated[str, AfterValidator(_object_type), Field(examples=[*OBJECT_TYPE_IDS, "p_my_object"])]
"""Object type in any spelling that HubSpot accepts."""

Label = Annotated[str, Field(min_length=1), AfterValidator(_visible_text)]
"""Text that people see in HubSpot."""

PortalKey = Annotated[str, AfterValidator(_visible_text)]
"""Id of a portal or of an Airflow connection."""

InternalName = Annotated[str, AfterValidator(_internal_name)]
"""HubSpot's internal name of a label."""

Category = Annotated[
    str,
    PlainValidator(_category),
    WithJsonSchema({"type": "string", "examples": CATEGORIES, "minLength": 1}),
]
"""Category of an association type, also one that this package does not know."""

TypeId = Annotated[int, PlainValidator(_type_id), WithJsonSchema({"type": "integer"})]
"""Id of an association type; its identity only together with the category."""

Version = Annotated[Literal[1], BeforeValidator(_number)]
"""Version of the file format."""
