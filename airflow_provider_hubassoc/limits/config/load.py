"""Load declared limits: read, validate, apply the rules, and report every mistake at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from airflow_provider_hubassoc.limits.config.document import Document
from airflow_provider_hubassoc.limits.config.mistakes import problem_of
from airflow_provider_hubassoc.limits.config.models import AssociationConfig, LimitsConfig
from airflow_provider_hubassoc.limits.config.rules import rule_problems
from airflow_provider_hubassoc.limits.config.sources import read
from airflow_provider_hubassoc.limits.problems import ConfigError, DataPath, Problem


def load_config(
    source: str | Path | Mapping[str, Any] | LimitsConfig,
    *,
    on_warning: Callable[[Problem], None] | None = None,
) -> LimitsConfig:
    """Read declared limits, and refuse them with every mistake at once.

    :param source: path of a YAML or JSON file; its text (anything with a line break or a leading brace); a dict; or
        the result of an earlier call.
    :param on_warning: called with each warning, such as an empty value.
    :return: the whole file; :meth:`LimitsConfig.resolve` returns its declarations for one portal.
    :raises ConfigError: with every mistake of the file, including those in overrides of any portal.
    """
    if isinstance(source, LimitsConfig):
        return source
    document = read(source)
    config, problems = _check(document)
    if config is None:
        raise ConfigError([problem for problem in problems if problem.severity == "error"], document.name)
    if on_warning is not None:
        for problem in problems:
            on_warning(problem)
    return config


def check_config(source: str | Path | Mapping[str, Any]) -> tuple[LimitsConfig | None, list[Problem]]:
    """Read declared limits and return all errors and warnings.

    :param source: as in :func:`load_config`.
    :return: the config, None if there is an error; and the problems in the order of the text.
    """
    try:
        document = read(source)
    except ConfigError as error:
        return None, error.problems
    return _check(document)


def _check(document: Document) -> tuple[LimitsConfig | None, list[Problem]]:
    config, problems = None, []
    try:
        config = LimitsConfig.model_validate(document.data)
    except ValidationError as error:
        problems = [problem_of(document, mistake) for mistake in error.errors(include_url=False)]
    problems += rule_problems(document)
    problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    if config is None or any(problem.severity == "error" for problem in problems):
        return None, problems
    _set_places(config, document)
    return config, problems


def _set_places(config: LimitsConfig, document: Document) -> None:
    """Note where everything is declared."""
    lists: dict[DataPath, list[AssociationConfig]] = {(): config.associations}
    lists |= {("portals", name): portal.associations for name, portal in config.portals.items()}
    for start, associations in lists.items():
        for index, association in enumerate(associations):
            path = (*start, "associations", index)
            association.set_place(document.place(path))
            for name, label in association.labels.items():
                label.set_place(document.place((*path, "labels", name)))
            for number, exact in enumerate(association.types):
                exact.set_place(document.place((*path, "types", number)))
