"""The provider's description, as Airflow discovers it."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points, version
from importlib.resources import files
from typing import Any, get_args

import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers_manager import ProvidersManager
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.settings import ApiVersion, HubSpotSettings
from airflow_provider_hubassoc.provider_info import get_provider_info

INFO = get_provider_info()
(CONNECTION_TYPE,) = INFO["connection-types"]
FIELDS: dict[str, dict[str, Any]] = CONNECTION_TYPE["conn-fields"]


def schema(name: str) -> Any:
    return json.loads(files("airflow").joinpath(name).read_text("utf-8"))


def class_at(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_the_entry_point_leads_to_the_provider_info() -> None:
    (found,) = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.value.startswith("airflow_provider_hubassoc")
    ]
    assert found.load()() == INFO
    assert found.dist is not None
    assert found.dist.name == INFO["package-name"]


def test_the_provider_info_matches_airflows_schema() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))
    # The schema of what the information is usually made of says more about the connection form.
    of_yaml = schema("provider.yaml.schema.json")
    of_form = of_yaml["properties"]["connection-types"] | {"definitions": of_yaml.get("definitions", {})}
    assert {"conn-fields", "ui-field-behaviour"} <= set(of_form["items"]["properties"])
    jsonschema.validate(INFO["connection-types"], of_form)
    # Airflow checks the behaviour of the standard fields once more, under the names that hooks used to give.
    behaviour = {name.replace("-", "_"): value for name, value in CONNECTION_TYPE["ui-field-behaviour"].items()}
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))


def test_the_provider_info_is_plain_data() -> None:
    assert json.loads(json.dumps(INFO)) == INFO


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_all_modules_are_listed(kind: str) -> None:
    names = {entry["integration-name"] for entry in INFO["integrations"]}
    for entry in INFO[kind]:
        assert entry["integration-name"] in names
        for module in entry["python-modules"]:
            importlib.import_module(module)


def test_the_listed_classes_exist() -> None:
    assert class_at(CONNECTION_TYPE["hook-class-name"]) is HubSpotHook
    assert CONNECTION_TYPE["connection-type"] == HubSpotHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == HubSpotHook.hook_name
    for path in INFO["extra-links"]:
        assert issubclass(class_at(path), BaseOperatorLink)


def test_no_deprecated_way_to_describe_the_form() -> None:
    assert "get_connection_form_widgets" not in vars(HubSpotHook)
    assert "get_ui_field_behaviour" not in vars(HubSpotHook)


def test_the_version_is_the_packages() -> None:
    assert INFO["versions"] == [__version__]
    assert version("airflow-provider-hubassoc") == __version__


# -- the form --


def test_secrets_are_hidden() -> None:
    hidden = {name for name, field in FIELDS.items() if field["schema"].get("format") == "password"}
    assert hidden == {"client_secret", "refresh_token"}


def test_every_field_accepts_null_and_has_a_description() -> None:
    for field in FIELDS.values():
        jsonschema.validate(None, field["schema"])
        assert field["label"]
        assert field["description"]


def test_the_choices_are_those_of_the_settings() -> None:
    assert FIELDS["api_version"]["schema"]["enum"] == [*get_args(ApiVersion), None]
    examples: list[tuple[str, list[Any], list[Any]]] = [
        ("auth_type", ["access_token", "oauth"], ["x"]),
        ("api_version", list(get_args(ApiVersion)), ["v3"]),
        ("timeout", ["30", "5,60"], [["x"]]),
        ("max_retries", [0, 5, 20], [-1, 21, 1.5]),
    ]
    for name, good, bad in examples:
        for value in good:
            jsonschema.validate(value, FIELDS[name]["schema"])
            HubSpotSettings.parse(
                {"access_token": "x", "client_id": "x", "client_secret": "x", "refresh_token": "x", name: value}
            )
        for value in bad:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(value, FIELDS[name]["schema"])


def test_no_choice_is_shown_as_null() -> None:
    """Airflow's form shows a null among the choices as values_display names it."""
    for field in FIELDS.values():
        if None in field["schema"].get("enum", []):
            assert field["schema"]["values_display"]["null"].startswith("default (")


def test_airflow_shows_the_form() -> None:
    (form,) = [entry for entry in HookMetaService.hook_meta_data() if entry.connection_type == "hubspot"]
    assert form.hook_name == "HubSpot"
    assert form.hook_class_name == "airflow_provider_hubassoc.hooks.HubSpotHook"
    assert form.standard_fields is not None
    shown = form.standard_fields
    assert (shown.login.hidden, shown.url_schema.hidden) == (True, True)  # type: ignore[union-attr]
    assert shown.password.title == "Access token"  # type: ignore[union-attr]
    assert shown.host.placeholder == "https://api.hubapi.com"  # type: ignore[union-attr]
    fields: Any = form.extra_fields
    assert list(fields) == list(FIELDS)
    assert fields["client_secret"]["schema"]["format"] == "password"
    assert all(field["value"] is None for field in fields.values())


def test_airflow_lists_the_provider() -> None:
    """Check the output of ``airflow providers hooks``, ``widgets``, ``behaviours`` and ``links``."""
    manager: Any = ProvidersManager()  # type: ignore[no-untyped-call]
    assert manager.providers["airflow-provider-hubassoc"].version == __version__
    hook = ProvidersManagerTaskRuntime().hooks["hubspot"]  # type: ignore[no-untyped-call]
    assert hook is not None
    assert (hook.hook_class_name, hook.connection_id_attribute_name) == (
        "airflow_provider_hubassoc.hooks.HubSpotHook",
        "hubspot_conn_id",
    )
    widgets = [name for name, widget in manager.connection_form_widgets.items() if "hubspot" in name]
    assert widgets == [f"extra__hubspot__{name}" for name in FIELDS]
    assert manager.field_behaviours["hubspot"]["relabeling"]["password"] == "Access token"
    assert set(INFO["extra-links"]) <= set(manager.extra_links_class_names)
