"""A minimal client of HubSpot, for tests of the simulator."""

from __future__ import annotations

from typing import Any

import requests

from airflow_provider_hubassoc.simulator import Simulator


class Api:
    """A minimal client, as someone would write it with `requests` alone."""

    def __init__(self, hubspot: Simulator, token: str | None = None, root: str | None = None) -> None:
        self.hubspot = hubspot
        self.root = root or "/crm/associations/2026-03"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {token or hubspot.token}"

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        options.setdefault("timeout", 10)
        url = path if path.startswith("http") else self.hubspot.url + path
        return self.session.request(method, url, json=json, **options)

    def limits(self, pair: str) -> list[dict[str, Any]]:
        answer = self.call("GET", f"{self.root}/definitions/configurations/{pair}")
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def batch(self, action: str, pair: str, *inputs: Any, **options: Any) -> requests.Response:
        body = {"inputs": list(inputs)}
        return self.call("POST", f"{self.root}/definitions/configurations/{pair}/batch/{action}", json=body, **options)

    def labels(self, pair: str) -> list[dict[str, Any]]:
        answer = self.call("GET", f"{self.root}/{pair}/labels")
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def label(self, method: str, pair: str, body: Any = None, suffix: str = "") -> requests.Response:
        return self.call(method, f"{self.root}/{pair}/labels{suffix}", json=body)


def limit(type_id: Any, value: Any = None, category: Any = "HUBSPOT_DEFINED") -> dict[str, Any]:
    entry = {"category": category, "typeId": type_id}
    return entry if value is None else entry | {"maxToObjectIds": value}
