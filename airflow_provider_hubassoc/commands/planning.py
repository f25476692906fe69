"""From a limits file to a plan for the portal in use, for ``plan`` and ``apply``."""

from __future__ import annotations

from airflow_provider_hubassoc import terminal
from airflow_provider_hubassoc.commands.files import limits_source, shown_name
from airflow_provider_hubassoc.commands.messages import problem_line
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits import sync
from airflow_provider_hubassoc.limits.config.load import check_config
from airflow_provider_hubassoc.limits.config.models import LimitsConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.limits.problems import ConfigError
from airflow_provider_hubassoc.limits.targets import check_targets, parse_target
from airflow_provider_hubassoc.terminal import UsageError, say


def load_limits(session: Session, file: str) -> LimitsConfig:
    """Read a limits file, print its warnings, and check ``--portal`` and ``--target`` against it.

    :raises ConfigError: with every mistake.
    """
    config, problems = check_config(limits_source(file))
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in problems:
        if problem not in errors:
            say(problem_line(shown_name(file), problem))
    if config is None:
        raise ConfigError(errors, shown_name(file))
    try:
        config.resolve(named=session.options.portal)
        check_targets(config, _targets(session))
    except ConfigError as error:
        raise ConfigError(error.problems, shown_name(file)) from None
    return config


def make_plan(session: Session, config: LimitsConfig, client: HubSpotClient) -> Plan:
    """Compare the limits file with the portal.

    :raises ConfigError: if the file has overrides for portals, and HubSpot does not say which portal this is.
    :raises HubSpotError: if no direction can be read.
    """
    options = session.options
    portal_id = session.portal_id(client)
    try:
        with terminal.progress() as progress:
            return sync.make_plan(
                config,
                client,
                conn_id=session.conn_id,
                portal_id=portal_id,
                portal=options.portal,
                targets=_targets(session),
                prune=options.prune,
                max_concurrency=options.max_concurrency,
                progress=progress,
                sleep=session.interruption.sleep,
                say=say,
            )
    except ConfigError as error:
        raise ConfigError(error.problems, error.source or shown_name(options.file)) from None


def rebase_plan(session: Session, plan: Plan, client: HubSpotClient, portal_id: int | None) -> Plan:
    """Read the portal again and return the plan without the changes that are done already.

    :param portal_id: of the portal that is read; None if it is unknown.
    :raises StalePlanError: if the portal has changed since the plan was made, or is another one.
    """
    with terminal.progress() as progress:
        return sync.rebase_plan(
            plan,
            client,
            portal_id=portal_id,
            max_concurrency=session.options.max_concurrency,
            progress=progress,
            sleep=session.interruption.sleep,
        )


def _targets(session: Session) -> list[Direction]:
    try:
        return [parse_target(target) for target in session.options.target]
    except ValueError as error:
        raise UsageError(f"--target {error}") from None
