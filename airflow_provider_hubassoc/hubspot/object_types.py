"""Spellings of HubSpot's CRM object types.

HubSpot accepts several spellings of one object type in a path: the id (``0-1``), the singular and the plural name in
any case (``contact``, ``Contacts``), and for custom objects ``2-<n>``, ``p_<name>`` and ``p<portalId>_<name>``.
:func:`normalize` converts them to one form for comparison.

Source: HubSpot's guides "Understanding the CRM" (object type ids) and "Associations schema".
"""

from __future__ import annotations

import re

OBJECT_TYPE_IDS: dict[str, str] = {
    "contacts": "0-1",
    "companies": "0-2",
    "deals": "0-3",
    "tickets": "0-5",
    "products": "0-7",
    "line_items": "0-8",
    "quotes": "0-14",
    "communications": "0-18",
    "feedback_submissions": "0-19",
    "tasks": "0-27",
    "notes": "0-46",
    "meetings": "0-47",
    "calls": "0-48",
    "emails": "0-49",
    "invoices": "0-53",
    "marketing_events": "0-54",
    "subscriptions": "0-69",
    "goals": "0-74",
    "discounts": "0-84",
    "fees": "0-85",
    "taxes": "0-86",
    "commerce_payments": "0-101",
    "users": "0-115",
    "postal_mail": "0-116",
    "orders": "0-123",
    "leads": "0-136",
    "carts": "0-142",
    "services": "0-162",
    "courses": "0-410",
    "listings": "0-420",
    "appointments": "0-421",
    "projects": "0-970",
}
"""Plural name -> object type id of HubSpot's own object types."""

_NAMES = {type_id: name for name, type_id in OBJECT_TYPE_IDS.items()}
_IRREGULAR_SINGULARS = {"companies": "company", "taxes": "tax", "postal_mail": "postal_mail"}
_IDS_BY_SPELLING = OBJECT_TYPE_IDS | {
    _IRREGULAR_SINGULARS.get(name, name.removesuffix("s")): type_id for name, type_id in OBJECT_TYPE_IDS.items()
}
_ID = re.compile(r"\d+-\d+")
_CUSTOM_NAME = re.compile(r"p(?P<portal>\d*)_(?P<name>.+)", re.IGNORECASE)


def normalize(object_type: str, portal_id: int | None = None) -> str:
    """Return the form of an object type in which spellings are compared.

    :param object_type: any spelling that HubSpot accepts.
    :param portal_id: id of the portal; with it ``p_<name>`` and ``p<portalId>_<name>`` become equal.
    :return: the object type id (``0-1``) of HubSpot's own types; ``p_<name>`` in lower case for custom objects given
        by name; any other text in lower case.
    """
    spelling = object_type.lower()
    if _ID.fullmatch(spelling):
        return spelling
    if spelling in _IDS_BY_SPELLING:
        return _IDS_BY_SPELLING[spelling]
    custom = _CUSTOM_NAME.fullmatch(spelling)
    if custom and custom["portal"] in ("", str(portal_id)):
        return f"p_{custom['name']}"
    return spelling


def display_name(object_type: str) -> str:
    """Return the name for people: ``contacts`` for ``0-1``; an unknown spelling stays unchanged."""
    return _NAMES.get(normalize(object_type), object_type)


def direction_name(from_object_type: str, to_object_type: str) -> str:
    """Return the name of a direction for people: ``contacts -> companies``."""
    return f"{display_name(from_object_type)} -> {display_name(to_object_type)}"


def is_object_type(value: object) -> bool:
    """Return whether a value can be an object type: a text that stays one segment of a path when it is quoted."""
    # quote() does not change dots, and a segment of dots alone would change the path.
    return (
        isinstance(value, str)
        and value.isprintable()
        and value == value.strip()
        and "/" not in value
        and value.strip(".") != ""
    )
