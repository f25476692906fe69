"""Booleans in arguments: one rule reads them, and no other text counts as true."""

from typing import Any

import pytest

from airflow_provider_hubassoc.limits.inputs import LimitInputsError, parse_boolean


@pytest.mark.parametrize("value", [True, 1, "true", "True", " TRUE ", "yes", "Y", "on", "t", "1"])
def test_usual_spellings_of_true(value: Any) -> None:
    assert parse_boolean("prune", value) is True


@pytest.mark.parametrize("value", [False, 0, "false", "False", " FALSE\n", "no", "N", "off", "f", "0"])
def test_usual_spellings_of_false(value: Any) -> None:
    assert parse_boolean("prune", value) is False


@pytest.mark.parametrize(
    "value", [None, "", " ", "none", "2", 2, -1, 0.5, "maybe", "{{ x }}", [], {}, [True], object()]
)
def test_everything_else_is_an_error_that_names_the_argument(value: Any) -> None:
    with pytest.raises(LimitInputsError, match="prune: must be true or false, got"):
        parse_boolean("prune", value)


@pytest.mark.parametrize("value", [None, "None", "none", "null"])
def test_an_optional_argument_may_be_none(value: Any) -> None:
    assert parse_boolean("create_missing_labels", value, optional=True) is None
    with pytest.raises(LimitInputsError, match="true or false, or None"):
        parse_boolean("create_missing_labels", "", optional=True)
