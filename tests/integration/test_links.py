"""The link from a task to the settings of the object type whose limits it set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_hubassoc.links import HubSpotObjectSettingsLink
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator
from airflow_provider_hubassoc.provider_info import get_provider_info
from airflow_provider_hubassoc.simulator import Simulator
from tests.integration.airflow_in_memory import Airflow
from tests.integration.scenarios import INPUTS

LINK = "_link_HubSpotObjectSettingsLink"
PORTAL = "https://app.hubspot.com/sales-products-settings/12345678/object"


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("dag", params={"type": "Contact"}) as dag:
        yield dag


def link(hubspot: Simulator, from_object_type: str, **arguments: Any) -> str:
    task = HubSpotAssociationLimitsOperator(
        task_id="set_limits",
        from_object_type=from_object_type,
        to_object_type="companies",
        inputs=INPUTS,
        poll_interval=0.05,
        **arguments,
    )
    url: str = Airflow().run(task).xcoms[LINK]
    return url


@pytest.mark.parametrize(
    ("from_object_type", "url"),
    [
        ("contacts", f"{PORTAL}/0-1"),
        ("0-1", f"{PORTAL}/0-1"),
        ("{{ params.type }}", f"{PORTAL}/0-1"),
        ("2-123", f"{PORTAL}/2-123"),
        ("p_cars", PORTAL),
        ("p12345678_cars", PORTAL),
    ],
)
def test_the_page_of_the_object_type(from_object_type: str, url: str, hubspot: Simulator, hubspot_conn: str) -> None:
    assert link(hubspot, from_object_type) == url


def test_there_already_while_the_task_waits(hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 10_000
    assert link(hubspot, "contacts", deferrable=True, timeout=0.1) == f"{PORTAL}/0-1"


def test_no_page_where_the_portal_is_not_known(hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.inject(path="/account-info/*", status=403)
    assert link(hubspot, "contacts") == ""


@pytest.mark.parametrize("domain", ["app-eu1.hubspot.com", "evil.example/?", "", None, "javascript:alert(1)//"])
def test_the_portals_own_domain_and_nothing_that_is_none(
    domain: str | None, hubspot: Simulator, hubspot_conn: str
) -> None:
    body = {"portalId": 7, "accountType": "STANDARD", "uiDomain": domain}
    hubspot.inject(path="/account-info/*", status=200, body=body)
    url = link(hubspot, "contacts")
    assert url in ("", "https://app-eu1.hubspot.com/sales-products-settings/7/object/0-1")
    assert bool(url) is (domain == "app-eu1.hubspot.com")


def test_airflow_is_told_of_the_link() -> None:
    path = f"{HubSpotObjectSettingsLink.__module__}.{HubSpotObjectSettingsLink.__qualname__}"
    assert path in get_provider_info()["extra-links"]
