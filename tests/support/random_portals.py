"""Random portals and files that declare limits for them, for tests with hypothesis."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.object_types import normalize
from airflow_provider_hubassoc.limits.plan import Change, Plan
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, USER, association, client_of, declare

Key = tuple[str, str, str, int]
"""Object type ids, category and type id: what a limit is for."""


@dataclass
class World:
    """One portal for all examples, with the association types that may have limits."""

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


@contextlib.contextmanager
def open_world() -> Iterator[World]:
    """Start a portal with labels and a custom object."""
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
            for (one, other, label), (type_id, inverse_id) in ids.items():
                inverse = {"2024: [red]": "|😀|", "Boss": "Report", "Owner": "Owned"}.get(label, label)
                if (one, other) == (from_id, to_id):
                    keys[label] = (from_id, to_id, USER, type_id)
                if (other, one) == (from_id, to_id):
                    keys[inverse] = (from_id, to_id, USER, inverse_id)
            object_limit = (from_id, to_id, HUBSPOT, unlabeled) if unlabeled else None
            if object_limit is None:
                rows = client.get_labels(from_name, to_name)
                object_limit = next((from_id, to_id, row.category, row.type_id) for row in rows if row.label is None)
            directions[(from_name, to_name)] = (object_limit, keys)
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
def valid_limits(draw: st.DrawFn, names: list[str], *, strict: bool = False) -> Limits:
    """Draw limits of one direction that HubSpot accepts."""
    limits: Limits = {}
    # None is drawn rarely, because changing limits is harder than setting or removing them.
    object_limit = draw(st.sampled_from([None, *range(2, 10)])) if "" in names else None
    for name in names:
        highest = (object_limit - 1 if strict else object_limit) if object_limit is not None else 9
        limits[name] = object_limit if name == "" else draw(st.sampled_from([None, *range(1, highest + 1)]))
    return limits


some_directions = st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3, unique=True)


@st.composite
def portals(draw: st.DrawFn, *, strict: bool = False) -> dict[tuple[str, str], Limits]:
    return {direction: draw(valid_limits(NAMES[direction], strict=strict)) for direction in draw(some_directions)}


@st.composite
def targets(
    draw: st.DrawFn, portal: dict[tuple[str, str], Limits], *, strict: bool = False
) -> dict[tuple[str, str], Limits]:
    """Draw declarations: some directions with limits in the portal, some without, with all or some types."""
    directions = draw(some_directions)
    declared = {}
    for direction in {**dict.fromkeys(directions), **dict.fromkeys(portal)}:
        names = NAMES[direction]
        left_out = draw(st.just(set()) | st.sets(st.sampled_from(names)))
        declared[direction] = draw(valid_limits([name for name in names if name not in left_out], strict=strict))
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
    object_limits = {key[:2]: limits[key] for key in world.unlabeled() if key in limits}
    return any(
        key not in world.unlabeled() and key[:2] in object_limits and (limit > object_limits[key[:2]] - strict)
        for key, limit in limits.items()
    )


def replay(world: World, plan: Plan) -> dict[Key, int]:
    """Return the limits after the writes that the portal received.

    The rule has to hold after every input, in any order of a batch.
    """
    state: dict[Key, int] = dict(world.before)
    ids = {
        normalize(spelling): type_id
        for direction, (object_limit, _) in world.directions.items()
        for spelling, type_id in zip(direction, object_limit[:2], strict=True)
    }
    for request in world.hubspot.requests:
        if "/batch/" not in request.path:
            continue
        from_type, to_type, _, action = request.path.split("/")[-4:]
        batch: dict[Key, int | None] = {
            (ids[normalize(from_type)], ids[normalize(to_type)], row["category"], row["typeId"]): row.get(
                "maxToObjectIds"
            )
            for row in request.body["inputs"]
        }
        if action == "create":
            assert not any(key in state for key in batch)
        for is_done in product(*[(False, True)] * len(batch)):
            some = {key: limit for done, (key, limit) in zip(is_done, batch.items(), strict=True) if done}
            assert not breaks_rule(world, in_force(state | some)), (request.path, request.body)
        state = in_force(state | batch)
    return state


def fewest_requests(changes: list[Change]) -> int:
    """Return the fewest requests for one direction, found by trying everything.

    All purges take one request. The rest takes as few batches as keep the rule, whichever part of a batch is done. A
    label limit equals the object limit in between only if it does so before or after.
    """
    purges = any(change.action == "purge" for change in changes)
    rest = [change for change in changes if change.action != "purge"]
    for count in range(len(rest) + 1):
        if any(keeps_rule(rest, split) for split in product(range(count), repeat=len(rest))):
            return purges + count
    raise AssertionError("no order keeps the rule")


def keeps_rule(changes: list[Change], split: tuple[int, ...]) -> bool:
    """Return True if a split of changes into batches keeps the rule in any order within a batch."""
    object_limits = [(batch, change) for batch, change in zip(split, changes, strict=True) if change.unlabeled]
    for object_batch, object_limit in object_limits:
        for batch, label in zip(split, changes, strict=True):
            if label is object_limit:
                continue
            assert object_limit.target is not None
            assert label.target is not None
            label_first = (
                batch <= object_batch and object_limit.current is not None and label.target >= object_limit.current
            )
            object_first = object_batch <= batch and label.current is not None and label.current >= object_limit.target
            if label_first or object_first:
                return False
    return True
