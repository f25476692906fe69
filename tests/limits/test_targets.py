"""Targets: narrowing declared limits to some of their directions."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.limits.config import ConfigError, LabelConfig, ResolvedConfig, load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.targets import check_targets, narrowed, parse_target
from tests.support.portal import association, declare


def resolved(*entries: dict[str, Any]) -> ResolvedConfig:
    return load_config(declare(*entries)).resolve()


def directions_of(config: ResolvedConfig) -> list[str]:
    return [":".join(association.direction) for association in config.associations]


@pytest.mark.parametrize("text", ["contacts", "contacts:", ":companies", "a:b:c", "", " : "])
def test_text_that_is_not_a_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be FROM:TO"):
        parse_target(text)


def test_a_target_may_have_white_space() -> None:
    assert parse_target(" contacts : 0-2 ") == Direction("contacts", "0-2")


def test_a_target_finds_its_direction_in_any_spelling() -> None:
    config = resolved(
        association("contacts", "companies", limit=1),
        association("companies", "contacts", limit=2),
        association("p_car", "contacts", limit=3),
    )
    assert narrowed(config, []) is config
    assert directions_of(narrowed(config, [Direction("contact", "0-2")])) == ["contacts:companies"]
    assert directions_of(narrowed(config, [Direction("p12_car", "0-1")], portal_id=12)) == ["p_car:contacts"]
    inverse = resolved(association("contacts", "p12_car", limit=3))
    assert directions_of(narrowed(inverse, [Direction("0-1", "p_car")], portal_id=12)) == ["contacts:p12_car"]


def test_the_id_of_another_portal_is_another_object_type() -> None:
    config = resolved(association("p_car", "contacts", limit=3))
    for portal_id in (None, 13):
        with pytest.raises(ConfigError, match="it has p_car:contacts"):
            narrowed(config, [Direction("p12_car", "contacts")], portal_id=portal_id)


def test_every_unknown_target_is_reported() -> None:
    config = resolved(association("contacts", "companies", limit=1))
    targets = [Direction("deals", "contacts"), Direction("contacts", "companies"), Direction("companies", "contacts")]
    with pytest.raises(ConfigError) as raised:
        narrowed(config, targets)
    assert [problem.found for problem in raised.value.problems] == ['"deals:contacts"', '"companies:contacts"']


def test_a_target_may_be_in_the_overrides_of_one_portal() -> None:
    config = load_config(declare(portals={"p": {"associations": [association("deals", "contacts", limit=1)]}}))
    check_targets(config, [Direction("deal", "0-1")])
    with pytest.raises(ConfigError, match="it has deals:contacts"):
        check_targets(config, [Direction("contacts", "deals")])


@pytest.mark.parametrize(
    ("label", "other_side"),
    [
        ({"create_missing": True}, {"Bought": {"inverse": "Buyer", "name": "buyer"}}),
        ({"create_missing": True, "inverse": "Bought"}, {"Bought": {"name": "buyer"}}),
        ({"create_missing": True, "inverse": "Bought", "name": "buyer"}, {"Bought": {"name": "other"}}),
    ],
)
def test_a_label_keeps_what_the_other_direction_says_about_it(
    label: dict[str, Any], other_side: dict[str, Any]
) -> None:
    """Both sides of a label are created together, even if only one of the directions is a target."""
    config = resolved(
        association("contacts", "deals", labels={"Buyer": label}), association("deals", "contacts", labels=other_side)
    )
    [found] = narrowed(config, [Direction("contacts", "deals")]).associations
    assert found.labels == {"Buyer": LabelConfig(create_missing=True, inverse="Bought", name="buyer")}
