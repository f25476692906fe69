"""A portal's association limits as Airflow assets, so that DAGs can follow what changed them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAlias, AssetWatcher

LIMITS_CHANGED = AssetAlias("hubspot_association_limits")
"""Every sync that changed a portal adds an event of the portal's asset to this alias."""


def association_limits_asset(portal_id: int | str) -> Asset:
    """Return the asset that stands for a portal's association limits.

    :param portal_id: the portal's id, or another name of it where the id cannot be read.
    """
    return Asset(
        name=f"hubspot_association_limits_{portal_id}",
        uri=f"hubspot://{portal_id}/association-limits",
    )


def drift_watchers(
    config: Any, hubspot_conn_id: str = "hubspot_default", *, portal: str | int | None = None, **options: Any
) -> list[AssetWatcher]:
    """Return a watcher for each direction of a file, to start DAGs when a limit is no longer as declared.

    :param config: the declared limits: path of a YAML or JSON file, its text, or a dict; read when the DAG file is.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param portal: what the portal is called in the file's ``portals``; by default the connection's id. Name the
        portal's id here if the file does: nothing is asked of HubSpot when a DAG file is read.
    :param options: ``poll_interval``, ``settle_seconds``, ``repeat_seconds`` of
        :class:`~airflow_provider_hubassoc.triggers.HubSpotAssociationLimitsDriftTrigger`.
    :raises ConfigError: with every mistake of the file.
    """
    from airflow_provider_hubassoc.limits.config import load_config
    from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsDriftTrigger

    watchers = []
    for association in load_config(config).for_portal(portal if portal is not None else hubspot_conn_id).associations:
        trigger = HubSpotAssociationLimitsDriftTrigger(
            association=association.model_dump(mode="json", by_alias=True, exclude_unset=True),
            hubspot_conn_id=hubspot_conn_id,
            **options,
        )
        watchers.append(AssetWatcher(name=f"{hubspot_conn_id} {association.direction}", trigger=trigger))
    return watchers
