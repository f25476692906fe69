"""Arguments of a batch: every mistake is reported at once, with its place."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.constants import AssociationCategory
from airflow_provider_hubassoc.hubspot.models import LimitInput
from airflow_provider_hubassoc.limits.inputs import LimitInputsError, check_inputs, parse_seconds
from tests.support.inputs import parse_inputs


def limit(type_id: Any = 279, maximum: Any = 5, category: Any = "HUBSPOT_DEFINED") -> dict[str, Any]:
    return {"category": category, "typeId": type_id, "maxToObjectIds": maximum}


def problems(*args: Any, **options: Any) -> list[str]:
    with pytest.raises(LimitInputsError) as error:
        check_inputs(*args, **options)
    for problem in error.value.problems:
        assert problem in str(error.value)
    return error.value.problems


def places(*args: Any, **options: Any) -> list[str]:
    return [problem.split(": ")[0] for problem in problems(*args, **options)]


def test_valid_inputs_are_returned_as_models() -> None:
    inputs = [limit(), limit(1, 1), limit(279, 2, "USER_DEFINED")]
    parsed = parse_inputs("contacts", "0-2", inputs, "create")
    assert [limit_input.to_wire() for limit_input in parsed] == inputs


def test_a_purge_has_no_limits() -> None:
    parsed = parse_inputs("contacts", "companies", ({"category": "WORK", "typeId": 3},), "purge")
    assert [limit_input.to_wire() for limit_input in parsed] == [{"category": "WORK", "typeId": 3}]
    assert problems("contacts", "companies", [limit()], "purge") == [
        "inputs[0].'maxToObjectIds': is not part of an input of purge (category, typeId)"
    ]


@pytest.mark.parametrize("value", ["279", " 279 ", 279])
def test_numbers_may_be_strings_as_jinja_renders_them(value: Any) -> None:
    assert parse_inputs("contacts", "companies", [limit(value, "3")], "update")[0].type_id == 279


def test_models_and_enums_are_accepted_as_inputs() -> None:
    given_ = [LimitInput.model_validate(limit()), limit(category=AssociationCategory.USER_DEFINED)]
    assert [limit_input.to_wire() for limit_input in parse_inputs("a", "b", given_, "create")] == [
        limit(),
        limit(category="USER_DEFINED"),
    ]


NO_NUMBERS: list[Any] = [
    *(
        0,
        -1,
        2**31,
        True,
        1.5,
        None,
        "",
        "1.5",
        "x",
        "0x10",
        "1_000",
        "010",
        "1e3",
        float("nan"),
        float("inf"),
        "\uff11\uff12",
        "\u0661",
        "9" * 30,
        10**5000,
        [1],
        {},
    ),
]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"category": "HUBSPOT"}, "inputs[1].category"),
        ({"category": None}, "inputs[1].category"),
        ({"category": ["HUBSPOT_DEFINED"]}, "inputs[1].category"),
        *[({key: value}, f"inputs[1].{key}") for key in ("typeId", "maxToObjectIds") for value in NO_NUMBERS],
    ],
)
def test_an_invalid_value_is_named_with_index_and_field(change: dict[str, Any], place: str) -> None:
    assert places("contacts", "companies", [limit(3), limit() | change], "create") == [place]


@pytest.mark.parametrize("value", [1, 2**31 - 1])
def test_the_bounds_are_allowed(value: int) -> None:
    parse_inputs("contacts", "companies", [limit(value, value)], "create")


@pytest.mark.parametrize("key", ["category", "typeId", "maxToObjectIds"])
def test_a_missing_key(key: str) -> None:
    given_ = limit()
    del given_[key]
    assert problems("contacts", "companies", [given_], "update") == [f"inputs[0].{key}: is missing"]


def test_an_unknown_key() -> None:
    assert places("contacts", "companies", [limit() | {"max": 3, 7: 8}], "update") == [
        "inputs[0].'max'",
        "inputs[0].7",
    ]


def test_inputs_with_the_same_category_and_type_are_duplicates() -> None:
    parse_inputs("a", "b", [limit(5), limit(5, category="USER_DEFINED")], "update")
    assert problems("a", "b", [limit(5), limit(6), limit("5", 9)], "update") == [
        "inputs[2]: repeats inputs[0]: HUBSPOT_DEFINED 5"
    ]


@pytest.mark.parametrize(("spelled_from", "spelled_to"), [("contacts", "companies"), ("0-1", "COMPANY")])
def test_a_label_limit_above_the_object_limit_of_the_same_batch(spelled_from: str, spelled_to: str) -> None:
    too_high = limit(35, 6, "USER_DEFINED")
    assert places(spelled_from, spelled_to, [too_high, limit(279, 5), limit(1, 7)], "update") == [
        "inputs[0].maxToObjectIds",
        "inputs[2].maxToObjectIds",
    ]


def test_a_label_limit_equal_to_the_object_limit_is_left_to_hubspot() -> None:
    parse_inputs("contacts", "companies", [limit(35, 5, "USER_DEFINED"), limit(279, 5)], "create")
    # 279 is the object limit of this direction only, and HubSpot's 279 is not the portal's.
    parse_inputs("companies", "contacts", [limit(35, 6, "USER_DEFINED"), limit(279, 5)], "create")
    parse_inputs("contacts", "companies", [limit(35, 6), limit(279, 5, "USER_DEFINED")], "create")


@pytest.mark.parametrize("inputs", [None, {}, "[]", 5, limit()])
def test_inputs_must_be_a_list(inputs: Any) -> None:
    assert places("contacts", "companies", inputs, "create") == ["inputs"]


def test_an_empty_list_is_refused() -> None:
    assert problems("contacts", "companies", [], "create") == ["inputs: must hold at least one input"]


@pytest.mark.parametrize("entry", [None, 5, "x", ["HUBSPOT_DEFINED", 279, 5]])
def test_an_input_must_be_a_mapping(entry: Any) -> None:
    assert places("contacts", "companies", [limit(), entry], "create") == ["inputs[1]"]


@pytest.mark.parametrize("value", [None, "", " ", ".", "..", 5, ["contacts"], "a\nb", "\ud800"])
def test_object_types_must_be_text(value: Any) -> None:
    assert places(value, "companies", [limit()], "create") == ["from_object_type"]
    assert places("contacts", value, [limit()], "create") == ["to_object_type"]


@pytest.mark.parametrize("value", [None, "delete", "CREATE", ["create"]])
def test_the_action_is_one_of_three(value: Any) -> None:
    assert places("contacts", "companies", [limit()], value) == ["action"]


def test_every_mistake_is_named_at_once() -> None:
    found = problems(
        "",
        None,
        [limit(maximum=0), "x", limit(category="?", type_id="?") | {"extra": 1}, limit(7), limit(7)],
        "delete",
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "from_object_type",
        "to_object_type",
        "action",
        "inputs[0].maxToObjectIds",
        "inputs[1]",
        "inputs[2].'extra'",
        "inputs[2].category",
        "inputs[2].typeId",
        "inputs[4]",
    ]


def test_the_error_counts_its_problems() -> None:
    assert str(LimitInputsError(["a"])).startswith("1 mistake in")
    assert str(LimitInputsError(["a", "b"])).startswith("2 mistakes in")


def test_a_long_value_is_shortened() -> None:
    (problem,) = problems("contacts", "companies", [limit(category="x" * 10_000)], "create")
    assert len(problem) < 200


# -- templates, before they are rendered --


def is_known(value: Any) -> bool:
    return not (isinstance(value, str) and "{{" in value) and not isinstance(value, Unknown)


class Unknown:
    pass


@pytest.mark.parametrize(
    "args",
    [
        ("{{ a }}", Unknown(), [limit()], "create"),
        ("contacts", "companies", Unknown(), "create"),
        ("contacts", "companies", [Unknown(), limit()], "create"),
        ("contacts", "companies", [limit("{{ a }}", Unknown(), "{{ c }}")], "create"),
        ("contacts", "companies", [limit()], "{{ action }}"),
        ("contacts", "companies", [{"category": "WORK", "typeId": 1}], Unknown()),
    ],
)
def test_unknown_values_are_not_checked(args: Any) -> None:
    check_inputs(*args, is_known=is_known)


def test_known_values_are_checked_beside_unknown_ones() -> None:
    inputs = [limit("{{ a }}", 0), limit(5), limit(5), Unknown()]
    assert places("{{ a }}", "", inputs, Unknown(), is_known=is_known) == [
        "to_object_type",
        "inputs[0].maxToObjectIds",
        "inputs[2]",
    ]


# -- anything at all --

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(["create", "purge", "HUBSPOT_DEFINED", "contacts", "0-2", 279, "279", 10**400])
)
keys = st.sampled_from(["category", "typeId", "maxToObjectIds"]) | scalars
anything = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(keys, each, max_size=3), max_leaves=5
)


@settings(max_examples=50)
@given(anything, anything, anything | st.lists(st.dictionaries(keys, scalars)), anything)
def test_any_arguments_are_accepted_or_raise_one_kind_of_error(
    from_type: Any, to_type: Any, inputs: Any, action: Any
) -> None:
    with contextlib.suppress(LimitInputsError):
        assert len(parse_inputs(from_type, to_type, inputs, action)) == len(inputs) > 0


# -- lengths of time --


def test_seconds_in_every_form() -> None:
    values = {"a": 1, "b": 0.25, "c": "7.5", "d": timedelta(minutes=1)}
    assert parse_seconds(values) == {"a": 1.0, "b": 0.25, "c": 7.5, "d": 60.0}


@given(anything | st.timedeltas())
def test_seconds_are_above_zero_or_a_named_mistake(value: Any) -> None:
    seconds, problems = None, []
    try:
        seconds = parse_seconds({"timeout": value, "poll_interval": value})
    except LimitInputsError as error:
        problems = [problem.split(":")[0] for problem in error.problems]
    if seconds is None:
        assert problems == ["timeout", "poll_interval"]
    else:
        assert 0 < seconds["timeout"] < float("inf")
