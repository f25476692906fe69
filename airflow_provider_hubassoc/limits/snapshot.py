"""Read from a portal what is needed to plan, in as few requests as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
)
from airflow_provider_hubassoc.hubspot.models import (
    AssociationLabel,
    AssociationName,
)
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Pacer, Progress, concurrently
from airflow_provider_hubassoc.limits.config import ResolvedConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import (
    DirectionState,
    NewLabel,
    Plan,
    PortalState,
    UnreadDirection,
    labels_to_create,
    needs_labels,
    twins,
    why_blocked,
)

log = logging.getLogger(__name__)

T = TypeVar("T")


def read_state(
    config: ResolvedConfig,
    client: HubSpotClient,
    *,
    max_concurrency: int = MAX_CONCURRENCY,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> PortalState:
    """Read from a portal what is needed to plan.

    One read for each direction, and one of its labels where a name needs it (:func:`~.plan.needs_labels`). A
    direction that cannot be read does not stop the others.

    :param config: of one portal (:meth:`~.config.LimitsConfig.resolve`).
    :param client: of the portal.
    :param max_concurrency: requests at the same time.
    :param progress: called after each direction.
    :param sleep: waits, seconds; it may raise to end everything early.
    :raises HubSpotError: if no direction can be read: the token is not accepted, the rate limit is used up ...
    """
    associations = {Direction(each.from_object_type, each.to_object_type): each for each in config.associations}

    in_two_spellings = twins(list(associations))

    def read(direction: Direction, pacer: Pacer) -> DirectionState:
        limits = pacer.call(lambda: client.get_limits(*direction))
        wanted = direction in in_two_spellings or needs_labels(associations[direction], limits)
        return DirectionState(limits, pacer.call(lambda: client.get_labels(*direction)) if wanted else None)

    state = _read_each(associations, read, client, max_concurrency, progress, sleep)
    new_labels = labels_to_create(config, state)
    return _with_label_facts(state, new_labels, client, max_concurrency, sleep) if new_labels else state


def read_again(
    plan: Plan,
    client: HubSpotClient,
    *,
    max_concurrency: int = MAX_CONCURRENCY,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> PortalState:
    """Read again what a plan was made from, for :meth:`~.plan.Plan.rebased`. Parameters as :func:`read_state`."""
    labels = {read.direction: read.labels for read in plan.directions}

    def read(direction: Direction, pacer: Pacer) -> DirectionState:
        limits = pacer.call(lambda: client.get_limits(*direction))
        return DirectionState(limits, pacer.call(lambda: client.get_labels(*direction)) if labels[direction] else None)

    state = _read_each(labels, read, client, max_concurrency, progress, sleep)
    missing = [label for label in plan.new_labels if not state.has_label(label)]
    return _with_label_facts(state, missing, client, max_concurrency, sleep) if missing else state


def _with_label_facts(
    state: PortalState,
    new_labels: Sequence[NewLabel],
    client: HubSpotClient,
    max_concurrency: int,
    sleep: Callable[[float], None],
) -> PortalState:
    """Read what tells whether the portal has the labels to create already, renamed: their other sides, and names.

    What cannot be read is left out: the labels are looked at again before they are created, and a token need not have
    the scope for names.
    """
    pacer = Pacer(client, 2 * max_concurrency, sleep=sleep)
    inverses = [direction for label in new_labels for direction, _ in label.sides[1:]]
    to_read = {
        each.canonical: each for each in inverses if (read := state.state_of(each)) is None or read.labels is None
    }
    unread = {each.canonical for each in state.unread}
    ends = dict.fromkeys(label.from_object_type for label in new_labels)

    def attempt(read: Callable[[], list[T]]) -> list[T] | None:
        try:
            return pacer.call(read)
        except HubSpotError as error:
            if error.affects_every_request:
                raise
            log.info("Labels that were renamed may not be recognized: %s", error)
            return None

    labels = concurrently(
        "read labels",
        [direction for canonical, direction in to_read.items() if canonical not in unread],
        lambda direction: attempt(lambda: client.get_labels(*direction)),
        max_concurrency,
        None,
    )
    names = concurrently(
        "read names",
        list(ends),
        lambda object_type: attempt(lambda: client.get_association_names(object_type)),
        max_concurrency,
        None,
    )
    others = {direction.canonical: rows for direction, rows in labels.items() if rows is not None}
    state = replace(
        _with_labels(state, others),
        inverse_labels=others,
        names={object_type: _ids_by_name(rows) for object_type, rows in names.items() if rows is not None},
    )
    # Another sync may have created a label between the reads of its two sides.
    in_doubt = dict.fromkeys(label.direction for label in new_labels if why_blocked(label, state))
    again = concurrently(
        "read labels",
        list(in_doubt),
        lambda direction: attempt(lambda: client.get_labels(*direction)),
        max_concurrency,
        None,
    )
    return _with_labels(state, {direction.canonical: rows for direction, rows in again.items() if rows is not None})


def _with_labels(state: PortalState, labels: Mapping[Direction, Sequence[AssociationLabel]]) -> PortalState:
    return replace(
        state,
        directions={
            direction: replace(found, labels=labels.get(direction.canonical, found.labels))
            for direction, found in state.directions.items()
        },
    )


def _ids_by_name(rows: Sequence[AssociationName]) -> dict[str, frozenset[int]]:
    ids: dict[str, frozenset[int]] = {}
    for row in rows:
        if row.name:
            ids[row.name.casefold()] = ids.get(row.name.casefold(), frozenset()) | {row.type_id}
    return ids


def _read_each(
    directions: Iterable[Direction],
    read: Callable[[Direction, Pacer], DirectionState],
    client: HubSpotClient,
    max_concurrency: int,
    progress: Progress | None,
    sleep: Callable[[float], None],
) -> PortalState:
    pacer = Pacer(client, 2 * max_concurrency, sleep=sleep)

    def attempt(direction: Direction) -> DirectionState | UnreadDirection:
        try:
            return read(direction, pacer)
        except HubSpotError as error:
            if error.affects_every_request:
                raise
            return UnreadDirection(
                from_object_type=direction.from_object_type,
                to_object_type=direction.to_object_type,
                reason=str(error),
                retryable=error.retryable,
                retry_after=error.retry_after,
            )

    found = concurrently("read", list(directions), attempt, max_concurrency, progress)
    return PortalState(
        {direction: state for direction, state in found.items() if isinstance(state, DirectionState)},
        {direction: state for direction, state in found.items() if isinstance(state, UnreadDirection)},
    )
