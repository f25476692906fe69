"""Plans as people see them: in a terminal, in a log, as Markdown and in a comment."""

import io

import pytest
from rich.console import Console

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.plan import UnreadDirection, build_plan
from airflow_provider_hubassoc.limits.plan.render import render_comment, render_markdown, render_terminal, render_text
from airflow_provider_hubassoc.limits.state import PortalState
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.plans import direction_state, plan_of, some_plan
from tests.support.portal import CONTACTS_COMPANIES, HUBSPOT, USER, association, declare, make_plan, set_limits


def test_each_action_has_a_color() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_terminal(some_plan()))
    assert "\x1b[32m+ create" in console.export_text(styles=True)


def test_a_terminal_shows_a_table_and_the_summary() -> None:
    text = render_text(some_plan(), width=80)
    assert text.startswith("\n")  # the first line of a log entry begins with a timestamp
    assert [line.split() for line in text.splitlines()[1:6]] == [
        ["From", "->", "to", "Association", "type", "Current", "Planned"],
        ["?", "unmanaged", "contacts", "->", "companies", "Bill", "|", "x", "3"],
        ["+", "create", "Boss", "unlimited", "1"],
        ["~", "update", "Owner", "5", "4"],
        ["-", "purge", "Primary", "2", "unlimited"],
    ]
    assert text.rstrip().endswith("Plan: 1 to create, 1 to update, 1 to purge. 1 unchanged, 1 unmanaged.")


def test_unchanged_limits_are_shown_on_request() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_terminal(some_plan(), show_unchanged=True))
    (row,) = [line for line in console.export_text().splitlines() if "unchanged " in line and line.startswith("=")]
    assert row.split() == ["=", "unchanged", "contacts", "->", "companies", "(unlabeled)", "9"]


def test_a_plan_without_changes_is_one_line() -> None:
    plan = plan_of(association("contacts", "companies", limit=5), direction_state([(HUBSPOT, 279, 5, None)]))
    assert plan.is_empty
    line = "No changes, the portal is as declared. 1 unchanged, 0 unmanaged."
    assert render_text(plan, width=80).strip() == line
    assert render_markdown(plan) == f"**{line}**\n"


def test_markdown_has_a_table_and_the_warnings() -> None:
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
def test_a_label_cannot_disturb_the_output(label: str) -> None:
    plan = plan_of(
        association("contacts", "companies", types=[{"category": USER, "typeId": 7, "limit": 1}]),
        direction_state([(USER, 7, 2, label)]),
    )
    shown = render_text(plan, width=100)
    assert "\x1b" not in shown
    assert "update" in shown
    assert "".join(char if char.isprintable() else " " for char in label) in shown
    markdown = render_markdown(plan)
    assert markdown.count("\n") == 7
    assert "<script" not in markdown
    assert "![x]" not in markdown


def test_an_unread_direction_is_shown() -> None:
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
    assert "contacts -> companies could not be read: not now" in render_text(plan, width=80)


@pytest.mark.parametrize("length", [300, *range(900, 975, 5)])
def test_a_comment_is_short_enough_for_github(length: int) -> None:
    change = some_plan().writes[0].model_copy(update={"label": "|" * length})
    text = render_comment(some_plan().model_copy(update={"changes": [change] * 150}))
    assert len(text) <= 65_536
    assert "more changes" in text


def test_a_comment_says_how_many_changes_are_left_out(hubspot: Simulator, client: HubSpotClient) -> None:
    set_limits(hubspot, [(*CONTACTS_COMPANIES, 9)])
    plan = make_plan(client, declare(association("contacts", "companies", limit=5)))
    (change,) = plan.changes
    many = [change.model_copy(update={"label": f"<b>|{number}" * 50, "unlabeled": False}) for number in range(3000)]
    text = render_comment(plan.model_copy(update={"changes": many}))
    assert len(text) <= 65_536
    assert "more changes; see the complete plan." in text
    assert "<b>" not in text


@pytest.mark.parametrize("offset", range(5))
@pytest.mark.parametrize("char", ["|", "<", "&"])
def test_a_long_row_of_a_comment_is_not_cut_inside_an_escape(char: str, offset: int) -> None:
    change = some_plan().writes[0].model_copy(update={"label": "x" * offset + char * 1_900})
    text = render_comment(some_plan().model_copy(update={"changes": [change]}))
    (row,) = [line for line in text.splitlines() if line.startswith("| create | contacts")]
    assert row.endswith(" ... |")
    assert len(row) <= 2_000
    last = {"|": "\\|", "<": "&lt;", "&": "&amp;"}[char]
    assert row.removesuffix(" ... |").endswith(last)
