"""Discovery of the provider and of its connection type by Airflow."""

import json

import pytest

from tests.support.environment import CONNECTION_ID
from tests.support.stack import Stack


def providers(stack: Stack, *arguments: str) -> list[dict[str, str]]:
    finished = stack.command("providers", *arguments, "--output", "json")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found: list[dict[str, str]] = json.loads(finished.stdout[finished.stdout.index("[") :])
    return found


@pytest.mark.parametrize("what", ["widgets", "behaviours", "links"])
def test_airflow_providers(stack: Stack, what: str) -> None:
    assert "hubspot" in json.dumps(providers(stack, what)).lower()


def test_the_hook_is_registered_for_its_connection_type(stack: Stack) -> None:
    (hook,) = [hook for hook in providers(stack, "hooks") if hook["connection_type"] == "hubspot"]
    assert hook["class"] == "airflow_provider_hubassoc.hooks.HubSpotHook"
    assert hook["conn_id_attribute_name"] == "hubspot_conn_id"


def test_the_web_form_offers_the_fields(stack: Stack) -> None:
    meta = stack.api.session.get(f"{stack.api.url}/ui/connections/hook_meta", timeout=30).json()
    (form,) = [form for form in meta if form["connection_type"] == "hubspot"]
    assert set(form["extra_fields"]) >= {"auth_type", "client_id", "client_secret", "refresh_token", "timeout"}
    for secret in ("client_secret", "refresh_token"):
        assert form["extra_fields"][secret]["schema"]["format"] == "password"


def test_connections_test_on_the_command_line(stack: Stack) -> None:
    finished = stack.command("connections", "test", CONNECTION_ID)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Connection success" in finished.stdout
    assert stack.hubspot.token not in finished.stdout + finished.stderr


def test_the_button_of_the_web_ui_tests_the_stored_connection(stack: Stack) -> None:
    # What the button sends: the connection as the list shows it, its password hidden.
    shown = stack.api.call("GET", f"/connections/{CONNECTION_ID}")
    answer = stack.api.call("POST", "/connections/test", json=shown)
    assert answer["status"] is True, answer
    assert str(stack.hubspot.portal_id) in answer["message"]


def test_a_wrong_token_is_explained_in_a_sentence(stack: Stack) -> None:
    body = {
        "connection_id": "wrong",
        "conn_type": "hubspot",
        "host": stack.hubspot.url,
        "password": "pat-na1-this-is-not-the-token",
    }
    answer = stack.api.call("POST", "/connections/test", json=body)
    assert answer["status"] is False
    assert "pat-na1-this-is-not-the-token" not in answer["message"]
