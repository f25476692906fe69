"""Set the limits of one direction, batch after batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from airflow_provider_hubassoc.hubspot.constants import Action, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotValidationError
from airflow_provider_hubassoc.hubspot.models import AssociationLimit, BatchAnswer, BatchStatus, ErrorDetail, LimitInput
from airflow_provider_hubassoc.limits.apply.batching import Step, steps
from airflow_provider_hubassoc.limits.apply.report import Outcome, Status
from airflow_provider_hubassoc.limits.apply.session import INTERRUPTED, ApplySession, wait_for
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.operation import BatchOperation, submit
from airflow_provider_hubassoc.limits.plan.model import Change
from airflow_provider_hubassoc.limits.state import DirectionState


class DirectionWriter:
    """Sends the batches of one direction, each when the one before has come into force.

    :param session: of the apply.
    :param direction: to write.
    :param values: the values that reads may show of each limit as long as nobody else changes it.
    :param batch_timeout: how long to wait for a slow batch to end, seconds.
    :param resend: True if an earlier attempt may have sent the same changes.
    """

    def __init__(
        self,
        session: ApplySession,
        direction: Direction,
        values: dict[TypeIdentity, set[int | None]],
        *,
        batch_timeout: float,
        resend: bool,
    ) -> None:
        self._session = session
        self._direction = direction
        self._values = values
        self._batch_timeout = batch_timeout
        self._resend = resend

    def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make the changes. Return the outcome of each."""
        outcomes: list[Outcome] = []
        obstacle: str | None = None
        for step in steps(changes):
            obstacle = self._session.stopped or obstacle
            if obstacle is not None:
                outcomes += [Outcome(change, "not attempted", obstacle) for change in step.changes]
                continue
            try:
                done = self._send(step)
            except BaseException:
                self._session.publish(
                    [Outcome(change, "unconfirmed", INTERRUPTED, retryable=True) for change in step.changes]
                )
                raise
            self._session.publish(done)
            outcomes += done
            if any(outcome.status != "applied" for outcome in done):
                obstacle = "a change that has to come first is not applied"
        return outcomes

    def _send(self, step: Step) -> list[Outcome]:
        action: Action = "update" if self._resend and step.action == "create" else step.action
        operation = BatchOperation(
            action=action,
            from_object_type=self._direction.from_object_type,
            to_object_type=self._direction.to_object_type,
            inputs=[limit_input(change) for change in step.changes],
        )
        try:
            operation = self._session.call(lambda client: submit(client, operation))
        except HubSpotError as error:
            if error.outcome_unknown or not isinstance(error, HubSpotValidationError):
                status: Status = "unconfirmed" if error.outcome_unknown else "refused"
                return [Outcome.from_error(change, status, error) for change in step.changes]
            refusal = BatchAnswer(status=BatchStatus.CANCELED, errors=[ErrorDetail(message=str(error))])
            operation = operation.with_answer(refusal)
        wait = wait_for(operation, self._batch_timeout)
        try:
            self._session.follow(wait, lambda operation: operation.is_over)
        except HubSpotError as error:
            return [Outcome.from_error(change, "unconfirmed", error) for change in step.changes]
        if wait.operation.has_failed:
            return self._judge_refusal(step, wait.operation)
        return _outcomes(step, wait.operation)

    def _judge_refusal(self, step: Step, operation: BatchOperation) -> list[Outcome]:
        """Compare a refused batch with the portal, which somebody may have changed since the plan was made."""
        try:
            limits = self._session.call(lambda client: client.get_limits(*self._direction))
            operation = operation.with_limits(limits)
            outcomes = _outcomes(step, operation)
            refused = {
                change.identity
                for change, outcome in zip(step.changes, outcomes, strict=True)
                if outcome.status == "refused"
            }
            is_outdated = self._has_changed(limits, operation) or self._has_lost_label(refused)
        except HubSpotError as error:
            return [
                replace(
                    outcome,
                    reason=f"{outcome.reason}; the portal could not be read again: {error}",
                    retryable=outcome.retryable or error.retryable,
                    retry_after=error.retry_after,
                )
                if outcome.status == "refused"
                else outcome
                for outcome in _outcomes(step, operation)
            ]
        return [
            replace(outcome, retryable=outcome.retryable or is_outdated) if outcome.status == "refused" else outcome
            for outcome in outcomes
        ]

    def _has_changed(self, limits: Sequence[AssociationLimit], operation: BatchOperation) -> bool:
        """Whether a limit is neither as the plan saw it nor as the plan wants it."""
        in_force = DirectionState(limits).in_force
        return any(
            in_force.get(identity) not in self._values.get(identity, {None})
            for identity in in_force.keys() | self._values.keys()
            if identity not in operation.changed  # HubSpot itself set another limit than requested
        )

    def _has_lost_label(self, refused: Iterable[TypeIdentity | None]) -> bool:
        """Whether the label of a refused change has been deleted since the plan was made."""
        own = {
            identity
            for identity in refused
            if identity is not None and identity[0] == AssociationCategory.USER_DEFINED.value
        }
        if not own:
            return False
        labels = self._session.call(lambda client: client.get_labels(*self._direction))
        return not own <= {label.identity for label in labels}


def limit_input(change: Change) -> LimitInput:
    """Return the input of a batch that makes a change."""
    return LimitInput(
        category=AssociationCategory(change.category),
        type_id=change.type_id or 0,
        max_to_object_ids=change.target,
    )


def _outcomes(step: Step, operation: BatchOperation) -> list[Outcome]:
    """Return the outcome of each change of a batch that is over."""
    applied = {limit_input.identity for limit_input in operation.applied}
    refused = {limit_input.identity: errors for limit_input, errors in operation.refused}
    outcomes = []
    for change in step.changes:
        identity = change.identity or ("", 0)
        if identity in applied:
            outcomes.append(Outcome(change, "applied"))
        elif identity in refused:
            errors = refused[identity]
            reason = "; ".join(error.message for error in errors) or "HubSpot gave no reason"
            # The plan saw no limit there, so the portal has changed, even if reads do not show it yet.
            is_outdated = operation.action == "create" and any("already" in error.message for error in errors)
            outcomes.append(Outcome(change, "refused", reason, retryable=is_outdated))
        else:
            outcomes.append(Outcome(change, "unconfirmed", "HubSpot's answer does not mention it", retryable=True))
    return outcomes
