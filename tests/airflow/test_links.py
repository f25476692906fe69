"""The link from a task to HubSpot's settings of the object type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_hubassoc.links import HubSpotObjectSettingsLink
from airflow_provider_hubassoc.operators import HubSpotAssociationLimitsOperator, HubSpotAssociationLimitsSyncOperator
from airflow_provider_hubassoc.provider_info import get_provider_info
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.airflow_in_memory import Airflow
from tests.support.scenarios import INPUTS

LINK = "_link_HubSpotObjectSettingsLink"
PORTAL = "https://app.hubspot.com/sales-products-settings/12345678/object"


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("dag", params={"type": "Contact"}) as dag:
        yield dag


def batch(**arguments: Any) -> HubSpotAssociationLimitsOperator:
    pair = {"from_object_type": "contacts", "to_object_type": "companies"}
    return HubSpotAssociationLimitsOperator(
        **{"task_id": "set_limits", **pair, "inputs": INPUTS, "poll_interval": 0.05, **arguments}
    )


def link(hubspot: Simulator, from_object_type: str, **arguments: Any) -> str:
    url: str = Airflow().run(batch(from_object_type=from_object_type, **arguments)).xcoms[LINK]
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


def test_the_link_exists_while_the_task_waits(hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 10_000
    assert link(hubspot, "contacts", deferrable=True, timeout=0.1) == f"{PORTAL}/0-1"


def test_no_link_if_the_portal_is_unknown(hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.inject(path="/account-info/*", status=403)
    assert link(hubspot, "contacts") == ""


@pytest.mark.parametrize("domain", ["app-eu1.hubspot.com", "evil.example/?", "", None, "javascript:alert(1)//"])
def test_only_a_valid_domain_of_the_portal_is_linked(domain: str | None, hubspot: Simulator, hubspot_conn: str) -> None:
    body = {"portalId": 7, "accountType": "STANDARD", "uiDomain": domain}
    hubspot.inject(path="/account-info/*", status=200, body=body)
    url = link(hubspot, "contacts")
    assert url in ("", "https://app-eu1.hubspot.com/sales-products-settings/7/object/0-1")
    assert bool(url) is (domain == "app-eu1.hubspot.com")


def test_a_sync_leads_to_the_list_of_object_types(hubspot: Simulator, hubspot_conn: str) -> None:
    config = {"version": 1, "associations": [{"from": "contacts", "to": "companies", "limit": 5}]}
    for deferrable in (False, True):
        hubspot.settings.stale_seconds = 0.3
        hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, None)
        task = HubSpotAssociationLimitsSyncOperator(task_id=f"sync_{deferrable}", config=config, deferrable=deferrable)
        run = Airflow().run(task)
        assert (run.state, run.xcoms[LINK]) == ("success", PORTAL)


def test_the_link_stays_when_airflow_ends_the_wait(hubspot: Simulator, hubspot_conn: str) -> None:
    hubspot.settings.processing_seconds = 10_000
    airflow = Airflow()
    task = batch(deferrable=True)
    assert airflow.leg(task).state == "deferred"
    ended = airflow.leg(task, next_method="__fail__", next_kwargs={"error": "Trigger timeout"}, is_new_try=False)
    assert type(ended.error).__name__ == "TaskDeferralTimeout"
    assert airflow.xcoms_of("set_limits")[LINK] == f"{PORTAL}/0-1"


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("mistake", ["{{ nowhere.at_all }}", "{{ '' }}", "no connection"])
def test_a_task_without_a_known_portal_logs_no_error_of_the_link(
    mistake: str, mapped: bool, hubspot: Simulator, hubspot_conn: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"hubspot_conn_id": mistake} if "{" not in mistake else {"from_object_type": mistake}
    if mapped:
        arguments = {"task_id": "set_limits", "from_object_type": "contacts", "to_object_type": "companies"} | given
        task: Any = HubSpotAssociationLimitsOperator.partial(**arguments).expand(inputs=[INPUTS])
        run = Airflow().run(task, map_index=0)
    else:
        run = Airflow().run(batch(**given))
    assert run.state == "failed"
    assert run.xcoms[LINK] == ""
    logged = "".join(capfd.readouterr())
    assert "XCom not found" not in logged
    assert "operator extra link" not in logged


def test_the_link_is_registered_in_airflow() -> None:
    path = f"{HubSpotObjectSettingsLink.__module__}.{HubSpotObjectSettingsLink.__qualname__}"
    assert path in get_provider_info()["extra-links"]
