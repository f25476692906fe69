"""Values in the forms that people and Jinja write: whole numbers, data as text, object types with blanks."""

from __future__ import annotations

import contextlib
import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.limits.inputs import (
    LimitInputsError,
    check_count,
    from_text,
    object_type,
    parse_seconds,
    stripped,
    whole_number,
)
from tests.support.inputs import parse_inputs


class NumpyInt64:
    """A number like numpy.int64: no Python int, but usable as an index."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._value})"

    def __index__(self) -> int:
        return self._value


numpy_bool = type("bool_", (NumpyInt64,), {})


WHOLE: list[Any] = [
    *(5, 5.0, Decimal(5), Decimal("5.00"), Decimal("5E+0"), Fraction(5), NumpyInt64(5), complex(5, 0).real),
    *("5", " 5 ", "5\n", "5.0", "5.000", "+5"),
]
NOT_WHOLE: list[Any] = [
    *(True, False, numpy_bool(1), None, [], [5], {}, object(), b"5", complex(5, 0)),
    *(5.5, math.nan, math.inf, -math.inf, Decimal("5.5"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
    *(10**5000, Decimal("1e999999999"), Decimal("1e-999999999"), 1e300, Fraction(11, 2), "9" * 30),
    *("", " ", "five", "5.5", "0x10", "0o10", "0b1", "1_000", "1,000", "010", "1e3", "5.", ".5", "nan", "inf"),
    *("\uff11\uff12", "\u0665", "5 0", "--5", "True"),
]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_whole_numbers_in_every_form(value: Any) -> None:
    assert whole_number(value) == 5
    assert type(whole_number(value)) is int
    assert check_count("max_concurrency", value) == 5


@pytest.mark.parametrize("value", NOT_WHOLE, ids=[f"not whole {index}" for index in range(len(NOT_WHOLE))])
def test_everything_else_is_refused_with_the_argument(value: Any) -> None:
    assert whole_number(value) is None
    with pytest.raises(LimitInputsError, match="max_concurrency: must be a whole number of at least 1, got "):
        check_count("max_concurrency", value)
    with pytest.raises(LimitInputsError) as raised:
        parse_inputs(
            "contacts", "companies", [{"category": "WORK", "typeId": value, "maxToObjectIds": value}], "update"
        )
    assert [problem.split(":")[0] for problem in raised.value.problems] == [
        "inputs[0].typeId",
        "inputs[0].maxToObjectIds",
    ]


@pytest.mark.parametrize("value", [numpy_bool(1), True, "1_000", "\uff11", "0x10", "nan", "inf", None, "", [], "1 2"])
def test_values_that_are_not_a_length_of_time_are_refused(value: Any) -> None:
    with pytest.raises(LimitInputsError, match="timeout: must be a number of seconds above 0"):
        parse_seconds({"timeout": value})


def test_a_category_may_have_blanks_around_it() -> None:
    [found] = parse_inputs("contacts", "companies", [{"category": " WORK\n", "typeId": 1}], "purge")
    assert found.to_wire() == {"category": "WORK", "typeId": 1}


@pytest.mark.parametrize("value", [0, -1, "-3", 0.0])
def test_a_count_is_at_least_one(value: Any) -> None:
    assert whole_number(value) is not None
    with pytest.raises(LimitInputsError, match="max_concurrency"):
        check_count("max_concurrency", value)


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_an_integer_and_its_text_mean_the_same(number: int) -> None:
    assert whole_number(number) == whole_number(str(number)) == whole_number(Decimal(number)) == number


INPUTS = [{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5, "note": 'it\'s "quoted" \\ é'}]


@pytest.mark.parametrize("text", [str(INPUTS), json.dumps(INPUTS), f"  {INPUTS}\n", json.dumps(INPUTS, indent=1)])
def test_data_is_read_from_its_text(text: str) -> None:
    assert from_text("inputs", text) == INPUTS


def test_every_kind_of_plain_data_survives_its_text() -> None:
    data = {"a": [None, True, False, 1, -2, 3.5, 1e-07, -1e22], "b": ({},), "c]}": "}{", "d": "a\nb\tc\u200b"}
    assert from_text("plan", str(data)) == data


@pytest.mark.parametrize("value", [INPUTS, {}, None, 5, "contacts", "limits.yaml", ""])
def test_other_values_are_returned_unchanged(value: Any) -> None:
    assert from_text("inputs", value) is value


@pytest.mark.parametrize(
    "text",
    [
        "[object at 0x7f]",
        "[Decimal('5')]",
        "{'a': 1",
        "{'a': 1, 'a': 2}",
        '{"a": 1, "a": 2}',
        "[__import__('os').system('true')]",
        "[1+1]",
        "[" + "1 -" * 200_000 + "1]",
        "[" + "-" * 200_000 + "1]",
        "[" * 300_000,
        "[" * 50 + "]" * 50,
        "[" + "'x'," * 300_000 + "]",
        "[{1: {2}, [3]: 4}]",
        "{'a'}x",
    ],
    ids=lambda text: text[:20],
)
def test_text_that_is_not_data_is_refused_with_advice(text: str) -> None:
    with pytest.raises(LimitInputsError) as raised:
        from_text("plan", text)
    [problem] = raised.value.problems
    assert problem.startswith("plan: cannot be read from the text ")
    assert "task.output" in problem
    assert "render_template_as_native_obj=True" in problem
    assert len(problem) < 300


@given(st.text(alphabet="[]{}(),:'\"\\ 0123abNoneTrue-+\n", max_size=40))
def test_any_text_is_read_or_raises_one_kind_of_error(text: str) -> None:
    with contextlib.suppress(LimitInputsError):
        from_text("plan", "[" + text)


def test_inputs_as_jinja_renders_them() -> None:
    inputs = [{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}]
    parsed = parse_inputs("contacts", "companies", str(inputs), "create")
    assert [limit_input.to_wire() for limit_input in parsed] == inputs


@pytest.mark.parametrize("text", ["None", "", "<XComArg>", "[<object>]"])
def test_inputs_rendered_to_nothing_are_refused(text: str) -> None:
    with pytest.raises(LimitInputsError, match=r"inputs: .*task\.output.*render_template_as_native_obj"):
        parse_inputs("contacts", "companies", text, "create")


@pytest.mark.parametrize("value", ["contacts", " contacts", "contacts\n", "\t0-1\r\n"])
def test_an_object_type_is_sent_without_blanks(value: str) -> None:
    assert object_type(value) == stripped(value) == value.strip()
    parse_inputs(value, value, [{"category": "WORK", "typeId": 1}], "purge")


@pytest.mark.parametrize("value", [None, "", " ", "a\nb", "a/b", 5])
def test_values_that_are_not_an_object_type_are_refused(value: Any) -> None:
    with pytest.raises(LimitInputsError, match="object type"):
        object_type(value)
