"""For random portals and random files: what is applied is what was declared, in the fewest requests, rule kept.

``HYPOTHESIS_PROFILE=nightly`` searches longer.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.apply import apply_plan
from airflow_provider_hubassoc.limits.apply.batching import steps
from airflow_provider_hubassoc.limits.config import ConfigError, load_config
from airflow_provider_hubassoc.limits.export import export_limits
from airflow_provider_hubassoc.limits.plan import Change, Plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.snapshot import read_again
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, USER, association, client_of, declare, make_plan

Key = tuple[str, str, str, int]


@dataclass
class World:
    """One portal for all examples: what there can be limits of."""

    hubspot: Simulator
    client: HubSpotClient
    directions: dict[tuple[str, str], tuple[Key, dict[str, Key]]]
    """Spelling in the file -> the unlabeled type, and the labels."""
    before: dict[Key, int] = field(default_factory=dict)

    def reset(self, limits: dict[Key, int], *, equal_allowed: bool = True) -> None:
        self.hubspot.settings.equal_limits_allowed = equal_allowed
        for key in self.hubspot.limits():
            self.hubspot.set_limit(*key, None)
        for key, value in limits.items():
            self.hubspot.set_limit(*key, value)
        self.before = dict(limits)
        self.hubspot.clear_requests()

    def unlabeled(self) -> set[Key]:
        return {unlabeled for unlabeled, _ in self.directions.values()}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Simulator() as hubspot, client_of(hubspot) as client:
        plan_type = hubspot.add_object_type("plan")
        pairs = [
            ("contacts", "companies", "0-1", "0-2", 279, {"Primary": 1, "Billing Contact": 931}),
            ("company", "contact", "0-2", "0-1", 280, {"Contact with Primary Company": 2}),
            ("contacts", "0-1", "0-1", "0-1", 449, {}),
            ("p_plan", "companies", plan_type, "0-2", None, {}),
            ("companies", "p_plan", "0-2", plan_type, None, {}),
            ("deals", "contacts", "0-3", "0-1", 3, {}),
        ]
        ids = {
            ("0-1", "0-2", "On"): hubspot.add_label("contacts", "companies", label="On", name="on"),
            ("0-1", "0-2", "2024: [red]"): hubspot.add_label(
                "contacts", "companies", label="2024: [red]", inverse_label="|😀|", name="odd"
            ),
            ("0-1", "0-1", "Boss"): hubspot.add_label(
                "contacts", "contacts", label="Boss", inverse_label="Report", name="boss"
            ),
            ("0-1", "0-1", "Friend"): hubspot.add_label("contacts", "contacts", label="Friend", name="friend"),
            (plan_type, "0-2", "Owner"): hubspot.add_label(
                "p_plan", "companies", label="Owner", inverse_label="Owned", name="owner"
            ),
        }
        directions: dict[tuple[str, str], tuple[Key, dict[str, Key]]] = {}
        for from_name, to_name, from_id, to_id, unlabeled, labels in pairs:
            keys = {name: (from_id, to_id, HUBSPOT, type_id) for name, type_id in labels.items()}
            for (one, other, label), (here, there) in ids.items():
                inverse = {"2024: [red]": "|😀|", "Boss": "Report", "Owner": "Owned"}.get(label, label)
                if (one, other) == (from_id, to_id):
                    keys[label] = (from_id, to_id, USER, here)
                if (other, one) == (from_id, to_id):
                    keys[inverse] = (from_id, to_id, USER, there)
            top = (from_id, to_id, HUBSPOT, unlabeled) if unlabeled else None
            if top is None:
                rows = client.get_labels(from_name, to_name)
                top = next((from_id, to_id, row.category, row.type_id) for row in rows if row.label is None)
            directions[(from_name, to_name)] = (top, keys)
        yield World(hubspot, client, directions)


Limits = dict[str, int | None]
"""Type of a direction ("" for the unlabeled one) -> its limit."""

NAMES = {
    ("contacts", "companies"): ["", "Primary", "Billing Contact", "On", "2024: [red]"],
    ("company", "contact"): ["", "Contact with Primary Company", "On", "|😀|"],
    ("contacts", "0-1"): ["", "Boss", "Report", "Friend"],
    ("p_plan", "companies"): ["", "Owner"],
    ("companies", "p_plan"): ["", "Owned"],
    ("deals", "contacts"): [""],
}


@st.composite
def lawful(draw: st.DrawFn, names: list[str], *, strict: bool = False) -> Limits:
    """Limits of one direction that HubSpot takes."""
    limits: Limits = {}
    # None is drawn less often than not: what is hard is to change limits, not to set or to remove them.
    top = draw(st.sampled_from([None, *range(2, 10)])) if "" in names else None
    for name in names:
        highest = (top - 1 if strict else top) if top is not None else 9
        limits[name] = top if name == "" else draw(st.sampled_from([None, *range(1, highest + 1)]))
    return limits


some_directions = st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3, unique=True)


@st.composite
def portals(draw: st.DrawFn, *, strict: bool = False) -> dict[tuple[str, str], Limits]:
    return {direction: draw(lawful(NAMES[direction], strict=strict)) for direction in draw(some_directions)}


@st.composite
def targets(
    draw: st.DrawFn, portal: dict[tuple[str, str], Limits], *, strict: bool = False
) -> dict[tuple[str, str], Limits]:
    """Draw what a file declares: some directions with limits in the portal, some without, with all or some types."""
    directions = draw(some_directions)
    declared = {}
    for direction in {**dict.fromkeys(directions), **dict.fromkeys(portal)}:
        names = NAMES[direction]
        left_out = draw(st.just(set()) | st.sets(st.sampled_from(names)))
        declared[direction] = draw(lawful([name for name in names if name not in left_out], strict=strict))
    return declared


def as_limits(world: World, portal: dict[tuple[str, str], Limits]) -> dict[Key, int | None]:
    found: dict[Key, int | None] = {}
    for direction, limits in portal.items():
        unlabeled, labels = world.directions[direction]
        found |= {(labels[name] if name else unlabeled): limit for name, limit in limits.items()}
    return found


def in_force(limits: dict[Key, int | None]) -> dict[Key, int]:
    return {key: limit for key, limit in limits.items() if limit is not None}


def as_file(world: World, target: dict[tuple[str, str], Limits], exact: bool) -> dict[str, Any]:
    """Write the declaration; ``exact`` names some types by their ids."""
    entries = []
    for direction, limits in target.items():
        labels = world.directions[direction][1]
        entry: dict[str, Any] = association(*direction)
        for index, (name, limit) in enumerate(limits.items()):
            value = "unlimited" if limit is None else limit
            if not name:
                entry["limit"] = value
            elif exact and index % 2:
                category, type_id = labels[name][2:]
                entry.setdefault("types", []).append({"category": category, "typeId": type_id, "limit": value})
            else:
                entry.setdefault("labels", {})[name] = value
        entries.append(entry)
    return declare(*entries)


def expected(world: World, target: dict[tuple[str, str], Limits], prune: bool) -> dict[Key, int]:
    after: dict[Key, int | None] = dict(world.before)
    if prune:
        pairs = {world.directions[direction][0][:2] for direction in target}
        after = {key: limit for key, limit in after.items() if key[:2] not in pairs}
    return in_force(after | as_limits(world, target))


def breaks_rule(world: World, limits: dict[Key, int], *, strict: bool = False) -> bool:
    tops = {key[:2]: limits[key] for key in world.unlabeled() if key in limits}
    return any(
        key not in world.unlabeled() and key[:2] in tops and (limit > tops[key[:2]] - strict)
        for key, limit in limits.items()
    )


def replay(world: World, plan: Plan) -> dict[Key, int]:
    """Go through the writes the portal received; the rule has to hold after every input, in any order of a batch."""
    state: dict[Key, int] = dict(world.before)
    ids = {
        normalize(spelling): type_id
        for direction, (top, _) in world.directions.items()
        for spelling, type_id in zip(direction, top[:2], strict=True)
    }
    for request in world.hubspot.requests:
        if "/batch/" not in request.path:
            continue
        from_type, to_type, _, action = request.path.split("/")[-4:]
        batch: dict[Key, int | None] = {
            (ids[normalize(from_type)], ids[normalize(to_type)], each["category"], each["typeId"]): each.get(
                "maxToObjectIds"
            )
            for each in request.body["inputs"]
        }
        if action == "create":
            assert not any(key in state for key in batch)
        for halfway in product(*[(False, True)] * len(batch)):
            some = {key: limit for done, (key, limit) in zip(halfway, batch.items(), strict=True) if done}
            assert not breaks_rule(world, in_force(state | some)), (request.path, request.body)
        state = in_force(state | batch)
    return state


@given(data=st.data(), prune=st.booleans(), exact=st.booleans(), strict=st.booleans())
def test_applying_makes_the_portal_equal_to_the_file(
    world: World, data: st.DataObject, prune: bool, exact: bool, strict: bool
) -> None:
    portal = data.draw(portals(strict=strict))
    world.reset(in_force(as_limits(world, portal)), equal_allowed=not strict)
    target = data.draw(targets(portal, strict=strict))
    source = as_file(world, target, exact)
    after = expected(world, target, prune)
    if breaks_rule(world, after):
        unfit = make_plan(world.client, source, prune=prune).unfit
        assert unfit
        assert all("above the object limit" in str(each) for each in unfit)
        return
    plan = make_plan(world.client, source, prune=prune)
    reads = len(world.hubspot.requests)
    needing_labels = sum(read.labels for read in plan.directions)
    assert reads == len(target) + needing_labels

    if breaks_rule(world, after, strict=strict):
        return  # equal to a limit that the file does not mention: a matter between HubSpot and the user
    report = apply_plan(plan, world.client)
    assert report.ok, report.lines()
    assert world.hubspot.limits() == after == replay(world, plan)

    sent = [request for request in world.hubspot.requests[reads:] if "/batch/" in request.path]
    changed = {change.direction for change in plan.writes}
    assert len(sent) == sum(
        fewest([change for change in plan.writes if change.direction == direction]) for direction in changed
    )
    assert len(world.hubspot.requests) == reads + len(sent) + len(changed)

    world.hubspot.clear_requests()
    again = make_plan(world.client, source, prune=prune)
    assert again.is_empty
    assert apply_plan(again, world.client).ok
    assert {request.method for request in world.hubspot.requests} <= {"GET"}
    assert rebase(plan, read_again(plan, world.client)).is_empty


@given(data=st.data(), strict=st.booleans())
def test_the_order_keeps_the_rule_in_the_fewest_requests(data: st.DataObject, strict: bool) -> None:
    names = ["", "a", "b", "c"]
    now, then = (data.draw(lawful(names, strict=strict)) for _ in range(2))
    changes = [change(not name, now[name], then[name], name) for name in names if now[name] != then[name]]
    found = steps(changes)
    assert len(found) == fewest(changes)
    state = dict(now)
    for step in found:
        for halfway in product(*[(False, True)] * len(step.changes)):
            mixed = state | {
                each.label or "": each.target for done, each in zip(halfway, step.changes, strict=True) if done
            }
            top = mixed[""]
            ends = (now, then)
            for name in names[1:]:
                label = mixed[name]
                as_at_an_end = any((label, top) == (end[name], end[""]) for end in ends)
                assert top is None or label is None or label < top or as_at_an_end
        state |= {each.label or "": each.target for each in step.changes}
    assert state == then


def fewest(changes: list[Change]) -> int:
    """Return the fewest requests for one direction, found by trying everything.

    Purges in one, the rest in as few batches as keep the rule whichever half of a batch is done; where neither state
    of a label is equal to the object limit beside it, halfway is not either.
    """
    purges = any(change.action == "purge" for change in changes)
    rest = [change for change in changes if change.action != "purge"]
    for count in range(len(rest) + 1):
        if any(lawful_split(rest, split) for split in product(range(count), repeat=len(rest))):
            return purges + count
    raise AssertionError("no order keeps the rule")


def lawful_split(changes: list[Change], split: tuple[int, ...]) -> bool:
    tops = [(batch, change) for batch, change in zip(split, changes, strict=True) if change.unlabeled]
    for top_batch, top in tops:
        for batch, label in zip(split, changes, strict=True):
            if label is top:
                continue
            assert top.target is not None
            assert label.target is not None
            label_first = batch <= top_batch and top.current is not None and label.target >= top.current
            top_first = top_batch <= batch and label.current is not None and label.current >= top.target
            if label_first or top_first:
                return False
    return True


def test_a_split_that_is_known(world: World) -> None:
    """The oracle above, held against cases worked out by hand."""
    raised = [change(True, 5, 10), change(False, 3, 7), change(False, None, 4)]
    assert fewest(raised) == 2
    assert [[each.target for each in step.changes] for step in steps(raised)] == [[10, 4], [7]]
    lowered = [change(True, 10, 5), change(False, 7, 3), change(False, 2, 4), change(False, 6, None)]
    assert fewest(lowered) == 3
    assert [[each.target for each in step.changes] for step in steps(lowered)] == [[None], [3], [5, 4]]
    assert [step.action for step in steps([change(True, None, 5), change(False, None, 5)])] == ["create"]


def change(unlabeled: bool, current: int | None, target: int | None, label: str = "") -> Change:
    action = "create" if current is None else "purge" if target is None else "update"
    return Change(
        action=action,
        from_object_type="contacts",
        to_object_type="companies",
        category=HUBSPOT,
        type_id=1,
        unlabeled=unlabeled,
        label=label or None,
        current=current,
        target=target,
    )


@given(data=st.data())
def test_export_then_plan_is_empty(world: World, data: st.DataObject) -> None:
    limits = in_force(as_limits(world, data.draw(portals())))
    world.reset(limits)
    export = export_limits(world.client, object_types=["p_plan"])
    assert export.missing == []
    text = export.to_yaml()
    plan = make_plan(world.client, text, prune=True)
    assert plan.is_empty
    assert plan.counts["unchanged"] == len(limits)


class KilledError(BaseException):
    """The process is gone."""


class Mortal(HTTPAdapter):
    """Carries so many requests, and then the process is gone: before the next is sent, or before it is answered."""

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


@given(data=st.data(), survives=st.integers(0, 9), sends_the_last=st.booleans(), prune=st.booleans())
def test_an_apply_cut_off_anywhere_converges_when_run_again(
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
    with client_of(world.hubspot) as doomed:
        doomed.transport.session.mount("http://", Mortal(survives, sends_the_last))
        try:
            apply_plan(plan, doomed, max_concurrency=2)
        except KilledError:
            pass
        else:
            assert world.hubspot.limits() == after

    # The approved plan goes on where it ended, and so would a new one.
    rest = rebase(plan, read_again(plan, world.client))
    assert rest.writes == make_plan(world.client, source, prune=prune).writes
    assert apply_plan(rest, world.client).ok
    assert world.hubspot.limits() == after == replay(world, plan)


@pytest.mark.parametrize("sends_the_last", [False, True])
@pytest.mark.parametrize("survives", range(8))
def test_onboarding_cut_off_anywhere_converges_when_run_again(
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
    with client_of(hubspot) as doomed:
        doomed.transport.session.mount("http://", Mortal(survives, sends_the_last))
        with pytest.raises(KilledError):
            apply_plan(plan, doomed, max_concurrency=1)
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
