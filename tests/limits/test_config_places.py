"""Places of declarations: file, line and column, kept through overrides and part of every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_hubassoc.limits.config import ConfigError, Place, Problem, check_config, load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import Plan, build_plan
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState
from tests.support.portal import association, declare

TEXT = """\
version: 1
associations:
  - from: contacts
    to: companies
    limit: 5
    labels:
      Owner: 2
      Boss: {limit: 1, inverse: Report}
    types:
      - {category: USER_DEFINED, typeId: 3, limit: 1}
  - {from: deals, to: contacts, limit: 9}
portals:
  emea:
    associations:
      - from: contacts
        to: companies
        labels: {Owner: 1}
"""


def test_every_declaration_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(TEXT)
    source = str(file)
    config = load_config(file)
    first, second = config.associations
    assert (first.place, second.place) == (Place(source, 3, 5), Place(source, 11, 5))
    assert {name: label.place for name, label in first.labels.items()} == {
        "Owner": Place(source, 7, 7),
        "Boss": Place(source, 8, 7),
    }
    assert first.types[0].place == Place(source, 10, 9)
    assert str(first.place) == f"{source}:3:5"


def test_an_override_has_its_own_place(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(TEXT)
    first, second = load_config(file).resolve(named="emea").with_missing_labels(True).associations
    assert first.place == Place(str(file), 15, 9)
    assert first.labels["Owner"].place == Place(str(file), 17, 18)
    assert first.labels["Boss"].place == Place(str(file), 8, 7)
    assert first.types[0].place == Place(str(file), 10, 9)
    assert second.place == Place(str(file), 11, 5)


def test_text_has_lines_without_a_file_and_a_dict_has_no_place() -> None:
    place = load_config(TEXT).associations[0].place
    assert (place, str(place)) == (Place("", 3, 5), "line 3, column 5")
    data = {"version": 1, "associations": [{"from": "contacts", "to": "companies", "labels": {"A": 1}}]}
    association = load_config(data).associations[0]
    assert (association.place, association.labels["A"].place) == (None, None)


def test_equal_limits_are_equal_wherever_they_are_declared() -> None:
    assert load_config(TEXT) == load_config("# moved\n" + TEXT)
    assert load_config(TEXT) != load_config(TEXT.replace("Owner: 2", "Owner: 3"))


def test_every_mistake_has_file_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(TEXT.replace("limit: 5", "limit: 5.5").replace("Owner: 1", "Owner: -1").replace("9}", "9, x: 1}"))
    with pytest.raises(ConfigError) as raised:
        load_config(file)
    assert [problem.location for problem in raised.value.problems] == [
        f"{file}:5:5",
        f"{file}:11:43",
        f"{file}:17:18",
    ]
    assert raised.value.problems[0].source == str(file)


def test_mistakes_of_one_line_are_in_the_order_of_their_columns() -> None:
    _, problems = check_config("version: 1\nassociations: [{lables: {}, limit: 0, to: x, from: contacts}]\n")
    assert [problem.path.split(".")[-1] for problem in problems] == ["lables", "limit", "to"]


def test_a_problem_keeps_its_own_file() -> None:
    error = ConfigError([Problem("is missing", source="a.yaml"), Problem("is missing")], "b.yaml")
    assert [problem.location for problem in error.problems] == ["a.yaml", "b.yaml"]


def test_problems_of_text_have_lines_and_those_of_a_dict_have_no_place() -> None:
    _, [problem] = check_config(
        TEXT.replace("limit: 5", "limit: 5.5").replace("USER_DEFINED, typeId: 3", "HUBSPOT_DEFINED, typeId: 1")
    )
    assert (problem.location, str(problem)[:8]) == ("line 5, column 5", "line 5: ")
    _, [problem] = check_config({"version": 1, "associations": [5]})
    assert problem.location == ""


def test_a_plan_keeps_the_places_of_problems_apart(tmp_path: Path) -> None:
    """A plan that was stored without places can still be read."""
    file = tmp_path / "limits.yaml"
    file.write_text(TEXT)
    contacts_companies = Direction("contacts", "companies")
    plans = [
        build_plan(load_config(source).resolve(), PortalState({contacts_companies: DirectionState([], [])}))
        for source in (file, declare(association("contacts", "companies", labels={"Owner": 2})))
    ]
    for plan in plans:
        assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    [with_file], [without_file] = (plan.unfit for plan in plans)
    [(place, text)] = [located for located in with_file.located_problems if '"Owner"' in located[1]]
    assert place == f"{file}:7:7"
    assert text.startswith("labels[")
    assert f"{place}: {text}" in with_file.problems
    assert without_file.located_problems == [("", text)]
    assert "places" not in plans[1].to_json()["unfit"][0]
