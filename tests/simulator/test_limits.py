"""Creating, updating, purging and reading limits, with the bodies captured from a real portal."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.support.simulator_client import limit

CONTACT_TO_DEAL = ("0-1", "0-3", "HUBSPOT_DEFINED", 4)


def row(type_id, value, label=None, category="HUBSPOT_DEFINED"):
    return {"category": category, "typeId": type_id, "userEnforcedMaxToObjectIds": value, "label": label}


def without_times(body):
    for key in ("startedAt", "completedAt"):
        datetime.strptime(body.pop(key), "%Y-%m-%dT%H:%M:%S.%fZ")
    return body


def test_create(api, hubspot):
    answer = api.batch("create", "contact/deal", limit(4, 2))
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert without_times(answer.json()) == {"status": "COMPLETE", "results": [row(4, 2)]}
    assert hubspot.limits() == {CONTACT_TO_DEAL: 2}


def test_update_creates_missing_limits_and_shows_no_label(api, hubspot):
    answer = api.batch("update", "contact/deal", limit(4, 11))
    assert answer.status_code == 200
    expected = {"category": "HUBSPOT_DEFINED", "typeId": 4, "userEnforcedMaxToObjectIds": 11}
    assert without_times(answer.json()) == {"status": "COMPLETE", "results": [expected]}
    api.batch("update", "contact/deal", limit(4, 12))
    assert hubspot.limits() == {CONTACT_TO_DEAL: 12}


def test_create_shows_the_label(api):
    assert api.batch("create", "contacts/companies", limit(1, 3)).json()["results"] == [row(1, 3, "Primary")]


@pytest.mark.parametrize("times", [0, 1, 2])
def test_purge_is_empty_and_idempotent(api, hubspot, times):
    api.batch("create", "contact/deal", limit(4, 2))
    for _ in range(times):
        answer = api.batch("purge", "contact/deal", limit(4))
        assert (answer.status_code, answer.content) == (204, b"")
    assert hubspot.limits() == ({} if times else {CONTACT_TO_DEAL: 2})


def test_purge_of_a_type_that_never_had_a_limit(api):
    assert api.batch("purge", "contact/deal", limit(4)).status_code == 204
    assert api.limits("contact/deal") == []


def test_read_of_a_direction_still_lists_a_purged_type(api):
    api.batch("create", "contact/company", limit(279, 5), limit(1, 1))
    api.batch("purge", "contact/company", limit(279))
    assert api.limits("contact/company") == [row(279, None), row(1, 1, "Primary")]


def test_read_of_all_limits_adds_the_inverse_types(api):
    assert api.limits("all") == []
    api.batch("create", "contact/deal", limit(4, 2))
    assert api.limits("all") == [row(4, 2), row(3, None)]
    api.batch("create", "deal/contact", limit(3, 7))
    assert sorted(api.limits("all"), key=lambda one: one["typeId"]) == [row(3, 7), row(4, 2)]


def test_directions_are_independent(api, hubspot):
    api.batch("create", "contact/deal", limit(4, 2))
    api.batch("create", "deal/contact", limit(3, 7))
    assert api.limits("contact/deal") == [row(4, 2)]
    assert api.limits("deal/contact") == [row(3, 7)]
    assert hubspot.limits() == {CONTACT_TO_DEAL: 2, ("0-3", "0-1", "HUBSPOT_DEFINED", 3): 7}


def test_unlabeled_type_within_one_object_type_has_one_limit(api):
    api.batch("create", "company/company", limit(450, 9))
    assert api.limits("all") == [row(450, 9)]


def test_paired_labels_within_one_object_type_have_a_limit_each(api):
    api.batch("create", "company/company", limit(13, 9))
    assert api.limits("all") == [row(13, 9, "Child Company"), row(14, None, "Parent Company")]


@pytest.mark.parametrize("action", ["create", "update", "purge"])
def test_unknown_type_cancels_with_the_captured_body(api, hubspot, action):
    answer = api.batch(action, "contact/deal", limit(-1, None if action == "purge" else 5))
    assert answer.status_code == 207
    assert without_times(answer.json()) == {
        "status": "CANCELED",
        "results": [],
        "numErrors": 1,
        "errors": [
            {
                "status": "error",
                "category": "VALIDATION_ERROR",
                "subCategory": "crm.associations.INVALID_ASSOCIATION_TYPE",
                "message": "0--1 is not a valid association type between CONTACT and DEAL",
                "context": {"type": ["0--1"], "fromObjectType": ["CONTACT"], "toObjectType": ["DEAL"]},
            }
        ],
    }
    assert hubspot.limits() == {}


def test_a_type_belongs_to_its_direction_and_category(api):
    assert api.batch("create", "contact/deal", limit(3, 5)).json()["status"] == "CANCELED"
    answer = api.batch("create", "contact/deal", limit(4, 5, "USER_DEFINED")).json()
    assert answer["errors"][0]["message"].startswith("1-4 is not a valid association type")


@pytest.mark.parametrize("status", ["COMPLETE", "CANCELED"])
def test_mixed_batch(simulate, status):
    api = simulate(partial_status=status)
    answer = api.batch("update", "contact/company", limit(279, 5), limit(4, 5))
    assert answer.status_code == 207
    body = answer.json()
    assert (body["status"], body["numErrors"]) == (status, 1)
    assert [one["typeId"] for one in body["results"]] == [279]
    assert body["errors"][0]["context"]["type"] == ["0-4"]
    assert list(api.hubspot.limits().values()) == [5]


def test_duplicate_input_is_refused_and_the_first_wins(api, hubspot):
    body = api.batch("update", "contact/deal", limit(4, 5), limit(4, 6)).json()
    assert [one["subCategory"] for one in body["errors"]] == ["crm.associations.DUPLICATE_ASSOCIATION_TYPE"]
    assert hubspot.limits() == {CONTACT_TO_DEAL: 5}


def test_create_of_an_existing_limit(simulate):
    overwriting, refusing = simulate(), simulate(create_existing="error")
    for api in (overwriting, refusing):
        api.batch("create", "contact/deal", limit(4, 5))
        answer = api.batch("create", "contact/deal", limit(4, 6))
        status = 201 if api is overwriting else 207
        assert answer.status_code == status
        assert list(api.hubspot.limits().values()) == [6 if api is overwriting else 5]
    assert answer.json()["errors"][0]["subCategory"] == "crm.associations.ASSOCIATION_LIMIT_ALREADY_EXISTS"
    refusing.batch("purge", "contact/deal", limit(4))
    assert refusing.batch("create", "contact/deal", limit(4, 6)).status_code == 201


# -- a label limit is never above the object limit --


def test_label_limit_above_object_limit(api, hubspot):
    api.batch("create", "contact/company", limit(279, 10))
    answer = api.batch("create", "contact/company", limit(1, 11))
    assert answer.status_code == 207
    assert answer.json()["status"] == "CANCELED"
    assert "valid range is 1-10" in answer.json()["errors"][0]["message"]
    assert len(hubspot.limits()) == 1


def test_object_limit_below_label_limit(api, hubspot):
    api.batch("create", "contact/company", limit(1, 10))
    answer = api.batch("create", "contact/company", limit(279, 9))
    assert answer.status_code == 207
    assert "greater than the existing label limits (i.e., >=10)" in answer.json()["errors"][0]["message"]
    assert api.batch("create", "contact/company", limit(279, 10)).status_code == 201


def test_equal_limits_may_be_refused(simulate):
    api = simulate(equal_limits_allowed=False)
    api.batch("create", "contact/company", limit(279, 10))
    assert "valid range is 1-9" in api.batch("create", "contact/company", limit(1, 10)).text
    api.batch("create", "contact/company", limit(1, 9))
    assert "(i.e., >9)" in api.batch("update", "contact/company", limit(279, 9)).text


def test_limit_rule_may_refuse_the_whole_request(simulate):
    api = simulate(limit_rule_status=400)
    answer = api.batch("create", "contact/company", limit(279, 10), limit(1, 11))
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert api.hubspot.limits() == {}
    assert api.batch("create", "contact/company", limit(279, 10), limit(1, 10)).status_code == 201


def test_limit_rule_follows_the_order_of_the_batch(api):
    api.batch("create", "contact/company", limit(279, 5))
    assert api.batch("update", "contact/company", limit(1, 8), limit(279, 10)).json()["numErrors"] == 1
    assert "errors" not in api.batch("update", "contact/company", limit(279, 10), limit(1, 8)).json()


def test_purged_object_limit_allows_any_label_limit(api):
    api.batch("create", "contact/company", limit(279, 5), limit(1, 3))
    api.batch("purge", "contact/company", limit(279))
    assert api.batch("update", "contact/company", limit(1, 300)).status_code == 200
    assert api.limits("contact/company") == [row(279, None), row(1, 300, "Primary")]


def test_limit_rule_holds_within_a_direction_only(api):
    api.batch("create", "contact/company", limit(279, 5))
    assert api.batch("create", "company/contact", limit(2, 50)).status_code == 201


# -- malformed requests --


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"category": "HUBSPOT_DEFINED", "typeId": 4, "maxToObjectIds": 0}, "greater than or equal to 1"),
        ({"category": "HUBSPOT_DEFINED", "typeId": 4, "maxToObjectIds": -3}, "greater than or equal to 1"),
        ({"category": "HUBSPOT_DEFINED", "typeId": 4, "maxToObjectIds": 1.5}, "Cannot deserialize value of type `int`"),
        ({"category": "HUBSPOT_DEFINED", "typeId": 4, "maxToObjectIds": "5"}, "Cannot deserialize value of type `int`"),
        (
            {"category": "HUBSPOT_DEFINED", "typeId": 4, "maxToObjectIds": True},
            "Cannot deserialize value of type `int`",
        ),
        ({"category": "HUBSPOT_DEFINED", "typeId": 4, "maxToObjectIds": 2**31}, "out of range of int"),
        ({"category": "HUBSPOT_DEFINED", "typeId": "x", "maxToObjectIds": 5}, "Cannot deserialize value of type `int`"),
        (
            {"category": "OTHER", "typeId": 4, "maxToObjectIds": 5},
            "Cannot deserialize value of type `AssociationCategory`",
        ),
        ({"category": 7, "typeId": 4, "maxToObjectIds": 5}, "Cannot deserialize value of type `String`"),
        ({"typeId": 4, "maxToObjectIds": 5}, "required fields were not set: [category]"),
        ({"category": "HUBSPOT_DEFINED", "maxToObjectIds": 5}, "required fields were not set: [typeId]"),
        ({"category": "HUBSPOT_DEFINED", "typeId": 4}, "required fields were not set: [maxToObjectIds]"),
        ([], "Cannot deserialize value"),
        (None, "Cannot deserialize value"),
    ],
)
def test_invalid_input_refuses_the_whole_batch(api, hubspot, entry, message):
    answer = api.batch("create", "contact/deal", limit(4, 1), entry)
    assert answer.status_code == 400
    body = answer.json()
    assert message in body["message"]
    assert (body["status"], body["category"]) == ("error", "VALIDATION_ERROR")
    assert body["correlationId"] == answer.headers["X-HubSpot-Correlation-Id"]
    assert hubspot.limits() == {}


@pytest.mark.parametrize("body", [{}, {"inputs": []}, {"inputs": 5}, [], 7, None])
def test_invalid_body(api, body):
    path = f"{api.root}/definitions/configurations/contact/deal/batch/update"
    answer = api.call(
        "POST", path, data="null" if body is None else None, json=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"


def test_message_names_line_and_column(api):
    path = f"{api.root}/definitions/configurations/contact/deal/batch/purge"
    headers = {"Content-Type": "application/json"}
    answer = api.call("POST", path, data='{"inputs": [\n {"category": "NO", "typeId": 1}]}', headers=headers)
    assert answer.json()["message"].startswith("Invalid input JSON on line 2, column 15: Cannot deserialize value")
    answer = api.call("POST", path, data='{"inputs": [', headers=headers)
    assert answer.json()["message"].startswith("Invalid input JSON on line 1, column 13")


def test_body_must_be_declared_as_json(api):
    path = f"{api.root}/definitions/configurations/contact/deal/batch/purge"
    assert api.call("POST", path, data="inputs=1").status_code == 415


def test_unknown_path_and_method(api):
    for path in ("/crm/v3/objects/contacts", "/crm/associations/2020-01/contacts/companies/labels", "/"):
        answer = api.call("GET", path)
        assert answer.status_code == 404
        assert answer.json()["correlationId"]
    assert api.call("DELETE", f"{api.root}/definitions/configurations/all").status_code == 405
