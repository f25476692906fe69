"""YAML that does not mean what it looks like: refused with its place, the reason in plain words, and the cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_hubassoc.limits.config import ConfigError, Problem, check_config, load_config

HEAD = "version: 1\nassociations:\n  - from: contacts\n    to: companies\n    labels:\n"

SLIPS = [
    ("! Boss: 1", 1, 'quote it: "! Boss": 1'),
    ("!Boss: 1", 1, "tags (!name) are not supported"),
    ("!!str Boss: 1", 1, "tags (!name) are not supported; remove the tag"),
    ("Boss: !!str 5", 7, "tags (!name) are not supported; remove the tag"),
    ("Boss: !foo {limit: 5}", 7, "tags (!name) are not supported; remove the tag"),
    ("Boss: !<tag:yaml.org,2002:int> 5", 7, "tags (!name) are not supported"),
    ("&x Boss: 1", 1, 'quote it: "&x Boss": 1'),
    ("Boss: &x 1", 7, "anchors (&name) are not supported"),
    ("& Boss: 1", 1, 'quote it: "& Boss": 1'),
    ("Contract #1: 2", 1, 'a # after a space starts a comment in YAML; quote it: "Contract #1": 2'),
    ("Contract #1: 2\nOther: 3", 1, 'quote it: "Contract #1": 2'),
    ("Other: 3\nContract #1: 2", 1, 'quote it: "Contract #1": 2'),
    ("VIP #2:\n  limit: 3", 1, 'quote it: "VIP #2"'),
    ("Customer: VIP #3: 2", 1, 'quote it: "Customer: VIP #3": 2'),
    ('"Owner":1', 1, 'a space is missing after the colon; write: "Owner": 1'),
    ("Owner = 1", 1, "a colon is missing; write: Owner: 1"),
    ("{{ params.label }}: 1", 1, 'quote it: "{{ params.label }}": 1'),
    ("Boss: {{ params.limit }}", 8, 'quote a template: "{{ ... }}"'),
    ("*VIP*: 1", 1, 'quote it: "*VIP*": 1'),
    ("*VIP: 1", 1, 'quote it: "*VIP": 1'),
    ("Boss: *VIP", 7, "aliases (*name) are not supported"),
    ("%x: 1", 1, 'quote it: "%x": 1'),
    ("@x: 1", 1, 'quote it: "@x": 1'),
    ("`x`: 1", 1, 'quote it: "`x`": 1'),
    ("|x: 1", 1, 'quote it: "|x": 1'),
    (">x: 1", 1, 'quote it: ">x": 1'),
    ("[VIP]: 1", 1, 'quote it: "[VIP]": 1'),
    ("[VIP] gold: 1", 1, 'quote it: "[VIP] gold": 1'),
    ("{a}: 1", 1, 'quote it: "{a}": 1'),
    ("? key: 1", 3, 'quote it: "? key": 1'),
    ("? key", 3, 'quote it: "? key"'),
    ("Owner: 1: 2", 1, 'quote it: "Owner: 1": 2'),
    ("Owner:1\nBoss: 2", 1, "a space is missing after the colon; write: Owner: 1"),
    ("Owner 1\nBoss: 2", 1, "a colon is missing; write: Owner: 1"),
    ('"Owner: 1\nBoss: 2', 1, "the quote that starts here is not closed"),
    ("'Owner: 1", 1, "the quote that starts here is not closed"),
    ('"A" B: 1', 1, r'quote it: "\"A\" B": 1'),
    ("\tOwner: 1", 1, "a tab is not allowed here; indent with spaces"),
    ('Boss: "\\q"', 8, "unknown escape after a backslash"),
    ("Boss: {limit:}", 13, "a space is missing after the colon"),
    ("Boss: {limit: 1", None, "a comma or a closing brace is missing"),
]


def text_of(label: str) -> str:
    return HEAD + "".join(f"      {line}\n" for line in label.splitlines())


def problem_of(source: str | Path) -> Problem:
    with pytest.raises(ConfigError) as raised:
        load_config(source)
    assert not raised.value.retryable
    [problem] = raised.value.problems
    return problem


@pytest.mark.parametrize(("label", "column", "message"), SLIPS, ids=[slip[0] for slip in SLIPS])
@pytest.mark.parametrize("in_file", [True, False])
def test_a_slip_is_refused_with_its_place_and_cure(
    label: str, column: int | None, message: str, in_file: bool, tmp_path: Path
) -> None:
    source: str | Path = text_of(label)
    if in_file:
        source = tmp_path / "limits.yaml"
        source.write_text(text_of(label))
    problem = problem_of(source)
    assert message in problem.message
    assert problem.line is not None
    assert problem.line >= 5
    if column is not None and "allowed: a mapping" not in problem.message:
        assert problem.column == column + 6
        first = 5 + next(
            n for n, line in enumerate(label.splitlines(), 1) if message.count("Contract") <= line.count("Contract")
        )
        assert problem.line == first


def test_a_label_cut_by_a_comment_is_an_error() -> None:
    problem = problem_of(text_of("Contract #1: 2"))
    assert problem.found == '"Contract"'
    assert 'quote it: "Contract #1": 2' in problem.message


def test_a_missing_space_after_a_colon_is_an_error() -> None:
    problem = problem_of(text_of("Owner:1"))
    assert "a space is missing after the colon; write: Owner: 1" in problem.message
    _, problems = check_config("version: 1\nassociations: [{from:contacts, to: deals, limit: 1}]\n")
    assert "unknown key" in problems[0].message + problems[1].message
    assert any("write from: contacts" in problem.message for problem in problems)


def test_a_control_character_has_line_and_column() -> None:
    problem = problem_of("version: 1\nassociations:\n  - {from: a\x07b}\n")
    assert (problem.line, problem.column) == (3, 13)


@pytest.mark.parametrize("text", ['{"version": 1, "associations": [{]}', '{"version": 1, "associations": [}'])
def test_broken_json_has_line_and_column(text: str) -> None:
    problem = problem_of(text)
    assert (problem.line, problem.column is not None) == (1, True)
    assert "is not valid YAML" in problem.message


def test_characters_that_are_not_special_in_yaml_are_allowed() -> None:
    labels = [
        "Boss!",
        "R&D",
        "50%",
        "a*b",
        "me@work",
        "#1",
        "A, B",
        "x|y",
        "it's",
        "C#",
        "1:1 meeting",
        "- x",
        "~",
        "<<",
    ]
    text = HEAD + "".join(f"      {label if label[0] not in '#-~' else repr(label)}: 1\n" for label in labels)
    assert list(load_config(text).associations[0].labels) == labels


def test_a_file_that_is_not_a_limits_file_reveals_nothing(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    for text in ("*hunter2*: 1\n", "hunter2 #hunter2: 2\nb: 1\n", "a: 1\nhunter2:hunter2\nb: 2\n", "!hunter2 a: 1\n"):
        file.write_text(text)
        problem = problem_of(file)
        assert "hunter2" not in str(problem)
        assert problem.line is not None
        assert problem.column is not None
