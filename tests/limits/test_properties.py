"""Apply random files to random portals: the portal is as declared afterwards, after the fewest requests.

``HYPOTHESIS_PROFILE=nightly`` searches longer.
"""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.config import ConfigError, load_config
from airflow_provider_hubassoc.limits.export import export_limits
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.snapshot import read_again
from tests.support.portal import make_plan
from tests.support.random_portals import (
    World,
    as_file,
    as_limits,
    breaks_rule,
    expected,
    fewest_requests,
    in_force,
    portals,
    replay,
    targets,
)


@given(data=st.data(), prune=st.booleans(), exact=st.booleans(), strict=st.booleans())
def test_an_applied_file_is_in_force(world: World, data: st.DataObject, prune: bool, exact: bool, strict: bool) -> None:
    portal = data.draw(portals(strict=strict))
    world.reset(in_force(as_limits(world, portal)), equal_allowed=not strict)
    target = data.draw(targets(portal, strict=strict))
    source = as_file(world, target, exact)
    after = expected(world, target, prune)
    if breaks_rule(world, after):
        unfit = make_plan(world.client, source, prune=prune).unfit
        assert unfit
        assert all("above the object limit" in str(direction) for direction in unfit)
        return
    plan = make_plan(world.client, source, prune=prune)
    reads = len(world.hubspot.requests)
    needing_labels = sum(read.labels for read in plan.directions)
    assert reads == len(target) + needing_labels

    if breaks_rule(world, after, strict=strict):
        return  # equal to a limit that the file does not mention, which HubSpot refuses in a strict portal
    report = apply_plan(plan, world.client)
    assert report.ok, report.lines()
    assert world.hubspot.limits() == after == replay(world, plan)

    sent = [request for request in world.hubspot.requests[reads:] if "/batch/" in request.path]
    changed = {change.direction for change in plan.writes}
    assert len(sent) == sum(
        fewest_requests([change for change in plan.writes if change.direction == direction]) for direction in changed
    )
    assert len(world.hubspot.requests) == reads + len(sent) + len(changed)

    world.hubspot.clear_requests()
    again = make_plan(world.client, source, prune=prune)
    assert again.is_empty
    assert apply_plan(again, world.client).ok
    assert {request.method for request in world.hubspot.requests} <= {"GET"}
    assert rebase(plan, read_again(plan, world.client)).is_empty


@given(data=st.data())
def test_the_plan_of_an_export_is_empty(world: World, data: st.DataObject) -> None:
    limits = in_force(as_limits(world, data.draw(portals())))
    world.reset(limits)
    export = export_limits(world.client, object_types=["p_plan"])
    assert export.missing == []
    text = export.to_yaml()
    plan = make_plan(world.client, text, prune=True)
    assert plan.is_empty
    assert plan.counts["unchanged"] == len(limits)


@given(text=st.text() | st.binary().map(repr))
def test_any_text_is_a_config_or_a_clear_error(text: str) -> None:
    for source in (f"{text}\n", f"version: 1\nassociations:\n  - {text}\n", f"{{{text}}}"):
        with contextlib.suppress(ConfigError):
            load_config(source)


keys = st.sampled_from(["from", "to", "limit", "labels", "types", "version", "associations", "portals", "name"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("contacts")
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))


@given(tree=st.dictionaries(keys, trees) | trees.map(lambda tree: {"version": 1, "associations": [tree]}))
def test_any_dict_is_a_config_or_a_clear_error(tree: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        load_config(tree)
