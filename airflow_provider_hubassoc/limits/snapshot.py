"""Read the state of a portal that a plan needs, in as few requests as possible."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.hubspot.errors import HubSpotError
from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit, AssociationName
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Pacer, Progress, concurrently
from airflow_provider_hubassoc.limits.config.models import AssociationConfig, ResolvedConfig
from airflow_provider_hubassoc.limits.directions import Direction, unlabeled_type_id
from airflow_provider_hubassoc.limits.plan.model import NewLabel, Plan
from airflow_provider_hubassoc.limits.plan.names import may_be_same, published_direction
from airflow_provider_hubassoc.limits.plan.new_labels import labels_to_create, reason_against_creating
from airflow_provider_hubassoc.limits.plan.resolve import limit_of
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState, UnreadDirection

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
    """Read the state of a portal for a plan.

    One read for each direction, and one of its labels where a name needs it (:func:`needs_labels`). A direction that
    cannot be read does not stop the others.

    :param config: of one portal (:meth:`~.config.LimitsConfig.resolve`).
    :param client: of the portal.
    :param max_concurrency: requests at the same time.
    :param progress: called after each direction.
    :param sleep: called to wait, with seconds; it may raise to end everything early.
    :raises HubSpotError: if no direction can be read, for example because HubSpot rejects the token.
    """
    associations = {association.direction: association for association in config.associations}
    possibly_same = _possibly_same(list(associations))

    def read(direction: Direction, pacer: Pacer) -> DirectionState:
        limits = pacer.call(lambda: client.get_limits(*direction))
        needed = direction in possibly_same or needs_labels(associations[direction], limits)
        return DirectionState(limits, pacer.call(lambda: client.get_labels(*direction)) if needed else None)

    state = _read_directions(associations, read, client, max_concurrency, progress, sleep)
    new_labels = labels_to_create(config, state)
    return _LabelReader(client, max_concurrency, sleep).complete(state, new_labels) if new_labels else state


def read_again(
    plan: Plan,
    client: HubSpotClient,
    *,
    max_concurrency: int = MAX_CONCURRENCY,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> PortalState:
    """Read the state of a plan's directions again, for :func:`~.plan.rebase`. Parameters as for :func:`read_state`."""
    with_labels = {read.direction: read.labels for read in plan.directions}

    def read(direction: Direction, pacer: Pacer) -> DirectionState:
        limits = pacer.call(lambda: client.get_limits(*direction))
        labels = pacer.call(lambda: client.get_labels(*direction)) if with_labels[direction] else None
        return DirectionState(limits, labels)

    state = _read_directions(with_labels, read, client, max_concurrency, progress, sleep)
    missing = [label for label in plan.new_labels if state.lacks_label(label.direction, label.label)]
    return _LabelReader(client, max_concurrency, sleep).complete(state, missing) if missing else state


def needs_labels(association: AssociationConfig, limits: Sequence[AssociationLimit]) -> bool:
    """Return True if a direction's labels have to be read to plan it, given its limits.

    They are not needed where every name is known without them: HubSpot's own unlabeled types have published ids, and
    labels that have a limit already come with the limits. So a direction that is as declared takes one read.
    """
    direction = association.direction
    actual = DirectionState(limits).in_force
    with_limit = [exact for exact in association.types if exact.limit is not None]
    wanted: dict[TypeIdentity, int | None] = {exact.identity: limit_of(exact.limit) for exact in with_limit}
    listed = {row.identity for row in limits}
    # Whether an id exists in this direction is certain only where HubSpot publishes it, or a limit shows it.
    if any(published_direction(exact.identity) is None and exact.identity not in listed for exact in with_limit):
        return True
    named: set[TypeIdentity] = set()
    is_null_missing = False
    for text, label in association.labels.items():
        found = {row.identity for row in limits if row.label == text}
        named |= found
        if label.limit is None and not label.is_created:
            is_null_missing = is_null_missing or not found
            continue
        if len(found) != 1:
            return True
        if label.limit is not None:
            wanted[next(iter(found))] = limit_of(label.limit)
    by_type = {exact.identity for exact in association.types}
    others = [row for row in limits if row.identity in actual and row.identity not in named | by_type]
    if is_null_missing and any(row.label for row in others):
        return True  # a label that is not managed may have been renamed: pruning must not remove its limit
    if unlabeled_type_id(direction) is not None:
        return False
    if association.limit is not None or ("limit" in association.model_fields_set and others):
        return True
    # Which of several types is the unlabeled one decides the order of the changes, so it matters if there are any.
    is_changed = any(limit is not None and actual.get(identity) != limit for identity, limit in wanted.items())
    return is_changed and len(wanted.keys() | actual.keys()) > 1


def _possibly_same(directions: Sequence[Direction]) -> set[Direction]:
    """Return the directions that may be other spellings of another one; their labels have to be read."""
    custom = [direction for direction in directions if not all(normalize(end).startswith("0-") for end in direction)]
    return {one for one in custom for other in custom if one != other and may_be_same(one, other)}


def _read_directions(
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


@dataclass(frozen=True)
class _LabelReader:
    """Reads whether the portal already has the labels to create, under another text.

    Labels and names that cannot be read are left out: the labels are read again before they are created, and a token
    need not have the scope for names.
    """

    client: HubSpotClient
    max_concurrency: int
    sleep: Callable[[float], None]

    def complete(self, state: PortalState, new_labels: Sequence[NewLabel]) -> PortalState:
        """Add the inverse directions of the labels, and the names of their types, to the state."""
        pacer = Pacer(self.client, 2 * self.max_concurrency, sleep=self.sleep)
        unread = {direction.canonical for direction in state.unread}
        to_read: dict[Direction, Direction] = {}
        for label in new_labels:
            inverse = label.direction.inverse
            inverse_state = state.state_of(inverse)
            if inverse.canonical not in unread and (inverse_state is None or inverse_state.labels is None):
                to_read[inverse.canonical] = inverse
        inverse_labels = self._read_labels(list(to_read.values()), pacer)
        state = replace(
            _with_labels(state, inverse_labels),
            inverse_labels=inverse_labels,
            names=self._read_names(list(dict.fromkeys(label.from_object_type for label in new_labels)), pacer),
        )
        # Another sync may have created a label between the reads of its two sides.
        in_doubt = dict.fromkeys(label.direction for label in new_labels if reason_against_creating(label, state))
        return _with_labels(state, self._read_labels(list(in_doubt), pacer))

    def _read_labels(self, directions: Sequence[Direction], pacer: Pacer) -> dict[Direction, list[AssociationLabel]]:
        """Return the labels of the directions that can be read, by canonical direction."""

        def read(direction: Direction) -> list[AssociationLabel] | None:
            return _unless_refused(lambda: pacer.call(lambda: self.client.get_labels(*direction)))

        found = concurrently("read labels", directions, read, self.max_concurrency, None)
        return {direction.canonical: rows for direction, rows in found.items() if rows is not None}

    def _read_names(self, object_types: Sequence[str], pacer: Pacer) -> dict[str, dict[str, frozenset[int]]]:
        """Return the ids of each internal name, by object type, for the object types that can be read."""

        def read(object_type: str) -> list[AssociationName] | None:
            return _unless_refused(lambda: pacer.call(lambda: self.client.get_association_names(object_type)))

        found = concurrently("read names", object_types, read, self.max_concurrency, None)
        return {object_type: _ids_by_name(rows) for object_type, rows in found.items() if rows is not None}


def _unless_refused(read: Callable[[], T]) -> T | None:
    """Read; return None if that fails in a way that other reads may not."""
    try:
        return read()
    except HubSpotError as error:
        if error.affects_every_request:
            raise
        log.info("Labels that were renamed may not be recognized: %s", error)
        return None


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
