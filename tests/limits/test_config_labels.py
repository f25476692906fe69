"""Labels that look alike or are invisible; ids that are valid in one portal only; types that cannot be limited."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.limits.config import (
    Problem,
    canonical_label,
    check_config,
    json_schema,
    label_problem,
    load_config,
)
from airflow_provider_hubassoc.limits.problems import show_exactly
from tests.support.portal import association, declare


def problems_of(*entries: dict[str, Any], **more: Any) -> list[Problem]:
    return check_config(declare(*entries, **more))[1]


LOOK_ALIKES = [
    ("Décideur", unicodedata.normalize("NFD", "Décideur")),
    ("Boss", "BOSS"),
    ("Straße", "STRASSE"),
    ("Key contact", "Key  contact"),
    ("Key contact", "Key\u00a0contact"),
    ("Boss", "\uff22oss"),
    ("ﬁnance", "finance"),
]


@pytest.mark.parametrize(("one", "other"), LOOK_ALIKES)
def test_look_alikes_have_one_canonical_form(one: str, other: str) -> None:
    assert one != other
    assert canonical_label(one) == canonical_label(other) == canonical_label(f" {other}\u200b ")
    assert show_exactly(one) != show_exactly(other)


@pytest.mark.parametrize(("one", "other"), [("Boss", "Bosses"), ("Owner 1", "Owner 2"), ("A+B", "A B"), ("e", "é")])
def test_different_labels_stay_different(one: str, other: str) -> None:
    assert canonical_label(one) != canonical_label(other)


@given(st.text())
def test_the_canonical_form_is_stable(text: str) -> None:
    assert canonical_label(canonical_label(text)) == canonical_label(text)


@pytest.mark.parametrize(("one", "other"), LOOK_ALIKES)
def test_two_look_alikes_of_one_direction_are_an_error(one: str, other: str) -> None:
    [problem] = problems_of(association("contacts", "companies", labels={one: 1, other: 2}))
    assert problem.severity == "error"
    assert problem.message == f"looks like the label {show_exactly(one)}; use one spelling"
    assert problem.found == show_exactly(other)
    assert load_config(
        declare(
            association("contacts", "companies", labels={one: 1}), association("contacts", "deals", labels={other: 1})
        )
    )


def test_look_alikes_are_found_across_overrides_and_inverses() -> None:
    base = association("contacts", "companies", labels={"Boss": 1})
    over = {"p": {"associations": [association("contact", "0-2", labels={"boss": 2})]}}
    [problem] = problems_of(base, portals=over)
    assert problem.path == "portals.p.associations[0].labels.boss"
    sides = [
        association("contacts", "companies", labels={"Buyer": {"limit": 1, "inverse": "Bought by"}}),
        association("companies", "contacts", labels={"bought by": 1}),
    ]
    [problem] = problems_of(*sides)
    assert "looks like the label" in problem.message
    both_ways = [
        association("contacts", "companies", labels={"Partner": {"limit": 1, "create_missing": True}}),
        association("companies", "contacts", labels={"partner": 1}),
    ]
    assert len(problems_of(*both_ways)) == 1


UNSEEN = [
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u2060",
    "\u00ad",
    "\x07",
    "\t",
    "\u202e",
    "\u2066",
    "\u3164",
    "\u2800",
    "\u034f",
    "\u2028",
]


@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"{ord(char):04X}")
def test_invisible_characters_are_refused_and_shown(char: str) -> None:
    for label in (f"Bo{char}ss", f"Boss{char}", f"{char}Boss"):
        values = [
            {label: 1},
            {"A": {"limit": 1, "inverse": label}},
            {"A": {"limit": 1, "name": label}},
        ]
        for labels in values:
            [problem] = problems_of(association("contacts", "companies", labels=labels))
            assert problem.severity == "error"
            text = str(problem)
            assert f"U+{ord(char):04X}" in text or "white space" in text or "no spaces" in text
            assert char not in text


@pytest.mark.parametrize("label", [" Boss", "Boss ", "Boss\n", "\u00a0Boss", "Boss\u3000"])
def test_white_space_at_the_ends_is_refused(label: str) -> None:
    for labels in ({label: 1}, {"A": {"limit": 1, "inverse": label}}):
        [problem] = problems_of(association("contacts", "companies", labels=labels))
        assert problem.message == "must not begin or end with white space"


@pytest.mark.parametrize(
    "label",
    ["Key contact", "Key\u00a0contact", "👩‍💻 engineer", "❤️", "می‌خواهم", "क्‍ष", "Décideur", "北京", "№ 1"],
)
def test_invisible_characters_that_a_script_needs_are_allowed(label: str) -> None:
    assert label_problem(label) is None
    assert problems_of(association("contacts", "companies", labels={label: 1})) == []


TYPE = {"category": "USER_DEFINED", "typeId": 12, "limit": 1}


def test_an_id_of_one_portal_for_all_portals_is_a_warning() -> None:
    portals = {"p": {"associations": [association("contacts", "deals", types=[TYPE])]}}
    entries = [
        association("contacts", "companies", types=[TYPE, TYPE | {"category": "INTEGRATOR_DEFINED"}]),
        association("contacts", "2-123", limit=2, labels={"A": 1, "B": 1}),
        association("p77_car", "p_boat", limit=1),
    ]
    found = problems_of(*entries, portals=portals)
    assert {problem.severity for problem in found} == {"warning"}
    assert [problem.path for problem in found] == [
        "associations[0].types[0]",
        "associations[0].types[1]",
        "associations[1]",
        "associations[2]",
    ]
    assert all("of one portal, but this applies to all portals" in problem.message for problem in found)
    assert problems_of(*entries) == []


def test_types_that_cannot_be_limited_are_accepted_with_a_warning() -> None:
    types = [
        {"category": "HUBSPOT_DEFINED", "typeId": 0, "limit": 1},
        {"category": "USER_DEFINED", "typeId": -1, "limit": 1},
        {"category": "USER_DEFINED", "typeId": 2**31, "limit": 1},
        {"category": "SYSTEM", "typeId": 5, "limit": 1},
        {"category": "neu erfunden", "typeId": "279", "limit": "7"},
        {"category": "WORK", "typeId": 279.0, "limit": 7.0},
    ]
    config, problems = check_config(
        declare(association("contacts", "companies", limit=5, labels={"A": 9}, types=types))
    )
    assert config is not None
    assert [association_type.identity for association_type in config.associations[0].types] == [
        (association_type["category"], int(float(str(association_type["typeId"])))) for association_type in types
    ]
    assert {problem.severity for problem in problems} == {"warning"}
    assert sum("cannot limit; plans only show it" in problem.message for problem in problems) == 5
    assert sum("HubSpot refuses it" in problem.message for problem in problems) == 1


@pytest.mark.parametrize(
    ("category", "meant"),
    [
        ("HUBSPOT_DEFINDE", "HUBSPOT_DEFINED"),
        ("hubspot_defined", "HUBSPOT_DEFINED"),
        ("HUBSPOT", "HUBSPOT_DEFINED"),
        ("User_Defined", "USER_DEFINED"),
        ("USERDEFINED", "USER_DEFINED"),
        ("INTEGRATOR-DEFINED", "INTEGRATOR_DEFINED"),
        ("work", "WORK"),
    ],
)
def test_a_misspelled_category_is_an_error(category: str, meant: str) -> None:
    entry = association("contacts", "companies", types=[TYPE | {"category": category}])
    [problem] = problems_of(entry)
    assert (problem.severity, problem.found) == ("error", f'"{category}"')
    assert problem.message.endswith(f'did you mean "{meant}"?')


@pytest.mark.parametrize(
    "change", [{"category": None}, {"category": ""}, {"category": 5}, {"typeId": "x"}, {"typeId": True}]
)
def test_an_invalid_type_is_an_error(change: dict[str, Any]) -> None:
    [problem] = problems_of(association("contacts", "companies", types=[TYPE | change]))
    assert problem.severity == "error"


def test_the_schema_suggests_the_known_categories() -> None:
    assert "HUBSPOT_DEFINED" in json_schema()["$defs"]["TypeConfig"]["properties"]["category"]["examples"]
