"""A client of the simulator, and how long hypothesis may search."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import client_of
from tests.support.random_portals import World, open_world

# A portal is shared by the examples of a test, and reset at the start of each.
_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("ci", max_examples=40, deadline=None, suppress_health_check=_SHARED, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=_SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def client(hubspot: Simulator) -> Iterator[HubSpotClient]:
    with client_of(hubspot) as client:
        yield client


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_world() as world:
        yield world
