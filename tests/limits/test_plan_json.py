"""Storing plans as JSON and reading them back."""

import json

import pytest

from airflow_provider_hubassoc.limits.plan import Plan
from tests.support.plans import some_plan


def test_a_plan_survives_json() -> None:
    plan = some_plan()
    data = plan.to_json()
    assert Plan.from_json(json.loads(json.dumps(data))) == plan
    assert Plan.from_json(json.dumps(data)) == plan
    assert (
        data["fingerprint"] == plan.fingerprint != some_plan(prune=True).model_copy(update={"changes": []}).fingerprint
    )
    for wrong in ({"version": 2}, {"changes": [{"action": "explode"}]}, "no json", [], None):
        with pytest.raises(ValueError, match="not a plan"):
            Plan.from_json(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"changes": []}, {"fingerprint": None}, {"portal_id": 7}, {"warnings": ["none"]}])
def test_an_edited_plan_is_refused(change: dict[str, object]) -> None:
    data = {**some_plan().to_json(), **change}
    with pytest.raises(ValueError, match="fingerprint"):
        Plan.from_json(data)


def test_a_plan_with_a_change_in_a_direction_that_was_not_read_is_refused() -> None:
    data = some_plan().model_copy(update={"directions": []}).to_json()
    with pytest.raises(ValueError, match="not a plan: directions: contacts -> companies is missing"):
        Plan.from_json(data)


def test_text_that_no_file_can_hold_is_refused() -> None:
    data = some_plan().model_copy(update={"warnings": ["\ud800"]}).to_json()
    for plan in (data, json.dumps(data)):
        with pytest.raises(ValueError, match="not a plan"):
            Plan.from_json(plan)
