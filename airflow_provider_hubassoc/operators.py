"""Submit batches of association limits to HubSpot, and keep whole portals in line with a file of limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, conf

from airflow_provider_hubassoc.assets import LIMITS_CHANGED
from airflow_provider_hubassoc.limits.inputs import (
    check_count,
    check_inputs,
    check_seconds,
    connection_id,
    from_text,
    is_none,
    parse_boolean,
    portal_name,
    stripped,
)
from airflow_provider_hubassoc.links import HubSpotObjectSettingsLink
from airflow_provider_hubassoc.retry_policy import task_failure, with_retry_policy
from airflow_provider_hubassoc.tasks.run import OPERATION_XCOM_KEY, Deferral, TaskRun
from airflow_provider_hubassoc.templating import Mistakes, is_literal, materialized, mistakes_fail_parsing

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

__all__ = ["OPERATION_XCOM_KEY", "HubSpotAssociationLimitsOperator", "HubSpotAssociationLimitsSyncOperator"]


class _HubSpotOperator(BaseOperator):
    """Base of this package's operators: checks the arguments, and starts the body of the task.

    The bodies are in :mod:`airflow_provider_hubassoc.tasks`. Only a running task imports them, in ``_start`` and
    ``_complete``: a DAG file that makes operators need not wait for HTTP, YAML and models.
    """

    ui_color = "#ffd9c9"
    operator_extra_links = (HubSpotObjectSettingsLink(),)
    hubspot_conn_id: str
    known_portal: Mapping[str, Any] | None = MappingProxyType({})
    """The portal, as far as this process knows it, for the extra link; None if it was pushed before a deferral."""
    _run: TaskRun | None = None
    _is_killed = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the rendered arguments, and do the task. The class describes the return value and the errors."""
        with self._running(context) as run:
            self._check_rendered()
            run.conn_id = self.hubspot_conn_id
            result = self._start(run)
        if isinstance(result, Deferral):
            self.defer(trigger=result.trigger, method_name="execute_complete", timeout=result.timeout)
        return result

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Resume after the wait in the triggerer; returns and raises as :meth:`execute`."""
        with self._running(context) as run:
            return self._complete(run, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, or fail because the trigger did."""
        self.known_portal = None
        self.hubspot_conn_id = stripped(self.hubspot_conn_id)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """End the wait. HubSpot cannot cancel a batch, so the batch itself continues."""
        self._is_killed = True
        if self._run is not None:
            self._run.kill()

    @contextmanager
    def _running(self, context: Context) -> Iterator[TaskRun]:
        """Begin a run of the task; its errors end the task with or without retries."""
        run = self._run = TaskRun(
            context, conn_id=self.hubspot_conn_id, log=self.log, execution_timeout=self.execution_timeout
        )
        if self._is_killed:
            run.kill()
        try:
            yield run
        except Exception as error:
            failure = task_failure(error)
            if failure is error:
                raise
            raise failure from error
        finally:
            if run.portal is not None:
                self.known_portal = run.portal

    # -- implemented by each operator --

    def _check(self, mistakes: Mistakes, is_known: Callable[[Any], bool]) -> None:
        """Check and convert the arguments whose values are known."""
        raise NotImplementedError

    def _start(self, run: TaskRun) -> dict[str, Any] | Deferral:
        """Do the task; its arguments are checked."""
        raise NotImplementedError

    def _complete(self, run: TaskRun, event: Any) -> dict[str, Any]:
        """Resume the task with the event of its trigger."""
        raise NotImplementedError

    # -- arguments --

    def _check_literals(self) -> None:
        """Check the literal arguments of the DAG file, so that mistakes fail its parsing."""
        with mistakes_fail_parsing(self.task_id) as mistakes:
            self._check(mistakes, is_literal)

    def _check_rendered(self) -> None:
        """Check and convert the arguments of the running task.

        :raises InvalidArgumentsError: with every mistake in them.
        """
        with mistakes_fail_parsing(self.task_id, is_parsing=False) as mistakes:
            self._check(mistakes, lambda value: True)


class HubSpotAssociationLimitsOperator(_HubSpotOperator):
    """Sets, changes or removes the limits of association types of one direction, in one batch.

    The task returns the operation as plain JSON: ``action``, ``from_object_type``, ``to_object_type``, ``inputs``,
    ``status``, HubSpot's ``results`` and ``errors``, and the inputs by outcome: ``applied``, ``refused`` and
    ``unconfirmed``. The XCom ``operation`` holds the same; it is pushed before the wait begins and again when the wait
    ends, whether it succeeds or fails.

    Mistakes in literal arguments fail the parsing of the DAG file. Mistakes in templates and XComs fail the task before
    anything is sent. Permanent errors, such as a refusal of HubSpot, fail the task without using up ``retries``.

    The task raises ``HubSpotOperationError`` if HubSpot refuses all or part of the batch,
    ``HubSpotOperationTimeoutError`` if the batch is not settled in time, another ``HubSpotError`` if a request fails,
    and ``InvalidArgumentsError`` if the rendered arguments cannot be used.

    Sources: HubSpot's guide "Associations schema", "Limit the number of associations".

    :param from_object_type: object type in any spelling that HubSpot accepts: ``contacts``, ``0-1``, ``p_my_object``.
    :param to_object_type: the same, for the other side. The opposite direction needs a separate batch.
    :param inputs: list of ``{"category", "typeId", "maxToObjectIds"}``; for purge without ``maxToObjectIds``.
    :param action: ``create``, ``update`` (which HubSpot also accepts for types without a limit) or ``purge``.
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param wait_for_completion: False to return the handle immediately, so that a sensor can wait for the batch.
    :param deferrable: wait in the triggerer instead of a worker.
    :param poll_interval: about how long after the submission to read for the first time, seconds or timedelta. Later
        intervals grow.
    :param max_poll_interval: longest time between two reads, seconds or timedelta; at least 2.5 seconds.
    :param timeout: how long to wait, seconds or timedelta; None for no limit.
    :param max_poll_failures: number of failed reads in a row after which the task fails and can be retried.
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
        self._checked_inputs: list[dict[str, Any]] = []
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

    def _check(self, mistakes: Mistakes, is_known: Callable[[Any], bool]) -> None:
        for name in ("from_object_type", "to_object_type", "action"):
            setattr(self, name, stripped(getattr(self, name)))
        mistakes.convert(self, ["hubspot_conn_id"], connection_id, is_known)
        with mistakes.collected():
            inputs = materialized(self.inputs)
            self._checked_inputs = check_inputs(
                self.from_object_type, self.to_object_type, inputs, self.action, is_known=is_known
            )
        if is_none(self.timeout):
            self.timeout = None
        intervals = ["poll_interval", "max_poll_interval", *(["timeout"] if self.timeout is not None else [])]
        mistakes.convert(self, intervals, check_seconds, is_known)
        mistakes.convert(self, ["max_poll_failures"], check_count, is_known)
        mistakes.convert(self, ["wait_for_completion", "deferrable", "verify"], parse_boolean, is_known)

    def _start(self, run: TaskRun) -> dict[str, Any] | Deferral:
        from airflow_provider_hubassoc.tasks.batch import BatchOptions, run_batch

        options = BatchOptions(
            action=self.action,  # type: ignore[arg-type]  # checked
            from_object_type=self.from_object_type,
            to_object_type=self.to_object_type,
            inputs=self._checked_inputs,
            wait_for_completion=self.wait_for_completion,
            deferrable=self.deferrable,
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            timeout=self.timeout,
            max_poll_failures=self.max_poll_failures,
            verify=self.verify,
        )
        return run_batch(run, options)

    def _complete(self, run: TaskRun, event: Any) -> dict[str, Any]:
        from airflow_provider_hubassoc.tasks.batch import complete_batch

        return complete_batch(run, event)


class HubSpotAssociationLimitsSyncOperator(_HubSpotOperator):
    """Brings a portal's association limits in line with a reviewed file, or plans the changes.

    The task pushes three XComs: ``plan`` (JSON, for the ``plan`` argument of a later task), ``plan_markdown`` (for
    people, for example in an ``ApprovalOperator``) and ``report`` (the outcome of every change). It returns the report
    with ``summary``, ``portal_id`` and ``changed`` (whether anything was written); with ``mode="plan"`` it returns
    ``summary``, ``portal_id``, ``changed`` (False), ``has_changes`` and ``counts``.

    A direction that fails does not stop the others; at the end the task fails with the whole report. The next run does
    the rest. A sync that changed something adds an event of the portal's asset
    (:func:`~airflow_provider_hubassoc.assets.association_limits_asset`) to the asset alias
    ``hubspot_association_limits``, with the changes of all its tries (Airflow 3.2: of the last one) as ``extra``.

    The task raises ``ConfigError`` if the file has mistakes or does not fit the portal, ``StalePlanError`` if the
    portal has changed since the ``plan`` was made, ``AirflowFailException`` if ``fail_on_drift`` finds a difference,
    ``ApplyError`` if not everything is applied, ``HubSpotError`` if HubSpot cannot be used at all, and
    ``InvalidArgumentsError`` if the rendered arguments cannot be used.

    :param config: the declared limits: path of a YAML or JSON file, its text, a dict, or an XCom of one of them.
    :param plan: apply this plan (the XCom ``plan`` of an earlier task) and nothing else. If the portal has changed
        since, the task fails, so only the approved changes are applied.
    :param mode: ``apply``, or ``plan``, which never writes.
    :param portal: name of the portal in the file's ``portals``; by default the connection's id or, if the file does not
        have it, the portal's id.
    :param prune: also remove limits that the file does not mention, in the directions that it mentions.
    :param fail_on_drift: with ``mode="plan"``, fail if the portal is not as declared.
    :param create_missing_labels: True to create every label that the portal lacks, False to create none, None to follow
        the file (``create_missing``).
    :param hubspot_conn_id: connection of type ``hubspot``.
    :param max_concurrency: number of directions that are handled at the same time.
    :param verify: after the writes, read until everything is in force.
    :param verify_timeout: how long to verify, seconds or timedelta.
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

    def _check(self, mistakes: Mistakes, is_known: Callable[[Any], bool]) -> None:
        self.mode = stripped(self.mode)
        mistakes.convert(self, ["hubspot_conn_id"], connection_id, is_known)
        if self.portal is not None:
            mistakes.convert(self, ["portal"], portal_name, is_known)
        if is_known(self.mode) and self.mode not in ("apply", "plan"):
            mistakes.add(f"mode: must be apply or plan, got {self.mode!r:.60}")
        if (self.config is None) is (self.plan is None):
            mistakes.add("config, plan: pass exactly one of them")
        if self.plan is not None and self.mode == "plan":
            mistakes.add("plan: cannot be used with mode='plan'; pass config")
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
            mistakes.add("fail_on_drift: can only be used with mode='plan'; applying removes the drift")
        if self._is_config_known(is_known):
            from airflow_provider_hubassoc.limits.config.load import load_config  # expensive, few DAG files need it

            with mistakes.collected():
                config = load_config(self.config)
                if is_known(self.portal):
                    config.resolve(named=self.portal)

    def _is_config_known(self, is_known: Callable[[Any], bool]) -> bool:
        """Return whether the config is a dict without anything that only the running task knows."""
        is_data = self.config is not None and not isinstance(self.config, (str, PurePath))
        return is_data and _is_known_throughout(self.config, is_known)

    def _start(self, run: TaskRun) -> dict[str, Any] | Deferral:
        from airflow_provider_hubassoc.tasks.sync import SyncOptions, run_sync

        options = SyncOptions(
            config=self.config,
            plan=self.plan,
            mode=self.mode,  # type: ignore[arg-type]  # checked
            portal=self.portal,
            prune=self.prune,
            fail_on_drift=self.fail_on_drift,
            create_missing_labels=self.create_missing_labels,
            max_concurrency=self.max_concurrency,
            verify=self.verify,
            verify_timeout=self.verify_timeout,
            deferrable=self.deferrable,
        )
        return run_sync(run, options)

    def _complete(self, run: TaskRun, event: Any) -> dict[str, Any]:
        from airflow_provider_hubassoc.tasks.sync import complete_sync

        return complete_sync(run, event)


def _is_known_throughout(value: Any, is_known: Callable[[Any], bool]) -> bool:
    """Return whether nothing inside a dict or list is known only when the task runs."""
    if isinstance(value, Mapping):
        return all(_is_known_throughout(part, is_known) for item in value.items() for part in item)
    if isinstance(value, (list, tuple)):
        return all(_is_known_throughout(item, is_known) for item in value)
    return is_known(value)
