"""Narrow declared limits to some of their directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_hubassoc.limits.config.models import AssociationConfig, LimitsConfig, ResolvedConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.problems import ConfigError, Problem, show


def parse_target(text: str) -> Direction:
    """Read ``FROM:TO``, with any spelling of the object types.

    :raises ValueError: if the text does not have this form.
    """
    names = [name.strip() for name in text.split(":")]
    if len(names) != 2 or not all(names):
        raise ValueError(f"must be FROM:TO, such as contacts:companies, got {show(text)}")
    return Direction(*names)


def check_targets(config: LimitsConfig, targets: Sequence[Direction]) -> None:
    """Check that a file declares every target, for all portals or for one of them.

    :raises ConfigError: naming every target that the file lacks, and the directions that it has.
    """
    overrides = [association for portal in config.portals.values() for association in portal.associations]
    _require([*config.associations, *overrides], targets)


def narrowed(config: ResolvedConfig, targets: Sequence[Direction], *, portal_id: int | None = None) -> ResolvedConfig:
    """Return the declared limits of the targets only; the whole config if there are no targets.

    :param config: of one portal (:meth:`~.config.models.LimitsConfig.resolve`).
    :param targets: directions in any spelling.
    :param portal_id: id of the portal, so that ``p_<name>`` and ``p<portalId>_<name>`` are equal.
    :raises ConfigError: as :func:`check_targets`.
    """
    if not targets:
        return config
    _require(config.associations, targets, portal_id)
    wanted = {target.canonical_in(portal_id) for target in targets}
    by_direction = {association.direction.canonical_in(portal_id): association for association in config.associations}
    associations = [
        _with_inverse_labels(association, by_direction.get(canonical_direction.inverse))
        for canonical_direction, association in by_direction.items()
        if canonical_direction in wanted
    ]
    return replace(config, associations=associations)


def _require(
    associations: Sequence[AssociationConfig], targets: Sequence[Direction], portal_id: int | None = None
) -> None:
    declared = {association.direction.canonical_in(portal_id): association.direction for association in associations}
    names = ", ".join(":".join(direction) for direction in declared.values()) or "none"
    problems = [
        Problem(f"the file has no such direction; it has {names}", "target", found=show(":".join(target)))
        for target in targets
        if target.canonical_in(portal_id) not in declared
    ]
    if problems:
        raise ConfigError(problems)


def _with_inverse_labels(association: AssociationConfig, inverse: AssociationConfig | None) -> AssociationConfig:
    """Keep how the opposite direction creates a label, because both sides of a label are created together."""
    if inverse is None:
        return association
    labels = {}
    for text, label in association.labels.items():
        declared_inverses = (name for name, other in inverse.labels.items() if other.inverse == text)
        inverse_text = label.inverse or next(declared_inverses, None)
        other = inverse.labels.get(inverse_text or text)
        name = label.name or (other.name if other is not None else None)
        labels[text] = label.model_copy(update={"inverse": inverse_text, "name": name})
    return association.model_copy(update={"labels": labels})
