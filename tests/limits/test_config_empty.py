"""Null and empty values: not managed, kept in the model, and a warning where they look like a slip."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.limits.config import AssociationConfig, check_config, load_config
from tests.support.portal import association, declare

TYPE = {"category": "USER_DEFINED", "typeId": 3}


def only(source: Any, conn_id: str | None = None) -> AssociationConfig:
    [found] = load_config(source).resolve(conn_id=conn_id).associations
    return found


def warnings(source: Any) -> list[str]:
    config, problems = check_config(source)
    assert config is not None
    assert {problem.severity for problem in problems} <= {"warning"}
    return [f"{problem.path}: {problem.message}" for problem in problems]


def test_null_is_kept_as_not_managed() -> None:
    entry = association("contacts", "companies", limit=None, labels={"A": None, "B": {"limit": None}})
    found = only(declare(entry | {"types": [TYPE | {"limit": None}]}))
    assert "limit" in found.model_fields_set
    assert found.limit is None
    assert {name: label.limit for name, label in found.labels.items()} == {"A": None, "B": None}
    assert [(association_type.identity, association_type.limit) for association_type in found.types] == [
        (("USER_DEFINED", 3), None)
    ]


def test_a_limit_that_is_not_mentioned_is_not_in_the_model() -> None:
    found = only(declare(association("contacts", "companies", labels={"A": 1})), "other")
    assert "limit" not in found.model_fields_set
    assert found.is_prunable


def test_null_in_an_override_cancels_the_general_limit() -> None:
    base = association("contacts", "companies", limit=5, labels={"A": 1, "B": 2}, types=[TYPE | {"limit": 3}])
    over = association("contacts", "companies", limit=None, labels={"A": None}, types=[TYPE | {"limit": None}])
    found = only(declare(base, portals={"p": {"associations": [over]}}), "p")
    assert "limit" in found.model_fields_set
    assert (found.limit, found.labels["A"].limit, found.labels["B"].limit) == (None, None, 2)
    assert found.types[0].limit is None


def test_an_override_adds_only_what_it_mentions() -> None:
    base = association("contacts", "companies", labels={"A": 1})
    over = association("contacts", "companies", labels={"B": 2})
    found = only(declare(base, portals={"p": {"associations": [over]}}), "p")
    assert "limit" not in found.model_fields_set
    assert list(found.labels) == ["A", "B"]


def test_null_lists_in_an_override_cancel_the_general_ones() -> None:
    base = association("contacts", "companies", limit=5, labels={"A": 1}, types=[TYPE | {"limit": 3}])
    over = association("contacts", "companies", labels=None, types=None)
    found = only(declare(base, portals={"p": {"associations": [over]}}), "p")
    assert (found.limit, found.labels["A"].limit, found.types[0].limit) == (5, None, None)
    assert not found.is_prunable


@pytest.mark.parametrize("key", ["labels", "types"])
def test_an_empty_list_keeps_the_direction_from_being_pruned(key: str) -> None:
    found = only(declare(association("contacts", "companies", limit=5, **{key: None})))
    assert not found.is_prunable
    assert only(declare(association("contacts", "companies", limit=5))).is_prunable
    base = association("contacts", "companies", **{key: None})
    over = association("contacts", "companies", limit=5)
    assert not only(declare(base, portals={"p": {"associations": [over]}}), "p").is_prunable


@pytest.mark.parametrize(
    ("label", "created"),
    [
        (2, True),
        ("unlimited", True),
        ({"limit": 2}, True),
        ({"create_missing": True}, True),
        ({"inverse": "Other side"}, True),
        (None, False),
        ({}, False),
        ({"limit": None}, False),
        ({"limit": None, "inverse": "Other side"}, False),
        ({"limit": None, "create_missing": True}, True),
    ],
)
def test_a_label_with_an_empty_value_is_never_created(label: Any, created: bool) -> None:
    config = load_config(declare(association("contacts", "companies", labels={"A": label}))).resolve()
    assert config.with_missing_labels(True).associations[0].labels["A"].create_missing is created
    assert config.with_missing_labels(False).associations[0].labels["A"].create_missing is False


def test_null_in_an_override_also_cancels_creating_the_label() -> None:
    base = association("contacts", "companies", labels={"A": {"limit": 1, "create_missing": True, "inverse": "B"}})
    over = association("contacts", "companies", labels={"A": None})
    config = load_config(declare(base, portals={"p": {"associations": [over]}})).resolve(conn_id="p")
    for create in (None, True):
        label = config.with_missing_labels(create).associations[0].labels["A"]
        assert (label.limit, label.create_missing, label.inverse) == (None, False, "B")


def text(*lines: str) -> str:
    return "\n".join(["version: 1", "associations:", "  - from: contacts", "    to: companies", *lines, ""])


@pytest.mark.parametrize(
    ("lines", "where", "message"),
    [
        (["    labels: {Owner:1}"], 'labels["Owner:1"]', 'is read as the label "Owner:1" without a limit; a space is'),
        (["    labels: {Owner:1}"], 'labels["Owner:1"]', "write Owner: 1"),
        (["    labels: {Owner: }"], "labels.Owner", "has no limit, so the label is neither managed nor created"),
        (["    labels:", "      Owner:"], "labels.Owner", "has no limit"),
        (["    labels:", "      Owner: {limit: }"], "labels.Owner", "has no limit"),
        (["    labels:", "      Owner: {}"], "labels.Owner", "has no limit"),
        (["    limit:", "    labels: {A: 1}"], "limit", "is empty, so the object limit of contacts"),
        (["    labels:", "    limit: 1"], "labels", "is empty"),
        (["    types:", "    limit: 1"], "types", "is empty"),
        (["    types: [{category: WORK, typeId: 1, limit: }]"], "types[0].limit", "is empty"),
        ([], "", "declares no limit of contacts"),
        (["    labels: {}"], "", "declares no limit"),
    ],
)
def test_an_empty_value_that_looks_like_a_slip_is_a_warning(lines: list[str], where: str, message: str) -> None:
    [warning] = warnings(text(*lines))
    assert warning.startswith(f"associations[0]{'.' if where else ''}{where}: ")
    assert message in warning


def test_an_explicit_null_is_no_warning() -> None:
    lines = ["    limit: null", "    labels: {A: null, B: ~}", "    types: [{category: WORK, typeId: 1, limit: null}]"]
    assert warnings(text(*lines)) == []


def test_a_portal_without_overrides_is_a_warning() -> None:
    base = text("    limit: 1")
    for portals in (
        'portals: {"12345": }\n',
        'portals:\n  "12345": {associations: }\n',
        'portals: {"1": {associations: []}}\n',
    ):
        [warning] = warnings(base + portals)
        assert "has no overrides, so the general limits of the file apply" in warning
    for portals in ("portals:\n", "portals: {}\n"):
        assert warnings(base + portals) == ["portals: is empty and has no effect"]
    [warning] = warnings(base + "portals: {a: {associations: [{from: contacts, to: companies}]}}\n")
    assert "the override has no effect" in warning


def test_a_type_without_a_limit_is_an_error() -> None:
    config, [problem] = check_config(declare(association("contacts", "companies", types=[TYPE])))
    assert (config, problem.message) == (None, "is missing")


def test_a_limit_both_declared_and_null_is_an_error() -> None:
    entries = [association("contacts", "companies", limit=limit) for limit in (5, None)]
    config, [problem] = check_config(declare(*entries))
    assert config is None
    assert "is already declared" in problem.message
