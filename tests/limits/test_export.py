"""Exporting the limits of a portal as a file: complete, with names, and with a note of missing limits."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotUnknownObjectTypeError
from airflow_provider_hubassoc.limits.config import canonical_label, check_config, label_problem, load_config
from airflow_provider_hubassoc.limits.export import Export, export_limits
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, USER, association, client_of, declare, make_plan, sent, set_limits


def test_a_portal_without_limits_takes_one_request(hubspot: Simulator, client: HubSpotClient) -> None:
    assert export_limits(client) == Export(declare())
    assert sent(hubspot) == ["GET all"]


def test_hubspot_types_are_read_in_their_published_directions(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 5), ("0-162", "0-3", HUBSPOT, 794, 2)])
    export = export_limits(client, max_concurrency=1)
    assert export.config == declare(
        association("contacts", "companies", limit=5), association("services", "deals", limit=2)
    )
    assert sent(hubspot) == ["GET all", "GET 0-1/0-2", "GET 0-162/0-3"]


def test_labels_are_exported_by_name(hubspot: Simulator, client: HubSpotClient) -> None:
    on, off = hubspot.add_label("deals", "tickets", label="On", inverse_label="Off", name="on")
    set_limits(hubspot, [("0-3", "0-5", USER, on, 5), ("0-5", "0-3", USER, off, 2), ("0-1", "0-2", HUBSPOT, 1, 3)])
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


def test_a_label_of_two_types_is_exported_by_number(hubspot: Simulator, client: HubSpotClient) -> None:
    own, _ = hubspot.add_label("contacts", "companies", label="Primary", name="primary")
    set_limits(hubspot, [("0-1", "0-2", USER, own, 5), ("0-1", "0-2", HUBSPOT, 279, 6)])
    export = export_limits(client)
    types = [{"category": USER, "typeId": own, "limit": 5}]
    assert export.config == declare(association("contacts", "companies", limit=6, types=types))
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


@pytest.mark.parametrize(
    ("from_type", "to_type"), [("p_car", "tickets"), ("tickets", "p_car"), ("p_car", "projects"), ("projects", "p_car")]
)
def test_custom_objects_are_found_if_they_are_named(
    hubspot: Simulator, client: HubSpotClient, from_type: str, to_type: str
) -> None:
    ids = {"p_car": hubspot.add_object_type("car"), "tickets": "0-5", "projects": "0-970"}
    unlabeled = next(row.type_id for row in client.get_labels(from_type, to_type) if row.label is None)
    hubspot.set_limit(ids[from_type], ids[to_type], USER, unlabeled, 4)
    hubspot.clear_requests()
    export = export_limits(client, object_types=["p_car"])
    assert export == Export(declare(association(from_type, to_type, limit=4)))
    reads = sent(hubspot)
    assert len(reads) - len(set(reads)) <= 1  # p_car -> contacts is read once more to check that the portal has p_car
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


@pytest.mark.parametrize(
    ("label", "is_by_name"),
    [("y" * 1_000, True), ("y" * 1_001, False), ("\U0001f600" * 100, True), ("\U0001f600" * 101, False)],
)
def test_only_labels_that_yaml_accepts_as_keys_are_exported_by_name(
    hubspot: Simulator, client: HubSpotClient, label: str, is_by_name: bool
) -> None:
    type_id, _ = hubspot.add_label("contacts", "deals", label=label, name="long")
    hubspot.set_limit("0-1", "0-3", USER, type_id, 5)
    export = export_limits(client)
    (entry,) = export.config["associations"]
    if is_by_name:
        assert entry["labels"] == {label: 5}
    else:
        assert entry["types"] == [{"category": USER, "typeId": type_id, "limit": 5}]
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


def test_a_direction_the_token_may_not_read_is_skipped_and_named(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 5), ("0-3", "0-1", HUBSPOT, 3, 7)])
    hubspot.inject(method="GET", path="*/configurations/0-3/0-1", status=403, times=9)
    export = export_limits(client)
    assert export.config == declare(association("contacts", "companies", limit=5))
    assert [direction for direction, _ in export.skipped] == ["deals -> contacts"]


def test_labels_that_look_alike_are_exported_by_number(hubspot: Simulator, client: HubSpotClient) -> None:
    one, _ = hubspot.add_label("contacts", "deals", label="Boss", name="one")
    two, _ = hubspot.add_label("contacts", "deals", label=" boss ", name="two")
    set_limits(hubspot, [("0-1", "0-3", USER, one, 5), ("0-1", "0-3", USER, two, 6)])
    export = export_limits(client)
    assert [association_type["typeId"] for association_type in export.config["associations"][0]["types"]] == [one, two]
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


def test_an_object_type_that_the_portal_does_not_have_is_an_error(client: HubSpotClient) -> None:
    with pytest.raises(HubSpotUnknownObjectTypeError):
        export_limits(client, object_types=["p_nothing"])


def test_limits_are_exported_by_number_where_labels_cannot_be_read(hubspot: Simulator, client: HubSpotClient) -> None:
    car = hubspot.add_object_type("car")
    unlabeled = next(row.type_id for row in client.get_labels("p_car", "tickets") if row.label is None)
    type_id, _ = hubspot.add_label("deals", "tickets", label="Boss", name="boss")
    set_limits(
        hubspot, [(car, "0-5", USER, unlabeled, 4), ("0-3", "0-5", USER, type_id, 5), ("0-3", "0-1", HUBSPOT, 3, 7)]
    )
    hubspot.inject(method="GET", path="*/labels", status=403, times=9)
    export = export_limits(client, object_types=["p_car"])
    hubspot.clear_faults()
    assert export.missing == []
    assert export.config == declare(
        association("deals", "contacts", limit=7),
        association("deals", "tickets", types=[{"category": USER, "typeId": type_id, "limit": 5}]),
        association("p_car", "tickets", types=[{"category": USER, "typeId": unlabeled, "limit": 4}]),
    )
    assert [direction for direction, _ in export.skipped] == ["deals -> tickets", "p_car -> tickets"]
    assert all("written by number" in reason for _, reason in export.skipped)
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


NOT_SUPPORTED = {"status": "error", "message": "Object type 0-136 is not supported by this endpoint"}
CANNOT_INFER = {"status": "error", "message": "Unable to infer object type from: 0-136"}


@pytest.mark.parametrize("body", [NOT_SUPPORTED, CANNOT_INFER])
def test_an_expected_direction_of_an_unknown_object_type_is_skipped_and_named(
    hubspot: Simulator, client: HubSpotClient, body: dict[str, str]
) -> None:
    """The portal lists a limit of leads -> contacts, so this direction is expected to have one."""
    set_limits(hubspot, [("0-1", "0-2", HUBSPOT, 279, 5), ("0-136", "0-1", HUBSPOT, 578, 3)])
    hubspot.inject(method="GET", path="*/configurations/0-136/*", status=400, body=body, times=200)
    hubspot.inject(method="GET", path="*/configurations/*/0-136", status=400, body=body, times=200)
    export = export_limits(client)
    assert export.config == declare(association("contacts", "companies", limit=5))
    assert [row.type_id for row in export.missing] == [578]
    assert [direction for direction, _ in export.skipped] == ["leads -> contacts"]


def test_the_search_continues_past_object_types_that_the_endpoint_does_not_know(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    car = hubspot.add_object_type("car")
    unlabeled = next(row.type_id for row in client.get_labels("p_car", "projects") if row.label is None)
    hubspot.set_limit(car, "0-970", USER, unlabeled, 4)
    hubspot.inject(method="GET", path="*/configurations/p_car/0-7", status=400, body=NOT_SUPPORTED, times=9)
    export = export_limits(client, object_types=["p_car"])
    assert export == Export(declare(association("p_car", "projects", limit=4)))


def test_a_direction_of_a_named_object_type_that_the_endpoint_does_not_know_is_named_if_a_limit_is_missing(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    """Without a missing limit, the direction does not matter, and is not named."""
    car = hubspot.add_object_type("car")
    unlabeled = next(row.type_id for row in client.get_labels("p_car", "projects") if row.label is None)
    hubspot.set_limit(car, "0-970", USER, unlabeled, 4)
    hubspot.inject(method="GET", path="*/configurations/p_car/0-970", status=400, body=NOT_SUPPORTED, times=9)
    hubspot.inject(method="GET", path="*/configurations/0-1/0-136", status=400, body=NOT_SUPPORTED, times=9)
    export = export_limits(client, object_types=["p_car"])
    assert export.config == declare()
    assert [row.type_id for row in export.missing] == [unlabeled]
    ((direction, reason),) = export.skipped
    assert direction == "p_car -> projects"
    assert "not supported by this endpoint" in reason


def test_unsendable_types_are_exported_with_warnings(hubspot: Simulator, client: HubSpotClient) -> None:
    rows = [
        {"category": HUBSPOT, "typeId": 279, "userEnforcedMaxToObjectIds": 5, "label": None},
        {"category": "PARTNER_DEFINED", "typeId": 5, "userEnforcedMaxToObjectIds": 4, "label": "Partner"},
        {"category": USER, "typeId": 0, "userEnforcedMaxToObjectIds": 4, "label": None},
        {"category": USER, "typeId": 2**40, "userEnforcedMaxToObjectIds": 4, "label": "Hu\u200bge"},
    ]
    labels = [{key: row[key] for key in ("category", "typeId", "label")} for row in rows]
    hubspot.inject(method="GET", path="*/configurations/all", status=200, body={"results": rows})
    for path in ("*/configurations/0-1/0-2", "*/configurations/contacts/companies"):
        hubspot.inject(method="GET", path=path, status=200, body={"results": rows}, times=9)
    hubspot.inject(method="GET", path="*/labels", status=200, body={"results": labels}, times=9)
    export = export_limits(client, max_concurrency=1)
    assert export.missing == []
    _, problems = check_config(export.to_yaml())
    assert problems
    assert {problem.severity for problem in problems} == {"warning"}
    assert make_plan(client, export.to_yaml(), prune=True).is_empty


ODD_LABELS = [
    "Boss",
    " boss ",
    "B\u0000ss",
    "Bo\u200bss",
    "Primary",
    "null",
    "#1",
    "{{ x }}",
    "Ü <b>|[red]",
    "x " * 100 + "x",
    "\U0001f600" * 101,
    "y" * 1_001,
]


@pytest.fixture(scope="module")
def odd_portal() -> Iterator[tuple[Simulator, HubSpotClient, list[tuple[str, str, str, int]]]]:
    """Yield a portal with every kind of label, and the association types of it that may have limits."""
    with Simulator() as hubspot, client_of(hubspot) as client:
        car = hubspot.add_object_type("car")
        types = [("0-1", "0-2", HUBSPOT, 279), ("0-1", "0-2", HUBSPOT, 1), ("0-2", "0-1", HUBSPOT, 280)]
        for number, text in enumerate(ODD_LABELS):
            one_id, other_id = hubspot.add_label(
                "0-1", "0-2", label=text, inverse_label=text[::-1], name=f"odd_{number}"
            )
            types += [("0-1", "0-2", USER, one_id), ("0-2", "0-1", USER, other_id)]
        hubspot.add_label(car, "0-1", label="Driver", name="driver")
        types += [(car, "0-1", row.category, row.type_id) for row in client.get_labels("p_car", "0-1")]
        yield hubspot, client, types


@pytest.mark.slow
@given(data=st.data())
def test_the_export_of_any_portal_is_a_valid_file_without_changes(odd_portal: Any, data: st.DataObject) -> None:
    """Includes label limits above the object limit, which HubSpot's settings page allows."""
    hubspot, client, types = odd_portal
    for key in hubspot.limits():
        hubspot.set_limit(*key, None)
    limits = st.one_of(st.integers(1, 9), st.sampled_from([10_000, 10_001, 2**31 - 1]))
    set_limits(hubspot, [(*key, data.draw(limits)) for key in data.draw(st.sets(st.sampled_from(types)))])
    export = export_limits(client, object_types=["p_car"])
    assert (export.missing, export.skipped) == ([], [])
    text = export.to_yaml(allow_unicode=data.draw(st.booleans()))
    _, problems = check_config(text)
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
    for prune in (False, True):
        plan = make_plan(client, text, prune=prune)
        assert plan.unfit == []
        assert plan.is_empty
        assert sum(change.current is not None for change in plan.changes) == len(hubspot.limits())
