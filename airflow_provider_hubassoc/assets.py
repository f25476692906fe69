"""A portal's association limits as Airflow assets, so that DAGs can run when they change."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from typing import Any

from airflow.sdk import Asset, AssetAlias, AssetWatcher

log = logging.getLogger(__name__)

_MAX_LENGTH = 200
"""Longest text in a name. Airflow allows 1500 characters for a name and for a URI, which holds it too."""

LIMITS_CHANGED = AssetAlias("hubspot_association_limits")
"""Every sync that changes a portal adds an event of the portal's asset to this alias."""


def association_limits_asset(portal_id: int | str) -> Asset:
    """Return the asset of a portal's association limits.

    Its name and URI are ASCII text, because Airflow on MySQL stores nothing else.

    :param portal_id: id of the portal, or another name for it if the id cannot be read.
    """
    name = _identifier(str(portal_id))
    return Asset(name=f"hubspot_association_limits_{name}", uri=f"hubspot://{name}/association-limits")


def drift_watchers(
    config: Any, hubspot_conn_id: str = "hubspot_default", *, portal: str | int | None = None, **options: Any
) -> list[AssetWatcher]:
    """Return a watcher for each direction of a file. It starts DAGs when a limit is no longer as declared.

    :param config: the declared limits: path of a YAML or JSON file, its text, or a dict. A file is read whenever the
        DAG file is parsed.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param portal: the portal's name in the file's ``portals``; by default the connection's id. If the file uses the
        portal's id, pass it here: parsing a DAG file sends no request to HubSpot.
    :param options: ``poll_interval``, ``settle_seconds``, ``repeat_seconds`` of
        :class:`~airflow_provider_hubassoc.triggers.HubSpotAssociationLimitsDriftTrigger`.
    :raises ConfigError: with every mistake of the file, or if it has no such ``portal``.
    """
    # Not at the top: operators.py imports this module, and DAG files without drift watchers need none of this.
    from airflow_provider_hubassoc.limits.config.load import load_config
    from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsDriftTrigger

    watchers = []
    hubspot_conn_id = hubspot_conn_id.strip()
    declared = load_config(config, on_warning=lambda problem: log.warning("Drift watchers: %s", problem))
    resolved = declared.resolve(conn_id=hubspot_conn_id, named=portal)
    if resolved.note:
        log.info("Drift watchers of connection %s: %s", hubspot_conn_id, resolved.note)
    for association in resolved.associations:
        trigger = HubSpotAssociationLimitsDriftTrigger(
            association=association.model_dump(mode="json", by_alias=True, exclude_unset=True),
            hubspot_conn_id=hubspot_conn_id,
            **options,
        )
        watchers.append(
            AssetWatcher(name=_ascii(f"{hubspot_conn_id} {association.direction}", r"[ -~]+"), trigger=trigger)
        )
    return watchers


def _identifier(text: str) -> str:
    """Return a text in a form that can be part of a name and of the host of a URI."""
    return _ascii(text, r"[A-Za-z0-9_.~-]+")


def _ascii(text: str, allowed: str) -> str:
    """Return the text if it is short and allowed; else its allowed characters with a digest that keeps it unique."""
    if len(text) <= _MAX_LENGTH and re.fullmatch(allowed, text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    decomposed = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    kept = "_".join(re.findall(allowed, decomposed))[: _MAX_LENGTH - 13]
    return f"{kept}-{digest}" if kept else digest
