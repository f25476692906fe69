"""Models of inputs and answers: the range of numbers, and the bounds of texts and lists."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_hubassoc.hubspot.models import BatchAnswer, ErrorDetail, LimitInput

LARGEST = 2**31 - 1


@pytest.mark.parametrize("field", ["typeId", "maxToObjectIds"])
@pytest.mark.parametrize("value", [1, LARGEST])
def test_numbers_of_an_input_in_range(field: str, value: int) -> None:
    wire = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5} | {field: value}
    assert LimitInput.model_validate(wire).to_wire() == wire


@pytest.mark.parametrize("field", ["typeId", "maxToObjectIds"])
@pytest.mark.parametrize("value", [0, -1, LARGEST + 1, True, "5", 5.0])
def test_numbers_of_an_input_out_of_range(field: str, value: Any) -> None:
    wire = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5} | {field: value}
    with pytest.raises(ValidationError):
        LimitInput.model_validate(wire)


def test_the_context_of_an_error_is_bounded() -> None:
    entries: dict[str, Any] = {f"name{n}": [n] for n in range(21)} | {"name1": "x" * 500}
    context = ErrorDetail.model_validate({"context": entries}).context
    assert list(context) == [f"name{n}" for n in range(20) if n != 1]


def test_the_texts_of_an_error_are_bounded() -> None:
    error = ErrorDetail.model_validate(dict.fromkeys(("category", "subCategory", "message"), "x" * 501))
    assert {len(error.category or ""), len(error.sub_category or ""), len(error.message)} == {500}


def test_the_number_of_errors_is_bounded() -> None:
    answer = BatchAnswer.model_validate({"status": "CANCELED", "errors": [{}] * 501})
    assert len(answer.errors) == 500
