"""Sources of declared limits: paths with white space, a dict as text, files that are missing for a moment."""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hubassoc.limits.config import ConfigError, check_config, load_config
from airflow_provider_hubassoc.limits.config.sources import read
from airflow_provider_hubassoc.retry_policy import is_permanent
from tests.support.portal import association, declare

GOOD = declare(
    association("contacts", "companies", limit=5, labels={'It\'s "mine"': {"limit": 2, "create_missing": True}})
)


def refusal(source: Any) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        load_config(source)
    return raised.value


@pytest.mark.parametrize("spelling", ["{}", " {}", "{}\n", "\t{}\r\n"])
def test_white_space_around_a_path_is_ignored(spelling: str, tmp_path: Path) -> None:
    file = tmp_path / "my limits.yaml"
    file.write_text(json.dumps(GOOD))
    assert load_config(spelling.format(file)) == load_config(GOOD)


@pytest.mark.parametrize(
    "write", [str, json.dumps, lambda data: f"\n {data}\n", lambda data: json.dumps(data, indent=2)]
)
def test_a_dict_that_jinja_rendered_as_text_is_read(write: Any) -> None:
    data = GOOD | {"associations": [*GOOD["associations"], association("deals", "contacts", limit=None)]}
    assert load_config(write(data)) == load_config(data)
    assert load_config(write(GOOD)) == load_config(GOOD)


@pytest.mark.parametrize("text", ["None", "", " ", "null\n", "[{'version': 1}]", "<Asset object at 0x7f>", "{'a': [}"])
def test_a_template_that_renders_no_config_fails_with_a_cure(text: str) -> None:
    error = refusal(text)
    assert "task.output" in str(error)
    assert "render_template_as_native_obj=True" in str(error)
    assert not error.retryable


def test_a_missing_or_empty_file_is_a_transient_error(tmp_path: Path) -> None:
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "bundle" / "limits.yaml")
    (tmp_path / "empty.yaml").touch()
    for name in ("none.yaml", "no folder/limits.yaml", "dangling.yaml", "empty.yaml"):
        error = refusal(str(tmp_path / name))
        assert error.retryable
        assert not is_permanent(error)
    assert "try again" in str(refusal(tmp_path / "empty.yaml"))


def test_a_symlink_that_is_repaired_is_read(tmp_path: Path) -> None:
    link = tmp_path / "limits.yaml"
    link.symlink_to(tmp_path / "old.yaml")
    assert refusal(link).retryable
    (tmp_path / "new.yaml").write_text(json.dumps(GOOD))
    link.unlink()
    link.symlink_to(tmp_path / "new.yaml")
    assert load_config(link) == load_config(GOOD)


@pytest.mark.parametrize("content", ["version: 1\n", "version: 1\nassociations: [\n", "# nothing yet\n", "\xff"])
def test_a_mistake_in_the_content_is_a_permanent_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(content, "latin-1")
    error = refusal(tmp_path / "limits.yaml")
    assert is_permanent(error)
    (tmp_path / "folder.yaml").mkdir(exist_ok=True)
    assert is_permanent(refusal(tmp_path / "folder.yaml"))
    assert is_permanent(refusal(tmp_path / "limits.txt"))


@pytest.mark.parametrize(
    ("number", "retryable"),
    [
        *(
            (number, True)
            for number in (errno.ESTALE, errno.EIO, errno.EAGAIN, errno.ENOENT, errno.EINTR, errno.EMFILE)
        ),
        *((number, False) for number in (errno.EACCES, errno.ENAMETOOLONG, errno.EISDIR)),
    ],
)
def test_errors_of_a_file_system_are_transient_or_permanent(
    number: int, retryable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file system fails like this on request, so the system call is replaced."""

    def fail(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    assert refusal(str(tmp_path / "limits.yaml")).retryable is retryable


@pytest.mark.parametrize("value", [5, 5.0, "5", " 5\n", "5.0"])
def test_a_whole_number_may_have_any_plain_form(value: Any) -> None:
    types = [{"category": "WORK ", "typeId": value, "limit": value}]
    entry = association(" contacts\n", "0-2 ", limit=value, labels={"A": value}, types=types)
    for source in (declare(entry), json.dumps(declare(entry)), str(declare(entry))):
        found = load_config(source).associations[0]
        assert (found.from_object_type, found.to_object_type) == ("contacts", "0-2")
        assert (found.limit, found.labels["A"].limit, found.types[0].identity) == (5, 5, ("WORK", 5))
    assert (
        load_config("version: '1'\nassociations: [{from: deals, to: deals, limit: 5.0}]\n").associations[0].limit == 5
    )


@pytest.mark.parametrize(
    "text", ["5.5", ".nan", ".inf", "true", "yes", "0x10", "1_000", "0o7", "010", "1e3", "\uff11\uff12", "9" * 40]
)
def test_other_numbers_are_refused_with_their_place(text: str) -> None:
    source = f"version: 1\nassociations:\n  - from: contacts\n    to: companies\n    limit: {text}\n"
    [problem] = refusal(source).problems
    assert (problem.line, problem.column, problem.path) == (5, 5, "associations[0].limit")


def test_an_explicit_portal_must_be_in_the_file() -> None:
    data = GOOD | {"portals": {"emea": {"associations": [association("contacts", "companies", limit=1)]}}}
    for name in ("emea", " emea\n"):
        assert load_config(data).resolve(named=name).associations[0].limit == 1
        assert load_config(data).resolve(conn_id=name).associations[0].limit == 1
    with pytest.raises(ConfigError, match='did you mean "emea"'):
        load_config(data).resolve(named="emae")


def test_white_space_around_a_portal_key_is_refused() -> None:
    _, [problem] = check_config(
        GOOD | {"portals": {"emea ": {"associations": [association("deals", "deals", limit=1)]}}}
    )
    assert problem.message == "must not begin or end with white space"


def test_an_error_survives_pickling(tmp_path: Path) -> None:
    for error in (refusal(tmp_path / "none.yaml"), refusal("version: 2\nassociations: [5]\n")):
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.problems, copy.source, copy.retryable) == (error.problems, error.source, error.retryable)
        assert str(copy) == str(error)


def test_text_of_several_lines_is_not_a_path() -> None:
    assert read("version: 1\nassociations: []\n").name == ""
