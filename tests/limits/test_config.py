"""The limits file: its content, its JSON Schema, and all mistakes at once with their lines."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_hubassoc.limits.config import (
    ConfigError,
    LimitsConfig,
    check_config,
    json_schema,
    load_config,
    schema_text,
)
from airflow_provider_hubassoc.limits.config.yaml_text import MAX_BYTES
from tests.support.portal import association, declare

GOOD = """\
# yaml-language-server: $schema=hubassoc.schema.json
version: 1
associations:
  - from: contacts
    to: companies
    limit: 5                    # the unlabeled association
    labels:
      Billing contact: 1
      Decision maker: {limit: 2, create_missing: true, inverse: Decided by, name: decision_maker}
      On: unlimited
      2024: 3
  - from: deals
    to: contacts
    types:
      - {category: HUBSPOT_DEFINED, typeId: 3, limit: 10}
  - from: p_subscription_plan
    to: companies
    limit: unlimited
portals:
  12345:
    associations:
      - {from: contact, to: 0-2, limit: 4, labels: {Decision maker: 3, Billing contact: null, New: 1}}
"""

BAD = """\
version: 2
associations:
  - from: contcts
    to: companies
    limit: 0
  - from: contacts
    to: companies
    limit: 5
    lables: {}
    labels:
      Billing contact: 7
      Owner: yes
      Boss: {limit: 010, create_mising: true}
    types:
      - {category: HUBSPOT_DEFINE, typeId: three, limit: 10}
      - {category: HUBSPOT_DEFINED, typeId: 3}
  - from: 0-1
    to: company
    limit: 6
  - just text
  - {from: tickets, to: ticket, limit: 1}
  - {from: ticket, to: 0-5, limit: 2}
"""


def problems_of(source: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(source)
    return [str(problem) for problem in caught.value.problems]


def test_a_file_names_object_types_labels_and_types() -> None:
    config = load_config(GOOD)
    first = config.associations[0]
    assert first.limit == 5
    assert {name: label.limit for name, label in first.labels.items()} == {
        "Billing contact": 1,
        "Decision maker": 2,
        "On": "unlimited",
        "2024": 3,
    }
    assert first.labels["Decision maker"].inverse == "Decided by"
    assert config.associations[1].types[0].identity == ("HUBSPOT_DEFINED", 3)
    assert config.associations[2].limit == "unlimited"


def test_path_text_dict_and_json_give_the_same_config(tmp_path: Path) -> None:
    config = load_config(GOOD)
    data = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    path = tmp_path / "limits.yaml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    tabbed = json.dumps(data, indent="\t")
    assert load_config(path) == load_config(str(path)) == load_config(config) == config
    assert load_config(data) == load_config(json.dumps(data)) == load_config(tabbed)


def test_json_may_name_its_schema_and_escape_an_emoji() -> None:
    data = declare(association("contacts", "deals", labels={"Boss 😀": 1}), **{"$schema": "./schema.json"})
    config = load_config(json.dumps(data, ensure_ascii=True))
    assert list(config.associations[0].labels) == ["Boss 😀"]


def test_all_mistakes_are_reported_at_once_with_their_lines() -> None:
    found = problems_of(BAD)
    lines = [problem.split(":")[0] for problem in found]
    assert lines == [f"line {n}" for n in (1, 3, 5, 9, 12, 13, 13, 15, 15, 16, 19, 20, 22)]
    text = "\n".join(found)
    for expected in (
        'associations[0].from: found "contcts"; allowed: a HubSpot object type',
        'did you mean "contacts"?',
        'associations[0].limit: found 0; allowed: a whole number from 1 to 2147483647, or "unlimited"',
        'associations[1].lables: unknown key; allowed: from, to, limit, labels, types; did you mean "labels"?',
        "associations[1].labels.Owner: found true; allowed: a whole number",
        'associations[1].labels.Boss.limit: found "010"',
        "associations[1].labels.Boss.create_mising: unknown key",
        'associations[1].types[0].typeId: found "three"; allowed: a whole number',
        "associations[1].types[1].limit: is missing",
        "associations[2].limit: found 6; the object limit of contacts",
        'associations[3]: found "just text"; allowed: a mapping',
        "between records of the same object type, both directions share one limit",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("limit", "ok"),
    [
        (1, True),
        (2**31 - 1, True),
        ("7", True),  # a template, rendered
        ("unlimited", True),
        (0, False),
        (-1, False),
        (2**31, False),
        (5.0, True),
        (5.5, False),
        (True, False),
        ("five", False),
        ("", False),
        ("٣", False),
        ([], False),
    ],
)
def test_allowed_limits(limit: Any, ok: bool) -> None:
    source = declare(association("contacts", "deals", limit=limit))
    if ok:
        assert load_config(source).associations[0].limit in (limit, 7, 5)
    else:
        assert len(problems_of(source)) == 1


@pytest.mark.parametrize(
    "name", ["subscription_plan", "contacts!", "", "contacts/companies", "../deals", "p_", "2-", 5, None]
)
def test_invalid_object_types_are_refused(name: Any) -> None:
    assert len(problems_of(declare(association(name, "contacts", limit=1)))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\nb: *x\n", "line 1, column 4: anchors (&name) are not supported"),
        ("version: 1\nversion: 1\n", 'line 2: version: found "version"; is already defined on line 1'),
        ("[" * 1000 + "\n", "line 1, column 21: is nested too deeply"),
        ("b: *x\n", "line 1, column 4: aliases (*name) are not supported; write the value out"),
        ("version: [\n", "line 2, column 1: is not valid YAML"),
        ("? [1]\n: 2\n", "line 1, column 3: a key must be text"),
        ("\n", "found nothing; allowed: a mapping"),
        ("version: 1\nassociations: {}\n", "line 2: associations: found a mapping; allowed: a list"),
        ("{" + " " * MAX_BYTES + "}", f"is larger than {MAX_BYTES} bytes"),
    ],
)
def test_text_that_is_not_a_limits_file(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems_of(text))


def test_unreadable_files(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml") == ["cannot be read: No such file or directory"]
    (tmp_path / "folder.yaml").mkdir()
    assert problems_of(tmp_path / "folder.yaml")[0].startswith("cannot be read: ")
    (tmp_path / "latin.yml").write_bytes(b"version: \xe4\n")
    assert problems_of(tmp_path / "latin.yml") == ["is not UTF-8 text"]
    (tmp_path / "large.json").write_bytes(b"#" * (MAX_BYTES + 1))
    assert problems_of(tmp_path / "large.json") == [f"is larger than {MAX_BYTES} bytes"]
    assert problems_of([1]) == ["found a list; allowed: a mapping, or the path of a file"]


def test_a_message_shows_no_values_of_unknown_keys() -> None:
    text = "\n".join(problems_of("password: hunter2\nkeys: {a: hunter2}\n" + "x" * 500 + ": hunter2\n"))
    assert "hunter2" not in text
    assert max(map(len, text.splitlines())) < 250


def test_a_key_may_be_called_as_pydantic_marks_keys() -> None:
    assert "[key]" in problems_of({"version": 1, "associations": [], "[key]": None})[0]
    config = load_config(declare(association("contacts", "deals", labels={"[key]": 1})))
    assert list(config.associations[0].labels) == ["[key]"]
    [problem] = problems_of(declare(association("contacts", "deals", labels={"[key]": "x"})))
    assert problem.startswith('associations[0].labels["[key]"]: found "x"')


def test_nested_aliases_are_refused_before_they_expand() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    [problem] = problems_of(bomb)
    assert problem == "line 1, column 5: anchors (&name) are not supported; remove the anchor"


def test_warnings_do_not_make_a_file_invalid() -> None:
    config, problems = check_config(
        declare(
            association(
                "contacts",
                "companies",
                limit=20_000,
                labels={"Owner": 20_000},
                types=[{"category": "HUBSPOT_DEFINED", "typeId": 4, "limit": 1}],
            )
        )
    )
    assert config is not None
    assert {problem.severity for problem in problems} == {"warning"}
    text = "\n".join(map(str, problems))
    assert "accepts limits up to 10,000" in text
    assert "not clear on whether" in text
    assert "HUBSPOT_DEFINED 4 is an association type of contacts" in text


@pytest.mark.parametrize(("limit", "is_warned"), [(10_000, False), (10_001, True)])
def test_limits_above_the_maximum_of_the_settings_page_are_a_warning(limit: int, is_warned: bool) -> None:
    config, problems = check_config(declare(association("contacts", "companies", limit=limit)))
    assert config is not None
    assert [problem.severity for problem in problems] == ["warning"] * is_warned


def test_an_error_leaves_out_the_warnings() -> None:
    found = problems_of(declare(association("contacts", "companies", limit=10_001, labels={"A": 0})))
    assert [problem.split(":")[0] for problem in found] == ["associations[0].labels.A"]


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    text = "version: 1\nassociations: []\n#"
    path.write_text(text + "#" * (MAX_BYTES - len(text)))
    assert load_config(path).associations == []
    path.write_text(text + "#" * (MAX_BYTES - len(text) + 1))
    assert problems_of(path) == [f"is larger than {MAX_BYTES} bytes"]


PORTALS = declare(
    association("contacts", "companies", limit=1),
    portals={
        "my_conn": {"associations": [association("contacts", "companies", limit=2)]},
        "12345": {"associations": [association("contacts", "companies", limit=3)]},
    },
)


@pytest.mark.parametrize(
    ("names", "portal", "limit", "needs_portal_id"),
    [
        ({}, None, 1, True),
        ({"conn_id": "other"}, None, 1, True),
        ({"conn_id": "other", "portal_id": 67890}, None, 1, False),
        ({"portal_id": 12345}, "12345", 3, False),
        ({"conn_id": "other", "portal_id": 12345}, "12345", 3, False),
        ({"conn_id": " my_conn\n"}, "my_conn", 2, False),
        ({"conn_id": "my_conn", "portal_id": 12345}, "my_conn", 2, False),
        ({"conn_id": "my_conn", "portal_id": 12345, "named": 12345}, "12345", 3, False),
    ],
)
def test_the_overrides_of_one_portal_apply(
    names: dict[str, Any], portal: str | None, limit: int, needs_portal_id: bool
) -> None:
    """The explicit name comes first, then the connection, then the portal's id."""
    resolved = load_config(PORTALS).resolve(**names)
    assert (resolved.portal, resolved.needs_portal_id) == (portal, needs_portal_id)
    assert [association.limit for association in resolved.associations] == [limit]


def test_a_note_says_which_overrides_apply() -> None:
    config = load_config(PORTALS)
    assert config.resolve(portal_id=12345).note == 'The overrides of portal "12345" in the file apply.'
    assert (
        config.resolve(conn_id="other", portal_id=67890).note
        == 'No overrides apply: the file has portals "my_conn", "12345", and none is called "other" or "67890".'
    )
    without_portals = load_config(declare()).resolve(conn_id="other")
    assert (without_portals.note, without_portals.needs_portal_id) == (None, False)


def test_overrides_apply_to_their_portal() -> None:
    config = load_config(GOOD)
    plain, special = config.resolve(), config.resolve(conn_id="my_conn", portal_id=12345)
    assert config.resolve(conn_id="other").associations == plain.associations
    assert config.resolve(named=12345).associations == special.associations
    assert plain.associations[0].limit == 5
    first = special.associations[0]
    assert (first.limit, first.from_object_type) == (4, "contacts")
    assert {name: label.limit for name, label in first.labels.items()} == {
        "Billing contact": None,  # not managed there
        "Decision maker": 3,
        "On": "unlimited",
        "2024": 3,
        "New": 1,
    }
    assert first.labels["Decision maker"].create_missing
    assert special.associations[1:] == plain.associations[1:]


def test_create_missing_can_be_decided_for_all_labels() -> None:
    config = load_config(GOOD).resolve()
    for create in (True, False):
        labels = config.with_missing_labels(create).associations[0].labels
        assert {label.create_missing for label in labels.values()} == {create}
        assert labels["Decision maker"].inverse == "Decided by"
    assert config.with_missing_labels(None) == config


def test_overrides_are_checked_together_with_the_general_limits() -> None:
    _, problems = check_config(GOOD.replace("limit: 4", "limit: 2"))
    above = [problem for problem in problems if "above the object limit 2" in problem.message]
    assert [(problem.line, problem.found, problem.severity) for problem in above] == [
        (11, "3", "warning"),
        (22, "3", "warning"),
    ]
    assert all("in portal 12345; HubSpot refuses it" in problem.message for problem in above)


def test_two_sides_of_a_label_must_agree() -> None:
    source = declare(
        association("contacts", "deals", labels={"Buyer": {"limit": 1, "create_missing": True, "inverse": "Bought"}}),
        association("deals", "contacts", labels={"Bought": {"create_missing": True, "inverse": "Purchaser"}}),
    )
    assert "is declared with a different inverse" in problems_of(source)[0]


def test_the_shipped_schema_is_current() -> None:
    shipped = resources.files("airflow_provider_hubassoc.limits").joinpath("schema.json").read_text("utf-8")
    assert shipped == schema_text(), "run: hubassoc schema -o airflow_provider_hubassoc/limits/schema.json"


def test_the_schema_agrees_with_the_model() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = declare(
        association("contacts", "deals", limit=5, labels={"A": 1, "B": "unlimited", "C": {"limit": 2}}),
        association("deals", "contacts", types=[{"category": "USER_DEFINED", "typeId": 3, "limit": 1}]),
        portals={"1": {"associations": [association("deals", "contacts", limit=None)]}},
    )
    assert list(validator.iter_errors(good)) == []
    assert isinstance(load_config(good), LimitsConfig)
    for wrong in (
        declare(association("contacts", "deals", limit=0)),
        declare(association("contacts", "deals", limt=1)),
        declare(association("contacts", "deals", labels={"A": {"limit": "none"}})),
        {"version": 2, "associations": []},
        {"version": 1},
    ):
        assert list(validator.iter_errors(wrong))
        problems_of(wrong)
