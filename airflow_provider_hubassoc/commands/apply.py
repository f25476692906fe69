"""``hubassoc apply``."""

from __future__ import annotations

import sys

from airflow_provider_hubassoc import terminal
from airflow_provider_hubassoc.commands.files import read_plan
from airflow_provider_hubassoc.commands.planning import load_limits, make_plan, rebase_plan
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply import ApplyReport, apply_plan
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.limits.plan.render import render_terminal
from airflow_provider_hubassoc.terminal import DONE, ERROR, UsageError, say

_WAITS_FOR_WRITES = (
    "Interrupted: waiting until HubSpot has answered the writes in progress, so that their outcome is known. "
    "No further writes are sent."
)


def run(session: Session) -> int:
    """Change the portal to match the limits file, or as planned."""
    options = session.options
    if (options.file is None) == (options.plan is None):
        raise UsageError("name either a limits file or a plan with --plan")
    if options.plan is not None and (options.prune or options.portal is not None or options.target):
        raise UsageError("--prune, --portal and --target cannot be combined with --plan; use them with hubassoc plan")
    config = None if options.file is None else load_limits(session, options.file)
    approved = None if options.plan is None else read_plan(options.plan)
    with session.client() as client:
        if approved is not None:
            plan = rebase_plan(session, approved, client, session.portal_id(client))
        elif config is not None:
            plan = make_plan(session, config, client)
        if not plan.is_empty and not options.yes:
            _ask(session, plan)
            # Somebody may have changed the portal in the meantime.
            plan = rebase_plan(session, plan, client, plan.portal_id)
        elif not options.json:
            session.print(render_terminal(plan))
        report = _write_changes(session, plan, client)
    _print_report(session, plan, report)
    return DONE if report.ok else ERROR


def _ask(session: Session, plan: Plan) -> None:
    """Show the plan and ask for a yes.

    :raises UsageError: if the answer is not yes, or nobody can be asked.
    """
    options = session.options
    is_from_stdin = "-" in (options.file, options.plan)
    is_seen = not options.json and terminal.is_terminal(session.document)
    can_ask = not is_from_stdin and terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)
    if not options.json:
        session.print(render_terminal(plan))
    if not can_ask:
        reason = "standard input is the file" if is_from_stdin else "this is not a terminal"
        raise UsageError(f"nothing was changed: nobody can be asked, because {reason}. Use --yes to apply the changes")
    if not is_seen:
        session.print(render_terminal(plan), sys.stderr)
    portal = "the portal" if plan.portal_id is None else f"portal {plan.portal_id}"
    session.interruption.notice = ""
    print(f"Apply these changes to {portal}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed: the answer was not yes")


def _write_changes(session: Session, plan: Plan, client: HubSpotClient) -> ApplyReport:
    options = session.options
    session.planned_changes = len(plan.writes) + len(plan.new_labels)
    session.interruption.notice = _WAITS_FOR_WRITES
    with terminal.progress() as progress:
        report = apply_plan(
            plan,
            client,
            max_concurrency=options.max_concurrency,
            verify_timeout=options.verify_timeout or None,
            progress=progress,
            sleep=session.interruption.sleep,
            on_outcomes=session.count_applied,
        )
    session.interruption.notice = ""
    return report


def _print_report(session: Session, plan: Plan, report: ApplyReport) -> None:
    try:
        if session.options.json:
            session.write(None, session.json({"plan": plan.to_json(), "report": report.to_dict()}))
        elif not plan.is_empty:
            session.write(None, "\n".join(report.lines()) + "\n")
    except UsageError:
        say("\n".join(report.lines()))  # the report must not be lost with the output
        raise
