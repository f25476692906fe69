"""Compare an approved plan with the portal again before it is applied."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_hubassoc.hubspot.models import AssociationLabel
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import Change, NewLabel, Plan, StalePlanError
from airflow_provider_hubassoc.limits.plan.names import look_alike_message, look_alikes
from airflow_provider_hubassoc.limits.plan.new_labels import reason_against_creating
from airflow_provider_hubassoc.limits.plan.warnings import is_about_changes, warnings_about
from airflow_provider_hubassoc.limits.problems import show
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState
from airflow_provider_hubassoc.limits.wording import limit_text


def rebase(plan: Plan, state: PortalState) -> Plan:
    """Compare a plan with the current state of the portal.

    A limit may be as it was when the plan was made, or as the plan wants it already: an apply that was interrupted
    continues. Anything else makes the plan stale. A direction that could not be read again moves to
    :attr:`Plan.unread`, and nothing in it is changed.

    :param plan: the plan.
    :param state: the state of :attr:`Plan.directions` now (:func:`~..snapshot.read_again`).
    :return: the plan, with everything that is done already as ``unchanged``.
    :raises StalePlanError: with every difference.
    """
    reasons = _other_portal(plan, state)
    changes: list[Change] = []
    for direction, direction_state in state.directions.items():
        planned = [change for change in plan.changes if change.direction == direction]
        changes += _rebased_changes(direction, planned, direction_state, reasons)
    new_labels = _rebased_labels(plan, state, reasons)
    if reasons:
        raise StalePlanError(list(dict.fromkeys(reasons)))
    about_the_file = [warning for warning in plan.warnings if not is_about_changes(warning)]
    return plan.model_copy(
        update={
            "changes": sorted(changes, key=lambda change: change.sort_key),
            "new_labels": new_labels,
            "warnings": list(dict.fromkeys([*warnings_about(changes), *about_the_file])),
            "directions": [read for read in plan.directions if read.direction in state.directions],
            "unread": [*plan.unread, *sorted(state.unread.values(), key=str)],
        }
    )


def _other_portal(plan: Plan, state: PortalState) -> list[str]:
    if plan.portal_id is None or plan.portal_id == state.portal_id:
        return []
    is_known = state.portal_id is not None
    actual = f"this is portal {state.portal_id}" if is_known else "the token may not read the id of this portal"
    return [f"the plan was made for portal {plan.portal_id}, but {actual}"]


def _rebased_changes(
    direction: Direction, planned: list[Change], state: DirectionState, reasons: list[str]
) -> list[Change]:
    """Compare the changes of one direction with its state; differences are added to the reasons."""
    unplanned = state.in_force
    changes = []
    for change in planned:
        if change.type_id is None:
            types = state.types_labelled(change.label or "")
            if types:
                change = change.model_copy(update={"category": types[0][0], "type_id": types[0][1]})
        elif change.action != "unmanaged" and not _has_same_name(change, state.labels):
            number = f"{change.category} {change.type_id}"
            reasons.append(f"{direction}: {number} is no longer called {show(change.name)}")
        actual = unplanned.pop(change.identity, None) if change.identity else None
        if actual == change.target and change.is_write:
            change = change.model_copy(update={"action": "unchanged", "current": actual})
        elif actual != change.current:
            reasons.append(
                f"{direction} {change.name}: the limit was {limit_text(change.current)} and is now {limit_text(actual)}"
            )
        changes.append(change)
    reasons += [
        f"{direction} {category} {type_id}: now has a limit of {limit}"
        for (category, type_id), limit in unplanned.items()
    ]
    return changes


def _has_same_name(change: Change, labels: Sequence[AssociationLabel] | None) -> bool:
    """Return True if an association type still has its label; a type without a known label always does."""
    if labels is None or (change.label is None and not change.unlabeled):
        return True
    return any(row.identity == change.identity and (row.label or None) == change.label for row in labels)


def _rebased_labels(plan: Plan, state: PortalState, reasons: list[str]) -> list[NewLabel]:
    """Return the labels that are still missing; reasons against creating one are added to the reasons."""
    missing = [label for label in plan.new_labels if state.lacks_label(label.direction, label.label)]
    for label in missing:
        if reason := reason_against_creating(label, state):
            reasons.append(f"{label.direction}: {reason}")
        if similar := look_alikes(label.label, state.directions[label.direction].label_rows):
            reasons.append(f"{label.direction}: {look_alike_message(label.label, similar)}")
    return missing
