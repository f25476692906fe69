"""The texts about a batch of limits that logs and error messages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.hubspot.models import BatchStatus, ErrorDetail, LimitInput
from airflow_provider_hubassoc.limits.wording import limit_text

if TYPE_CHECKING:
    from airflow_provider_hubassoc.limits.operation import BatchOperation

_MAX_SHOWN = 10
"""Maximum number of inputs named in one line."""


def describe(limit_input: LimitInput) -> str:
    """Return an input as text: ``HUBSPOT_DEFINED 279 (max 5)``."""
    limit = "" if limit_input.max_to_object_ids is None else f" (max {limit_input.max_to_object_ids})"
    return f"{limit_input.category.value} {limit_input.type_id}{limit}"


def missing_text(limit_input: LimitInput, current: Mapping[TypeIdentity, int | None] | None) -> str:
    """Describe an input that is not in force: ``HUBSPOT_DEFINED 279: is 3, should be 5``.

    :param current: the limits that the latest read showed; None before the first read.
    """
    is_now = "not read yet" if current is None else f"is {limit_text(current.get(limit_input.identity))}"
    requested = limit_text(limit_input.max_to_object_ids)
    return f"{limit_input.category.value} {limit_input.type_id}: {is_now}, should be {requested}"


def failure_text(operation: BatchOperation, connection_name: str | None) -> str:
    """Return the message of a batch that has failed: HubSpot's decision, one line for each input, and advice."""
    batch = f"the {operation.action} batch for {operation.direction_in(connection_name)}"
    if operation.status is BatchStatus.CANCELED:
        event = f"HubSpot canceled {batch}"
    elif operation.has_errors:
        event = f"HubSpot refused part of {batch}"
    else:
        event = f"HubSpot set other limits than requested by {batch}"
    if operation.has_errors:
        advice = "Correct the refused inputs and send them again."
    else:
        advice = "Send the batch again. If the result is the same, ask HubSpot's support, with the correlation id."
    lines = [f"{event}: {len(operation.applied)} of {len(operation.inputs)} applied."]
    for limit_input, errors in operation.refused:
        if limit_input.identity in operation.changed:
            lines.append(f"Not applied {describe(limit_input)}: {errors[0].message}.")
        else:
            reasons = "; ".join(map(_reason, errors)) or "HubSpot gave no reason"
            lines.append(f"Refused {describe(limit_input)}: {reasons}.")
    lines += [f"Applied {describe(limit_input)}." for limit_input in operation.applied]
    lines += [f"Unconfirmed {describe(limit_input)}." for limit_input in operation.unconfirmed]
    return "\n".join([*lines, advice])


def join_first(texts: Sequence[str], separator: str) -> str:
    """Join the first texts, and say how many are left out."""
    more = f"{separator.rstrip()} and {len(texts) - _MAX_SHOWN} more" if len(texts) > _MAX_SHOWN else ""
    return f"{separator.join(texts[:_MAX_SHOWN])}{more}"


def _reason(error: ErrorDetail) -> str:
    kind = ", ".join(part for part in (error.category, error.sub_category) if part)
    return f"{error.message or 'no message'}{f' [{kind}]' if kind else ''}"
