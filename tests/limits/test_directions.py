"""Directions, their canonical form, and the published association types."""

from __future__ import annotations

import pytest

from airflow_provider_hubassoc.limits.directions import (
    Direction,
    hubspot_directions,
    published_texts,
    unlabeled_type_id,
)


def test_spellings_of_a_direction_have_one_canonical_form() -> None:
    for direction in (Direction("contacts", "companies"), Direction("Contact", "company"), Direction("0-1", "0-2")):
        assert direction.canonical == Direction("0-1", "0-2")
        assert str(direction) == "contacts -> companies"
        assert str(direction.inverse) == "companies -> contacts"


def test_the_portal_decides_whether_names_of_custom_objects_are_equal() -> None:
    with_id, without_id = Direction("p12_car", "p12_boat"), Direction("p_car", "p_boat")
    assert with_id.canonical_in(12) == without_id.canonical_in(12) == without_id.canonical
    assert with_id.canonical_in(13) == with_id.canonical != without_id.canonical


@pytest.mark.parametrize(
    ("direction", "type_id"),
    [
        (("contacts", "companies"), 279),
        (("company", "0-1"), 280),
        (("deals", "companies"), 341),
        (("p_car", "contacts"), None),
        (("contacts", "2-123"), None),
    ],
)
def test_the_unlabeled_type_of_a_direction(direction: tuple[str, str], type_id: int | None) -> None:
    assert unlabeled_type_id(Direction(*direction)) == type_id


def test_published_types_have_directions_and_labels() -> None:
    assert hubspot_directions()[1] == Direction("0-1", "0-2")
    assert published_texts()[5][0] == "Primary"
    assert 279 not in published_texts()
