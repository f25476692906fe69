"""HubSpot's own Python clients work against the simulator."""

from __future__ import annotations

import hubspot_sdk
import pytest
from hubspot import HubSpot
from hubspot.crm.associations.v4 import schema

pytestmark = pytest.mark.slow

PAIR = ("contacts", "companies")


@pytest.fixture
def client(hubspot):
    """Return a client of hubspot-api-client, which uses v4; for a create answered with 200 it returns None."""
    return HubSpot(access_token=hubspot.token).crm.associations.v4.schema


def pointed_at(hubspot, api):
    api.api_client.configuration.host = hubspot.url
    return api


@pytest.fixture
def limits(hubspot, client):
    return pointed_at(hubspot, client.definition_configurations_api)


@pytest.fixture
def labels(hubspot, client):
    return pointed_at(hubspot, client.definitions_api)


def test_api_client_limits(hubspot, limits):
    created = limits.batch_create(
        *PAIR,
        schema.BatchInputPublicAssociationDefinitionConfigurationCreateRequest(
            inputs=[
                schema.PublicAssociationDefinitionConfigurationCreateRequest(
                    category="HUBSPOT_DEFINED", type_id=279, max_to_object_ids=5
                )
            ]
        ),
    )
    assert created.status == "COMPLETE"
    assert [(one.type_id, one.user_enforced_max_to_object_ids) for one in created.results] == [(279, 5)]
    updated = limits.batch_update(
        *PAIR,
        schema.BatchInputPublicAssociationDefinitionConfigurationUpdateRequest(
            inputs=[
                schema.PublicAssociationDefinitionConfigurationUpdateRequest(
                    category="HUBSPOT_DEFINED", type_id=1, max_to_object_ids=4
                )
            ]
        ),
    )
    assert updated.results[0].user_enforced_max_to_object_ids == 4
    assert [one.type_id for one in limits.get_all_between_two_object_types(*PAIR).results] == [279, 1]
    assert len(limits.get_all().results) == 4
    limits.batch_remove(
        *PAIR,
        schema.BatchInputPublicAssociationSpec(
            inputs=[schema.PublicAssociationSpec(category="HUBSPOT_DEFINED", type_id=1)]
        ),
    )
    assert hubspot.limits() == {("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5}


def test_api_client_refused_input(limits):
    entry = schema.PublicAssociationDefinitionConfigurationUpdateRequest(
        category="HUBSPOT_DEFINED", type_id=4, max_to_object_ids=4
    )
    batch = schema.BatchInputPublicAssociationDefinitionConfigurationUpdateRequest(inputs=[entry])
    answer = limits.batch_update(*PAIR, batch)
    assert answer.status == "CANCELED"


def test_api_client_labels(hubspot, labels):
    created = labels.create(
        *PAIR,
        schema.PublicAssociationDefinitionCreateRequest(name="employer", label="Employer", inverse_label="Employee"),
    )
    type_id = next(one.type_id for one in created.results if one.label == "Employer")
    labels.update(
        *PAIR,
        schema.PublicAssociationDefinitionUpdateRequest(
            association_type_id=type_id, label="Firm", inverse_label="Staff"
        ),
    )
    assert "Firm" in [one.label for one in labels.get_all(*PAIR).results]
    assert "Staff" in [one.label for one in labels.get_all(*PAIR[::-1]).results]
    labels.remove(*PAIR, type_id)
    assert "Firm" not in [one.label for one in labels.get_all(*PAIR).results]


def test_api_client_errors(limits):
    with pytest.raises(schema.ApiException) as refusal:
        limits.get_all_between_two_object_types("nonsense", "companies")
    assert refusal.value.status == 400
    assert "Unable to infer object type from: nonsense" in refusal.value.body
    limits.api_client.configuration.access_token = "wrong"
    with pytest.raises(schema.exceptions.UnauthorizedException):
        limits.get_all()


@pytest.fixture
def sdk(hubspot):
    """Return a client of hubspot-sdk, which uses 2026-03."""
    with hubspot_sdk.HubSpot(access_token=hubspot.token, base_url=hubspot.url, max_retries=0) as client:
        yield client


def test_sdk_limits(hubspot, sdk):
    limits, labels = sdk.crm.associations_schema.limits, sdk.crm.associations_schema.labels
    entry = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}
    pair = {"from_object_type": "contacts", "to_object_type": "companies"}
    # This client has the creation of limits among the methods for labels.
    created = labels.batch_create(**pair, inputs=[_snake(entry)])
    assert (created.status, created.results[0].type_id) == ("COMPLETE", 279)
    updated = limits.batch_update(**pair, inputs=[_snake(entry | {"maxToObjectIds": 6})])
    assert updated.results[0].user_enforced_max_to_object_ids == 6
    assert limits.get_by_object_types(**pair).results[0].user_enforced_max_to_object_ids == 6
    assert len(limits.list().results) == 2
    limits.batch_delete(**pair, inputs=[{"category": "HUBSPOT_DEFINED", "type_id": 279}])
    assert hubspot.limits() == {}


def test_sdk_labels(sdk):
    labels = sdk.crm.associations_schema.labels
    pair = {"from_object_type": "contacts", "to_object_type": "companies"}
    created = labels.create_label(**pair, name="employer", label="Employer", inverse_label="Employee")
    type_id = next(one.type_id for one in created.results if one.label == "Employer")
    labels.update_label(**pair, association_type_id=type_id, label="Firm", inverse_label="Staff")
    assert "Firm" in [one.label for one in labels.list_labels(**pair).results]
    labels.delete_label(type_id, **pair)
    assert "Firm" not in [one.label for one in labels.list_labels(**pair).results]


def test_sdk_errors(sdk):
    with pytest.raises(hubspot_sdk.BadRequestError, match="Unable to infer object type"):
        sdk.crm.associations_schema.limits.get_by_object_types("nonsense", from_object_type="contacts")


def _snake(entry):
    names = {"typeId": "type_id", "maxToObjectIds": "max_to_object_ids"}
    return {names.get(name, name): value for name, value in entry.items()}
