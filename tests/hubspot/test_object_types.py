"""Spellings of object types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.object_types import OBJECT_TYPE_IDS, display_name, normalize


@pytest.mark.parametrize(("name", "type_id"), OBJECT_TYPE_IDS.items())
def test_name_and_id_have_the_same_normal_form(name: str, type_id: str) -> None:
    assert normalize(name) == normalize(name.upper()) == normalize(type_id) == type_id
    assert display_name(type_id) == display_name(name) == name


@pytest.mark.parametrize(
    ("singular", "type_id"),
    [("contact", "0-1"), ("Company", "0-2"), ("tax", "0-86"), ("line_item", "0-8"), ("postal_mail", "0-116")],
)
def test_the_singular_has_the_same_normal_form(singular: str, type_id: str) -> None:
    assert normalize(singular) == type_id


def test_spellings_of_custom_objects() -> None:
    assert normalize("2-123") == "2-123"
    assert normalize("p_Car") == "p_car"
    assert normalize("p77_Car", 77) == normalize("p_car", 77) == "p_car"
    assert normalize("p77_Car") == "p77_car"
    assert normalize("p77_Car", 78) == "p77_car"
    assert display_name("p_Car") == "p_Car"


@given(st.text(), st.none() | st.integers())
def test_the_normal_form_is_stable(spelling: str, portal_id: int | None) -> None:
    once = normalize(spelling, portal_id)
    assert normalize(once, portal_id) == once
