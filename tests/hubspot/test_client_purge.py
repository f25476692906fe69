"""A purge succeeds if its answer is COMPLETE without errors; its results need not be limits."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.errors import HubSpotUnreadableAnswerError
from airflow_provider_hubassoc.hubspot.models import BatchStatus, LimitInput
from airflow_provider_hubassoc.limits.operation import BatchOperation, refresh
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.wire import client_of, limit

PAIR = ("contacts", "companies")
NO_LIMITS: list[list[Any]] = [[], [{}], [None], ["279"], ["<unknown>"], [279], [{"category": "X"}], [{"typeId": "a"}]]


@pytest.mark.parametrize("results", NO_LIMITS)
@pytest.mark.parametrize("shape", ["batch", "no status", "list"])
def test_results_that_are_not_limits_are_dropped(hubspot: Simulator, results: list[Any], shape: str) -> None:
    bodies = {"batch": {"status": "COMPLETE", "results": results}, "no status": {"results": results}, "list": results}
    hubspot.inject(path="*/batch/purge", status=200, body=bodies[shape], after=True)
    with client_of(hubspot) as client:
        answer = client.purge_limits(*PAIR, [limit(279, None)])
    assert (answer.status, answer.results) == (BatchStatus.COMPLETE, [])
    assert len(hubspot.requests) == 1


@pytest.mark.parametrize(("status", "body"), [(204, None), (200, ""), (200, " "), (200, "{}"), (200, "null")])
def test_an_empty_answer_is_complete(hubspot: Simulator, status: int, body: str | None) -> None:
    hubspot.inject(path="*/batch/purge", status=status, body=body, after=True)
    with client_of(hubspot) as client:
        assert client.purge_limits(*PAIR, [limit(279, None)]).status is BatchStatus.COMPLETE
    assert len(hubspot.requests) == 1


def test_a_result_that_is_a_limit_is_kept(hubspot: Simulator) -> None:
    row = {"category": "HUBSPOT_DEFINED", "typeId": 279}
    hubspot.inject(path="*/batch/purge", status=200, body={"status": "COMPLETE", "results": [None, row]})
    with client_of(hubspot) as client:
        (result,) = client.purge_limits(*PAIR, [limit(279, None)]).results
    assert result.identity == ("HUBSPOT_DEFINED", 279)


def test_errors_fail_the_purge_whatever_its_results_are(hubspot: Simulator) -> None:
    body = {"status": "COMPLETE", "results": [{}], "numErrors": 1, "errors": [{"message": "No."}]}
    hubspot.inject(path="*/batch/purge", status=207, body=body)
    inputs = [LimitInput.model_validate(limit(279, None))]
    with client_of(hubspot) as client:
        answer = client.purge_limits(*PAIR, inputs)
    operation = BatchOperation(action="purge", from_object_type="contacts", to_object_type="companies", inputs=inputs)
    assert operation.with_answer(answer).has_failed


@pytest.mark.parametrize("size", [1, 2])
def test_the_results_of_a_split_purge_name_every_purged_type(hubspot: Simulator, size: int) -> None:
    rows = [{"category": "HUBSPOT_DEFINED", "typeId": 1}, "<unknown>"]
    hubspot.inject(path="*/batch/purge", status=200, body={"status": "COMPLETE", "results": rows}, times=9)
    with client_of(hubspot, inputs_per_request=size) as client:
        answer = client.purge_limits(*PAIR, [limit(n, None) for n in (1, 279, 280)])
    assert {result.type_id for result in answer.results} == {1, 279, 280}


@pytest.mark.parametrize("results", NO_LIMITS)
def test_results_that_are_not_limits_are_dropped_from_a_status_link(hubspot: Simulator, results: list[Any]) -> None:
    operation = BatchOperation(
        action="purge",
        from_object_type="contacts",
        to_object_type="companies",
        inputs=[LimitInput.model_validate(limit(279, None))],
        status_link=f"{hubspot.url}/status",
    )
    hubspot.inject(path="/status", status=200, body={"status": "COMPLETE", "results": results})
    with client_of(hubspot) as client:
        assert refresh(client, operation).has_succeeded
    assert [request.path for request in hubspot.requests] == ["/status"]


def test_a_status_link_without_a_status_is_unreadable(hubspot: Simulator) -> None:
    hubspot.inject(path="/status", status=200, body={})
    with client_of(hubspot, max_retries=0) as client, pytest.raises(HubSpotUnreadableAnswerError):
        client.get_status(f"{hubspot.url}/status", "purge")
