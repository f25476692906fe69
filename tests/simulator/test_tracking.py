"""The Limits Tracking API of the simulator: labels, records at a limit, custom objects."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.simulator_client import limit

ROOT = "/crm/limits/2026-03"


def read(api, path: str, root: str = ROOT) -> Any:
    answer = api.call("GET", f"{root}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def full_contact(hubspot) -> str:
    """Return a contact with two companies, one of them its primary one."""
    contact = hubspot.add_record("contacts", "Ada")
    for name, type_id in (("Acme", 279), ("Globex", 1)):
        company = hubspot.add_record("companies", name)
        hubspot.associate("contacts", contact, "companies", company, type_id=type_id)
    return contact


@pytest.mark.parametrize("version", ["2026-03", "2026-09", "2025-09", "v3"])
def test_lists_every_direction_with_custom_labels(api, hubspot, version):
    car = hubspot.add_object_type("car")
    hubspot.add_label("contacts", "companies", label="Buyer", inverse_label="Seller", name="buyer")
    hubspot.add_label("contacts", "p_car", label="Owner", name="owner")
    rows = read(api, "associations/labels", f"/crm/limits/{version}")["results"]
    found = {(row["fromObjectType"]["objectTypeId"], row["toObjectType"]["objectTypeId"]): row for row in rows}
    texts = {pair: row["allLabels"] for pair, row in found.items()}
    assert texts == {
        ("0-1", "0-2"): ["Buyer"],
        ("0-2", "0-1"): ["Seller"],
        ("0-1", car): ["Owner"],
        (car, "0-1"): ["Owner"],
    }
    row = found["0-1", car]
    assert row["toObjectType"] == {"objectTypeId": car, "singularLabel": "car", "pluralLabel": "cars"}
    assert row["fromObjectType"]["pluralLabel"] == "Contacts"
    assert (row["limit"], row["usage"], row["percentage"]) == (50, 1, 2.0)


def test_an_unknown_version_is_not_found(api):
    assert api.call("GET", "/crm/limits/v4/records").status_code == 404


def test_counts_records_at_the_object_limit(api, hubspot, full_contact):
    api.batch("create", "contacts/companies", limit(279, 2))
    from_types = read(api, "associations/records/from")["results"]
    assert [(row["objectTypeId"], row["hasRecordsAtLimit"], row["hasRecordsNearLimit"]) for row in from_types] == [
        ("0-1", True, False)
    ]
    to_types = read(api, "associations/records/0-1/to")["results"]
    assert [row["objectTypeId"] for row in to_types] == ["0-2"]
    assert read(api, "associations/records/0-2/to")["results"] == []
    assert read(api, "associations/records/0-1/0-2") == {
        "limit": 2,
        "totalRecordsAtLimit": 1,
        "totalRecordsNearLimit": 0,
        "atLimitFromRecordSamples": [{"objectId": int(full_contact), "label": "Ada"}],
        "nearLimitFromRecordSamples": [],
    }


def test_counts_records_at_a_label_limit(api, hubspot, full_contact):
    api.batch("create", "contacts/companies", limit(279, 10), limit(1, 1))
    assert read(api, "associations/records/0-1/0-2")["totalRecordsAtLimit"] == 1


def test_counts_records_near_the_limit(api, hubspot):
    contact = hubspot.add_record("contacts", "Ada")
    for number in range(4):
        company = hubspot.add_record("companies", f"Company {number}")
        hubspot.associate("contacts", contact, "companies", company, type_id=279)
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 5)
    found = read(api, "associations/records/0-1/0-2")
    assert (found["totalRecordsAtLimit"], found["totalRecordsNearLimit"]) == (0, 1)
    assert found["nearLimitFromRecordSamples"] == [
        {"objectId": int(contact), "label": "Ada", "usage": 4, "percentage": 80.0}
    ]
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 6)
    assert read(api, "associations/records/0-1/0-2")["totalRecordsNearLimit"] == 0


def test_associations_count_in_both_directions(api, hubspot, full_contact):
    hubspot.set_limit("companies", "contacts", "HUBSPOT_DEFINED", 280, 1)
    assert read(api, "associations/records/0-2/0-1")["totalRecordsAtLimit"] == 2


def test_names_every_custom_object_type(api, hubspot):
    car = hubspot.add_object_type("car")
    hubspot.add_record("p_car", "Beetle")
    custom = read(api, "records")["customObjectTypes"]
    assert custom["byObjectType"] == [{"objectTypeId": car, "singularLabel": "car", "pluralLabel": "cars", "usage": 1}]
    assert custom["overallUsage"] == 1
    assert read(api, "custom-object-types") == {"limit": 10, "usage": 1, "percentage": 10.0}


def test_requires_the_scopes_of_limits(api, hubspot):
    api.session.headers["Authorization"] = f"Bearer {hubspot.issue_token(['oauth'])}"
    answer = api.call("GET", f"{ROOT}/associations/labels")
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")


def test_answers_lag_behind_changes(api, hubspot, full_contact):
    hubspot.settings.tracking_lag_seconds = 0.5
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 2)
    hubspot.add_label("contacts", "companies", label="Buyer", name="buyer")
    assert read(api, "associations/labels")["results"] == []
    assert read(api, "associations/records/0-1/0-2")["totalRecordsAtLimit"] == 0
    time.sleep(0.6)
    assert len(read(api, "associations/labels")["results"]) == 2
    assert read(api, "associations/records/0-1/0-2")["totalRecordsAtLimit"] == 1


def test_records_can_be_made_by_another_process(api, hubspot):
    ids = [
        api.call("POST", "/_simulator/records", {"objectType": kind, "name": "x"}).json()["id"]
        for kind in ("contacts", "companies")
    ]
    body = {
        "fromObjectType": "contacts",
        "fromRecord": ids[0],
        "toObjectType": "companies",
        "toRecord": ids[1],
        "category": "HUBSPOT_DEFINED",
        "typeId": 279,
    }
    assert api.call("POST", "/_simulator/associations", body).status_code == 204
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 1)
    assert read(api, "associations/records/0-1/0-2")["totalRecordsAtLimit"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [({"toRecord": "1"}, "no record 1 of 0-2"), ({"typeId": 3}, "no association type HUBSPOT_DEFINED 3")],
)
def test_refuses_associations_that_cannot_be(api, hubspot, full_contact, change, message):
    company = hubspot.add_record("companies", "Initech")
    body = {
        "fromObjectType": "contacts",
        "fromRecord": full_contact,
        "toObjectType": "companies",
        "toRecord": company,
        "category": "HUBSPOT_DEFINED",
        "typeId": 279,
    }
    answer = api.call("POST", "/_simulator/associations", body | change)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
