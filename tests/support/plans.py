"""Plans of portal states written by hand, for tests without a portal."""

from typing import Any

from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import Plan, build_plan
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState
from tests.support.portal import HUBSPOT, USER, association, declare

LimitRow = tuple[str, int, int | None, str | None]
"""Category, type id, limit and label."""
LabelRow = tuple[str, int, str | None]
"""Category, type id and label."""

LABELS: list[LabelRow] = [(HUBSPOT, 279, None), (HUBSPOT, 1, "Primary"), (USER, 7, "Owner"), (USER, 8, "Boss")]
"""Labels of contacts -> companies."""
LIMITS: list[LimitRow] = [
    (HUBSPOT, 279, 9, None),
    (HUBSPOT, 1, 2, "Primary"),
    (USER, 7, 5, "Owner"),
    (HUBSPOT, 931, 3, "Bill | x"),
]
"""Limits of contacts -> companies."""


def direction_state(limits: list[LimitRow], labels: list[LabelRow] | None = None) -> DirectionState:
    return DirectionState(
        [
            AssociationLimit(category=category, type_id=type_id, max_to_object_ids=limit, label=label)
            for category, type_id, limit, label in limits
        ],
        None
        if labels is None
        else [AssociationLabel(category=category, type_id=type_id, label=label) for category, type_id, label in labels],
    )


def portal_state(limits: list[LimitRow], labels: list[LabelRow] = LABELS) -> PortalState:
    """Return a portal of which contacts -> companies was read."""
    return PortalState({Direction("contacts", "companies"): direction_state(limits, labels)})


def plan_of(declared: dict[str, Any], state: DirectionState, *, prune: bool = False) -> Plan:
    """Return the plan of a file with one direction."""
    direction = Direction(declared["from"], declared["to"])
    return build_plan(load_config(declare(declared)).resolve(), PortalState({direction: state}), prune=prune)


def some_plan(*, prune: bool = False) -> Plan:
    """Return a plan with a change of every action."""
    declared = association("contacts", "companies", limit=9, labels={"Owner": 4, "Boss": 1, "Primary": "unlimited"})
    return plan_of(declared, direction_state(LIMITS, LABELS), prune=prune)


def problems_of(plan: Plan) -> str:
    """Return all problems of the directions that do not fit, as text."""
    return "\n".join(map(str, plan.unfit))


def actions_of(plan: Plan) -> list[tuple[str, str, int | None, int | None]]:
    """Return action, name, current and planned limit of each change."""
    return [(change.action, change.name, change.current, change.target) for change in plan.changes]
