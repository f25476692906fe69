"""Comparing declared limits with a portal, without a portal."""

import re
from typing import Any

import pytest

from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import Plan, UnfitDirection, build_plan
from airflow_provider_hubassoc.limits.plan.new_labels import internal_name
from airflow_provider_hubassoc.limits.snapshot import needs_labels
from airflow_provider_hubassoc.limits.state import PortalState
from tests.support.plans import LABELS, actions_of, direction_state, plan_of, problems_of, some_plan
from tests.support.portal import HUBSPOT, USER, association, declare


def test_each_limit_has_an_action() -> None:
    assert actions_of(some_plan()) == [
        ("unchanged", "(unlabeled)", 9, 9),
        ("unmanaged", "Bill | x", 3, 3),
        ("create", "Boss", None, 1),
        ("update", "Owner", 5, 4),
        ("purge", "Primary", 2, None),
    ]
    assert some_plan().summary == ("Plan: 1 to create, 1 to update, 1 to purge. 1 unchanged, 1 unmanaged.")
    assert ("purge", "Bill | x", 3, None) in actions_of(some_plan(prune=True))


def test_changes_are_sorted_with_the_object_limit_first_and_types_without_a_label_last() -> None:
    limits = [(USER, 99, 3, None), (USER, 7, 5, "Owner"), (HUBSPOT, 279, 9, None), (USER, 8, 1, "Boss")]
    plan = plan_of(association("contacts", "companies"), direction_state(limits))
    assert [change.name for change in plan.changes] == ["(unlabeled)", "Boss", "Owner", "USER_DEFINED 99"]


def test_the_order_of_the_file_does_not_matter() -> None:
    new = {"New": {"create_missing": True}}
    entries = [association("contacts", "companies", limit=1, labels=new), association("0-1", "0-3", labels=new)]
    found = {
        Direction("contacts", "companies"): direction_state([], LABELS),
        Direction("0-1", "0-3"): direction_state([], [(USER, 5, "Old")]),
    }
    plans = [
        build_plan(load_config(declare(*order)).resolve(), PortalState(found)) for order in (entries, entries[::-1])
    ]
    assert plans[0] == plans[1]
    assert len(plans[0].warnings) == 2


def test_an_unknown_label_lists_the_labels_of_the_portal() -> None:
    declared = association("contacts", "companies", labels={"owner": 1, "Bos": 2, "Nothing": 3})
    plan = plan_of(declared, direction_state([], LABELS))
    assert plan.unfit[0].problems == [
        'labels["owner"]: "owner" looks like "Owner", which the portal has; use exactly that text, or rename one of '
        "the two",
        'labels["Bos"]: the portal has no such label in this direction; it has "Boss", "Owner", "Primary"'
        '; did you mean "Boss"?',
        'labels["Nothing"]: the portal has no such label in this direction; it has "Boss", "Owner", "Primary"'
        "; to create it, set create_missing: true",
    ]


def test_a_label_of_two_types_is_ambiguous() -> None:
    rows = [*LABELS, (USER, 9, "Primary")]
    assert re.search(
        r"HUBSPOT_DEFINED 1, USER_DEFINED 9; declare the one you mean under types",
        problems_of(plan_of(association("contacts", "companies", labels={"Primary": 1}), direction_state([], rows))),
    )


def test_one_type_declared_under_two_names() -> None:
    declared = association("contacts", "companies", limit=1, types=[{"category": HUBSPOT, "typeId": 279, "limit": 2}])
    assert re.search("already declared under another name", problems_of(plan_of(declared, direction_state([]))))


def test_a_label_limit_above_an_object_limit_that_the_file_does_not_mention() -> None:
    declared = association("contacts", "companies", labels={"Owner": 6})
    assert re.search(
        r"limit of 6 \(declared\) would be above the object limit of 5 \(not in the file\)",
        problems_of(plan_of(declared, direction_state([(HUBSPOT, 279, 5, None)], LABELS))),
    )


def test_an_object_limit_below_a_label_limit_that_the_file_does_not_mention() -> None:
    declared = association("contacts", "companies", limit=2)
    plan = plan_of(declared, direction_state([(HUBSPOT, 279, 9, None), (USER, 7, 5, "Owner")]))
    assert (
        '"Owner": the limit of 5 (not in the file) would be above the object limit of 2 (declared); lower the label '
        "limit or raise the object limit"
    ) in problems_of(plan)


def test_one_direction_in_two_spellings() -> None:
    one, other = association("p_car", "contacts", limit=1), association("2-5", "contacts", limit=2)
    found = direction_state([], [(USER, 3, None)])
    plan = build_plan(
        load_config(declare(one, other)).resolve(),
        PortalState({Direction("p_car", "contacts"): found, Direction("2-5", "contacts"): found}),
    )
    assert len(plan.unfit) == 2
    assert "use one spelling" in problems_of(plan)
    assert plan.is_empty


def test_the_unlabeled_type_of_a_custom_object_comes_from_the_portal() -> None:
    plan = plan_of(
        association("p_car", "contacts", limit=3), direction_state([], [(USER, 3, None), (USER, 4, "Driver")])
    )
    assert [(change.category, change.type_id, change.unlabeled) for change in plan.changes] == [(USER, 3, True)]
    for rows in ([(USER, 4, "Driver")], [(USER, 3, None), (USER, 4, None)]):
        unfit = plan_of(association("p_car", "contacts", limit=3), direction_state([], rows))
        assert "unlabeled association types in this direction" in problems_of(unfit)


@pytest.mark.parametrize(
    ("declared", "limits", "needed"),
    [
        # HubSpot publishes which type is the unlabeled one of its own pairs.
        (association("contacts", "companies", limit=5), [], False),
        (association("p_car", "companies", limit=5), [], True),
        # A label that has a limit comes with its name.
        (association("contacts", "companies", labels={"Owner": 5}), [(USER, 7, 1, "Owner")], False),
        (association("contacts", "companies", labels={"Owner": 5}), [], True),
        (
            association("contacts", "companies", labels={"Owner": 5}),
            [(USER, 7, 1, "Owner"), (USER, 8, 1, "Owner")],
            True,
        ),
        # Not managed.
        (association("contacts", "companies", labels={"Owner": None}), [], False),
        # Exact types need no names, but which one is the unlabeled type decides the order of changes.
        (association("p_car", "deals", types=[{"category": USER, "typeId": 7, "limit": 5}]), [], True),
        (
            association("p_car", "deals", types=[{"category": USER, "typeId": 7, "limit": 5}]),
            [(USER, 8, 9, None)],
            True,
        ),
        (
            association("p_car", "deals", types=[{"category": USER, "typeId": 7, "limit": 5}]),
            [(USER, 7, 5, None), (USER, 8, 9, None)],
            False,
        ),
    ],
)
def test_labels_are_read_only_where_a_name_needs_them(
    declared: dict[str, Any], limits: list[tuple[str, int, int | None, str | None]], needed: bool
) -> None:
    config = load_config(declare(declared))
    assert needs_labels(config.associations[0], direction_state(limits).limits) is needed


def test_a_label_declared_in_both_directions_is_created_once() -> None:
    config = load_config(
        declare(
            association("contacts", "deals", labels={"Buyer": {"limit": 1, "create_missing": True}, "Sym": 2}),
            association(
                "deals",
                "contacts",
                labels={
                    "Bought by": {"limit": 3, "create_missing": True, "inverse": "Buyer", "name": "buyer"},
                    "Sym": {"limit": 2, "create_missing": True},
                },
            ),
        )
    ).resolve()
    found = {
        Direction("contacts", "deals"): direction_state([], [(HUBSPOT, 4, None)]),
        Direction("deals", "contacts"): direction_state([], [(HUBSPOT, 3, None)]),
    }
    plan = build_plan(config, PortalState(found))
    assert [(label.label, label.inverse, label.name) for label in plan.new_labels] == [
        ("Buyer", "Bought by", "buyer"),
        ("Sym", None, "sym_deals_contacts"),
    ]
    assert all(change.type_id is None for change in plan.changes)
    assert plan.summary.startswith("Plan: 2 labels and 4 limits to create, ")


def test_a_possible_rename_is_one_warning() -> None:
    created = {"limit": 1, "create_missing": True}
    config = load_config(
        declare(
            association("contacts", "companies", labels={"Owner": 3, "New": created}),
            association("companies", "contacts", labels={"New": created}),
        )
    ).resolve()
    found = {
        Direction("contacts", "companies"): direction_state([], LABELS),
        Direction("companies", "contacts"): direction_state([], [(HUBSPOT, 280, None), (USER, 9, "Chief")]),
    }
    plan = build_plan(config, PortalState(found))
    assert [(label.direction, label.candidates) for label in plan.new_labels] == [
        (Direction("contacts", "companies"), ["Boss"])
    ]
    assert plan.warnings == [
        'contacts -> companies: the label "New" will be created. If it was renamed to "Boss", write that text in the '
        "file instead"
    ]


def test_internal_names() -> None:
    direction = Direction("contacts", "2-5")
    assert internal_name(direction, "Decision maker") == "decision_maker_contacts_2_5"
    assert internal_name(direction, "2nd owner") == "label_2nd_owner_contacts_2_5"
    odd = [internal_name(direction, label) for label in ("決裁者", "承認者", "A-B", "A/B", "😀", "Décideur")]
    assert len(set(odd)) == len(odd)
    assert all(name.isascii() and "-" not in name and not name[0].isdigit() for name in odd)


def test_warnings() -> None:
    declared = association("contacts", "companies", limit=20_000, labels={"Owner": 4})
    plan = plan_of(
        declared, direction_state([(HUBSPOT, 279, None, None), (USER, 7, 5, "Owner"), (HUBSPOT, 1, 20_000, "Primary")])
    )
    assert plan.warnings == [
        'HubSpot does not enforce a lowered limit on existing associations: contacts -> companies "Owner" 5 -> 4',
        "HubSpot may refuse a label limit equal to the object limit; its documentation is not clear on this: "
        'contacts -> companies "Primary" 20000 -> 20000',
        "HubSpot's settings page accepts limits up to 10,000; the portal may refuse higher ones: "
        "contacts -> companies (unlabeled) unlimited -> 20000",
    ]


def test_an_unfit_direction_does_not_stop_the_others() -> None:
    config = load_config(
        declare(association("contacts", "companies", labels={"Gone": 1}), association("deals", "contacts", limit=2))
    ).resolve()
    found = {
        Direction("contacts", "companies"): direction_state([(HUBSPOT, 279, 5, None)], LABELS),
        Direction("deals", "contacts"): direction_state([]),
    }
    plan = build_plan(config, PortalState(found), prune=True)
    assert [type(direction) for direction in plan.unfit] == [UnfitDirection]
    assert [str(change) for change in plan.writes] == ["deals -> contacts (unlabeled) unlimited -> 2"]
    assert plan.summary.startswith("1 direction does not fit the portal. Plan: 1 to create")
    assert Plan.from_json(plan.to_json()) == plan


def test_null_is_never_pruned() -> None:
    declared = association("contacts", "companies", limit=None, labels={"Owner": None})
    rows = [(HUBSPOT, 279, 9, None), (USER, 7, 5, "Owner"), (USER, 8, 1, "Boss")]
    plan = plan_of(declared, direction_state(rows, LABELS), prune=True)
    assert [(change.action, change.name, change.null_in_file) for change in plan.changes] == [
        ("unmanaged", "(unlabeled)", True),
        ("purge", "Boss", False),
        ("unmanaged", "Owner", True),
    ]


def test_a_look_alike_label_is_a_problem_and_never_created() -> None:
    declared = association("contacts", "companies", labels={"De\u0301cideur": {"limit": 1, "create_missing": True}})
    plan = plan_of(declared, direction_state([], [(USER, 7, "D\u00e9cideur")]))
    assert plan.new_labels == []
    assert '"De<U+0301>cideur" looks like "D<U+00E9>cideur"' in problems_of(plan)


def test_an_older_text_of_a_hubspot_label_is_found() -> None:
    declared = association("contacts", "companies", labels={"Billing contact": 2})
    plan = plan_of(declared, direction_state([], [(HUBSPOT, 931, "Billing Contact")]))
    assert [(change.type_id, change.action) for change in plan.changes] == [(931, "create")]
    assert 'HubSpot calls this label "Billing Contact"' in plan.warnings[0]


def test_types_that_the_direction_does_not_have() -> None:
    wrong = [{"category": USER, "typeId": 99, "limit": 1}, {"category": HUBSPOT, "typeId": 4, "limit": 1}]
    plan = plan_of(association("contacts", "companies", types=wrong), direction_state([], LABELS))
    assert len(plan.unfit[0].problems) == 2


def test_an_unsendable_type_is_not_pruned() -> None:
    plan = plan_of(
        association("contacts", "companies", limit=5),
        direction_state([(HUBSPOT, 279, 5, None), ("NEW", 0, 3, None)]),
        prune=True,
    )
    assert plan.is_empty
    assert plan.counts["unmanaged"] == 1


@pytest.mark.parametrize(("limit", "is_large"), [(10_000, False), (10_001, True)])
def test_a_limit_above_the_maximum_of_the_settings_page_is_a_warning(limit: int, is_large: bool) -> None:
    plan = plan_of(association("contacts", "companies", limit=limit), direction_state([]))
    assert any("settings page accepts limits up to 10,000" in warning for warning in plan.warnings) is is_large


def test_equal_limits_are_a_warning_only_where_one_changes() -> None:
    declared = association("contacts", "companies", limit=5, labels={"Owner": 5})
    for current, is_warned in ((5, False), (4, True), (6, True)):
        for limits in (
            [(HUBSPOT, 279, 5, None), (USER, 7, current, "Owner")],
            [(HUBSPOT, 279, current, None), (USER, 7, 5, "Owner")],
        ):
            plan = plan_of(declared, direction_state(limits, LABELS))
            assert any("equal to the object limit" in warning for warning in plan.warnings) is is_warned


def test_a_published_text_counts_only_in_the_direction_of_its_type() -> None:
    declared = association("deals", "contacts", labels={"Billing contact": 2})
    plan = plan_of(declared, direction_state([], [(HUBSPOT, 931, "Billing Contact")]))
    assert '"Billing contact" looks like "Billing Contact"' in problems_of(plan)


def test_a_type_is_not_checked_against_labels_that_were_not_read() -> None:
    declared = association("contacts", "companies", types=[{"category": USER, "typeId": 99, "limit": 1}])
    assert plan_of(declared, direction_state([])).unfit == []
    assert len(plan_of(declared, direction_state([], LABELS)).unfit) == 1
