"""The client of the Limits Tracking API, against the simulator and against odd answers."""

from __future__ import annotations

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotMissingScopesError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
)
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings


@pytest.fixture(params=["2026-03", "2026-09", "2025-09", "v4"])
def client(hubspot, request):
    settings = {"access_token": hubspot.token, "base_url": hubspot.url, "api_version": request.param}
    with HubSpotClient(HubSpotSettings.parse(settings)) as client:
        yield client


@pytest.fixture
def full_contact(hubspot) -> str:
    contact = hubspot.add_record("contacts", "Ada")
    for number in range(2):
        company = hubspot.add_record("companies", f"Company {number}")
        hubspot.associate("contacts", contact, "companies", company, type_id=279)
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 2)
    return contact


def test_labels(client, hubspot):
    car = hubspot.add_object_type("car")
    hubspot.add_label("contacts", "p_car", label="Owner", inverse_label="Owned by", name="owner")
    found = {
        (row.from_object_type.object_type_id, row.to_object_type.object_type_id): row.all_labels
        for row in client.usage.labels()
    }
    assert found == {("0-1", car): ["Owner"], (car, "0-1"): ["Owned by"]}
    assert hubspot.requests[-1].path.split("/")[3] == {"v4": "v3"}.get(client.api_version, client.api_version)


def test_records_at_a_limit(client, full_contact):
    assert [row.object_type_id for row in client.usage.object_types_at_limit()] == ["0-1"]
    [company] = client.usage.object_types_at_limit_from("contacts")
    assert (company.object_type_id, company.plural_label, company.has_records_at_limit) == ("0-2", "Companies", True)
    found = client.usage.records_at_limit("contacts", "companies")
    assert (found.limit, found.total_records_at_limit, found.total_records_near_limit) == (2, 1, 0)
    assert [(sample.object_id, sample.label) for sample in found.at_limit_from_record_samples] == [
        (full_contact, "Ada")
    ]


def test_records_and_custom_object_types(client, hubspot):
    car = hubspot.add_object_type("car")
    hubspot.add_record("p_car", "Beetle")
    [custom] = client.usage.records().custom_object_types.by_object_type
    assert (custom.object_type_id, custom.singular_label, custom.usage) == (car, "car", 1)
    assert client.usage.custom_object_types().usage == 1


def test_a_missing_scope_is_an_error(hubspot):
    settings = HubSpotSettings.parse({"access_token": hubspot.issue_token(["oauth"]), "base_url": hubspot.url})
    with HubSpotClient(settings) as client, pytest.raises(HubSpotMissingScopesError):
        client.usage.labels()


def test_an_object_type_that_cannot_be_part_of_a_path_is_refused(client, hubspot):
    with pytest.raises(HubSpotValidationError, match="is not an object type"):
        client.usage.records_at_limit("contacts", "../labels")
    assert hubspot.requests == []


@pytest.mark.parametrize(
    "row",
    [
        {"fromObjectType": {"objectTypeId": "0-1"}, "toObjectType": {"objectTypeId": "0-2"}},
        {
            "fromObjectType": {"objectTypeId": "0-1", "singularLabel": None, "new": 1},
            "toObjectType": {"objectTypeId": "0-2"},
            "limit": None,
            "usage": None,
            "percentage": None,
            "allLabels": None,
        },
    ],
)
def test_missing_fields_are_accepted(client, hubspot, row):
    hubspot.inject(path="*/associations/labels", status=200, body={"results": [row]})
    [found] = client.usage.labels()
    assert (found.usage, found.all_labels, found.from_object_type.singular_label) == (0, [], "")


@pytest.mark.parametrize("body", [{}, [], {"results": {}}, {"results": [{"fromObjectType": 1}]}])
def test_an_answer_of_another_shape_is_an_error(client, hubspot, body):
    hubspot.inject(path="*/associations/labels", status=200, body=body)
    with pytest.raises(HubSpotUnreadableAnswerError, match="not as documented"):
        client.without_retries().usage.labels()
