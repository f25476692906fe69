"""Submit batches of association limits to HubSpot, and keep whole portals in line with a file of limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_hubassoc.assets import LIMITS_CHANGED, association_limits_asset
from airflow_provider_hubassoc.links import PORTAL_XCOM_KEY, HubSpotObjectSettingsLink
from airflow_provider_hubassoc.retry_policy import task_failure, with_retry_policy
from airflow_provider_hubassoc.task_state import TaskState
from airflow_provider_hubassoc.templating import Mistakes, is_literal, materialized, mistakes_fail_parsing

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_provider_hubassoc.hooks import HubSpotHook
    from airflow_provider_hubassoc.hubspot.models import AccountInfo, LimitInput
    from airflow_provider_hubassoc.limits.operation import BatchOperation
    from airflow_provider_hubassoc.limits.plan.model import Change, NewLabel, Plan

OPERATION_XCOM_KEY = "operation"
"""XCom key of the operation's handle: there before the wait begins, brought up to date when it ends."""

_STORE_KEY = "hubspot_operation"
_INTENDED_KEY = "hubspot_intended"

_CHANGES_PER_ENTRY = 200
"""Changes kept under one key of the task state store, whose values are limited in size."""

_LONGEST_PICK_UP = 86_400.0
"""Seconds after which a batch is not waited for by a later try, where the wait itself has no end."""

_TRIGGERER_GRACE = 300.0
"""Seconds after its time at which a wait is ended by Airflow itself, if no triggerer runs that could end it."""


class _HubSpotOperator(BaseOperator):
    """Base of this package's operators: arguments, the end of a task, the portal it speaks to."""

    ui_color = "#ffd9c9"
    operator_extra_links = (HubSpotObjectSettingsLink(),)
    hubspot_conn_id: str
    _killed = False
    _ends_at = math.inf
    _began = 0.0
    known_portal: Mapping[str, Any] | None = MappingProxyType({})
    """What this process knows of the portal, for the extra link; None where XCom has it, since before a deferral."""

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, or fail because the trigger did."""
        from airflow_provider_hubassoc.limits.inputs import stripped

        self.known_portal = None
        self.hubspot_conn_id = stripped(self.hubspot_conn_id)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """End the wait. HubSpot cannot cancel a batch, so there is nothing to stop over there."""
        self._killed = True

    def _sleep(self, seconds: float) -> None:
        """Sleep in short pieces, so that a killed task ends soon: Airflow only calls :meth:`on_kill` and goes on."""
        end = time.monotonic() + seconds
        while True:
            if self._killed:
                raise AirflowException("The task was killed. Limits that were sent to HubSpot stay in force.")
            if time.monotonic() > self._ends_at:
                raise AirflowException(f"The task's execution_timeout of {self.execution_timeout} is over")
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(left, 0.5))

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Let every thread of the task end when its time is up, and every error end it as it should."""
        self._began = time.monotonic()
        if self.execution_timeout is not None:
            # Airflow interrupts the main thread alone, and calls on_kill only when that has waited for the others.
            self._ends_at = time.monotonic() + self.execution_timeout.total_seconds() + 0.5
        try:
            yield
        except Exception as error:
            failure = task_failure(error)
            if failure is error:
                raise
            raise failure from error

    def _publish_portal(self, context: Context, hook: HubSpotHook, *, required: bool = False) -> AccountInfo | None:
        """Say which portal it is, for the log and the extra link, before anything is changed there.

        :param required: whether to fail if HubSpot does not say it; a token without the scope may never be told.
        """
        from airflow_provider_hubassoc.limits.sync import find_portal

        portal = find_portal(hook.client, required=required)
        if portal is not None:
            self.log.info(
                "Connection %s leads to HubSpot portal %s (%s).",
                *(self.hubspot_conn_id, portal.portal_id, portal.account_type),
            )
        self.known_portal = {
            "portal_id": portal.portal_id if portal else None,
            "ui_domain": portal.ui_domain if portal else None,
        }
        # Also where it is not known: to look for an XCom that is missing leaves an error in the log.
        context["ti"].xcom_push(PORTAL_XCOM_KEY, self.known_portal)
        return portal

    # -- arguments --

    def _check(self, mistakes: Mistakes, is_known: Callable[[Any], bool]) -> None:
        """Check and convert what is known of the arguments."""
        raise NotImplementedError

    def _check_literals(self) -> None:
        """Check what the DAG file says literally, so that mistakes fail its parsing."""
        with mistakes_fail_parsing(self.task_id) as mistakes:
            self._check(mistakes, is_literal)

    def _check_rendered(self) -> None:
        """Check and convert the arguments of the running task.

        :raises InvalidArgumentsError: with every mistake in them.
        """
        with mistakes_fail_parsing(self.task_id, is_parsing=False) as mistakes:
            self._check(mistakes, lambda value: True)

    def _took(self, event: Any = None) -> str:
        """Return how long it took, for a log.

        :param event: of the trigger, in a task that resumes after its wait.
        """
        waited = event.get("waited") if isinstance(event, dict) else None
        if isinstance(waited, (int, float)):
            return f"after {waited:.1f} s of waiting in the triggerer"
        return f"after {time.monotonic() - self._began:.1f} s"


class HubSpotAssociationLimitsOperator(_HubSpotOperator):
    """Sets, changes or removes the limits of association types of one direction, in one batch.

    Returns the operation as plain JSON: ``action``, ``from_object_type``, ``to_object_type``, ``inputs``, ``status``,
    HubSpot's ``results`` and ``errors``, and what became of each input: ``applied``, ``refused``, ``unconfirmed``.
    The same is in XCom under ``operation`` before the wait begins, and brought up to date when it ends, also badly.

    Mistakes in literal arguments fail the parsing of the DAG file, those in templates and XComs the task, before
    anything is sent. HubSpot's refusals and other errors that a retry cannot mend fail without using up ``retries``.

    Sources: HubSpot's guide "Associations schema", "Limit the number of associations".

    :param from_object_type: object type in any spelling HubSpot takes: ``contacts``, ``0-1``, ``p_my_object``.
    :param to_object_type: the same, for the other side. Limits of the other direction are a batch of their own.
    :param inputs: ``{"category", "typeId", "maxToObjectIds"}`` each; for purge without ``maxToObjectIds``.
    :param action: ``create``; ``update``, which HubSpot also takes for types without a limit; or ``purge``.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param wait_for_completion: False to return the handle at once, for a sensor to wait on.
    :param deferrable: wait in the triggerer instead of a worker.
    :param poll_interval: about how long after the submission to read for the first time, seconds. The waits grow.
    :param max_poll_interval: the longest time between two reads, seconds; from 2.5.
    :param timeout: how long to wait, seconds or timedelta; None for ever.
    :param max_poll_failures: after so many failed reads in a row the task fails, to be retried.
    :param verify: also wait until a read shows every limit in force.
    """

    template_fields: Sequence[str] = (
        "from_object_type",
        "to_object_type",
        "inputs",
        "action",
        "hubspot_conn_id",
        "wait_for_completion",
        "deferrable",
        "poll_interval",
        "max_poll_interval",
        "timeout",
        "max_poll_failures",
        "verify",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"inputs": "json"}

    def __init__(
        self,
        *,
        from_object_type: str,
        to_object_type: str,
        inputs: Any,
        action: str = "create",
        hubspot_conn_id: str = "hubspot_default",
        wait_for_completion: bool | str = True,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta | str = 5.0,
        max_poll_interval: float | timedelta | str = 60.0,
        timeout: float | timedelta | str | None = 600.0,
        max_poll_failures: int | str = 5,
        verify: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.from_object_type = from_object_type
        self.to_object_type = to_object_type
        self.inputs = inputs
        self.action = action
        self.hubspot_conn_id = hubspot_conn_id
        self.wait_for_completion: Any = wait_for_completion
        self.deferrable: Any = deferrable
        self.poll_interval: Any = poll_interval
        self.max_poll_interval: Any = max_poll_interval
        self.timeout: Any = timeout
        self.max_poll_failures: Any = max_poll_failures
        self.verify: Any = verify
        self._check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the batch, publish its handle, wait.

        :return: the operation as plain JSON.
        :raises HubSpotOperationError: if HubSpot refused all or part of it.
        :raises HubSpotOperationTimeoutError: if it was not settled in time.
        :raises HubSpotError: any other error of HubSpot's.
        :raises InvalidArgumentsError: if the rendered arguments cannot be sent.
        """
        with self._running():
            return self._execute(context)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import operation_from_event

        with self._running():
            return self._finish(context, lambda: operation_from_event(event), event)

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.inputs import parse_inputs

        self._check_rendered()
        inputs = parse_inputs(self.from_object_type, self.to_object_type, materialized(self.inputs), self.action)
        with HubSpotHook(self.hubspot_conn_id, sleep=self._sleep) as hook:
            self._publish_portal(context, hook)
            sent_before = self._sent_before(context, inputs)
            if sent_before is not None:
                operation, waited = sent_before
            else:
                operation, waited = self._submit(context, hook, inputs), 0.0
            if operation.is_over:
                return self._finish(context, lambda: operation)
            self._remember(context, operation, waited)  # first of all, for a worker may die at any time
            self._publish(context, operation)
            if not self.wait_for_completion:
                self._forget(context)
                self.log.info("Not waiting for the batch (wait_for_completion=False).")
                return operation.to_dict()
            where = "the triggerer" if self.deferrable else "this worker"
            bound = "without a timeout" if self.timeout is None else f"for up to {self.timeout:g} s"
            self.log.info("Waiting in %s %s.", where, bound)
            wait_options = {
                "waited": waited,
                "timeout": self.timeout,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "max_poll_failures": self.max_poll_failures,
            }
            if self.deferrable:
                self._defer(operation, wait_options)
            return self._finish(context, lambda: self._wait(hook, operation, wait_options))

    def _submit(self, context: Context, hook: HubSpotHook, inputs: list[LimitInput]) -> BatchOperation:
        from airflow_provider_hubassoc.limits.operation import BatchOperation, submit

        asked = BatchOperation(
            action=self.action,  # type: ignore[arg-type]  # parse_inputs checks it
            from_object_type=self.from_object_type,
            to_object_type=self.to_object_type,
            inputs=inputs,
            verify=self.verify,
        )
        self.log.info("Sending %s.", asked.title)
        self._sleep(0)  # raises if the task has been killed meanwhile
        operation = submit(hook.client, asked, resend=context["ti"].try_number > 1)
        if operation.action == "create" and operation.has_failed:
            operation = self._judged_by_the_portal(hook, operation)
        self.log.info(
            "HubSpot answered %s: %d applied, %d refused, %d not confirmed%s.",
            *(operation.status.value, len(operation.applied), len(operation.refused), len(operation.unconfirmed)),
            f" (correlation id {operation.correlation_id})" if operation.correlation_id else "",
        )
        return operation

    def _judged_by_the_portal(self, hook: HubSpotHook, operation: BatchOperation) -> BatchOperation:
        """Read the limits after a refused create: somebody else may have set them as asked in the meantime."""
        from airflow_provider_hubassoc.hubspot.errors import HubSpotError
        from airflow_provider_hubassoc.limits.operation import refresh

        try:
            return refresh(hook.client.without_retries(), operation)
        except HubSpotError as error:
            self.log.info("HubSpot refused the create, and the limits could not be read: %s", error)
            return operation

    # -- arguments --

    def _check(self, mistakes: Mistakes, is_known: Callable[[Any], bool]) -> None:
        from airflow_provider_hubassoc.limits.inputs import (
            check_count,
            check_inputs,
            check_seconds,
            connection_id,
            is_none,
            parse_boolean,
            stripped,
        )

        for name in ("from_object_type", "to_object_type", "action"):
            setattr(self, name, stripped(getattr(self, name)))
        mistakes.convert(self, ["hubspot_conn_id"], connection_id, is_known)
        with mistakes.collected():
            inputs = materialized(self.inputs)
            check_inputs(self.from_object_type, self.to_object_type, inputs, self.action, is_known=is_known)
        if is_none(self.timeout):
            self.timeout = None
        intervals = ["poll_interval", "max_poll_interval", *(["timeout"] if self.timeout is not None else [])]
        mistakes.convert(self, intervals, check_seconds, is_known)
        mistakes.convert(self, ["max_poll_failures"], check_count, is_known)
        mistakes.convert(self, ["wait_for_completion", "deferrable", "verify"], parse_boolean, is_known)

    # -- waiting --

    def _wait(self, hook: HubSpotHook, operation: BatchOperation, wait_options: dict[str, Any]) -> BatchOperation:
        from airflow_provider_hubassoc.limits.operation import refresh
        from airflow_provider_hubassoc.limits.wait import Wait

        wait = Wait(operation, **wait_options, connection_name=self.hubspot_conn_id, on_change=self.log.info)
        while not wait.operation.is_over:
            self._sleep(wait.next_delay())
            wait.poll(lambda operation: refresh(hook.client.without_retries(), operation))
        return wait.operation

    def _defer(self, operation: BatchOperation, wait_options: dict[str, Any]) -> NoReturn:
        from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsTrigger

        # Airflow does not apply execution_timeout to a task that waits in the triggerer.
        limits = [wait_options["timeout"]]
        if self.execution_timeout is not None:
            limits.append(wait_options["waited"] + self.execution_timeout.total_seconds())
        timeout = min((limit for limit in limits if limit is not None), default=None)
        self.defer(
            trigger=HubSpotAssociationLimitsTrigger(
                hubspot_conn_id=self.hubspot_conn_id,
                operation=operation.to_dict(),
                **{**wait_options, "timeout": timeout},
            ),
            method_name="execute_complete",
            timeout=None
            if timeout is None
            else timedelta(seconds=max(0.0, timeout - wait_options["waited"]) + _TRIGGERER_GRACE),
        )

    # -- what others see --

    def _publish(self, context: Context, operation: BatchOperation) -> None:
        context["ti"].xcom_push(OPERATION_XCOM_KEY, operation.to_dict())

    def _finish(self, context: Context, wait: Callable[[], BatchOperation], event: Any = None) -> dict[str, Any]:
        """Publish how the wait ended, well or badly."""
        from airflow_provider_hubassoc.hubspot.errors import HubSpotOperationTimeoutError

        try:
            operation = wait()
        except HubSpotOperationTimeoutError:
            self._forget(context)
            raise
        self._forget(context)
        self._publish(context, operation)
        operation.raise_for_failure(self.hubspot_conn_id)
        seen = f", {len(operation.in_force)} seen in force" if operation.in_force is not None else ""
        self.log.info(
            "Done %s: %s is %s (connection %s), %d applied%s.",
            *(self._took(event), operation.title, operation.status.value, self.hubspot_conn_id),
            *(len(operation.applied), seen),
        )
        return operation.to_dict()

    # -- across tries (Airflow 3.3) --

    def _remember(self, context: Context, operation: BatchOperation, waited: float) -> None:
        """Keep the handle where the next try finds it, should this one break off while it waits."""
        handle = {**operation.to_dict(), "started_at_epoch": time.time() - waited, "conn_id": self.hubspot_conn_id}
        TaskState(context, self.log).set(_STORE_KEY, handle)

    def _forget(self, context: Context) -> None:
        TaskState(context, self.log).delete(_STORE_KEY)

    def _sent_before(self, context: Context, inputs: list[LimitInput]) -> tuple[BatchOperation, float] | None:
        """Return the operation that an earlier try has sent and not seen the end of, and the seconds waited for it.

        None if there is none, if it was another one, or if its time is up: much may have changed in the portal since.
        The clocks of two workers may differ. If they make the wait too old, the batch is sent again, which is
        harmless; if they put its start in the future, the wait begins now.
        """
        from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError

        handle: Any = TaskState(context, self.log).get(_STORE_KEY) if context["ti"].try_number > 1 else None
        try:
            sent = BatchOperation.from_dict(handle)
            started_at, conn_id = float(handle["started_at_epoch"]), handle["conn_id"]
        except (OperationHandleError, ArithmeticError, KeyError, TypeError, ValueError):  # none, or of another version
            return None
        asked = (self.action, self.from_object_type, self.to_object_type, inputs, self.hubspot_conn_id)
        if (sent.action, sent.from_object_type, sent.to_object_type, sent.inputs, conn_id) != asked:
            return None
        waited = max(0.0, time.time() - started_at)
        if not waited < (_LONGEST_PICK_UP if self.timeout is None else self.timeout):
            return None
        self.log.info("An earlier try has sent %s (status %s).", sent.title, sent.status.value)
        return sent, waited


class HubSpotAssociationLimitsSyncOperator(_HubSpotOperator):
    """Brings a portal's association limits in line with a reviewed file, or plans to.

    XCom: ``plan`` (JSON, for a later ``plan=`` argument), ``plan_markdown`` (for people, such as in an
    ``ApprovalOperator``), ``report`` (what became of every change). Returns ``summary``, ``portal_id``, ``changed``
    and the report.

    A direction that fails does not stop the others; at the end the task fails with the full account. Running again
    does what is left. A sync that changed something adds an event of the portal's asset
    (:func:`~airflow_provider_hubassoc.assets.association_limits_asset`) to the asset alias
    ``hubspot_association_limits``, with the changes of all its tries (Airflow 3.2: of the last one) as ``extra``.

    :param config: the declared limits: path of a YAML or JSON file, its text, a dict, or an XCom of one of them.
    :param plan: apply this plan (an earlier task's XCom ``plan``) and nothing else: if the portal has changed since,
        the task fails, so that what was approved is what is applied.
    :param mode: ``apply``; or ``plan``, which never writes.
    :param portal: what the portal is called in the file's ``portals``; by default the connection's id or, if the file
        has no such name, the portal's id.
    :param prune: also remove limits that the file does not mention, in the directions it does mention.
    :param fail_on_drift: with ``mode="plan"``, fail if the portal is not as declared.
    :param create_missing_labels: True to create every label that the portal lacks, False to create none; None for
        what the file says of each (``create_missing``).
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param max_concurrency: directions that are handled at the same time.
    :param verify: after the writes, read until everything is seen in force.
    :param verify_timeout: for how long, seconds.
    :param deferrable: verify in the triggerer instead of a worker.
    """

    template_fields: Sequence[str] = (
        "config",
        "plan",
        "mode",
        "portal",
        "prune",
        "fail_on_drift",
        "create_missing_labels",
        "hubspot_conn_id",
        "max_concurrency",
        "verify",
        "verify_timeout",
        "deferrable",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json", "plan": "json"}

    def __init__(
        self,
        *,
        config: Any = None,
        plan: Any = None,
        mode: str = "apply",
        portal: str | int | None = None,
        prune: bool | str = False,
        fail_on_drift: bool | str = False,
        create_missing_labels: bool | str | None = None,
        hubspot_conn_id: str = "hubspot_default",
        max_concurrency: int | str = 8,
        verify: bool | str = True,
        verify_timeout: float | timedelta | str = 60.0,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.outlets = [*self.outlets, LIMITS_CHANGED]
        self.config = config
        self.plan = plan
        self.mode = mode
        self.portal = portal
        self.prune: Any = prune
        self.fail_on_drift: Any = fail_on_drift
        self.create_missing_labels: Any = create_missing_labels
        self.hubspot_conn_id = hubspot_conn_id
        self.max_concurrency: Any = max_concurrency
        self.verify: Any = verify
        self.verify_timeout: Any = verify_timeout
        self.deferrable: Any = deferrable
        self._check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the portal, plan, and unless ``mode="plan"`` apply and verify.

        :return: ``summary``, ``portal_id``, ``changed`` (whether anything was written), and the report. With
            ``mode="plan"``: ``summary``, ``portal_id``, ``has_changes``, ``counts`` and ``changed`` (False).
        :raises InvalidArgumentsError: if the rendered arguments cannot be used.
        :raises ConfigError: if the file has mistakes, or does not fit the portal; with every one of them.
        :raises StalePlanError: if the portal has changed since the ``plan`` was made.
        :raises AirflowFailException: with ``fail_on_drift``, if the portal is not as declared.
        :raises ApplyError: if not everything is applied; with the full account.
        :raises HubSpotError: if HubSpot does not accept the token.
        """
        with self._running():
            return self._execute(context)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the verification in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import report_from_event

        with self._running():
            return self._finish(context, report_from_event(event), event)

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.apply import ApplyReport

        self._check_rendered()
        with HubSpotHook(self.hubspot_conn_id, sleep=self._sleep) as hook:
            portal = self._publish_portal(context, hook, required=True)  # its id decides what is declared for it
            portal_id = portal.portal_id if portal else None
            plan = self._rebased_plan(hook, portal_id) if self.plan is not None else self._new_plan(hook, portal_id)
            self._publish_plan(context, plan)
            if self.mode == "plan":
                ApplyReport(unread=plan.unread, unfit=plan.unfit).raise_for_failure()
                if self.fail_on_drift and not plan.is_empty:
                    raise AirflowFailException(f"Portal {portal_id} is not as declared. {plan.summary}")
                return {
                    "summary": plan.summary,
                    "portal_id": portal_id,
                    "changed": False,
                    "has_changes": not plan.is_empty,
                    "counts": plan.counts,
                }
            intended = self._intended(context)
            self._note_intended(context, plan, len(intended))
            more = {"portal_id": portal_id, "applied_by_earlier_tries": _in_force_now(intended, plan)}
            report, operations = self._apply(context, hook, plan, more)
            if self.verify and self.deferrable and operations:
                context["ti"].xcom_push("report", report)  # should the wait in the triggerer end without this task
                self.log.info("%s Verifying in the triggerer for up to %g s.", report["summary"], self.verify_timeout)
                self._defer(report, operations, self.verify_timeout)
            return self._finish(context, report)

    def _apply(
        self, context: Context, hook: HubSpotHook, plan: Plan, more: dict[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Apply the plan.

        :return: the report as plain JSON, with ``more``, and the handles of what a read of each direction shall show.
        """
        from airflow_provider_hubassoc.limits.apply import ApplyReport, Outcome, apply_plan

        known: list[Outcome] = []

        def note(outcomes: Sequence[Outcome]) -> None:
            known.extend(outcomes)
            for outcome in outcomes:
                reason = f" ({outcome.reason})" if outcome.reason else ""
                self.log.info("%s: %s%s", outcome.change, outcome.status, reason)

        verify_here = self.verify and not self.deferrable
        try:
            report = apply_plan(
                plan,
                hook.client,
                max_concurrency=self.max_concurrency,
                verify_timeout=self.verify_timeout if verify_here else None,
                resend=context["ti"].try_number > 1,
                sleep=self._sleep,
                on_outcomes=note,
            )
        except BaseException:  # execution_timeout, which is no Exception, above all
            reached = {key for outcome in known for key in _keys(outcome.change.model_dump(mode="json"))}
            everything: list[Change | NewLabel] = [*plan.new_labels, *plan.writes]
            rest = [each for each in everything if _keys(each.model_dump(mode="json"))[0] not in reached]
            known += [Outcome(each, "not attempted", "the task ended before") for each in rest]
            partial = ApplyReport(known, unread=list(plan.unread), unfit=list(plan.unfit))
            if self.verify and partial.of("applied"):
                partial.settled = False
            context["ti"].xcom_push("report", {**partial.to_dict(), **more})
            self.log.error("The task ended before the sync was complete. %s", partial.summary)
            raise
        return {**report.to_dict(), **more}, [each.to_dict() for each in report.to_verify]

    # -- arguments --

    def _check(self, mistakes: Mistakes, is_known: Callable[[Any], bool]) -> None:
        from airflow_provider_hubassoc.limits.inputs import (
            check_count,
            check_seconds,
            connection_id,
            from_text,
            parse_boolean,
            portal_name,
            stripped,
        )

        self.mode = stripped(self.mode)
        mistakes.convert(self, ["hubspot_conn_id"], connection_id, is_known)
        if self.portal is not None:
            mistakes.convert(self, ["portal"], portal_name, is_known)
        if is_known(self.mode) and self.mode not in ("apply", "plan"):
            mistakes.add(f"mode: must be apply or plan, got {self.mode!r:.60}")
        if (self.config is None) is (self.plan is None):
            mistakes.add("config, plan: pass exactly one of them")
        if self.plan is not None and self.mode == "plan":
            mistakes.add("plan: is for applying; with mode='plan' pass config")
        mistakes.convert(self, ["prune", "fail_on_drift", "verify", "deferrable"], parse_boolean, is_known)
        mistakes.convert(
            self,
            ["create_missing_labels"],
            lambda name, value: parse_boolean(name, value, optional=True),
            is_known,
        )
        mistakes.convert(self, ["max_concurrency"], check_count, is_known)
        mistakes.convert(self, ["verify_timeout"], check_seconds, is_known)
        mistakes.convert(self, ["plan"], from_text, is_known)
        if self.fail_on_drift is True and self.mode == "apply":
            mistakes.add("fail_on_drift: is for mode='plan'; applying removes the drift")
        is_data = self.config is not None and not isinstance(self.config, (str, PurePath))
        if is_data and _all_known(self.config, is_known):
            from airflow_provider_hubassoc.limits.config import load_config

            with mistakes.collected():
                load_config(self.config)

    def _new_plan(self, hook: HubSpotHook, portal_id: int | None) -> Plan:
        from airflow_provider_hubassoc.limits.config import load_config
        from airflow_provider_hubassoc.limits.sync import make_plan

        return make_plan(
            load_config(self.config, on_warning=lambda problem: self.log.warning("%s", problem)),
            hook.client,
            conn_id=self.hubspot_conn_id,
            portal_id=portal_id,
            portal=self.portal,
            prune=self.prune,
            create_missing_labels=self.create_missing_labels,
            max_concurrency=self.max_concurrency,
            sleep=self._sleep,
            say=self.log.info,
        )

    def _rebased_plan(self, hook: HubSpotHook, portal_id: int | None) -> Plan:
        from airflow_provider_hubassoc.limits.inputs import PASS_DATA, LimitInputsError
        from airflow_provider_hubassoc.limits.plan.model import Plan
        from airflow_provider_hubassoc.limits.sync import rebase_plan

        try:
            plan = Plan.from_json(self.plan)
        except ValueError as error:
            cure = f"; {PASS_DATA}" if isinstance(self.plan, str) else ""
            raise LimitInputsError([f"plan: {error}{cure}"]) from None
        return rebase_plan(
            plan, hook.client, portal_id=portal_id, max_concurrency=self.max_concurrency, sleep=self._sleep
        )

    # -- what others see --

    def _publish_plan(self, context: Context, plan: Plan) -> None:
        from airflow_provider_hubassoc.limits.plan.render import render_markdown, render_text

        self.log.info("%s", render_text(plan))
        context["ti"].xcom_push("plan", plan.to_json())
        context["ti"].xcom_push("plan_markdown", render_markdown(plan))

    def _defer(self, report: dict[str, Any], operations: list[dict[str, Any]], timeout: float) -> NoReturn:
        from airflow_provider_hubassoc.triggers import HubSpotAssociationLimitsSyncTrigger

        self.defer(
            trigger=HubSpotAssociationLimitsSyncTrigger(
                hubspot_conn_id=self.hubspot_conn_id,
                operations=operations,
                report=report,
                timeout=timeout,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=timeout + _TRIGGERER_GRACE),
        )

    def _finish(self, context: Context, report: dict[str, Any], event: Any = None) -> dict[str, Any]:
        """Publish what was done."""
        from airflow_provider_hubassoc.limits.apply import ApplyError

        earlier = report.get("applied_by_earlier_tries") or []
        also = f" Earlier tries of this task applied {len(earlier)} changes." if earlier else ""
        self.log.info("%s%s (%s)", report["summary"], also, self._took(event))
        context["ti"].xcom_push("report", report)
        if not report["ok"]:
            raise ApplyError(report)
        applied = [*earlier, *report["applied"]]
        if applied:
            asset = association_limits_asset(report["portal_id"] or self.hubspot_conn_id)
            context["outlet_events"][LIMITS_CHANGED].add(asset, extra={"applied": applied})
        self._forget_intended(context)
        return {"changed": bool(applied), **report}

    # -- across tries (Airflow 3.3) --

    def _note_intended(self, context: Context, plan: Plan, first: int) -> None:
        """Keep what this try is going to change, before it changes anything.

        A try that is killed can no longer say what it has applied. The next one sees it in the portal.

        :param first: how many entries earlier tries have kept.
        """
        changes = [{**each.model_dump(mode="json"), "text": str(each)} for each in (*plan.new_labels, *plan.writes)]
        state = TaskState(context, self.log)
        entries = [changes[at : at + _CHANGES_PER_ENTRY] for at in range(0, len(changes), _CHANGES_PER_ENTRY)]
        for number, entry in enumerate(entries, start=first):
            state.set(f"{_INTENDED_KEY}_{number}", entry)

    def _intended(self, context: Context) -> list[list[dict[str, Any]]]:
        """Return the entries that this and earlier tries have kept."""
        state = TaskState(context, self.log)
        found: list[list[dict[str, Any]]] = []
        while isinstance(entry := state.get(f"{_INTENDED_KEY}_{len(found)}"), list):
            found.append(entry)
        return found

    def _forget_intended(self, context: Context) -> None:
        state = TaskState(context, self.log)
        for number in range(len(self._intended(context))):
            state.delete(f"{_INTENDED_KEY}_{number}")


def _in_force_now(intended: Sequence[Sequence[dict[str, Any]]], plan: Plan) -> list[dict[str, Any]]:
    """Return what earlier tries were going to change and the portal has by now, so that it is no longer planned."""
    left = {key for each in (*plan.new_labels, *plan.writes) for key in _keys(each.model_dump(mode="json"))}
    was_read = {each.direction for each in plan.directions} - {each.direction for each in plan.unfit}
    in_force = {key: each.current for each in plan.changes for key in _keys(each.model_dump(mode="json"))}
    applied = {}
    for change in (each for entry in intended for each in entry):
        key = _keys(change)[0]
        is_known = (change["from_object_type"], change["to_object_type"]) in was_read
        # A limit that was removed need not be in the plan at all.
        is_there = "action" not in change or in_force.get(key) == change["target"]
        if is_known and is_there and key not in left:
            applied[key] = {**change, "reason": None}
    return list(applied.values())


def _keys(change: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return what identifies a change, or a label to create, in the plans of all tries; the most exact key first."""
    ends = (change["from_object_type"], change["to_object_type"])
    if "action" not in change:
        return [(*ends, "new label", change["label"])]
    keys: list[tuple[Any, ...]] = []
    if change["type_id"] is not None:
        keys.append((*ends, change["category"], change["type_id"]))
    if change["label"] is not None:
        keys.append((*ends, "label", change["label"]))
    return keys


def _all_known(value: Any, is_known: Callable[[Any], bool]) -> bool:
    """Whether nothing inside a dict is known only when the task runs."""
    if isinstance(value, Mapping):
        return all(_all_known(each, is_known) for pair in value.items() for each in pair)
    if isinstance(value, (list, tuple)):
        return all(_all_known(each, is_known) for each in value)
    return is_known(value)
