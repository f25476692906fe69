"""Declared x actual, without a portal: names, warnings, what people see, and the way through JSON."""

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError, UnfitDirection, build_plan
from airflow_provider_hubassoc.limits.plan.new_labels import internal_name
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_comment, render_markdown, render_terminal, render_text
from airflow_provider_hubassoc.limits.snapshot import needs_labels
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState, UnreadDirection
from tests.support.portal import HUBSPOT, USER, association, declare

CONTACTS_COMPANIES = [(HUBSPOT, 279, None), (HUBSPOT, 1, "Primary"), (USER, 7, "Owner"), (USER, 8, "Boss")]


def state(
    limits: list[tuple[str, int, int | None, str | None]],
    labels: list[tuple[str, int, str | None]] | None = None,
) -> DirectionState:
    return DirectionState(
        [
            AssociationLimit(category=category, type_id=type_id, max_to_object_ids=limit, label=label)
            for category, type_id, limit, label in limits
        ],
        None
        if labels is None
        else [AssociationLabel(category=category, type_id=type_id, label=label) for category, type_id, label in labels],
    )


def plan_of(declared: dict[str, Any], found: DirectionState, *, prune: bool = False) -> Plan:
    config = load_config(declare(declared)).resolve()
    return build_plan(config, PortalState({Direction(declared["from"], declared["to"]): found}), prune=prune)


def problems_of(plan: Plan) -> str:
    return "\n".join(map(str, plan.unfit))


def actions(plan: Plan) -> list[tuple[str, str, int | None, int | None]]:
    return [(change.action, change.name, change.current, change.target) for change in plan.changes]


def some_plan(*, prune: bool = False) -> Plan:
    return plan_of(
        association("contacts", "companies", limit=9, labels={"Owner": 4, "Boss": 1, "Primary": "unlimited"}),
        state(
            [(HUBSPOT, 279, 9, None), (HUBSPOT, 1, 2, "Primary"), (USER, 7, 5, "Owner"), (HUBSPOT, 931, 3, "Bill | x")],
            CONTACTS_COMPANIES,
        ),
        prune=prune,
    )


def test_what_becomes_of_each_limit() -> None:
    assert actions(some_plan()) == [
        ("unchanged", "(unlabeled)", 9, 9),
        ("unmanaged", "Bill | x", 3, 3),
        ("create", "Boss", None, 1),
        ("update", "Owner", 5, 4),
        ("purge", "Primary", 2, None),
    ]
    assert some_plan().summary == ("Plan: 1 to create, 1 to update, 1 to purge. 1 unchanged, 1 unmanaged.")
    assert ("purge", "Bill | x", 3, None) in actions(some_plan(prune=True))


def test_the_order_of_the_file_does_not_matter() -> None:
    entries = [association("contacts", "companies", limit=1), association("0-1", "0-3", limit=2)]
    found = {Direction("contacts", "companies"): state([]), Direction("0-1", "0-3"): state([])}
    plans = [
        build_plan(load_config(declare(*order)).resolve(), PortalState(found)) for order in (entries, entries[::-1])
    ]
    assert plans[0] == plans[1]


def test_an_unknown_label_tells_those_there_are() -> None:
    declared = association("contacts", "companies", labels={"owner": 1, "Bos": 2, "Nothing": 3})
    plan = plan_of(declared, state([], CONTACTS_COMPANIES))
    assert plan.unfit[0].problems == [
        'labels["owner"]: "owner" looks like "Owner", which the portal has; use exactly that text, or rename one of '
        "the two",
        'labels["Bos"]: the portal has no such label in this direction; it has "Boss", "Owner", "Primary"'
        '; did you mean "Boss"?',
        'labels["Nothing"]: the portal has no such label in this direction; it has "Boss", "Owner", "Primary"'
        "; to create it, set create_missing: true",
    ]


def test_a_label_of_two_types_has_to_be_named_exactly() -> None:
    rows = [*CONTACTS_COMPANIES, (USER, 9, "Primary")]
    assert re.search(
        r"HUBSPOT_DEFINED 1, USER_DEFINED 9; declare the one you mean under types",
        problems_of(plan_of(association("contacts", "companies", labels={"Primary": 1}), state([], rows))),
    )


def test_one_type_under_two_names() -> None:
    declared = association("contacts", "companies", limit=1, types=[{"category": HUBSPOT, "typeId": 279, "limit": 2}])
    assert re.search("already declared under another name", problems_of(plan_of(declared, state([]))))


def test_a_label_limit_above_an_object_limit_that_the_file_does_not_mention() -> None:
    declared = association("contacts", "companies", labels={"Owner": 6})
    assert re.search(
        r"limit of 6 \(declared\) would be above the object limit of 5 \(not in the file\)",
        problems_of(plan_of(declared, state([(HUBSPOT, 279, 5, None)], CONTACTS_COMPANIES))),
    )


def test_one_direction_in_two_spellings() -> None:
    one, other = association("p_car", "contacts", limit=1), association("2-5", "contacts", limit=2)
    found = state([], [(USER, 3, None)])
    plan = build_plan(
        load_config(declare(one, other)).resolve(),
        PortalState({Direction("p_car", "contacts"): found, Direction("2-5", "contacts"): found}),
    )
    assert len(plan.unfit) == 2
    assert "use one spelling" in problems_of(plan)
    assert plan.is_empty


def test_the_unlabeled_type_of_a_custom_object_is_the_portal_s() -> None:
    plan = plan_of(association("p_car", "contacts", limit=3), state([], [(USER, 3, None), (USER, 4, "Driver")]))
    assert [(change.category, change.type_id, change.unlabeled) for change in plan.changes] == [(USER, 3, True)]
    for rows in ([(USER, 4, "Driver")], [(USER, 3, None), (USER, 4, None)]):
        unfit = plan_of(association("p_car", "contacts", limit=3), state([], rows))
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
def test_labels_are_read_only_where_a_name_needs_it(
    declared: dict[str, Any], limits: list[tuple[str, int, int | None, str | None]], needed: bool
) -> None:
    config = load_config(declare(declared))
    assert needs_labels(config.associations[0], state(limits).limits) is needed


def test_labels_to_create_are_made_once_for_both_sides() -> None:
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
        Direction("contacts", "deals"): state([], [(HUBSPOT, 4, None)]),
        Direction("deals", "contacts"): state([], [(HUBSPOT, 3, None)]),
    }
    plan = build_plan(config, PortalState(found))
    assert [(label.label, label.inverse, label.name) for label in plan.new_labels] == [
        ("Buyer", "Bought by", "buyer"),
        ("Sym", None, "sym_deals_contacts"),
    ]
    assert all(change.type_id is None for change in plan.changes)
    assert plan.summary.startswith("Plan: 2 labels and 4 limits to create, ")


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
        declared, state([(HUBSPOT, 279, None, None), (USER, 7, 5, "Owner"), (HUBSPOT, 1, 20_000, "Primary")])
    )
    assert plan.warnings == [
        'HubSpot does not enforce a lowered limit on existing associations: contacts -> companies "Owner" 5 -> 4',
        "HubSpot may refuse a label limit equal to the object limit; its documentation is not clear on this: "
        'contacts -> companies "Primary" 20000 -> 20000',
        "HubSpot's settings page accepts limits up to 10,000; the portal may refuse higher ones: "
        "contacts -> companies (unlabeled) unlimited -> 20000",
    ]


def rendered(plan: Plan, width: int) -> str:
    return render_text(plan, width=width)


def test_colours_say_what_happens() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_terminal(some_plan()))
    assert "\x1b[32m+ create" in console.export_text(styles=True)


def test_a_terminal_shows_it_at_a_glance() -> None:
    text = rendered(some_plan(), 80)
    assert text.startswith("\n")  # a log line begins before it
    assert [line.split() for line in text.splitlines()[1:6]] == [
        ["From", "->", "to", "Association", "type", "Current", "Planned"],
        ["?", "unmanaged", "contacts", "->", "companies", "Bill", "|", "x", "3"],
        ["+", "create", "Boss", "unlimited", "1"],
        ["~", "update", "Owner", "5", "4"],
        ["-", "purge", "Primary", "2", "unlimited"],
    ]
    assert text.rstrip().endswith("Plan: 1 to create, 1 to update, 1 to purge. 1 unchanged, 1 unmanaged.")


def test_nothing_to_do_is_one_line() -> None:
    plan = plan_of(association("contacts", "companies", limit=5), state([(HUBSPOT, 279, 5, None)]))
    assert plan.is_empty
    line = "No changes, the portal is as declared. 1 unchanged, 0 unmanaged."
    assert rendered(plan, 80).strip() == line
    assert render_markdown(plan) == f"**{line}**\n"


def test_markdown_for_people() -> None:
    assert render_markdown(some_plan()) == (
        "**Plan: 1 to create, 1 to update, 1 to purge. 1 unchanged, 1 unmanaged.**\n"
        "\n"
        "| | From -> to | Association type | Current | Planned |\n"
        "|---|---|---|---:|---:|\n"
        "| unmanaged | contacts -> companies | Bill \\| x | 3 |  |\n"
        "| create | contacts -> companies | Boss | unlimited | 1 |\n"
        "| update | contacts -> companies | Owner | 5 | 4 |\n"
        "| purge | contacts -> companies | Primary | 2 | unlimited |\n"
        "\n"
        "- Warning: HubSpot does not enforce a lowered limit on existing associations: "
        'contacts -> companies "Owner" 5 -> 4\n'
    )


@pytest.mark.parametrize("label", ["[bold red]x[/]", "\x1b[31mx", "<script>x", "a\nb", "![x](y)", "`|`"])
def test_a_label_cannot_change_what_is_shown_around_it(label: str) -> None:
    plan = plan_of(
        association("contacts", "companies", types=[{"category": USER, "typeId": 7, "limit": 1}]),
        state([(USER, 7, 2, label)]),
    )
    shown = rendered(plan, 100)
    assert "\x1b" not in shown
    assert "update" in shown
    assert "".join(char if char.isprintable() else " " for char in label) in shown
    markdown = render_markdown(plan)
    assert markdown.count("\n") == 7
    assert "<script" not in markdown
    assert "![x]" not in markdown


def test_through_json_and_back() -> None:
    plan = some_plan()
    data = plan.to_json()
    assert Plan.from_json(json.loads(json.dumps(data))) == plan
    assert Plan.from_json(json.dumps(data)) == plan
    assert (
        data["fingerprint"] == plan.fingerprint != some_plan(prune=True).model_copy(update={"changes": []}).fingerprint
    )
    for wrong in ({"version": 2}, {"changes": [{"action": "explode"}]}, "no json", [], None):
        with pytest.raises(ValueError, match="not a plan"):
            Plan.from_json(wrong)  # type: ignore[arg-type]


def again(limits: list[tuple[str, int, int | None, str | None]], labels: Any = CONTACTS_COMPANIES) -> PortalState:
    return PortalState({Direction("contacts", "companies"): state(limits, labels)})


ROWS = [(HUBSPOT, 279, 9, None), (HUBSPOT, 1, 2, "Primary"), (USER, 7, 5, "Owner"), (HUBSPOT, 931, 3, "Bill | x")]


def test_an_approved_plan_goes_on_where_it_was_cut_off() -> None:
    plan = some_plan()
    assert rebase(plan, again(ROWS)) == plan
    half = [*ROWS[:2], (USER, 7, 4, "Owner"), ROWS[3]]
    assert [change.name for change in rebase(plan, again(half)).writes] == ["Boss", "Primary"]
    done = [ROWS[0], (USER, 7, 4, "Owner"), (USER, 8, 1, "Boss"), ROWS[3]]
    assert rebase(plan, again(done)).is_empty


@pytest.mark.parametrize(
    ("limits", "labels", "reason"),
    [
        ([*ROWS[1:]], CONTACTS_COMPANIES, "(unlabeled): the limit was 9 and is now unlimited"),
        ([*ROWS[:2], (USER, 7, 6, "Owner"), ROWS[3]], CONTACTS_COMPANIES, "Owner: the limit was 5 and is now 6"),
        ([*ROWS[:3], (HUBSPOT, 931, 4, "Bill | x")], CONTACTS_COMPANIES, "Bill | x: the limit was 3 and is now 4"),
        ([*ROWS, (USER, 99, 1, "New")], CONTACTS_COMPANIES, "USER_DEFINED 99: now has a limit of 1"),
        (ROWS, [*CONTACTS_COMPANIES[:3], (USER, 8, "Chief")], 'USER_DEFINED 8 is no longer called "Boss"'),
    ],
)
def test_a_plan_is_stale_when_anything_else_has_changed(limits: Any, labels: Any, reason: str) -> None:
    labels = [*labels, (HUBSPOT, 931, "Bill | x")]
    with pytest.raises(StalePlanError) as caught:
        rebase(some_plan(), again(limits, labels))
    assert len(caught.value.reasons) == 1
    assert reason in caught.value.reasons[0]


def test_a_direction_that_could_not_be_read_is_not_forgotten() -> None:
    direction = Direction("contacts", "companies")
    unread = UnreadDirection(from_object_type="contacts", to_object_type="companies", reason="not now")
    plan = build_plan(
        load_config(declare(association("contacts", "companies", limit=1))).resolve(),
        PortalState({}, {direction: unread}),
    )
    assert (
        plan.summary == "1 direction could not be read. No changes in the other directions. 0 unchanged, 0 unmanaged."
    )
    assert "contacts -> companies could not be read: not now" in render_markdown(plan)
    assert "contacts -> companies could not be read: not now" in rendered(plan, 80)


@pytest.mark.parametrize("change", [{"changes": []}, {"fingerprint": None}, {"portal_id": 7}, {"warnings": ["none"]}])
def test_a_plan_that_is_no_longer_what_was_approved(change: dict[str, object]) -> None:
    data = {**some_plan().to_json(), **change}
    with pytest.raises(ValueError, match="fingerprint"):
        Plan.from_json(data)


def test_a_direction_that_does_not_fit_does_not_stop_the_others() -> None:
    config = load_config(
        declare(association("contacts", "companies", labels={"Gone": 1}), association("deals", "contacts", limit=2))
    ).resolve()
    found = {
        Direction("contacts", "companies"): state([(HUBSPOT, 279, 5, None)], CONTACTS_COMPANIES),
        Direction("deals", "contacts"): state([]),
    }
    plan = build_plan(config, PortalState(found), prune=True)
    assert [type(each) for each in plan.unfit] == [UnfitDirection]
    assert [str(change) for change in plan.writes] == ["deals -> contacts (unlabeled) unlimited -> 2"]
    assert plan.summary.startswith("1 direction does not fit the portal. Plan: 1 to create")
    assert Plan.from_json(plan.to_json()) == plan


def test_null_is_never_pruned() -> None:
    declared = association("contacts", "companies", limit=None, labels={"Owner": None})
    rows = [(HUBSPOT, 279, 9, None), (USER, 7, 5, "Owner"), (USER, 8, 1, "Boss")]
    plan = plan_of(declared, state(rows, CONTACTS_COMPANIES), prune=True)
    assert [(change.action, change.name, change.null_in_file) for change in plan.changes] == [
        ("unmanaged", "(unlabeled)", True),
        ("purge", "Boss", False),
        ("unmanaged", "Owner", True),
    ]


def test_a_look_alike_label_is_an_error_and_never_created() -> None:
    declared = association("contacts", "companies", labels={"De\u0301cideur": {"limit": 1, "create_missing": True}})
    plan = plan_of(declared, state([], [(USER, 7, "D\u00e9cideur")]))
    assert plan.new_labels == []
    assert '"De<U+0301>cideur" looks like "D<U+00E9>cideur"' in problems_of(plan)


def test_an_older_text_of_hubspot_s_own_label_is_found() -> None:
    declared = association("contacts", "companies", labels={"Billing contact": 2})
    plan = plan_of(declared, state([], [(HUBSPOT, 931, "Billing Contact")]))
    assert [(change.type_id, change.action) for change in plan.changes] == [(931, "create")]
    assert 'HubSpot calls this label "Billing Contact"' in plan.warnings[0]


def test_types_the_direction_does_not_have() -> None:
    wrong = [{"category": USER, "typeId": 99, "limit": 1}, {"category": HUBSPOT, "typeId": 4, "limit": 1}]
    plan = plan_of(association("contacts", "companies", types=wrong), state([], CONTACTS_COMPANIES))
    assert len(plan.unfit[0].problems) == 2


def test_a_type_that_cannot_be_sent_is_left_alone() -> None:
    plan = plan_of(
        association("contacts", "companies", limit=5), state([(HUBSPOT, 279, 5, None), ("NEW", 0, 3, None)]), prune=True
    )
    assert plan.is_empty
    assert plan.counts["unmanaged"] == 1


def test_a_summary_fits_into_a_comment() -> None:
    one = some_plan().writes[0]
    plan = some_plan().model_copy(update={"changes": [one.model_copy(update={"label": "|" * 300})] * 2000})
    text = render_comment(plan)
    assert len(text) <= 65_536
    assert "more changes" in text
