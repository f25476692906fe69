"""Labels that this package created and somebody renamed in HubSpot: they are named, and never created again."""

from typing import Any

import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotMissingScopesError
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import USER, association, client_of, declare, make_plan, sent, writes

MAKER = {"Decision maker": {"limit": 2, "create_missing": True}}


def file(labels: dict[str, Any] = MAKER, *others: dict[str, Any]) -> dict[str, Any]:
    return declare(association("contacts", "companies", labels=labels), *others)


def rename(client: HubSpotClient, text: str, label: str, inverse: str | None = None) -> None:
    """Give a label of contacts -> companies another text, as in HubSpot's settings."""
    rows = client.get_labels("contacts", "companies")
    (type_id,) = [row.type_id for row in rows if row.label == text]
    client.update_label(
        "contacts", "companies", association_type_id=type_id, label=label, inverse_label=inverse or label
    )


def problems(plan: Plan) -> list[str]:
    return [problem for unfit in plan.unfit for problem in unfit.problems]


def test_every_plan_names_the_new_text(hubspot: Simulator, client: HubSpotClient) -> None:
    assert apply_plan(make_plan(client, file()), client).ok
    rename(client, "Decision maker", "Decider")
    hubspot.clear_requests()
    for _ in range(3):
        plan = make_plan(client, file())
        assert problems(plan) == [
            'labels["Decision maker"]: the label "Decision maker" was renamed to "Decider" in HubSpot: write "Decider" '
            "in the file, or rename the label back in HubSpot"
        ]
        assert plan.new_labels == []
        report = apply_plan(plan, client)
        assert (report.ok, report.retryable) == (False, False)
    assert writes(hubspot) == []
    assert apply_plan(make_plan(client, file({"Decider": 2})), client).ok  # adopted
    rename(client, "Decider", "Decision maker")  # renamed back
    assert make_plan(client, file()).is_empty


def test_other_directions_are_applied(hubspot: Simulator, client: HubSpotClient) -> None:
    assert apply_plan(make_plan(client, file()), client).ok
    rename(client, "Decision maker", "Decider")
    source = file(MAKER, association("deals", "contacts", limit=7))
    assert apply_plan(make_plan(client, source), client).summary == (
        "1 direction does not fit the portal. Applied 1 of 1. Settled."
    )


@pytest.mark.parametrize(
    ("label", "inverse"), [("Decider", "Decided by"), ("Maker", "Decided by"), ("Decider", "Made")]
)
def test_neither_side_is_created_if_one_was_renamed(
    hubspot: Simulator, client: HubSpotClient, label: str, inverse: str
) -> None:
    source = file(
        {"Maker": {"limit": 2, "create_missing": True, "inverse": "Made"}},
        association("companies", "contacts", labels={"Made": {"limit": 1, "create_missing": True, "inverse": "Maker"}}),
    )
    assert apply_plan(make_plan(client, source), client).ok
    rename(client, "Maker", label, inverse)
    hubspot.clear_requests()
    plan = make_plan(client, source)
    assert plan.new_labels == []
    assert len(plan.unfit) == (label != "Maker") + (inverse != "Made")
    assert all("was renamed to" in problem for problem in problems(plan))
    apply_plan(plan, client)
    assert writes(hubspot) == []


@pytest.mark.parametrize("name", ["decision_maker", "Decision_Maker"])
@pytest.mark.parametrize("name_in_file", ["decision_maker", "Decision_maker"])
def test_an_internal_name_from_the_file_is_recognized(
    hubspot: Simulator, client: HubSpotClient, name: str, name_in_file: str
) -> None:
    hubspot.add_label("contacts", "companies", label="Decider", name=name)
    named = {"Boss": {"limit": 2, "create_missing": True, "name": name_in_file}}
    assert "was renamed to" in problems(make_plan(client, file(named)))[0]


def test_a_hubspot_type_with_the_same_id_is_not_mistaken_for_the_label(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    """HubSpot numbers its own types and those of the portal independently, and schemas do not show the category."""
    type_id, _ = hubspot.add_label("contacts", "companies", label="Other", name="other")
    assert type_id == 1  # as "Primary", whose name HubSpot defines
    name = next(
        row.name for row in client.get_association_names("contacts") if row.type_id == 1 and row.name != "other"
    )
    plan = make_plan(client, file({"Boss": {"create_missing": True, "name": str(name).replace(" ", "_")}}))
    assert [label.label for label in plan.new_labels] == ["Boss"]


def test_internal_names_are_read_only_before_a_label_is_created(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.add_label("contacts", "companies", label="Decision maker", name="made_by_hand")
    make_plan(client, file())
    assert not any("schemas" in line for line in sent(hubspot))
    hubspot.clear_requests()
    make_plan(client, file({"Other": {"create_missing": True}}))
    assert sum("schemas" in line for line in sent(hubspot)) == 1


@pytest.mark.parametrize("status", [403, 404, 500])
def test_without_internal_names_the_plan_warns_of_possible_renames(hubspot: Simulator, status: int) -> None:
    with client_of(hubspot, max_retries=0) as client:
        assert apply_plan(make_plan(client, file()), client).ok
        rename(client, "Decision maker", "Decider")
        hubspot.inject(path="/crm-object-schemas/*", status=status, times=9)
        plan = make_plan(client, file())
        assert [label.label for label in plan.new_labels] == ["Decision maker"]
        assert 'If it was renamed to "Decider", write that text in the file instead' in plan.warnings[0]
        assert Plan.from_json(plan.to_json()) == plan


def test_the_inverse_direction_is_read_if_the_file_does_not_declare_it(
    hubspot: Simulator, client: HubSpotClient
) -> None:
    hubspot.add_label("contacts", "companies", label="Decider", inverse_label="Decided by", name="made_by_hand")
    labels = {"Decision maker": {"limit": 2, "create_missing": True, "inverse": "Decided by"}}
    plan = make_plan(client, file(labels))
    assert plan.new_labels == []
    assert 'already has its inverse label "Decided by" in companies -> contacts' in problems(plan)[0]
    labels["Decision maker"]["inverse"] = "decided  by"
    assert '"decided <U+0020>by" looks like "Decided by"' in problems(make_plan(client, file(labels)))[0]


def test_a_renamed_label_of_a_custom_object_is_recognized(hubspot: Simulator, client: HubSpotClient) -> None:
    hubspot.add_object_type("car")
    source = declare(association("p_car", "contacts", labels={"Driver": {"limit": 1, "create_missing": True}}))
    assert apply_plan(make_plan(client, source), client).ok
    (type_id,) = [row.type_id for row in client.get_labels("p_car", "contacts") if row.label == "Driver"]
    client.update_label("p_car", "contacts", association_type_id=type_id, label="Pilot")
    assert '"Driver" was renamed to "Pilot"' in problems(make_plan(client, source))[0]
    assert ("2-130001", "0-1", USER, type_id) in hubspot.limits()


def test_the_client_needs_a_schema_scope_to_read_names(hubspot: Simulator, client: HubSpotClient) -> None:
    type_id, inverse_id = hubspot.add_label("contacts", "companies", label="Boss", inverse_label="Firm", name="boss")
    names = [(row.type_id, row.name) for row in client.get_association_names("contacts")]
    assert {(type_id, "boss"), (inverse_id, "boss")} <= set(names)
    with (
        client_of(hubspot, access_token=hubspot.issue_token(["crm.objects.contacts.read"])) as another,
        pytest.raises(HubSpotMissingScopesError),
    ):
        another.get_association_names("contacts")
    with client_of(hubspot, access_token=hubspot.issue_token(["crm.schemas.contacts.read"])) as another:
        assert len(another.get_association_names("contacts")) == len(names)


@pytest.mark.parametrize("version", ["2026-03", "2026-09", "2025-09", "v4"])
def test_the_client_reads_names_in_every_version(hubspot: Simulator, version: str) -> None:
    with client_of(hubspot, api_version=version) as client:
        assert client.get_association_names("contacts")


def test_a_label_renamed_since_the_plan_makes_it_stale(hubspot: Simulator, client: HubSpotClient) -> None:
    plan = make_plan(client, file())
    apply_plan(plan, client, verify_timeout=None)
    rename(client, "Decision maker", "Decider")
    hubspot.clear_requests()
    with pytest.raises(StalePlanError, match='renamed to "Decider"'):
        rebase(plan, read_again(plan, client))
    assert writes(hubspot) == []
