"""Bring a portal in line with declared limits: find the portal, plan, compare the plan with the portal again.

Operator, command line and drift trigger share these steps. The step that writes is
:func:`~airflow_provider_hubassoc.limits.apply.apply_plan`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotMissingScopesError
from airflow_provider_hubassoc.hubspot.models import AccountInfo
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Progress
from airflow_provider_hubassoc.limits.config.load import load_config
from airflow_provider_hubassoc.limits.config.models import LimitsConfig
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan.build import build_plan
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.problems import ConfigError, Problem
from airflow_provider_hubassoc.limits.snapshot import read_again, read_state
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState
from airflow_provider_hubassoc.limits.targets import narrowed

log = logging.getLogger(__name__)


def find_portal(client: HubSpotClient, *, required: bool = True) -> AccountInfo | None:
    """Return the portal that the token belongs to; None if the token lacks the scope to read it.

    :param required: whether the caller decides something by the portal. If not, the read is not repeated, and only
        an error that every other request would meet as well is raised.
    :raises HubSpotError: if HubSpot cannot be asked.
    """
    try:
        return (client if required else client.without_retries()).account_info()
    except HubSpotMissingScopesError as error:
        log.info("The token may not read which portal it belongs to: %s", error)
    except HubSpotError as error:
        if required or (error.affects_every_request and not error.retryable):
            raise
        log.info("HubSpot did not say which portal this is: %s", error)
    return None


def make_plan(
    config: LimitsConfig,
    client: HubSpotClient,
    *,
    conn_id: str | None,
    portal_id: int | None,
    portal: str | int | None = None,
    targets: Sequence[Direction] = (),
    prune: bool = False,
    create_missing_labels: bool | None = None,
    max_concurrency: int = MAX_CONCURRENCY,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] = log.info,
) -> Plan:
    """Read the portal and compare it with the declared limits.

    The overrides of one portal apply: of ``portal`` if it is given, else of the connection's id, else of the portal's
    id. A file whose overrides could be those of the portal is not used while the portal's id is unknown.

    :param config: the whole file.
    :param client: of the portal.
    :param conn_id: of the connection; None if there is none.
    :param portal_id: of the portal (:func:`find_portal`); None if it is unknown.
    :param portal: a name in the file's ``portals``.
    :param targets: the only directions to look at; all of the file if empty.
    :param prune: also remove limits that the file does not mention, in the directions it does mention.
    :param create_missing_labels: create every label that the portal lacks, or none; None to follow the file.
    :param max_concurrency: requests at the same time.
    :param progress: called after each direction.
    :param sleep: waits, seconds; it may raise to end everything early.
    :param say: called with a sentence about the overrides that apply, if the file has any.
    :raises ConfigError: if the file has no such portal or target, or needs a portal's id that is unknown.
    :raises HubSpotError: if no direction can be read.
    """
    declared = config.resolve(conn_id=conn_id, portal_id=portal_id, named=portal)
    if declared.needs_portal_id:
        message = (
            "the file has overrides for portals, and the token may not read which portal it belongs to;"
            ' name the portal, or give the token the scope "oauth"'
        )
        raise ConfigError([Problem(message, "portal")])
    if declared.note:
        say(declared.note)
    declared = narrowed(declared.with_missing_labels(create_missing_labels), targets, portal_id=portal_id)
    state = read_state(declared, client, max_concurrency=max_concurrency, progress=progress, sleep=sleep)
    return build_plan(declared, replace(state, portal_id=portal_id), prune=prune)


def rebase_plan(
    plan: Plan,
    client: HubSpotClient,
    *,
    portal_id: int | None,
    max_concurrency: int = MAX_CONCURRENCY,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Plan:
    """Read the portal again and return the plan without the changes that are done. Parameters as :func:`make_plan`.

    :raises StalePlanError: if the portal has changed since the plan was made, or is another one.
    :raises HubSpotError: if no direction can be read.
    """
    state = read_again(plan, client, max_concurrency=max_concurrency, progress=progress, sleep=sleep)
    return rebase(plan, replace(state, portal_id=portal_id))


def plan_direction(association: Mapping[str, Any], state: DirectionState) -> Plan:
    """Compare one direction with its declaration, without a request.

    :param association: one entry of ``associations`` of a file.
    :param state: the limits and labels of the direction, as read.
    :raises ConfigError: if the declaration has mistakes.
    """
    config = load_config({"version": 1, "associations": [association]}).resolve()
    [declared] = config.associations
    return build_plan(config, PortalState({declared.direction: state}))
