"""Bring a portal in line with declared limits, or only plan it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.assets import LIMITS_CHANGED, association_limits_asset
from airflow_provider_hubassoc.hooks import HubSpotHook
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.limits.apply.report import ApplyError, ApplyReport, Outcome
from airflow_provider_hubassoc.limits.apply.run import apply_plan
from airflow_provider_hubassoc.limits.config.load import load_config
from airflow_provider_hubassoc.limits.inputs import PASS_DATA, LimitInputsError
from airflow_provider_hubassoc.limits.plan.model import Change, NewLabel, Plan
from airflow_provider_hubassoc.limits.plan.render import render_markdown, render_text
from airflow_provider_hubassoc.limits.sync import find_portal, make_plan, rebase_plan
from airflow_provider_hubassoc.tasks.run import Deferral, TaskRun
from airflow_provider_hubassoc.tasks.store import IntendedChanges, change_keys
from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsSyncTrigger, report_from_event


@dataclass(frozen=True)
class SyncOptions:
    """The checked arguments of :class:`~airflow_provider_hubassoc.operators.HubSpotAssociationLimitsSyncOperator`."""

    config: Any
    plan: Any
    mode: Literal["apply", "plan"]
    portal: str | int | None
    prune: bool
    fail_on_drift: bool
    create_missing_labels: bool | None
    max_concurrency: int
    verify: bool
    verify_timeout: float
    deferrable: bool


def run_sync(run: TaskRun, options: SyncOptions) -> dict[str, Any] | Deferral:
    """Plan, publish the plan and, unless ``mode`` is ``plan``, apply it.

    :return: the report (in mode ``plan`` a summary of the plan), or the deferral that continues the verification.
    """
    with HubSpotHook(run.conn_id, sleep=run.sleep) as hook:
        portal = find_portal(hook.client)
        run.publish_portal(portal)
        portal_id = portal.portal_id if portal else None
        plan = _plan(run, options, hook.client, portal_id)
        run.log.info("%s", render_text(plan))
        run.push("plan", plan.to_json())
        run.push("plan_markdown", render_markdown(plan))
        if options.mode == "plan":
            return _planned(options, plan, portal_id)
        intended = IntendedChanges(run.state)
        extra = {"applied_by_earlier_tries": intended.in_force(plan)}
        intended.add(plan)
        report = _apply(run, options, hook.client, plan, portal_id=portal_id, extra=extra)
        if options.verify and options.deferrable and report.to_verify:
            data = report.to_dict()
            run.push("report", data)  # in case the wait in the triggerer ends without this task
            run.log.info("%s Verifying in the triggerer for up to %g s.", report.summary, options.verify_timeout)
            trigger = HubSpotAssociationLimitsSyncTrigger(
                hubspot_conn_id=run.conn_id,
                operations=[operation.to_dict() for operation in report.to_verify],
                report=data,
                timeout=options.verify_timeout,
            )
            return Deferral(trigger, options.verify_timeout)
        return _finish(run, report.to_dict())


def complete_sync(run: TaskRun, event: Any) -> dict[str, Any]:
    """Resume after the verification in the triggerer.

    :param event: of the trigger.
    :return: the report.
    """
    return _finish(run, report_from_event(event), event)


def _plan(run: TaskRun, options: SyncOptions, client: HubSpotClient, portal_id: int | None) -> Plan:
    """Make the plan, or compare the given plan with the portal again."""
    if options.plan is None:
        return make_plan(
            load_config(options.config, on_warning=lambda problem: run.log.warning("%s", problem)),
            client,
            conn_id=run.conn_id,
            portal_id=portal_id,
            portal=options.portal,
            prune=options.prune,
            create_missing_labels=options.create_missing_labels,
            max_concurrency=options.max_concurrency,
            sleep=run.sleep,
            say=run.log.info,
        )
    try:
        plan = Plan.from_json(options.plan)
    except ValueError as error:
        advice = f"; {PASS_DATA}" if isinstance(options.plan, str) else ""
        raise LimitInputsError([f"plan: {error}{advice}"]) from None
    return rebase_plan(plan, client, portal_id=portal_id, max_concurrency=options.max_concurrency, sleep=run.sleep)


def _planned(options: SyncOptions, plan: Plan, portal_id: int | None) -> dict[str, Any]:
    """Return the result of mode ``plan``.

    :raises ApplyError: if a direction could not be read, or its declaration does not fit the portal.
    :raises AirflowFailException: with ``fail_on_drift``, if there is a difference.
    """
    ApplyReport(unread=list(plan.unread), unfit=list(plan.unfit), portal_id=portal_id).raise_for_failure()
    if options.fail_on_drift and not plan.is_empty:
        name = "The portal" if portal_id is None else f"Portal {portal_id}"
        raise AirflowFailException(f"{name} is not as declared. {plan.summary}")
    return {
        "summary": plan.summary,
        "portal_id": portal_id,
        "changed": False,
        "has_changes": not plan.is_empty,
        "counts": plan.counts,
    }


def _apply(
    run: TaskRun,
    options: SyncOptions,
    client: HubSpotClient,
    plan: Plan,
    *,
    portal_id: int | None,
    extra: dict[str, Any],
) -> ApplyReport:
    """Apply the plan, and verify it unless the triggerer does.

    :param portal_id: of the portal; the plan need not know it.
    :param extra: further entries of the report.
    """
    outcomes: list[Outcome] = []

    def note(new_outcomes: Sequence[Outcome]) -> None:
        outcomes.extend(new_outcomes)
        for outcome in new_outcomes:
            reason = f" ({outcome.reason})" if outcome.reason else ""
            run.log.info("%s: %s%s", outcome.change, outcome.status, reason)

    verifies_here = options.verify and not options.deferrable
    try:
        report = apply_plan(
            plan,
            client,
            max_concurrency=options.max_concurrency,
            verify_timeout=options.verify_timeout if verifies_here else None,
            resend=run.is_later_try,
            sleep=run.sleep,
            on_outcomes=note,
        )
    except BaseException:  # above all AirflowTaskTimeout (execution_timeout), which is not an Exception
        partial = _interrupted(plan, outcomes, verify=options.verify)
        run.push("report", replace(partial, portal_id=portal_id, extra=extra).to_dict())
        run.log.error("The task ended before the sync was complete. %s", partial.summary)
        raise
    return replace(report, portal_id=portal_id, extra=extra)


def _interrupted(plan: Plan, outcomes: Sequence[Outcome], *, verify: bool) -> ApplyReport:
    """Return the report of an apply that did not end.

    :param outcomes: those that were known by then.
    """
    reached = {key for outcome in outcomes for key in change_keys(outcome.change.model_dump(mode="json"))}
    planned: list[Change | NewLabel] = [*plan.new_labels, *plan.writes]
    rest = [
        Outcome(change, "not attempted", "the task ended before")
        for change in planned
        if change_keys(change.model_dump(mode="json"))[0] not in reached
    ]
    report = ApplyReport([*outcomes, *rest], unread=list(plan.unread), unfit=list(plan.unfit))
    return replace(report, settled=False) if verify and report.of("applied") else report


def _finish(run: TaskRun, report: dict[str, Any], event: Any = None) -> dict[str, Any]:
    """Publish the report.

    :raises ApplyError: unless everything is applied.
    """
    earlier = report.get("applied_by_earlier_tries") or []
    also = f" Earlier tries of this task applied {len(earlier)} changes." if earlier else ""
    run.log.info("%s%s (%s)", report["summary"], also, run.duration_text(event))
    run.push("report", report)
    if not report["ok"]:
        raise ApplyError(report)
    applied = [*earlier, *report["applied"]]
    if applied:
        asset = association_limits_asset(report["portal_id"] or run.conn_id)
        run.context["outlet_events"][LIMITS_CHANGED].add(asset, extra={"applied": applied})
    IntendedChanges(run.state).forget()
    return {"changed": bool(applied), **report}
