"""Differences between the versions of the API: paths and status codes."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.support.simulator_client import Api, limit

ROOTS = [
    "/crm/v4/associations",
    "/crm/associations/v4",
    "/crm/associations/2025-09",
    "/crm/associations/2026-03",
    "/crm/associations/2026-09",
]


@pytest.mark.parametrize("root", ROOTS)
def test_every_path_has_every_endpoint(hubspot, root):
    api = Api(hubspot, root=root)
    old = root.endswith("2025-09")
    assert api.batch("create", "contacts/companies", limit(279, 5)).status_code == (200 if old else 201)
    assert api.batch("update", "contacts/companies", limit(279, 6)).status_code == 200
    assert [one["userEnforcedMaxToObjectIds"] for one in api.limits("contacts/companies")] == [6]
    assert len(api.limits("all")) == 2
    assert api.batch("purge", "contacts/companies", limit(279)).status_code == (200 if old else 204)
    type_id = api.label("POST", "contacts/companies", {"name": "x", "label": "X"}).json()["results"][-1]["typeId"]
    assert api.label("PUT", "contacts/companies", {"associationTypeId": type_id, "label": "Y"}).status_code == 204
    assert api.label("DELETE", "contacts/companies", suffix=f"/{type_id}").status_code == 204
    assert len(api.labels("contacts/companies")) == 3


@pytest.mark.parametrize(
    ("version", "codes", "flawed"),
    [
        ("2026-03", [201, 200, 204], 207),
        ("v4", [201, 200, 204], 207),
        ("2026-09", [201, 200, 204], 207),
        ("2025-09", [200, 200, 200], 200),
    ],
)
def test_status_codes(hubspot, version, codes, flawed):
    api = Api(hubspot, root=f"/crm/associations/{version}")
    answers = [
        api.batch("create", "contacts/companies", limit(279, 5)),
        api.batch("update", "contacts/companies", limit(279, 6)),
        api.batch("purge", "contacts/companies", limit(279)),
    ]
    assert [one.status_code for one in answers] == codes
    if codes[2] == 200:
        assert set(answers[2].json()) == {"status", "results", "startedAt", "completedAt"}
    for action, value in (("create", 5), ("update", 5), ("purge", None)):
        answer = api.batch(action, "contacts/companies", limit(4, value))
        assert answer.status_code == flawed
        assert answer.json()["status"] == "CANCELED"
        assert answer.json()["results"] == []


@pytest.mark.parametrize("root", ROOTS)
def test_status_links_stay_in_the_version_called(simulate, root):
    hubspot = simulate(processing_seconds=60).hubspot
    api = Api(hubspot, root=root)
    link = api.batch("create", "contacts/companies", limit(279, 5)).json()["links"]["status"]
    version = "v4" if "v4" in root else root.rpartition("/")[2]
    assert link.startswith(f"{hubspot.url}/crm/associations/{version}/definitions/configurations/operations/")
    assert api.call("GET", link).json()["status"] == "PENDING"


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("seconds", [0, 0.02])
@pytest.mark.parametrize("results", ["[]", "[{}]", '["<unknown>"]'])
def test_purge_with_results_that_are_not_limits(simulate, results, seconds, root):
    api = Api(simulate(purge_answer=results, processing_seconds=seconds).hubspot, root=root)
    answer = api.batch("purge", "contacts/companies", limit(279))
    while answer.json()["status"] != "COMPLETE":
        answer = api.call("GET", answer.json()["links"]["status"])
    assert answer.status_code == 200
    assert answer.json()["results"] == json.loads(results)


@pytest.mark.parametrize(
    "options",
    [
        {"purge_answer": "200"},
        {"partial_status": "PENDING"},
        {"limit_rule_status": 500},
        {"create_existing": "ignore"},
        {"processing_seconds": -1},
        {"latency_seconds": float("nan")},
        {"time_zone": "Mars/Olympus"},
    ],
)
def test_invalid_settings(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Simulator(**options)
