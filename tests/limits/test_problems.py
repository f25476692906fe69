"""Values and places as messages show them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_hubassoc.limits.problems import Problem, did_you_mean, show, show_path


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "hunter2"}, "a mapping"),
        (["hunter2"], "a list"),
        (None, "nothing"),
        (True, "true"),
        (5.5, "5.5"),
        ("a b", '"a b"'),
        ("a\u00a0b\u200b", '"a<U+00A0>b<U+200B>"'),
        pytest.param(10**5000, "a huge int", id="a huge number"),
        ("x" * 58, f'"{"x" * 58}"'),
        ("x" * 59, f'"{"x" * 58}…'),
    ],
)
def test_a_value_is_shown_in_at_most_60_characters(value: Any, shown: str) -> None:
    assert show(value) == shown
    assert len(shown) <= 60


def test_a_path_is_shown_as_a_person_writes_it() -> None:
    path = ("associations", 0, "labels", "Billing contact", "limit")
    assert show_path(path) == 'associations[0].labels["Billing contact"].limit'


@pytest.mark.parametrize(
    ("word", "hint"),
    [("lables", '; did you mean "labels"?'), ("LABELS", '; did you mean "labels"?'), ("xyz", "")],
)
def test_a_near_word_is_suggested(word: str, hint: str) -> None:
    assert did_you_mean(word, ["limit", "labels", "types"]) == hint


def test_a_problem_names_place_path_value_and_message() -> None:
    problem = Problem("allowed: a list", "portals.p", line=3, found="5", column=7, source="limits.yaml")
    assert str(problem) == "line 3: portals.p: found 5; allowed: a list"
    assert (problem.location, problem.text) == ("limits.yaml:3:7", "portals.p: found 5; allowed: a list")
    assert str(Problem("a key must be text", line=3, column=7)) == "line 3, column 7: a key must be text"
    assert str(Problem("is empty")) == "is empty"
