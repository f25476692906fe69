"""Description of this provider for Airflow: modules, connection form, extra link."""

from __future__ import annotations

from typing import Any

from airflow_provider_hubassoc import __version__

_PACKAGE = "airflow_provider_hubassoc"
_INTEGRATION = "HubSpot association limits"


def _field(label: str, description: str, *, type: str = "string", **schema: Any) -> dict[str, Any]:
    """Describe a field of the connection form. Airflow saves unfilled fields as null, so null is always allowed."""
    return {"label": label, "description": description, "schema": {"type": [type, "null"], **schema}}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description for the entry point ``apache_airflow_provider``.

    Source: Airflow's ``provider_info.schema.json``.
    """

    def modules(name: str) -> list[dict[str, Any]]:
        return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}"]}]

    return {
        "package-name": "airflow-provider-hubassoc",
        "name": "HubSpot association limits",
        "description": "Manages the limits on associations between records in HubSpot.",
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
                        "password": "pat-na1-… (service key, private app token or static token); empty for OAuth",
                        "host": "https://api.hubapi.com",
                        "port": "443",
                    },
                },
                "conn-fields": {
                    "auth_type": _field(
                        "Authentication",
                        "access_token (default) uses the access token above; oauth uses the OAuth fields below.",
                        enum=["access_token", "oauth", None],
                        values_display={"null": "default (access_token)"},
                    ),
                    "client_id": _field("OAuth client ID", "Client ID of the app. Required for oauth."),
                    "client_secret": _field(
                        "OAuth client secret", "Client secret of the app. Required for oauth.", format="password"
                    ),
                    "refresh_token": _field(
                        "OAuth refresh token", "Refresh token of the portal. Required for oauth.", format="password"
                    ),
                    "api_version": _field(
                        "API version",
                        "Version of HubSpot's Associations Schema API. Default: 2026-03.",
                        enum=["2026-03", "2026-09", "2025-09", "v4", None],
                        values_display={"null": "default (2026-03)"},
                    ),
                    "timeout": _field(
                        "Timeout",
                        "Seconds to wait for a connection and for an answer: one number or two (5,60). Default: 10,30.",
                    ),
                    "max_retries": _field(
                        "Retries",
                        "How often a request is repeated after a transient error. Default: 5.",
                        type="integer",
                        minimum=0,
                        maximum=20,
                    ),
                    "proxy": _field("Proxy", "URL of an HTTP proxy. Default: HTTPS_PROXY of the environment."),
                    "ca_bundle": _field(
                        "CA bundle", "Path of a file with the certificates to trust, on workers and triggerers."
                    ),
                },
            }
        ],
    }
