"""Warnings about the changes of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_hubassoc.limits.config.rules import USUAL_MAXIMUM
from airflow_provider_hubassoc.limits.plan.model import Change

_LOWERED = "HubSpot does not enforce a lowered limit on existing associations"
_EQUAL = "HubSpot may refuse a label limit equal to the object limit; its documentation is not clear on this"
_LARGE = f"HubSpot's settings page accepts limits up to {USUAL_MAXIMUM:,}; the portal may refuse higher ones"


def warnings_about(changes: Sequence[Change]) -> list[str]:
    """Return one line for each kind of warning, with the changes that it is about."""
    object_limits = {change.direction: change for change in changes if change.unlabeled}
    kinds = {
        _LOWERED: [change for change in changes if _is_lowered(change)],
        _EQUAL: [change for change in changes if _becomes_equal(change, object_limits.get(change.direction))],
        _LARGE: [change for change in changes if change.is_write and (change.target or 0) > USUAL_MAXIMUM],
    }
    return [f"{text}: {'; '.join(map(str, concerned))}" for text, concerned in kinds.items() if concerned]


def is_about_changes(warning: str) -> bool:
    """Return True for a warning of :func:`warnings_about`, False for one about the file."""
    return warning.startswith((_LOWERED, _EQUAL, _LARGE))


def _is_lowered(change: Change) -> bool:
    return change.current is not None and change.target is not None and change.target < change.current


def _becomes_equal(change: Change, object_limit: Change | None) -> bool:
    """Return True if a label's limit and the object limit will be equal, and one of them is changed."""
    return (
        object_limit is not None
        and object_limit is not change
        and change.target is not None
        and change.target == object_limit.target
        and (change.is_write or object_limit.is_write)
    )
