"""Spellings of object types, and the data file of association types."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from tests.support.simulator_client import limit


@pytest.mark.parametrize(
    "spelling",
    ["contacts/companies", "contact/company", "0-1/0-2", "CONTACT/Companies", "cOnTaCtS/0-2"],
)
def test_spellings(api, spelling):
    api.batch("create", spelling, limit(279, 5))
    assert list(api.hubspot.limits()) == [("0-1", "0-2", "HUBSPOT_DEFINED", 279)]
    assert len(api.labels(spelling)) == 3


@pytest.mark.parametrize(
    "name", ["line_items", "line_item", "0-8", "tax", "taxes", "postal_mail", "meetings", "leads", "0-970"]
)
def test_more_spellings(api, name):
    api.labels(f"{name}/contacts")


@pytest.mark.parametrize(
    "name", ["lineitem", "contacts%20", "subscription_plan", "0-9999", "2-1", "15693151622", "p_other"]
)
@pytest.mark.parametrize("place", ["{}/contacts", "contacts/{}"])
def test_unknown_object_type(api, hubspot, name, place):
    hubspot.add_object_type("subscription_plan")
    pair = place.format(name)
    answers = [
        api.call("GET", f"{api.root}/definitions/configurations/{pair}"),
        api.batch("update", pair, limit(1, 1)),
        api.label("GET", pair),
        api.label("POST", pair, {"name": "x", "label": "X"}),
        api.label("PUT", pair, {"associationTypeId": 1, "label": "X"}),
        api.label("DELETE", pair, suffix="/1"),
    ]
    for answer in answers:
        assert answer.status_code == 400
        body = answer.json()
        assert body.pop("correlationId") == answer.headers["X-HubSpot-Correlation-Id"]
        assert body == {"status": "error", "message": f"Unable to infer object type from: {name.replace('%20', ' ')}"}


def test_custom_object_spellings(simulate):
    api = simulate(portal_id=42)
    plan = api.hubspot.add_object_type("Subscription_plan")
    assert plan.startswith("2-")
    for spelling in (plan, "p42_subscription_plan", "p_subscription_plan", "P42_Subscription_Plan"):
        assert api.labels(f"contacts/{spelling}") == api.labels(f"contacts/{plan}")
    message = api.batch("create", f"contacts/{plan}", {"category": "WORK", "typeId": 9, "maxToObjectIds": 1}).text
    assert "3-9 is not a valid association type between CONTACT and p42_Subscription_plan" in message
    with pytest.raises(ValueError, match="already"):
        api.hubspot.add_object_type("subscription_plan")


@pytest.fixture(scope="module")
def rows():
    return json.loads(resources.files("airflow_provider_hubassoc").joinpath("association_types.json").read_text())


def test_data_file(rows):
    assert len(rows) > 350
    keys = {"fromObjectTypeId", "toObjectTypeId", "typeId", "label", "name"}
    assert all(set(one) - {"olderLabel"} == keys for one in rows)
    assert len({one["typeId"] for one in rows}) == len(rows)
    unlabeled = [(one["fromObjectTypeId"], one["toObjectTypeId"]) for one in rows if one["label"] is None]
    assert len(set(unlabeled)) == len(unlabeled)


@pytest.mark.parametrize(
    ("type_id", "from_id", "to_id", "label"),
    [
        (279, "0-1", "0-2", None),
        (280, "0-2", "0-1", None),
        (1, "0-1", "0-2", "Primary"),
        (2, "0-2", "0-1", "Contact with Primary Company"),
        (4, "0-1", "0-3", None),
        (3, "0-3", "0-1", None),
        (342, "0-2", "0-3", None),
        (341, "0-3", "0-2", None),
        (6, "0-2", "0-3", "Deal with Primary Company"),
        (5, "0-3", "0-2", "Primary"),
        (25, "0-2", "0-5", "Ticket with Primary Company"),
        (26, "0-5", "0-2", "Primary"),
        (13, "0-2", "0-2", "Child Company"),
        (14, "0-2", "0-2", "Parent Company"),
        (931, "0-1", "0-2", "Billing Contact"),
        (930, "0-2", "0-1", "Billing Contact"),
        (449, "0-1", "0-1", None),
        (582, "0-136", "0-3", "Primary"),
        (82, "0-1", "0-18", None),
        (1255, "0-970", "0-47", None),
    ],
)
def test_directions_of_the_data_file(rows, type_id, from_id, to_id, label):
    (row,) = [one for one in rows if one["typeId"] == type_id]
    assert (row["fromObjectTypeId"], row["toObjectTypeId"], row["label"]) == (from_id, to_id, label)
