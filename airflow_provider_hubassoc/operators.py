"""Submit a batch of association limits to HubSpot, and wait until HubSpot has settled it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_hubassoc.arguments import is_literal, mistakes_fail_parsing, plain
from airflow_provider_hubassoc.assets import LIMITS_CHANGED, association_limits_asset
from airflow_provider_hubassoc.failures import task_failure, with_retry_policy
from airflow_provider_hubassoc.links import PORTAL_XCOM_KEY, HubSpotObjectSettingsLink

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_provider_hubassoc.hooks import HubSpotHook
    from airflow_provider_hubassoc.hubspot.models import AccountInfo, LimitInput
    from airflow_provider_hubassoc.limits.operation import BatchOperation
    from airflow_provider_hubassoc.limits.plan import Plan

OPERATION_XCOM_KEY = "operation"
"""XCom key of the operation's handle: there before the wait begins, brought up to date when it ends."""

_STORE_KEY = "hubspot_operation"
_APPLIED_KEY = "hubspot_applied"

_LONGEST_PICK_UP = 86_400.0
"""Seconds after which a batch is not waited for by a later try, where the wait itself has no end."""

_TRIGGERER_GRACE = 300.0
"""Seconds after its time at which a wait is ended by Airflow itself, if no triggerer runs that could end it."""


class _HubSpotOperator(BaseOperator):
    """What the operators of this package have in common."""

    ui_color = "#ffd9c9"
    _killed = False
    _ends_at = math.inf

    def on_kill(self) -> None:
        """End the wait. HubSpot cannot cancel a batch, so there is nothing to stop over there."""
        self._killed = True

    def _sleep(self, seconds: float) -> None:
        """Sleep in short pieces, so that a killed task ends soon: Airflow only calls :meth:`on_kill` and goes on."""
        end = time.monotonic() + seconds
        while True:
            if self._killed or time.monotonic() > self._ends_at:
                raise AirflowException("The task was killed")
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(left, 0.5))

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Let every thread of the task end when its time is up, and every error end it as it should."""
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
        from airflow_provider_hubassoc.hubspot.errors import (
            HubSpotAuthenticationError,
            HubSpotError,
            HubSpotMissingScopesError,
            HubSpotSettingsError,
            HubSpotTLSError,
        )

        try:
            portal = (hook.client if required else hook.client.without_retries()).account_info()
        except HubSpotError as error:
            is_broken = isinstance(error, (HubSpotAuthenticationError, HubSpotSettingsError, HubSpotTLSError))
            if is_broken or (required and not isinstance(error, HubSpotMissingScopesError)):
                raise
            self.log.info("HubSpot did not say which portal this is: %s", error)
            return None
        self.log.info("HubSpot portal %s (%s)", portal.portal_id, portal.account_type)
        context["ti"].xcom_push(PORTAL_XCOM_KEY, {"portal_id": portal.portal_id, "ui_domain": portal.ui_domain})
        return portal


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
        "poll_interval",
        "max_poll_interval",
        "timeout",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"inputs": "json"}
    operator_extra_links = (HubSpotObjectSettingsLink(),)

    def __init__(
        self,
        *,
        from_object_type: str,
        to_object_type: str,
        inputs: Sequence[dict[str, Any]],
        action: str = "create",
        hubspot_conn_id: str = "hubspot_default",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5.0,
        max_poll_interval: float = 60.0,
        timeout: float | timedelta | None = 600.0,
        max_poll_failures: int = 5,
        verify: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.from_object_type = from_object_type
        self.to_object_type = to_object_type
        self.inputs = inputs
        self.action = action
        self.hubspot_conn_id = hubspot_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout
        self.max_poll_failures = max_poll_failures
        self.verify = verify
        self._check_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the batch, publish its handle, wait.

        :return: the operation as plain JSON.
        :raises HubSpotOperationError: if HubSpot refused all or part of it.
        :raises HubSpotOperationTimeoutError: if it was not settled in time.
        :raises HubSpotError: any other error of HubSpot's.
        :raises LimitInputsError: if the rendered arguments cannot be sent.
        """
        with self._running():
            return self._execute(context)

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        from airflow_provider_hubassoc.triggers import operation_from_event

        with self._running():
            return self._finish(context, lambda: operation_from_event(event))

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.inputs import parse_inputs

        inputs = parse_inputs(self.from_object_type, self.to_object_type, plain(self.inputs), self.action)
        wait_options = self._parse_wait_options()
        with HubSpotHook(self.hubspot_conn_id, sleep=self._sleep) as hook:
            self._publish_portal(context, hook)
            sent_before = self._sent_before(context, inputs, wait_options["timeout"])
            if sent_before is not None:
                operation, waited = sent_before
            else:
                self._sleep(0)  # raises if the task has been killed meanwhile
                operation = hook.submit_operation(
                    self.action,  # type: ignore[arg-type]  # parse_inputs has checked it
                    self.from_object_type,
                    self.to_object_type,
                    inputs,
                    verify=self.verify,
                    resend=context["ti"].try_number > 1,
                )
                waited = 0.0
            if operation.is_over:
                return self._finish(context, lambda: operation)
            self._remember(context, operation, waited)  # first of all, for a worker may die at any time
            self._publish(context, operation)
            if not self.wait_for_completion:
                self._forget(context)
                return operation.to_dict()
            self.log.info("%s is %s; waiting", _title(operation), operation.status.value)
            wait_options["waited"] = waited
            if self.deferrable:
                self._defer(operation, wait_options)
            return self._finish(context, lambda: self._wait(hook, operation, wait_options))

    # -- arguments --

    def _check_literals(self) -> None:
        """Check what the DAG file says literally, so that mistakes fail its parsing."""
        from airflow_provider_hubassoc.limits.inputs import parse_inputs

        with mistakes_fail_parsing(self.task_id):
            parse_inputs(self.from_object_type, self.to_object_type, self.inputs, self.action, is_known=is_literal)
            self._parse_wait_options(is_known=is_literal)

    def _parse_wait_options(self, is_known: Callable[[Any], bool] = lambda value: True) -> dict[str, Any]:
        from airflow_provider_hubassoc.limits.inputs import check_count, parse_seconds

        values = {name: getattr(self, name) for name in ("poll_interval", "max_poll_interval", "timeout")}
        if self.timeout is None:
            del values["timeout"]
        seconds = parse_seconds({name: value for name, value in values.items() if is_known(value)})
        check_count("max_poll_failures", self.max_poll_failures)
        return {"timeout": None, **seconds, "max_poll_failures": self.max_poll_failures}

    # -- waiting --

    def _wait(self, hook: HubSpotHook, operation: BatchOperation, wait_options: dict[str, Any]) -> BatchOperation:
        from airflow_provider_hubassoc.limits.operation import Wait

        wait = Wait(operation, **wait_options)
        while not wait.operation.is_over:
            self._sleep(wait.next_delay())
            wait.poll(hook.refresh_operation)
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

    def _finish(self, context: Context, wait: Callable[[], BatchOperation]) -> dict[str, Any]:
        """Account for the end of the wait, good or bad."""
        from airflow_provider_hubassoc.hubspot.errors import HubSpotOperationTimeoutError

        try:
            operation = wait()
        except HubSpotOperationTimeoutError:
            self._forget(context)
            raise
        self._forget(context)
        self._publish(context, operation)
        operation.raise_for_failure()
        self.log.info("%s is %s: %d applied", _title(operation), operation.status.value, len(operation.applied))
        return operation.to_dict()

    # -- across tries (Airflow 3.3) --

    def _remember(self, context: Context, operation: BatchOperation, waited: float) -> None:
        """Keep the handle where the next try finds it, should this one break off while it waits."""
        if store := context.get("task_state_store"):
            began = time.time() - waited
            store.set(_STORE_KEY, {**operation.to_dict(), "started_at_epoch": began, "conn_id": self.hubspot_conn_id})

    def _forget(self, context: Context) -> None:
        if store := context.get("task_state_store"):
            store.delete(_STORE_KEY)

    def _sent_before(
        self, context: Context, inputs: list[LimitInput], timeout: float | None
    ) -> tuple[BatchOperation, float] | None:
        """Return the operation that an earlier try has sent and not seen the end of, and the seconds waited for it.

        None if there is none, if it was another one, or if its time is up: much may have changed in the portal since.
        The clocks of two workers may differ. If they make the wait too old, the batch is sent again, which is
        harmless; if they put its start in the future, the wait begins now.
        """
        from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError

        store = context.get("task_state_store")
        handle: Any = store.get(_STORE_KEY) if store and context["ti"].try_number > 1 else None
        try:
            sent = BatchOperation.from_dict(handle)
            started_at, conn_id = float(handle["started_at_epoch"]), handle["conn_id"]
        except (OperationHandleError, ArithmeticError, KeyError, TypeError, ValueError):  # none, or of another version
            return None
        asked = (self.action, self.from_object_type, self.to_object_type, inputs, self.hubspot_conn_id)
        if (sent.action, sent.from_object_type, sent.to_object_type, sent.inputs, conn_id) != asked:
            return None
        waited = max(0.0, time.time() - started_at)
        if not waited < (_LONGEST_PICK_UP if timeout is None else timeout):
            return None
        self.log.info("%s was sent by an earlier try; waiting for it", _title(sent))
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

    template_fields: Sequence[str] = ("config", "plan", "mode", "portal", "hubspot_conn_id", "verify_timeout")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json", "plan": "json"}

    def __init__(
        self,
        *,
        config: Any = None,
        plan: Any = None,
        mode: str = "apply",
        portal: str | int | None = None,
        prune: bool = False,
        fail_on_drift: bool = False,
        create_missing_labels: bool | None = None,
        hubspot_conn_id: str = "hubspot_default",
        max_concurrency: int = 8,
        verify: bool = True,
        verify_timeout: float | timedelta = 60.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.outlets = [*self.outlets, LIMITS_CHANGED]
        self.config = config
        self.plan = plan
        self.mode = mode
        self.portal = portal
        self.prune = prune
        self.fail_on_drift = fail_on_drift
        self.create_missing_labels = create_missing_labels
        self.hubspot_conn_id = hubspot_conn_id
        self.max_concurrency = max_concurrency
        self.verify = verify
        self.verify_timeout = verify_timeout
        self.deferrable = deferrable
        with mistakes_fail_parsing(self.task_id):
            self._check_arguments(is_known=is_literal)

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the portal, plan, and unless ``mode="plan"`` apply and verify.

        :return: ``summary``, ``portal_id``, ``changed`` (whether anything was written), and the report.
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
            return self._finish(context, report_from_event(event))

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_hubassoc.hooks import HubSpotHook
        from airflow_provider_hubassoc.limits.apply import ApplyReport, apply_plan
        from airflow_provider_hubassoc.limits.inputs import parse_seconds

        self._check_arguments()
        verify_timeout = parse_seconds({"verify_timeout": self.verify_timeout})["verify_timeout"]
        with HubSpotHook(self.hubspot_conn_id, sleep=self._sleep) as hook:
            portal = self._publish_portal(context, hook, required=True)  # its id decides what is declared for it
            portal_id = portal.portal_id if portal else None
            plan = self._rebased_plan(hook, portal_id) if self.plan is not None else self._new_plan(hook, portal_id)
            self._publish_plan(context, plan)
            if self.mode == "plan":
                ApplyReport(unread=plan.unread, unfit=plan.unfit).raise_for_failure()
                if self.fail_on_drift and not plan.is_empty:
                    raise AirflowFailException(plan.summary)
                return {"summary": plan.summary, "portal_id": portal_id, "changed": False, "counts": plan.counts}
            verify_here = self.verify and not self.deferrable
            report = apply_plan(
                plan,
                hook.client,
                max_concurrency=self.max_concurrency,
                verify_timeout=verify_timeout if verify_here else None,
                resend=context["ti"].try_number > 1,
                sleep=self._sleep,
            )
            account = {**report.to_dict(), "portal_id": portal_id}
            self._remember(context, account["applied"])
            if self.verify and self.deferrable and report.to_verify:
                self._defer(account, [each.to_dict() for each in report.to_verify], verify_timeout)
            return self._finish(context, account)

    # -- arguments --

    def _check_arguments(self, is_known: Callable[[Any], bool] = lambda value: True) -> None:
        """Check what is known of the arguments.

        :raises LimitInputsError: with every mistake in them.
        :raises ConfigError: with every mistake in a ``config`` given as a dict.
        """
        from airflow_provider_hubassoc.limits.config import load_config
        from airflow_provider_hubassoc.limits.inputs import LimitInputsError, check_count, parse_seconds

        problems = []
        if is_known(self.mode) and self.mode not in ("apply", "plan"):
            problems.append(f"mode: must be apply or plan, got {self.mode!r}")
        if (self.config is None) is (self.plan is None):
            problems.append("config, plan: give one of them")
        if self.plan is not None and self.mode == "plan":
            problems.append("plan: is for applying; with mode='plan' give config")
        if self.fail_on_drift and self.mode == "apply":
            problems.append("fail_on_drift: is for mode='plan'; applying removes the drift")
        if problems:
            raise LimitInputsError(problems)
        check_count("max_concurrency", self.max_concurrency)
        if is_known(self.verify_timeout):
            parse_seconds({"verify_timeout": self.verify_timeout})
        if isinstance(self.config, Mapping) and _all_known(self.config, is_known):
            load_config(self.config)

    def _new_plan(self, hook: HubSpotHook, portal_id: int | None) -> Plan:
        from airflow_provider_hubassoc.limits.apply import read_state
        from airflow_provider_hubassoc.limits.config import load_config
        from airflow_provider_hubassoc.limits.plan import build_plan

        names = [self.portal] if self.portal is not None else [self.hubspot_conn_id, portal_id]
        config = load_config(self.config).for_portal(*names).with_missing_labels(self.create_missing_labels)
        state = read_state(config, hook.client, max_concurrency=self.max_concurrency, sleep=self._sleep)
        return build_plan(config, replace(state, portal_id=portal_id), prune=self.prune)

    def _rebased_plan(self, hook: HubSpotHook, portal_id: int | None) -> Plan:
        from airflow_provider_hubassoc.limits.apply import read_again
        from airflow_provider_hubassoc.limits.inputs import LimitInputsError
        from airflow_provider_hubassoc.limits.plan import Plan

        try:
            plan = Plan.from_json(self.plan)
        except ValueError as error:
            raise LimitInputsError([f"plan: {error}"]) from None
        state = read_again(plan, hook.client, max_concurrency=self.max_concurrency, sleep=self._sleep)
        return plan.rebased(replace(state, portal_id=portal_id))

    # -- what others see --

    def _publish_plan(self, context: Context, plan: Plan) -> None:
        self.log.info("%s", plan.to_text())
        context["ti"].xcom_push("plan", plan.to_json())
        context["ti"].xcom_push("plan_markdown", plan.to_markdown())

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

    def _finish(self, context: Context, report: dict[str, Any]) -> dict[str, Any]:
        """Account for what was done."""
        from airflow_provider_hubassoc.limits.apply import ApplyError

        self.log.info("%s", report["summary"])
        context["ti"].xcom_push("report", report)
        if not report["ok"]:
            raise ApplyError(report)
        applied = self._remembered(context) or report["applied"]
        if applied:
            asset = association_limits_asset(report["portal_id"] or self.hubspot_conn_id)
            extra: dict[str, Any] = {"applied": applied}
            context["outlet_events"][LIMITS_CHANGED].add(asset, extra=extra)
        if store := context.get("task_state_store"):
            store.delete(_APPLIED_KEY)
        return {"changed": bool(applied), **report}

    # -- across tries (Airflow 3.3) --

    def _remember(self, context: Context, applied: list[dict[str, Any]]) -> None:
        """Keep what was applied for the try that succeeds in the end: it finds it done, and has to tell of it."""
        if applied and (store := context.get("task_state_store")):
            store.set(_APPLIED_KEY, [*self._remembered(context), *applied])

    def _remembered(self, context: Context) -> list[dict[str, Any]]:
        store = context.get("task_state_store")
        applied: Any = store.get(_APPLIED_KEY) if store else None
        return applied or []


def _all_known(value: Any, is_known: Callable[[Any], bool]) -> bool:
    """Whether nothing inside a dict is known only when the task runs."""
    if isinstance(value, Mapping):
        return all(_all_known(each, is_known) for pair in value.items() for each in pair)
    if isinstance(value, (list, tuple)):
        return all(_all_known(each, is_known) for each in value)
    return is_known(value)


def _title(operation: BatchOperation) -> str:
    return f"The {operation.action} of {len(operation.inputs)} limit(s) {operation.direction}"
