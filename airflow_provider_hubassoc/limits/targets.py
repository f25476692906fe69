"""Narrow declared limits to some of their directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.config import AssociationConfig, LimitsConfig, ResolvedConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.problems import ConfigError, Problem, show


def parse_target(text: str) -> Direction:
    """Read ``FROM:TO``, in any spelling of the object types.

    :raises ValueError: if it is not of this form.
    """
    names = [name.strip() for name in text.split(":")]
    if len(names) != 2 or not all(names):
        raise ValueError(f"must be FROM:TO, such as contacts:companies, got {show(text)}")
    return Direction(*names)


def check_targets(config: LimitsConfig, targets: Sequence[Direction]) -> None:
    """Check that a file has every target, in its associations or in those of a portal.

    :raises ConfigError: with every target that it does not have, and the directions that there are.
    """
    portals = [each for portal in config.portals.values() for each in portal.associations]
    _check([*config.associations, *portals], targets)


def narrowed(config: ResolvedConfig, targets: Sequence[Direction], *, portal_id: int | None = None) -> ResolvedConfig:
    """Return declared limits with the directions named by the targets only; all of them if there are no targets.

    :param config: of one portal (:meth:`~.config.LimitsConfig.resolve`).
    :param targets: directions in any spelling.
    :param portal_id: of the portal, so that ``p_<name>`` and ``p<portalId>_<name>`` are the same.
    :raises ConfigError: as :func:`check_targets`.
    """
    if not targets:
        return config
    _check(config.associations, targets, portal_id)
    wanted = {_canonical(target, portal_id) for target in targets}
    by_direction = {_canonical(each.direction, portal_id): each for each in config.associations}
    associations = [
        _with_inverse_labels(each, by_direction.get(direction.inverse))
        for direction, each in by_direction.items()
        if direction in wanted
    ]
    return replace(config, associations=associations)


def _check(
    associations: Sequence[AssociationConfig], targets: Sequence[Direction], portal_id: int | None = None
) -> None:
    there = {_canonical(each.direction, portal_id): each for each in associations}
    names = ", ".join(f"{each.from_object_type}:{each.to_object_type}" for each in there.values()) or "none"
    problems = [
        Problem(f"the file has no such direction; it has {names}", "target", found=show(":".join(target)))
        for target in targets
        if _canonical(target, portal_id) not in there
    ]
    if problems:
        raise ConfigError(problems)


def _canonical(direction: Direction, portal_id: int | None) -> Direction:
    return Direction(*(normalize(object_type, portal_id) for object_type in direction))


def _with_inverse_labels(association: AssociationConfig, inverse: AssociationConfig | None) -> AssociationConfig:
    """Keep what the other direction says about creating a label, whose two sides are created together."""
    if inverse is None:
        return association
    labels = {}
    for text, label in association.labels.items():
        other_text = label.inverse or next(
            (each for each, other in inverse.labels.items() if other.inverse == text), None
        )
        other = inverse.labels.get(other_text or text)
        name = label.name or (other.name if other is not None else None)
        labels[text] = label.model_copy(update={"inverse": other_text, "name": name})
    return association.model_copy(update={"labels": labels})
