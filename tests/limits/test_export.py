"""A portal's limits as a file: complete, with names, and honest about what is missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotUnknownObjectTypeError
from airflow_provider_hubassoc.limits.config import canonical_label, label_problem, load_config
from airflow_provider_hubassoc.limits.export import Export, export_limits
from airflow_provider_hubassoc.simulator import Simulator
from tests.limits.portal import HUBSPOT, USER, association, declare, make_plan, sent, set_limits


def test_a_portal_without_limits_takes_one_request(hubspot: Simulator, client: HubSpotClient) -> None:
    assert export_limits(client) == Export(declare())
    assert sent(hubspot) == ["GET all"]


def test_hubspot_s_own_types_are_read_where_they_are(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 5), ("0-162", "0-3", HUBSPOT, 794, 2)])
    export = export_limits(client, max_concurrency=1)
    assert export.config == declare(
        association("contacts", "companies", limit=5), association("services", "deals", limit=2)
    )
    assert sent(hubspot) == ["GET all", "GET 0-1/0-2", "GET 0-162/0-3"]


def test_labels_come_with_their_names(hubspot: Simulator, client: HubSpotClient) -> None:
    here, there = hubspot.add_label("deals", "tickets", label="On", inverse_label="Off", name="on")
    set_limits(hubspot, [("0-3", "0-5", USER, here, 5), ("0-5", "0-3", USER, there, 2), ("0-1", "0-2", HUBSPOT, 1, 3)])
    export = export_limits(client)
    assert export.missing == []
    assert export.to_yaml("Limits of\nportal 1") == (
        "# Limits of portal 1\n"
        "version: 1\n"
        "associations:\n"
        "- from: contacts\n"
        "  to: companies\n"
        "  labels:\n"
        "    Primary: 3\n"
        "- from: deals\n"
        "  to: tickets\n"
        "  labels:\n"
        "    'On': 5\n"
        "- from: tickets\n"
        "  to: deals\n"
        "  labels:\n"
        "    'Off': 2\n"
    )
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


def test_a_label_of_two_types_is_written_exactly(hubspot: Simulator, client: HubSpotClient) -> None:
    own, _ = hubspot.add_label("contacts", "companies", label="Primary", name="mine")
    set_limits(hubspot, [("0-1", "0-2", USER, own, 5), ("0-1", "0-2", HUBSPOT, 279, 6)])
    export = export_limits(client)
    types = [{"category": USER, "typeId": own, "limit": 5}]
    assert export.config == declare(association("contacts", "companies", limit=6, types=types))
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


def test_custom_objects_have_to_be_named(hubspot: Simulator, client: HubSpotClient) -> None:
    car = hubspot.add_object_type("car")
    rows = client.get_labels("p_car", "tickets")
    hubspot.set_limit(car, "0-5", USER, rows[0].type_id, 4)
    export = export_limits(client, object_types=["p_car"])
    assert export == Export(declare(association("p_car", "tickets", limit=4)))
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


labels = st.dictionaries(
    st.text(min_size=1).filter(lambda text: label_problem(text) is None),
    st.integers(1, 9),
    max_size=3,
).filter(lambda labels: len({canonical_label(label) for label in labels}) == len(labels))


@given(labels=labels)
def test_any_label_survives_the_file(labels: dict[str, Any]) -> None:
    config = declare(association("contacts", "companies", labels=labels))
    loaded = load_config(Export(config).to_yaml())
    assert {name: label.limit for name, label in loaded.associations[0].labels.items()} == labels


def test_what_the_token_may_not_read_is_skipped_and_named(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 5), ("0-3", "0-1", HUBSPOT, 3, 7)])
    hubspot.inject(method="GET", path="*/configurations/0-3/0-1", status=403, times=9)
    export = export_limits(client)
    assert export.config == declare(association("contacts", "companies", limit=5))
    assert [direction for direction, _ in export.skipped] == ["deals -> contacts"]


def test_a_look_alike_pair_of_labels_is_written_exactly(hubspot: Simulator, client: HubSpotClient) -> None:
    one, _ = hubspot.add_label("contacts", "deals", label="Boss", name="one")
    two, _ = hubspot.add_label("contacts", "deals", label=" boss ", name="two")
    set_limits(hubspot, [("0-1", "0-3", USER, one, 5), ("0-1", "0-3", USER, two, 6)])
    export = export_limits(client)
    assert [each["typeId"] for each in export.config["associations"][0]["types"]] == [one, two]
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


def test_an_object_type_that_the_portal_does_not_have_is_an_error(client: HubSpotClient) -> None:
    with pytest.raises(HubSpotUnknownObjectTypeError):
        export_limits(client, object_types=["p_nothing"])
