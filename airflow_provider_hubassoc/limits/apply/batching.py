"""The order in which the limits of one direction are changed: the fewest requests that never break HubSpot's rule.

The rule: a label's limit is never above the object limit, if that is set. It has to hold after every request and, as
HubSpot does not say in which order it goes through a batch, after every input of a batch in any order.

- Purges come first, in one request. To remove a limit never breaks the rule, and leaves fewer to mind.
- All other labels can go into one request with the object limit, unless their limit would meet the other state of
  the object limit halfway: a label that is still at or above the lowered object limit goes before it, and one that
  goes to or above the object limit still in force goes after it. Halfway even "at" is avoided, because HubSpot's
  documentation contradicts itself on whether a label's limit may equal the object limit.

If the portal keeps the rule at the start, the object limit is either raised (then nothing goes before it) or lowered
(then nothing goes after it): at most a purge and two more requests for a direction.

Sources: HubSpot's changelog "Introducing custom association limits for Associations API" (the rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_hubassoc.hubspot.models import Action
from airflow_provider_hubassoc.limits.plan.model import Change


@dataclass(frozen=True)
class Step:
    """One batch.

    :param action: what is sent.
    :param changes: what it changes.
    """

    action: Action
    changes: list[Change]


def steps(changes: Sequence[Change]) -> list[Step]:
    """Return the batches that make the changes of one direction, in order.

    :param changes: of one direction; those that write nothing are left out.
    """
    writes = [change for change in changes if change.is_write]
    purges = [change for change in writes if change.action == "purge"]
    rest = [change for change in writes if change.action != "purge"]
    top = next((change for change in rest if change.unlabeled), None)
    before = [change for change in rest if top is not None and _must_go_before(change, top)]
    after = [change for change in rest if change not in before and top is not None and _must_go_after(change, top)]
    together = [change for change in rest if change not in before and change not in after]
    found = [Step("purge", purges)] if purges else []
    return found + [Step(_action(batch), batch) for batch in (before, together, after) if batch]


def _must_go_before(label: Change, top: Change) -> bool:
    """Whether the new object limit is not above the label's present limit."""
    return label is not top and label.current is not None and top.target is not None and label.current >= top.target


def _must_go_after(label: Change, top: Change) -> bool:
    """Whether the label's new limit is not below the present object limit."""
    return label is not top and label.target is not None and top.current is not None and label.target >= top.current


def _action(batch: Sequence[Change]) -> Action:
    """Return the endpoint for limits that are set.

    HubSpot's update also creates limits that are missing (seen in production by others, API version 2026-09), so new
    and changed limits share a request. A batch of nothing but new limits uses create, which is documented for it.
    """
    return "create" if all(change.current is None for change in batch) else "update"
