"""Comparison of declared limits with the state of a portal, which gives the plan. It sends no requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_hubassoc.hubspot.constants import TypeIdentity
from airflow_provider_hubassoc.limits.config.models import AssociationConfig, ResolvedConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import (
    Change,
    ChangeAction,
    NewLabel,
    Plan,
    ReadDirection,
    UnfitDirection,
)
from airflow_provider_hubassoc.limits.plan.names import is_sendable, may_be_same
from airflow_provider_hubassoc.limits.plan.new_labels import LabelSide, blocked_labels, new_labels
from airflow_provider_hubassoc.limits.plan.resolve import Findings, TypeKey, TypeResolver, UnmanagedTypes
from airflow_provider_hubassoc.limits.plan.warnings import warnings_about
from airflow_provider_hubassoc.limits.problems import Problem, show_exactly
from airflow_provider_hubassoc.limits.state import USER_DEFINED, DirectionState, PortalState
from airflow_provider_hubassoc.limits.wording import limit_text


def build_plan(config: ResolvedConfig, state: PortalState, *, prune: bool = False) -> Plan:
    """Compare the declared limits with those of the portal.

    If the declaration of a direction does not fit the portal, the direction is in :attr:`Plan.unfit`, and its limits do
    not change. It does not stop the other directions.

    :param config: of one portal (:meth:`~..config.LimitsConfig.resolve`).
    :param state: the state of the portal (:func:`~..snapshot.read_state`).
    :param prune: purge the limits that the portal has in the directions of the file and the file does not mention.
    :return: the plan.
    """
    associations = config.associations
    declared = [association for association in associations if association.direction in state.directions]
    blocked = blocked_labels(new_labels(declared, associations, state), state)
    unfit: dict[Direction, list[Problem]] = {}
    while True:
        # A label that an unfit direction would create is missing in the inverse direction as well.
        fit = [association for association in declared if association.direction not in unfit]
        labels = new_labels(fit, associations, state, blocked)
        changes, findings = _compare(fit, state, labels, blocked, prune)
        problems = {direction: found.problems for direction, found in findings.items() if found.problems}
        if not problems:
            fit_states = {
                direction: direction_state
                for direction, direction_state in state.directions.items()
                if direction not in unfit
            }
            problems = _spelled_twice(changes, fit_states)
        if not problems:
            break
        unfit |= problems
    changes.sort(key=lambda change: change.sort_key)
    about_the_file = [warning for found in findings.values() for warning in found.warnings]
    return Plan(
        portal_id=state.portal_id,
        changes=changes,
        new_labels=sorted(labels, key=lambda label: (str(label.direction), label.label)),
        warnings=[*warnings_about(changes), *sorted(about_the_file)],
        directions=_read_directions(state, unfit),
        unread=sorted(state.unread.values(), key=str),
        unfit=_unfit_directions(unfit),
    )


def _compare(
    associations: Sequence[AssociationConfig],
    state: PortalState,
    labels: Sequence[NewLabel],
    blocked: Mapping[LabelSide, str],
    prune: bool,
) -> tuple[list[Change], dict[Direction, Findings]]:
    """Return the changes of all directions, and the findings of each."""
    changes: list[Change] = []
    all_findings: dict[Direction, Findings] = {}
    for association in associations:
        findings = all_findings[association.direction] = Findings()
        resolver = TypeResolver(association, state, labels, blocked, findings)
        changes += _DirectionBuilder(association, state, resolver, findings).changes(prune)
    return changes, all_findings


def _read_directions(state: PortalState, unfit: Mapping[Direction, list[Problem]]) -> list[ReadDirection]:
    return [
        ReadDirection(
            from_object_type=direction.from_object_type,
            to_object_type=direction.to_object_type,
            labels=direction_state.labels is not None,
        )
        for direction, direction_state in sorted(state.directions.items(), key=lambda item: str(item[0]))
        if direction not in unfit
    ]


def _unfit_directions(unfit: Mapping[Direction, list[Problem]]) -> list[UnfitDirection]:
    return sorted((_unfit_direction(direction, problems) for direction, problems in unfit.items()), key=str)


def _unfit_direction(direction: Direction, problems: Sequence[Problem]) -> UnfitDirection:
    places = [problem.location for problem in problems]
    return UnfitDirection(
        from_object_type=direction.from_object_type,
        to_object_type=direction.to_object_type,
        problems=[f"{problem.location}: {problem.text}".removeprefix(": ") for problem in problems],
        places=places if any(places) else [],
    )


class _DirectionBuilder:
    """Compares the declared limits of one direction with those of the portal."""

    def __init__(
        self, association: AssociationConfig, portal: PortalState, resolver: TypeResolver, findings: Findings
    ) -> None:
        self._association = association
        self._direction = resolver.direction
        self._in_force = portal.directions[resolver.direction].in_force
        self._resolver = resolver
        self._findings = findings

    def changes(self, prune: bool) -> list[Change]:
        """Return every limit of the direction."""
        declared: dict[TypeKey, int | None] = {}
        limits = self._resolver.declared()
        for where, key, limit, place in limits:
            if key in declared:
                message = "the same association type is already declared under another name; keep one of the two"
                self._findings.problem(where, message, place)
            declared[key] = limit
        unmanaged = self._resolver.unmanaged(prune)
        for where, key, _, place in limits:
            if key in unmanaged.types:
                message = "the same association type is null (not managed) under another name; keep one of the two"
                self._findings.problem(where, message, place)
        changes = [self._declared_change(key, target) for key, target in declared.items()]
        changes += [
            self._undeclared_change(identity, limit, unmanaged, prune)
            for identity, limit in self._in_force.items()
            if identity not in declared
        ]
        self._check_object_limit(changes)
        return changes

    def _declared_change(self, key: TypeKey, target: int | None) -> Change:
        current = None if isinstance(key, str) else self._in_force.get(key)
        if target == current:
            return self._change("unchanged", key, current, target)
        if not isinstance(key, str) and not is_sendable(key):
            self._findings.warnings.append(
                f"{self._direction} {key[0]} {key[1]}: the file declares the limit {limit_text(target)}, the limit in "
                f"the portal is {limit_text(current)}; this package cannot change limits of this association type"
            )
            return self._change("unmanaged", key, current, current)
        action: ChangeAction = "create" if current is None else "purge" if target is None else "update"
        return self._change(action, key, current, target)

    def _undeclared_change(self, identity: TypeIdentity, limit: int, unmanaged: UnmanagedTypes, prune: bool) -> Change:
        """Return the change of a limit that the portal has and the file declares no value for."""
        is_prunable = self._association.is_prunable
        is_null = identity in unmanaged.types
        if prune and is_prunable and not unmanaged.has_missing and not is_null and is_sendable(identity):
            return self._change("purge", identity, limit, None)
        change = self._change("unmanaged", identity, limit, limit)
        return change.model_copy(update={"null_in_file": is_null or not is_prunable})

    def _change(self, action: ChangeAction, key: TypeKey, current: int | None, target: int | None) -> Change:
        category, type_id = (USER_DEFINED, None) if isinstance(key, str) else key
        return Change(
            action=action,
            from_object_type=self._direction.from_object_type,
            to_object_type=self._direction.to_object_type,
            category=category,
            type_id=type_id,
            unlabeled=key == self._resolver.unlabeled,
            label=key if isinstance(key, str) else self._resolver.labels.get(key),
            current=current,
            target=target,
            by_number=any(exact.identity == key for exact in self._association.types),
        )

    def _check_object_limit(self, changes: Sequence[Change]) -> None:
        """Report label limits above the object limit, which HubSpot always refuses."""
        object_limit = next((change for change in changes if change.unlabeled), None)
        if object_limit is None or object_limit.target is None:
            return
        for change in changes:
            is_touched = not change.unlabeled and (change.is_write or object_limit.is_write)
            if is_touched and change.target is not None and change.target > object_limit.target:
                label_text, object_text = (
                    f"{limit.target} ({'not in the file' if limit.action == 'unmanaged' else 'declared'})"
                    for limit in (change, object_limit)
                )
                message = (
                    f"the limit of {label_text} would be above the object limit of {object_text}; lower the label "
                    "limit or raise the object limit"
                )
                where = show_exactly(change.label) if change.label is not None else change.name
                self._findings.problem(where, message, self._association.place)


def _spelled_twice(
    changes: Sequence[Change], states: Mapping[Direction, DirectionState]
) -> dict[Direction, list[Problem]]:
    """Find directions that turn out to be one, such as from ``p_car`` and from ``2-123``; both are unfit.

    Only the portal knows: one association type shows up in both.
    """
    problems: dict[Direction, list[Problem]] = {}
    first: dict[TypeIdentity, Direction] = {}
    seen = [(change.identity, change.direction) for change in changes if change.identity is not None]
    seen += [(row.identity, direction) for direction, state in states.items() for row in state.rows]
    for identity, direction in seen:
        other = first.setdefault(identity, direction)
        if other != direction and may_be_same(direction, other):
            for one, two in ((direction, other), (other, direction)):
                message = f"{two} is the same direction, because both have {identity[0]} {identity[1]}"
                problems.setdefault(one, [Problem(f"{message}; use one spelling")])
    return problems
