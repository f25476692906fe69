"""Pruning removes limits that the file does not mention, but never one that the file leaves unmanaged."""

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.plan import Plan, build_plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_markdown, render_text
from airflow_provider_hubassoc.limits.snapshot import needs_labels, read_again, read_state
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import CONTACTS_COMPANIES, HUBSPOT, USER, association, declare, make_plan, set_limits, writes

PRIMARY = ("0-1", "0-2", HUBSPOT, 1)


def actions(plan: Plan) -> dict[str, tuple[str, bool]]:
    """Return the action of each limit, and whether the file declares it as ``null``."""
    return {change.name: (change.action, change.null_in_file) for change in plan.changes}


@pytest.mark.parametrize(
    ("base", "override", "kept"),
    [
        ({"limit": 5, "labels": {"Primary": 2}}, {"limit": None}, {CONTACTS_COMPANIES: 9, PRIMARY: 2}),
        ({"limit": 5, "labels": {"Primary": 2}}, {"labels": {"Primary": None}}, {CONTACTS_COMPANIES: 5, PRIMARY: 3}),
        ({"limit": None}, {"labels": {"Primary": 2}}, {CONTACTS_COMPANIES: 9, PRIMARY: 2}),
        ({"limit": None}, {"limit": 4, "labels": {"Primary": 2}}, {CONTACTS_COMPANIES: 4, PRIMARY: 2}),
        (
            {"types": [{"category": HUBSPOT, "typeId": 1, "limit": 2}], "limit": 5},
            {"types": [{"category": HUBSPOT, "typeId": 1, "limit": None}]},
            {CONTACTS_COMPANIES: 5, PRIMARY: 3},
        ),
    ],
)
def test_null_in_the_file_and_in_overrides(
    hubspot: Simulator, client: HubSpotClient, base: Any, override: Any, kept: Any
) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), (*PRIMARY, 3)])
    source = declare(
        association("contacts", "companies", **base),
        portals={"emea": {"associations": [association("contacts", "companies", **override)]}},
    )
    config = load_config(source).resolve(named="emea")
    plan = build_plan(config, read_state(config, client), prune=True)
    assert apply_plan(plan, client).ok
    assert hubspot.limits() == kept


def test_the_plan_shows_null_in_the_file(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), (*PRIMARY, 3)])
    plan = make_plan(client, declare(association("contacts", "companies", limit=None)), prune=True)
    assert actions(plan) == {"(unlabeled)": ("unmanaged", True), "Primary": ("purge", False)}
    row = next(line for line in render_text(plan).splitlines() if "(unlabeled)" in line)
    assert "null in the file" in row
    assert "null in the file" in render_markdown(plan)


@pytest.mark.parametrize("key", ["labels", "types"])
def test_null_for_all_labels_or_types_keeps_the_limits(hubspot: Simulator, client: HubSpotClient, key: str) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), (*PRIMARY, 3)])
    plan = make_plan(client, declare(association("contacts", "companies", limit=9, **{key: None})), prune=True)
    assert actions(plan) == {"(unlabeled)": ("unchanged", False), "Primary": ("unmanaged", True)}


def test_null_for_the_object_limit_of_a_custom_object(hubspot: Simulator, client: HubSpotClient) -> None:
    """Only the labels show which type is unlabeled, so they have to be read."""
    car = hubspot.add_object_type("car")
    owner, _ = hubspot.add_label("p_car", "contacts", label="Owner", name="owner")
    unlabeled = next(row for row in client.get_labels("p_car", "contacts") if row.label is None)
    keys = [(car, "0-1", USER, unlabeled.type_id), (car, "0-1", USER, owner)]
    set_limits(hubspot, [(*keys[0], 9), (*keys[1], 3)])
    source = declare(association("p_car", "contacts", limit=None))
    plan = make_plan(client, source, prune=True)
    assert actions(plan) == {"(unlabeled)": ("unmanaged", True), "Owner": ("purge", False)}
    assert apply_plan(plan, client).ok
    assert hubspot.limits() == {keys[0]: 9}
    assert needs_labels(load_config(source).associations[0], client.get_limits("p_car", "contacts"))


def test_null_for_a_renamed_label_keeps_the_limits(hubspot: Simulator, client: HubSpotClient) -> None:
    owner, _ = hubspot.add_label("contacts", "companies", label="Holder", name="owner")
    set_limits(hubspot, [("0-1", "0-2", USER, owner, 3), (*CONTACTS_COMPANIES, 9)])
    association_ = association("contacts", "companies", labels={"Owner": None})
    plan = make_plan(client, declare(association_), prune=True)
    assert plan.writes == []
    assert 'nothing is pruned, because the file leaves the label "Owner" unmanaged' in plan.warnings[0]
    assert needs_labels(load_config(declare(association_)).associations[0], client.get_limits("contacts", "companies"))


def test_nothing_is_said_about_pruning_without_prune(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [(*PRIMARY, 3)])
    assert make_plan(client, declare(association("contacts", "companies", labels={"Owner": None}))).warnings == []


def test_a_label_that_is_created_without_a_limit_does_not_stop_pruning(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    set_limits(hubspot, [(*PRIMARY, 3)])
    new = {"New": {"create_missing": True}}
    plan = make_plan(client, declare(association("contacts", "companies", labels=new)), prune=True)
    assert actions(plan) == {"Primary": ("purge", False)}
    assert [label.label for label in plan.new_labels] == ["New"]


def test_a_label_with_null_is_never_created(hubspot: Simulator, client: HubSpotClient) -> None:
    source = declare(association("contacts", "companies", labels={"Owner": None}))
    config = load_config(source).resolve().with_missing_labels(True)
    plan = build_plan(config, read_state(config, client))
    assert (plan.new_labels, plan.unfit, plan.writes) == ([], [], [])


@pytest.mark.parametrize("labels", [{"owner": 3}, {"Owner ": 3}, {"Holder": 3}])
def test_an_unfit_direction_is_not_pruned(hubspot: Simulator, client: HubSpotClient, labels: dict[str, int]) -> None:
    owner, _ = hubspot.add_label("contacts", "companies", label=" Owner", name="owner")
    set_limits(hubspot, [("0-1", "0-2", USER, owner, 3), (*CONTACTS_COMPANIES, 9), ("0-3", "0-1", HUBSPOT, 3, 7)])
    labels = {name.strip(): limit for name, limit in labels.items()}
    source = declare(association("contacts", "companies", labels=labels), association("deals", "contacts"))
    plan = make_plan(client, source, prune=True)
    assert [str(direction.direction) for direction in plan.unfit] == ["contacts -> companies"]
    apply_plan(plan, client)
    assert hubspot.limits() == {("0-1", "0-2", USER, owner): 3, CONTACTS_COMPANIES: 9}


def test_an_unread_direction_is_not_pruned(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9), ("0-3", "0-1", HUBSPOT, 3, 7)])
    hubspot.inject(method="GET", path="*contacts/companies", status=500, times=9)
    source = declare(association("contacts", "companies"), association("deals", "contacts"))
    apply_plan(make_plan(client, source, prune=True), client)
    assert hubspot.limits() == {CONTACTS_COMPANIES: 9}


def test_an_approved_purge_is_made_only_while_the_limit_is_what_was_approved(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9)])
    plan = Plan.from_json(make_plan(client, declare(association("contacts", "companies")), prune=True).to_json())
    hubspot.inject(method="GET", path="*contacts/companies", status=500, times=9)
    rest = rebase(plan, read_again(plan, client))
    assert rest.writes == []
    assert [direction.retryable for direction in rest.unread] == [True]
    report = apply_plan(rest, client)
    assert (report.ok, report.retryable) == (False, True)
    assert writes(hubspot) == []
    hubspot.clear_faults()
    assert apply_plan(rebase(plan, read_again(plan, client)), client).ok
    assert hubspot.limits() == {}
