"""Object types and their spellings, and HubSpot's own association types."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class ObjectType:
    """One CRM object type.

    :param id: object type id, such as ``0-1`` or ``2-130001``.
    :param name: name in HubSpot's messages, such as ``CONTACT``.
    :param spellings: spellings that a path may use, in lower case.
    """

    id: str
    name: str
    spellings: tuple[str, ...]

    @property
    def custom(self) -> bool:
        """Whether it is a custom object type of the portal."""
        return self.id.startswith("2-")


@dataclass
class AssociationType:
    """One association type in one direction.

    :param category: HUBSPOT_DEFINED or USER_DEFINED. (category, type_id) is the identity of an association type:
        HubSpot numbers its own types and those of the portal independently.
    :param label: None for the unlabeled type of a pair.
    :param inverse_id: type id of the inverse direction; None if HubSpot lists none.
    :param name: HubSpot's description, or the internal name that a user has given.
    """

    from_id: str
    to_id: str
    category: str
    type_id: int
    label: str | None
    inverse_id: int | None
    name: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The direction and the identity of the type: unique in a portal."""
        return self.from_id, self.to_id, self.category, self.type_id


_STANDARD = {
    "0-1": ("CONTACT", "contacts"),
    "0-2": ("COMPANY", "companies", "company"),
    "0-3": ("DEAL", "deals"),
    "0-5": ("TICKET", "tickets"),
    "0-7": ("PRODUCT", "products"),
    "0-8": ("LINE_ITEM", "line_items"),
    "0-14": ("QUOTE", "quotes"),
    "0-18": ("COMMUNICATION", "communications"),
    "0-19": ("FEEDBACK_SUBMISSION", "feedback_submissions"),
    "0-27": ("TASK", "tasks"),
    "0-46": ("NOTE", "notes"),
    "0-47": ("MEETING_EVENT", "meetings"),
    "0-48": ("CALL", "calls"),
    "0-49": ("EMAIL", "emails"),
    "0-53": ("INVOICE", "invoices"),
    "0-54": ("MARKETING_EVENT", "marketing_events"),
    "0-69": ("SUBSCRIPTION", "subscriptions"),
    "0-74": ("GOAL_TARGET", "goals"),
    "0-84": ("DISCOUNT", "discounts"),
    "0-85": ("FEE", "fees"),
    "0-86": ("TAX", "taxes", "tax"),
    "0-101": ("COMMERCE_PAYMENT", "commerce_payments"),
    "0-115": ("USER", "users"),
    "0-116": ("POSTAL_MAIL", "postal_mail"),
    "0-123": ("ORDER", "orders"),
    "0-136": ("LEAD", "leads"),
    "0-142": ("CART", "carts"),
    "0-162": ("SERVICE", "services"),
    "0-410": ("COURSE", "courses"),
    "0-420": ("LISTING", "listings"),
    "0-421": ("APPOINTMENT", "appointments"),
    "0-970": ("PROJECT", "projects"),
}
"""Object type id -> name, plural, and the singular unless it is the plural without its s.

Source: "Object type IDs" in HubSpot's guide "Understanding the CRM APIs".
"""


def standard_object_types() -> list[ObjectType]:
    """Return the object types that every portal has."""
    types = []
    for object_id, (name, plural, *singular) in _STANDARD.items():
        spellings = (plural, *(singular or [plural.removesuffix("s")]), name.lower())
        types.append(ObjectType(object_id, name, tuple(dict.fromkeys(spellings))))
    return types


def custom_object_type(object_id: str, name: str, portal_id: int) -> ObjectType:
    """Return a custom object type; HubSpot accepts its name with a prefix only."""
    full_name = f"p{portal_id}_{name}"
    return ObjectType(object_id, full_name, (full_name.lower(), f"p_{name}".lower()))


def hubspot_association_types() -> list[AssociationType]:
    """Return HubSpot's own association types, published in its guide "Associate records"."""
    text = resources.files("airflow_provider_hubassoc").joinpath("association_types.json").read_text("utf-8")
    rows = json.loads(text)
    # Both sides of a type have the same older label; the current ones may differ (1 "Primary", 2 "Contact with ...").
    older = {row["typeId"]: row.get("olderLabel", row["label"]) for row in rows}
    by_label = {(row["fromObjectTypeId"], row["toObjectTypeId"], older[row["typeId"]]): row["typeId"] for row in rows}
    types = []
    for row in rows:
        from_id, to_id, label, type_id = (row[key] for key in ("fromObjectTypeId", "toObjectTypeId", "label", "typeId"))
        inverse = by_label.get((to_id, from_id, older[type_id]))
        if from_id == to_id and label is not None:
            # Labelled types within one object type come in pairs, such as 13 Child Company and 14 Parent Company.
            inverse = next(
                (
                    other
                    for (*direction, other_label), other in by_label.items()
                    if direction == [from_id, to_id] and other_label not in (None, label)
                ),
                type_id,
            )
        types.append(AssociationType(from_id, to_id, "HUBSPOT_DEFINED", type_id, label, inverse, row["name"]))
    return types
