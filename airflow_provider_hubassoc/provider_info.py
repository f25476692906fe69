"""What Airflow discovers of this package: the connection form, the modules, the extra link."""

from __future__ import annotations

from typing import Any

from airflow_provider_hubassoc import __version__

_PACKAGE = "airflow_provider_hubassoc"
_INTEGRATION = "HubSpot association limits"


def _field(label: str, description: str, *, type: str = "string", **schema: Any) -> dict[str, Any]:
    """Describe a field of the connection form. Airflow saves unfilled fields as null, so null is always allowed."""
    return {"label": label, "description": description, "schema": {"type": [type, "null"], **schema}}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as the entry point ``apache_airflow_provider`` promises it.

    Source: Airflow's ``provider_info.schema.json``.
    """

    def modules(name: str) -> list[dict[str, Any]]:
        return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}"]}]

    return {
        "package-name": "airflow-provider-hubassoc",
        "name": "HubSpot association limits",
        "description": "Limits how many records may be associated with one another in HubSpot.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developers.hubspot.com/docs/api-reference/crm-associations-schema-v4/guide",
                "tags": ["service"],
            }
        ],
        "hooks": modules("hooks"),
        "operators": modules("operators"),
        "sensors": modules("sensors"),
        "triggers": modules("triggers"),
        "extra-links": [f"{_PACKAGE}.links.HubSpotObjectSettingsLink"],
        "connection-types": [
            {
                "connection-type": "hubspot",
                "hook-class-name": f"{_PACKAGE}.hooks.HubSpotHook",
                "hook-name": "HubSpot",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema"],
                    "relabeling": {"password": "Access token", "host": "API address"},
                    "placeholders": {
                        "password": "pat-na1-… (service key, private app or static token); empty with OAuth",
                        "host": "https://api.hubapi.com",
                        "port": "443",
                    },
                },
                "conn-fields": {
                    "auth_type": _field(
                        "Authentication",
                        "access_token (default): the token above. oauth: an app's refresh token, below.",
                        enum=["access_token", "oauth", None],
                        values_display={"null": "default (access_token)"},
                    ),
                    "client_id": _field("OAuth client id", "The app's client id; with oauth."),
                    "client_secret": _field(
                        "OAuth client secret", "The app's client secret; with oauth.", format="password"
                    ),
                    "refresh_token": _field(
                        "OAuth refresh token", "The portal's refresh token; with oauth.", format="password"
                    ),
                    "api_version": _field(
                        "API version",
                        "Version of HubSpot's Associations Schema API; 2026-03 if empty.",
                        enum=["2026-03", "2026-09", "2025-09", "v4", None],
                        values_display={"null": "default (2026-03)"},
                    ),
                    "timeout": _field(
                        "Timeout",
                        "Seconds to wait for a connection and for an answer: 30 for both, or 5,60; 10,30 if empty.",
                    ),
                    "max_retries": _field(
                        "Retries",
                        "How often a request is repeated after an error that may pass; 5 if empty.",
                        type="integer",
                        minimum=0,
                        maximum=20,
                    ),
                    "proxy": _field("Proxy", "URL of an HTTP proxy; the environment's HTTPS_PROXY if empty."),
                    "ca_bundle": _field("CA bundle", "Path of a file with the certificates to trust, on the workers."),
                },
            }
        ],
    }
