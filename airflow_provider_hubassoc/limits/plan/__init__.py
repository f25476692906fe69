"""Plans: the difference between declared limits and a portal.

A :class:`Plan` holds every limit that the file or the portal has in the directions of the file, as it is now and as
it should be. It can be shown (:mod:`.render`), stored as JSON, approved, and later compared with the portal again
(:func:`rebase`).
"""

from airflow_provider_hubassoc.limits.plan.build import build_plan
from airflow_provider_hubassoc.limits.plan.model import (
    Change,
    NewLabel,
    Plan,
    StalePlanError,
    UnfitDirection,
)
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.state import UnreadDirection

__all__ = [
    "Change",
    "NewLabel",
    "Plan",
    "StalePlanError",
    "UnfitDirection",
    "UnreadDirection",
    "build_plan",
    "rebase",
]
