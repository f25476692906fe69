"""Batches and their order for the limits of one direction: the fewest requests that never break HubSpot's rule.

The rule: the limit of a label is never above the object limit, if there is one. It has to hold after every request
and, because HubSpot does not document the order of inputs within a batch, after every input of a batch in any order.

- Purges come first, in one request: removing a limit never breaks the rule.
- All label limits share one request with the object limit, unless the order within the batch could matter. A label
  whose current limit is at or above a lowered object limit goes before it. A label whose new limit is at or above
  the current object limit goes after it. "At" is included because HubSpot's documentation contradicts itself on
  whether the limit of a label may equal the object limit.

If the portal keeps the rule at the start, the object limit is either raised (then nothing goes before it) or lowered
(then nothing goes after it). So a direction needs at most a purge and two more requests.

Sources: HubSpot's changelog "Introducing custom association limits for Associations API" (the rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_hubassoc.hubspot.constants import Action
from airflow_provider_hubassoc.limits.plan.model import Change


@dataclass(frozen=True)
class Step:
    """One batch.

    :param action: the batch endpoint.
    :param changes: the changes it makes.
    """

    action: Action
    changes: list[Change]


def steps(changes: Sequence[Change]) -> list[Step]:
    """Return the batches that make the changes of one direction, in order.

    :param changes: of one direction; those that write nothing are left out.
    """
    writes = [change for change in changes if change.is_write]
    purges = [change for change in writes if change.action == "purge"]
    to_set = [change for change in writes if change.action != "purge"]
    object_limit = next((change for change in to_set if change.unlabeled), None)
    before: list[Change] = []
    together: list[Change] = []
    after: list[Change] = []
    for change in to_set:
        if object_limit is None or change is object_limit:
            together.append(change)
        elif _must_go_before(change, object_limit):
            before.append(change)
        elif _must_go_after(change, object_limit):
            after.append(change)
        else:
            together.append(change)
    batches = [Step("purge", purges)] if purges else []
    return batches + [Step(_action(batch), batch) for batch in (before, together, after) if batch]


def _must_go_before(label: Change, object_limit: Change) -> bool:
    """Return whether the label's current limit is at or above the new object limit."""
    return label.current is not None and object_limit.target is not None and label.current >= object_limit.target


def _must_go_after(label: Change, object_limit: Change) -> bool:
    """Return whether the label's new limit is at or above the current object limit."""
    return label.target is not None and object_limit.current is not None and label.target >= object_limit.current


def _action(batch: Sequence[Change]) -> Action:
    """Return the endpoint that sets the limits of a batch.

    HubSpot's update also creates missing limits (seen in production by others, API version 2026-09), so new and
    changed limits share a request. A batch of new limits only uses create, which is documented for it.
    """
    return "create" if all(change.current is None for change in batch) else "update"
