"""Every block of code in README and docs runs or parses."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from airflow.sdk import DAG

from airflow_provider_hubassoc.limits.config import check_config
from airflow_provider_hubassoc.simulator import Simulator
from tests.docs.generate import parsers
from tests.docs.pages import PAGES, REPOSITORY, USER_PAGES, CodeBlock, code_blocks, name, text_of

LANGUAGES = {"bash", "json", "mermaid", "python", "text", "yaml"}
"""Languages of the blocks; the text of a block of ``text`` is not checked."""

MODULES = {"airflow_provider_hubassoc", "airflow_provider_hubassoc.simulator", "tests.docs.generate"}
"""Modules that the documentation runs with ``python -m``."""

_PATH = re.compile(r"\bairflow_provider_hubassoc(?:\.\w+)+")
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


def blocks(*languages: str, pages: list[Path] = USER_PAGES) -> list[CodeBlock]:
    """Return the blocks in one of the languages."""
    return [block for page in pages for block in code_blocks(page) if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_has_a_known_language(page: Path) -> None:
    assert [str(block) for block in code_blocks(page) if block.language not in LANGUAGES] == []
    assert text_of(page).count("```") == 2 * len(list(code_blocks(page))), "a block has no end"


# -- Python ----------------------------------------------------------------------------------------------------


@pytest.fixture
def limits_file(tmp_path: Path) -> Path:
    """Write the file of limits that DAGs in the documentation read beside themselves."""
    path = tmp_path / "limits.yaml"
    path.write_text("version: 1\nassociations:\n  - {from: contacts, to: companies, limit: 5}\n")
    return path


@pytest.mark.parametrize("block", blocks("python"), ids=str)
@pytest.mark.usefixtures("hubspot_conn")
def test_python_runs(block: CodeBlock, limits_file: Path, hubspot: Simulator) -> None:
    """DAGs and tasks are constructed; calls of the hook reach the simulator."""
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 5)
    path = limits_file.with_name("dag.py")
    path.write_text(block.code)
    with DAG("documentation", schedule=None) as outer:
        exec(compile(block.code, str(path), "exec"), {"__name__": "documentation", "__file__": str(path)})
    if "HubSpotHook" in block.code:
        assert len(hubspot.requests) > 0
    elif "Operator(" in block.code and "DAG(" not in block.code:
        assert len(outer.tasks) > 0


def shown_imports() -> dict[str, str]:
    """Return every import that README, docs and example DAGs show, and one place of each."""
    sources = {str(block): block.code for block in blocks("python")}
    sources |= {path.name: path.read_text("utf-8") for path in (REPOSITORY / "example_dags").glob("*.py")}
    found = {}
    for place, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("airflow_provider"):
                found |= {f"{node.module}.{alias.name}": place for alias in node.names}
    for page in PAGES:
        found |= dict.fromkeys(_PATH.findall(text_of(page)), name(page))
    return found


@pytest.mark.parametrize(("path", "place"), sorted(shown_imports().items()), ids=lambda value: str(value))
def test_every_import_path_that_is_shown_exists(path: str, place: str) -> None:
    module, _, attribute = path.rpartition(".")
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute), place


# -- YAML and JSON ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_valid(block: CodeBlock) -> None:
    data = yaml.safe_load(block.code)
    if "associations" in data:
        _, problems = check_config(block.code)
        assert [str(problem) for problem in problems] == []
        return
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text("utf-8"))
    used = {hook["id"] for repository in data["repos"] for hook in repository["hooks"]}
    assert used <= {hook["id"] for hook in hooks}


def test_json_is_valid() -> None:
    for block in blocks("json"):
        json.loads(block.code)


# -- shell commands --------------------------------------------------------------------------------------------


def commands(block: CodeBlock) -> Iterator[list[str]]:
    """Yield the words of each command in a block, without the variables before it."""
    command = ""
    for line in block.code.splitlines():
        command += f"{line}\n"
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # the quotation continues in the next line
            continue
        command = ""
        while words and _ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words:
            yield words
    assert not command, "a quotation has no end"


def make_targets() -> set[str]:
    """Return the targets of the Makefile that have a description."""
    return set(re.findall(r"^([a-z-]+):.*?## ", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))


def is_known(words: list[str]) -> bool:
    """Return whether a command exists, with the arguments it is given."""
    program, *arguments = words
    if program == "make":
        return {word for word in arguments if "=" not in word} <= make_targets()
    if program == "hubassoc":
        command, *options = arguments
        parsers()[command].parse_args(options)  # exits if it does not know them
        return True
    if program == "python":
        return arguments[0] == "-m" and arguments[1] in MODULES
    if program == "export":
        return bool(_ASSIGNMENT.match(arguments[0]))
    if program == "airflow":
        return arguments[:2] in (["connections", "add"], ["connections", "test"])
    if program == "pip":
        return arguments[0] == "install"
    if program == "git":
        return arguments[0] in ("clone", "switch")
    return program in (".ci/run", "cd", "pre-commit")


@pytest.mark.parametrize("block", blocks("bash", pages=PAGES), ids=str)
def test_shell_commands_are_known(block: CodeBlock) -> None:
    assert [words for words in commands(block) if not is_known(words)] == []


def test_an_unknown_command_is_noticed() -> None:
    assert not is_known(["make", "everything"])
    assert not is_known(["explode"])
    with pytest.raises(SystemExit):
        is_known(["hubassoc", "plan", "limits.yaml", "--nothing"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_in_the_text_exist(page: Path) -> None:
    assert set(re.findall(r"`make ([a-z-]+)", text_of(page))) <= make_targets()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_text_exist(page: Path) -> None:
    named = re.findall(r"`hubassoc ([a-z]+)((?: --?[a-z-]+)*)", text_of(page))
    for command, options in named:
        known = {option for action in parsers()[command]._actions for option in action.option_strings}
        assert set(options.split()) <= known, command
