"""``hubassoc plan``."""

from __future__ import annotations

from airflow_provider_hubassoc.commands.files import check_plan_target, output_path
from airflow_provider_hubassoc.commands.planning import load_limits, make_plan
from airflow_provider_hubassoc.commands.session import Session
from airflow_provider_hubassoc.limits.plan.model import Plan
from airflow_provider_hubassoc.limits.plan.render import render_comment, render_markdown, render_terminal
from airflow_provider_hubassoc.terminal import DONE, ERROR, PENDING, UsageError, say


def run(session: Session) -> int:
    """Show what would change, without changing it."""
    options = session.options
    if options.json and options.markdown:
        raise UsageError("give one of --json and --markdown")
    if options.summary and not options.markdown:
        raise UsageError("--summary shortens --markdown: give both")
    output = output_path(options.output)
    if output is not None:
        check_plan_target(output, options.file)
    config = load_limits(session, options.file)
    with session.client() as client:
        plan = make_plan(session, config, client)
    if output is not None:
        session.write(output, session.json(plan.to_json(), for_file=True))
    if options.json:
        session.write(None, session.json(plan.to_json()))
    elif options.markdown:
        session.write(None, render_comment(plan) if options.summary else render_markdown(plan))
    else:
        session.print(render_terminal(plan, show_unchanged=options.all))
    if options.json or options.markdown:
        _say_problems(plan)
    if plan.unread or plan.unfit:
        return ERROR
    return PENDING if options.detailed_exitcode and not plan.is_empty else DONE


def _say_problems(plan: Plan) -> None:
    """Print the mistakes of the file that only the portal shows, in the form of ``validate``."""
    for unfit in plan.unfit:
        for place, text in unfit.located_problems:
            say(f"{place}: error: {text}" if place else f"Error: {text}")
