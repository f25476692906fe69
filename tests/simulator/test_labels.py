"""Labels: their texts on both sides, their rules and their ids."""

from __future__ import annotations

import pytest

from tests.support.simulator_client import Api, limit


def texts(rows, category="USER_DEFINED"):
    return {one["typeId"]: one["label"] for one in rows if one["category"] == category}


def test_labels_of_a_standard_pair(api):
    rows = api.labels("contacts/companies")
    assert {
        "category": "HUBSPOT_DEFINED",
        "typeId": 279,
        "label": None,
        "fromObjectTypeId": "0-1",
        "toObjectTypeId": "0-2",
    } in rows
    assert texts(rows, "HUBSPOT_DEFINED") == {279: None, 1: "Primary", 931: "Billing Contact"}


def test_pair_without_association_types(api):
    assert api.labels("products/taxes") == []


def test_paired_label(api):
    body = {"name": "employer", "label": "Employer", "inverseLabel": "Employee"}
    answer = api.label("POST", "contacts/companies", body)
    assert answer.status_code == 200
    inverse, direct = answer.json()["results"]
    assert (direct["label"], inverse["label"]) == ("Employer", "Employee")
    assert (direct["fromObjectTypeId"], inverse["fromObjectTypeId"]) == ("0-1", "0-2")
    assert direct["typeId"] != inverse["typeId"]
    assert texts(api.labels("contacts/companies")) == {direct["typeId"]: "Employer"}
    assert texts(api.labels("companies/contacts")) == {inverse["typeId"]: "Employee"}


def test_single_label_shows_on_both_sides(api):
    rows = api.label("POST", "contacts/companies", {"name": "partner", "label": "Partner"}).json()["results"]
    assert [one["label"] for one in rows] == ["Partner", "Partner"]
    assert len({one["typeId"] for one in rows}) == 2


def test_single_label_of_one_object_type_has_one_id(api):
    rows = api.label("POST", "contacts/contacts", {"name": "friend", "label": "Friend"}).json()["results"]
    assert len(rows) == 1
    api.batch("create", "contacts/contacts", limit(rows[0]["typeId"], 3, "USER_DEFINED"))
    assert len(api.limits("all")) == 1


def test_paired_label_of_one_object_type_has_two_ids(api, hubspot):
    boss, report = hubspot.add_label("contacts", "contacts", label="Boss", inverse_label="Report", name="boss")
    assert texts(api.labels("contacts/contacts")) == {boss: "Boss", report: "Report"}
    api.batch("create", "contacts/contacts", limit(boss, 1, "USER_DEFINED"), limit(report, 9, "USER_DEFINED"))
    assert sorted(hubspot.limits().values()) == [1, 9]


def test_user_defined_ids_collide_with_hubspots_ids(api, hubspot):
    """The identity of a type is (category, typeId), not the type id alone."""
    type_id, _ = hubspot.add_label("contacts", "companies", label="Decision maker", name="decision_maker")
    assert type_id in texts(api.labels("contacts/companies"), "HUBSPOT_DEFINED")
    api.batch("create", "contacts/companies", limit(type_id, 2, "USER_DEFINED"))
    api.batch("create", "contacts/companies", limit(type_id, 1))
    assert [(one["label"], one["userEnforcedMaxToObjectIds"]) for one in api.limits("contacts/companies")] == [
        ("Decision maker", 2),
        ("Primary", 1),
    ]


def test_update_of_both_sides(api, hubspot):
    type_id, inverse_id = hubspot.add_label("contacts", "deals", label="A", inverse_label="B", name="ab")
    answer = api.label("PUT", "contacts/deals", {"associationTypeId": type_id, "label": "C", "inverseLabel": "D"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert texts(api.labels("contacts/deals")) == {type_id: "C"}
    assert texts(api.labels("deals/contacts")) == {inverse_id: "D"}


def test_update_without_inverse_label_changes_both_sides(api, hubspot):
    type_id, inverse_id = hubspot.add_label("contacts", "deals", label="A", inverse_label="B", name="ab")
    assert api.label("PUT", "contacts/deals", {"associationTypeId": type_id, "label": "C"}).status_code == 204
    assert texts(api.labels("deals/contacts")) == {inverse_id: "C"}


@pytest.mark.parametrize(
    "body",
    [
        {"associationTypeId": 99999, "label": "X"},
        {"associationTypeId": 279, "label": "X"},
        {"associationTypeId": "one", "label": "X"},
        {"label": "X"},
        {"associationTypeId": 1, "label": ""},
        {"associationTypeId": 1},
    ],
)
def test_invalid_update(api, hubspot, body):
    hubspot.add_label("contacts", "companies", label="A", name="a")
    answer = api.label("PUT", "contacts/companies", body)
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("pair", ["contacts/deals", "deals/contacts"])
def test_either_id_deletes_both_directions_and_their_limits(api, hubspot, side, pair):
    ids = hubspot.add_label("contacts", "deals", label="A", inverse_label="B", name="ab")
    hubspot.set_limit("contacts", "deals", "USER_DEFINED", ids[0], 5)
    assert api.label("DELETE", pair, suffix=f"/{ids[side]}").status_code == 204
    assert texts(api.labels("contacts/deals")) == texts(api.labels("deals/contacts")) == {}
    assert hubspot.limits() == {}
    assert api.limits("all") == []


@pytest.mark.parametrize("suffix", ["/279", "/99999", "/abc"])
def test_default_and_unknown_types_cannot_be_deleted(api, suffix):
    assert api.label("DELETE", "contacts/companies", suffix=suffix).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"name": "with-hyphen", "label": "X"},
        {"name": "1st", "label": "X"},
        {"name": "", "label": "X"},
        {"name": "x", "label": " "},
        {"name": "x", "label": "X", "inverseLabel": ""},
        {"name": "x"},
        {"label": "X"},
        {"name": 5, "label": "X"},
    ],
)
def test_invalid_label(api, body):
    answer = api.label("POST", "contacts/companies", body)
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"


def test_name_is_unique_in_the_portal(api):
    assert api.label("POST", "contacts/companies", {"name": "partner", "label": "A"}).status_code == 200
    assert api.label("POST", "deals/tickets", {"name": "Partner", "label": "B"}).status_code == 400


def test_fifty_labels_per_pair(api, hubspot):
    for number in range(50):
        pair = ("contacts", "companies") if number % 2 else ("companies", "contacts")
        hubspot.add_label(*pair, label=f"L{number}", name=f"l{number}")
    answer = api.label("POST", "contacts/companies", {"name": "one_more", "label": "One more"})
    assert answer.status_code == 437
    assert answer.json()["message"] == "No more than 50 association types are allowed between CONTACT and COMPANY"
    assert api.label("POST", "contacts/deals", {"name": "one_more", "label": "One more"}).status_code == 200


def test_unlabeled_type_of_a_custom_object_is_user_defined(api, hubspot):
    plan = hubspot.add_object_type("subscription_plan")
    (there,) = api.labels(f"contacts/{plan}")
    (back,) = api.labels(f"{plan}/contacts")
    assert (there["category"], there["label"]) == ("USER_DEFINED", None)
    assert there["typeId"] != back["typeId"]
    (own,) = api.labels(f"{plan}/{plan}")
    assert own["typeId"] not in (there["typeId"], back["typeId"])
    assert api.batch("create", f"{plan}/contacts", limit(back["typeId"], 1, "USER_DEFINED")).status_code == 201
    assert hubspot.limits() == {(plan, "0-1", "USER_DEFINED", back["typeId"]): 1}
    assert api.label("DELETE", f"contacts/{plan}", suffix=f"/{there['typeId']}").status_code == 400


@pytest.mark.parametrize("version", ["2026-03", "v4", "2025-09", "2026-09"])
def test_object_types_in_label_rows(hubspot, version):
    row = Api(hubspot, root=f"/crm/associations/{version}").labels("contacts/deals")[0]
    if version == "2025-09":
        assert "fromObjectTypeId" not in row
    else:
        expected = (None, None) if version == "2026-09" else ("0-1", "0-3")
        assert (row["fromObjectTypeId"], row["toObjectTypeId"]) == expected
