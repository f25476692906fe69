"""An apply that is interrupted anywhere reaches the declared limits when it runs again."""

from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import association, client_of, declare, make_plan
from tests.support.random_portals import (
    World,
    as_file,
    as_limits,
    breaks_rule,
    expected,
    in_force,
    portals,
    replay,
    targets,
)


class KilledError(BaseException):
    """The simulated death of the process."""


class DyingAdapter(HTTPAdapter):
    """Sends some requests, then kills the process: before the next request is sent, or before it is answered."""

    def __init__(self, requests_left: int, sends_the_last: bool) -> None:
        super().__init__()
        self.requests_left = requests_left
        self.sends_the_last = sends_the_last

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if self.requests_left > 0:
            self.requests_left -= 1
            return super().send(request, *args, **kwargs)
        if self.sends_the_last:
            self.sends_the_last = False
            super().send(request, *args, **kwargs).close()
        raise KilledError


@pytest.mark.slow
@given(data=st.data(), survives=st.integers(0, 9), sends_the_last=st.booleans(), prune=st.booleans())
def test_an_interrupted_apply_reaches_the_file_when_run_again(
    world: World, data: st.DataObject, survives: int, sends_the_last: bool, prune: bool
) -> None:
    portal = data.draw(portals())
    target = data.draw(targets(portal))
    world.reset(in_force(as_limits(world, portal)))
    source = as_file(world, target, exact=False)
    after = expected(world, target, prune)
    if breaks_rule(world, after):
        return
    plan = make_plan(world.client, source, prune=prune)
    with client_of(world.hubspot) as dying:
        dying.transport.session.mount("http://", DyingAdapter(survives, sends_the_last))
        try:
            apply_plan(plan, dying, max_concurrency=2)
        except KilledError:
            pass
        else:
            assert world.hubspot.limits() == after

    # The approved plan continues where it ended, and so would a new one.
    rest = rebase(plan, read_again(plan, world.client))
    assert rest.writes == make_plan(world.client, source, prune=prune).writes
    assert apply_plan(rest, world.client).ok
    assert world.hubspot.limits() == after == replay(world, plan)


@pytest.mark.parametrize("sends_the_last", [False, True])
@pytest.mark.parametrize("survives", range(8))
def test_interrupted_onboarding_reaches_the_file_when_run_again(
    hubspot: Simulator, client: HubSpotClient, survives: int, sends_the_last: bool
) -> None:
    source = declare(
        association(
            "contacts",
            "companies",
            limit=5,
            labels={
                "Owner": {"limit": 2, "create_missing": True, "inverse": "Owned by"},
                "Partner": {"limit": 3, "create_missing": True},
            },
        ),
        association("companies", "contacts", labels={"Owned by": 1, "Partner": 4}),
    )
    plan = make_plan(client, source)
    with client_of(hubspot) as dying:
        dying.transport.session.mount("http://", DyingAdapter(survives, sends_the_last))
        with pytest.raises(KilledError):
            apply_plan(plan, dying, max_concurrency=1)
    rest = rebase(plan, read_again(plan, client))
    assert (rest.new_labels, rest.writes) == (
        make_plan(client, source).new_labels,
        make_plan(client, source).writes,
    )
    assert apply_plan(rest, client).ok
    labels = [*client.get_labels("contacts", "companies"), *client.get_labels("companies", "contacts")]
    assert [row.label for row in labels].count("Partner") == 2
    assert sorted(hubspot.limits().values()) == [1, 2, 3, 4, 5]
    assert make_plan(client, source).is_empty
