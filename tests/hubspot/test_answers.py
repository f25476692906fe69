"""The answers to the parts of one batch are combined."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.answers import join_answers, with_purged_types
from airflow_provider_hubassoc.hubspot.models import BatchAnswer, BatchStatus, LimitInput

ERROR = {"message": "No."}
INPUTS = [LimitInput.model_validate({"category": "HUBSPOT_DEFINED", "typeId": type_id}) for type_id in (1, 279)]


def answer(status: str = "COMPLETE", **fields: Any) -> BatchAnswer:
    return BatchAnswer.model_validate({"status": status, **fields})


@pytest.mark.parametrize(
    ("statuses", "joined"),
    [
        (["COMPLETE", "COMPLETE"], "COMPLETE"),
        (["COMPLETE", "CANCELED"], "CANCELED"),
        (["CANCELED", "PROCESSING", "COMPLETE"], "PROCESSING"),
        (["PROCESSING", "PENDING", "CANCELED"], "PENDING"),
    ],
)
def test_the_most_urgent_status_is_that_of_the_batch(statuses: list[str], joined: str) -> None:
    assert join_answers([answer(status) for status in statuses]).status == joined


def test_times_and_errors_are_combined() -> None:
    first = answer(requestedAt="r1", startedAt="s1", completedAt="c1", correlationId="id-1", numErrors=0)
    second = answer(
        requestedAt="r2", startedAt="s2", completedAt="c2", correlationId="id-2", numErrors=3, errors=[ERROR]
    )
    joined = join_answers([first, second, answer(completedAt="c3", correlationId="id-3", numErrors=1)])
    assert (joined.requested_at, joined.started_at, joined.completed_at) == ("r1", "s1", "c3")
    assert (joined.num_errors, [error.message for error in joined.errors]) == (4, ["No."])
    assert joined.correlation_id == "id-2"


@pytest.mark.parametrize(
    "refused",
    [answer("CANCELED"), answer("PENDING"), answer(errors=[ERROR]), answer(numErrors=1)],
)
def test_no_type_counts_as_purged_without_success(refused: BatchAnswer) -> None:
    assert with_purged_types(refused, INPUTS).results == []


def test_the_types_of_a_successful_purge_are_named_once() -> None:
    row = {"category": "HUBSPOT_DEFINED", "typeId": 1}
    purged = with_purged_types(answer(results=[row]), INPUTS)
    assert [result.identity for result in purged.results] == [("HUBSPOT_DEFINED", 1), ("HUBSPOT_DEFINED", 279)]
    assert purged.status is BatchStatus.COMPLETE
