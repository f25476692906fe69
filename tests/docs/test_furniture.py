"""Workflows, hooks and forms of the repository fit the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.cli import build_parser
from tests.docs.pages import REPOSITORY

GITHUB = REPOSITORY / ".github"
PYPROJECT = (REPOSITORY / "pyproject.toml").read_text("utf-8")


def load(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text("utf-8"))


def run_steps(workflow: str) -> list[str]:
    """Return the commands that a workflow runs."""
    jobs = load(GITHUB / "workflows" / workflow)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_ci_covers_every_supported_python() -> None:
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    assert load(GITHUB / "workflows" / "ci.yml")["jobs"]["check"]["strategy"]["matrix"]["python"] == supported


@pytest.mark.parametrize("workflow", ["ci.yml", "release.yml"])
def test_workflows_run_all_checks(workflow: str) -> None:
    assert ".ci/run" in run_steps(workflow)


def test_a_release_needs_no_stored_token() -> None:
    """Only the job that publishes may ask for an identity."""
    jobs = load(GITHUB / "workflows" / "release.yml")["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text("utf-8")


def test_the_release_finds_the_version_to_compare_with_the_tag() -> None:
    lines = (REPOSITORY / "airflow_provider_hubassoc" / "__init__.py").read_text("utf-8").splitlines()
    assert f'__version__ = "{__version__}"' in lines


@pytest.mark.parametrize(
    ("path", "is_checked"),
    [
        ("limits.yaml", True),
        ("config/limits.prod.yml", True),
        ("limits.json", True),
        ("values.yaml", False),
        ("docs/limits-as-code.md", False),
    ],
)
def test_the_hook_for_others_checks_limits_files(path: str, is_checked: bool) -> None:
    (hook,) = load(REPOSITORY / ".pre-commit-hooks.yaml")
    assert bool(re.search(hook["files"], path)) is is_checked


def test_hooks_run_a_command_that_exists() -> None:
    (for_others,) = load(REPOSITORY / ".pre-commit-hooks.yaml")
    hooks = [
        hook for repository in load(REPOSITORY / ".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]
    ]
    (own,) = (hook for hook in hooks if hook["id"] == for_others["id"])
    for hook in (for_others, own):
        program, *arguments = hook["entry"].split()
        assert program.endswith("hubassoc")
        assert build_parser().parse_args([*arguments, "limits.yaml"]).command == "validate"
    assert re.search(own["files"], "example_dags/limits.yaml")


def test_the_form_for_bugs_asks_for_versions_and_correlation_id() -> None:
    labels = [field["attributes"].get("label", "") for field in load(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"]]
    for wanted in ("Correlation id", "Provider version", "Airflow version", "Python version"):
        assert any(wanted in label for label in labels), wanted


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_and_folder_that_is_named_exists(page: str) -> None:
    code = re.findall(r"`([\w./]+(?:\.py|/))`", (REPOSITORY / page).read_text("utf-8"))
    roots = ("", "airflow_provider_hubassoc", "airflow_provider_hubassoc/hubspot", "airflow_provider_hubassoc/limits")
    missing = [name for name in code if not any((REPOSITORY / root / name).exists() for root in roots)]
    assert missing == []
