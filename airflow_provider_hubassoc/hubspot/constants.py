"""Constants of HubSpot's API that checks of arguments need.

They are separate from the models, because every DAG file with an operator of this package imports them.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

Action = Literal["create", "update", "purge"]
"""Action of a batch; the last part of the path of HubSpot's batch endpoints."""

ACTIONS: tuple[Action, ...] = ("create", "update", "purge")

MAX_INT32 = 2**31 - 1
"""Largest ``typeId`` and ``maxToObjectIds``: HubSpot types both as int32."""

TypeIdentity = tuple[str, int]
"""(category, typeId): the identity of an association type. ``typeId`` alone is ambiguous: HubSpot numbers its own
types and those of the portal independently."""


class AssociationCategory(str, Enum):
    """Origin of an association type."""

    HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
    USER_DEFINED = "USER_DEFINED"
    INTEGRATOR_DEFINED = "INTEGRATOR_DEFINED"
    WORK = "WORK"
