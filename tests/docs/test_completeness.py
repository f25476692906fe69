"""Everything public is in the documentation."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest
from airflow.sdk import BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

from airflow_provider_hubassoc import assets
from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.operators import (
    HubSpotAssociationLimitsOperator,
    HubSpotAssociationLimitsSyncOperator,
)
from airflow_provider_hubassoc.provider_info import get_provider_info
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsDriftTrigger
from tests.docs.generate import DOCS, options_of, parsers
from tests.docs.pages import USER_PAGES, text_of

AIRFLOW = (DOCS / "airflow.md").read_text("utf-8")


def public_classes() -> list[type]:
    """Return the public classes of every module in the provider's description."""
    info = get_provider_info()
    found = []
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for path in (path for entry in info[kind] for path in entry["python-modules"]):
            module = importlib.import_module(path)
            found += [
                value
                for name, value in vars(module).items()
                if inspect.isclass(value) and value.__module__ == path and not name.startswith("_")
            ]
    return found


def arguments(callable_: Any) -> list[str]:
    """Return the names of the arguments that the class itself defines."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        name
        for name, parameter in inspect.signature(callable_).parameters.items()
        if parameter.kind in kinds and name != "self"
    ]


@pytest.mark.parametrize("public", public_classes(), ids=lambda public: public.__name__)
def test_every_public_class_is_documented(public: type) -> None:
    assert issubclass(public, (BaseOperator, BaseSensorOperator, BaseTrigger, HubSpotHook))
    assert f"`{public.__name__}`" in AIRFLOW or f"## {public.__name__}" in AIRFLOW


@pytest.mark.parametrize(
    "public",
    [HubSpotAssociationLimitsOperator, HubSpotAssociationLimitsSyncOperator, HubSpotAssociationLimitsSensor],
    ids=lambda public: public.__name__,
)
def test_every_argument_is_documented(public: Any) -> None:
    section = re.split(rf"^## {public.__name__}$", AIRFLOW, flags=re.MULTILINE)[1].partition("\n## ")[0]
    assert [name for name in arguments(public.__init__) if f"`{name}`" not in section] == []


def test_every_argument_of_the_drift_watchers_is_documented() -> None:
    section = AIRFLOW.partition("## Assets")[2].partition("\n## ")[0]
    names = {*arguments(assets.drift_watchers), *arguments(HubSpotAssociationLimitsDriftTrigger.__init__)}
    assert [name for name in sorted(names - {"association"}) if f"`{name}`" not in section] == []


def test_every_public_name_of_the_assets_is_documented() -> None:
    public = {"association_limits_asset", "drift_watchers", "LIMITS_CHANGED"}
    assert {name for name in public if f"airflow_provider_hubassoc.assets.{name}" not in AIRFLOW} == set()


def test_every_method_of_the_hook_is_documented() -> None:
    own = {name for name, value in vars(HubSpotHook).items() if callable(value) and not name.startswith("_")}
    own -= {"close", "get_conn"}
    assert [name for name in sorted(own) if not re.search(rf"[`.]{name}\b", AIRFLOW)] == []


def test_every_field_of_the_connection_is_documented() -> None:
    (connection,) = get_provider_info()["connection-types"]
    fields = [*connection["conn-fields"], *connection["ui-field-behaviour"]["relabeling"]]
    page = (DOCS / "connection.md").read_text("utf-8")
    assert [field for field in fields if f"| `{field}`" not in page] == []


@pytest.mark.parametrize("command", parsers())
def test_every_command_and_option_is_documented(command: str) -> None:
    section = (
        (DOCS / "command-line.md").read_text("utf-8").partition(f"### hubassoc {command}\n")[2].partition("\n### ")[0]
    )
    assert section
    options = [option for action in options_of(parsers()[command]) for option in action.option_strings]
    assert [option for option in options if f"`{option}" not in section] == []


def test_every_example_dag_is_linked() -> None:
    text = "".join(map(text_of, USER_PAGES))
    examples = [path.name for path in (DOCS.parent / "example_dags").glob("*.py")]
    assert [name for name in sorted(examples) if f"example_dags/{name}" not in text] == []
