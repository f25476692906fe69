from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.support.simulator_client import Api

Simulate = Callable[..., Api]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    """Start a simulator with options and return a client for it."""
    with ExitStack() as stack:

        def start(**options: Any) -> Api:
            api = Api(stack.enter_context(Simulator(**options)))
            stack.callback(api.session.close)
            return api

        yield start


@pytest.fixture
def api(simulate: Simulate) -> Api:
    return simulate()


@pytest.fixture
def hubspot(api: Api) -> Simulator:
    return api.hubspot
