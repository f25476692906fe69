"""Declare limits, plan them, and read the requests that a portal received."""

from collections.abc import Iterable
from typing import Any

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.plan import Plan, build_plan
from airflow_provider_hubassoc.limits.snapshot import read_state
from airflow_provider_hubassoc.simulator import Simulator

HUBSPOT = "HUBSPOT_DEFINED"
USER = "USER_DEFINED"
CONTACTS_COMPANIES = ("0-1", "0-2", HUBSPOT, 279)
"""The object limit of contacts -> companies."""


def client_of(hubspot: Simulator, **settings: Any) -> HubSpotClient:
    return HubSpotClient(HubSpotSettings.parse({"base_url": hubspot.url, "access_token": hubspot.token, **settings}))


def declare(*associations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 1, "associations": list(associations), **more}


def association(from_type: str, to_type: str, **limits: Any) -> dict[str, Any]:
    return {"from": from_type, "to": to_type, **limits}


def make_plan(client: HubSpotClient, source: Any, *, prune: bool = False) -> Plan:
    config = load_config(source).resolve()
    return build_plan(config, read_state(config, client), prune=prune)


def sent(hubspot: Simulator) -> list[str]:
    """Return the requests in short form: ``GET contacts/companies``, ``update contacts/companies``."""
    return [_short(request.method, request.path) for request in hubspot.requests]


def writes(hubspot: Simulator) -> list[str]:
    """Return the requests that write, in short form."""
    return [request for request in sent(hubspot) if not request.startswith("GET")]


def _short(method: str, path: str) -> str:
    parts = path.split("/")
    if "batch" in parts:
        start = parts.index("configurations")
        return f"{parts[-1]} {'/'.join(parts[start + 1 : start + 3])}"
    if "configurations" in parts:
        return f"{method} {'/'.join(parts[parts.index('configurations') + 1 :])}"
    return f"{method} {'/'.join(parts[4:] if 'associations' in parts else parts[1:])}"


def set_limits(hubspot: Simulator, limits: Iterable[tuple[str, str, str, int, int | None]]) -> None:
    for limit in limits:
        hubspot.set_limit(*limit)
