"""Plan -> HubSpot: what to read, in which order to write, and the account of what happened.

The least number of requests: one read for each direction (and one of its labels where a name needs it), one batch for
each direction and action that has changes, one read for each direction that was written, to see it settled.
Directions do not depend on one another and are handled concurrently; within one, a request is only sent when the one
before has come into force.

Interrupted anywhere, everything can be run again: each limit is either as it was or as it should be, and a new plan
has only what is left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotValidationError,
)
from airflow_provider_hubassoc.hubspot.models import (
    Action,
    AssociationCategory,
    AssociationLabel,
    AssociationLimit,
    BatchAnswer,
    BatchStatus,
    ErrorDetail,
    LimitInput,
    TypeIdentity,
)
from airflow_provider_hubassoc.limits.apply.batching import Step, steps
from airflow_provider_hubassoc.limits.concurrency import MAX_CONCURRENCY, Pacer, Progress, concurrently
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.operation import BatchOperation, Wait, refresh, submit
from airflow_provider_hubassoc.limits.plan.model import Change, NewLabel, Plan, UnfitDirection
from airflow_provider_hubassoc.limits.plan.names import is_sendable, look_alike_message, look_alikes
from airflow_provider_hubassoc.limits.plan.new_labels import inverse_exists_message, usual_names
from airflow_provider_hubassoc.limits.problems import show
from airflow_provider_hubassoc.limits.state import DirectionState, UnreadDirection
from airflow_provider_hubassoc.limits.wording import skipped_directions

log = logging.getLogger(__name__)

Status = Literal["applied", "refused", "unconfirmed", "not attempted"]
_POLL_INTERVAL = 1.0
_MAX_POLL_INTERVAL = 5.0
_MAX_POLL_FAILURES = 5
_INTERRUPTED = "interrupted before HubSpot's answer was known"

_Side = tuple[Direction, str]
"""One side of a label: the direction in its canonical spelling, and the text."""

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What became of one change, or of one label to create.

    :param change: the change, or the label.
    :param status: ``unconfirmed``: sent, but it is not known whether HubSpot carried it out.
    :param reason: why it is not applied.
    :param cause: the error behind it, if it was one of a whole request.
    :param is_outdated: whether the portal is no longer as the plan saw it, so that a new plan may succeed.
    """

    change: Change | NewLabel
    status: Status
    reason: str | None = None
    cause: HubSpotError | None = None
    is_outdated: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether HubSpot was asked, and the change is not known to be made."""
        return self.status in ("refused", "unconfirmed") or self.cause is not None

    @property
    def retryable(self) -> bool:
        """Whether running again may make the change without anybody changing anything."""
        if not self.has_failed:
            return False
        return self.is_outdated or (self.cause.retryable if self.cause else self.status == "unconfirmed")


@dataclass
class ApplyReport:
    """The full account of an apply.

    :param outcomes: what became of every change and new label.
    :param unread: directions of which nothing was known when the plan was made.
    :param unfit: directions that the plan leaves as they are, because their declaration does not fit the portal.
    :param to_verify: one operation for each direction that was written, with everything that a read of it should
        show; the handles can be given to whoever waits for them.
    :param settled: whether reads have shown everything applied in force; None if that was not looked at.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    unread: list[UnreadDirection] = field(default_factory=list)
    to_verify: list[BatchOperation] = field(default_factory=list)
    settled: bool | None = None
    unfit: list[UnfitDirection] = field(default_factory=list)

    def of(self, status: Status) -> list[Outcome]:
        """Return the outcomes of one status."""
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def ok(self) -> bool:
        """Whether everything is applied, and nothing contradicts it."""
        is_whole = not self.unread and not self.unfit
        return is_whole and len(self.of("applied")) == len(self.outcomes) and self.settled is not False

    @property
    def retryable(self) -> bool:
        """Whether running again may do what is left without anybody changing anything."""
        may_pass = [outcome.retryable for outcome in self.outcomes if outcome.has_failed]
        may_pass += [unread.retryable for unread in self.unread]
        return any(may_pass) or (not may_pass and self.settled is False)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which running again makes sense, if HubSpot named a time."""
        asked = [each.cause.retry_after for each in self.outcomes if each.cause]
        asked += [unread.retry_after for unread in self.unread]
        return max((seconds for seconds in asked if seconds is not None), default=None)

    @property
    def summary(self) -> str:
        """One line: ``Applied 3 of 4: 1 refused. Settled.``"""
        wrong = skipped_directions(len(self.unread), len(self.unfit))
        if not self.outcomes:
            head = "Nothing to apply in the others" if wrong else "Nothing to apply"
        else:
            head = f"Applied {len(self.of('applied'))} of {len(self.outcomes)}"
            others: tuple[Status, ...] = ("refused", "unconfirmed", "not attempted")
            rest = [f"{len(self.of(status))} {status}" for status in others if self.of(status)]
            head += f": {', '.join(rest)}" if rest else ""
        settled = {True: " Settled.", False: " Not settled yet.", None: ""}[
            self.settled if self.of("applied") else None
        ]
        return f"{wrong}{head}.{settled}"

    def lines(self) -> list[str]:
        """Return the summary and one line for everything that is not applied."""
        return account_lines(self.to_dict())

    def raise_for_failure(self) -> None:
        """Raise unless everything is applied.

        :raises ApplyError: with the full account.
        """
        if not self.ok:
            raise ApplyError(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON types."""
        return {
            "summary": self.summary,
            "ok": self.ok,
            "settled": self.settled,
            "retryable": self.retryable,
            "retry_after": self.retry_after,
            **{_key(status): [_outcome_json(each) for each in self.of(status)] for status in _STATUSES},
            "unread": [{**unread.model_dump(mode="json"), "text": str(unread)} for unread in self.unread],
            "unfit": [{**unfit.model_dump(mode="json"), "text": str(unfit)} for unfit in self.unfit],
        }


_STATUSES: tuple[Status, ...] = ("applied", "refused", "unconfirmed", "not attempted")


class ApplyError(HubassocError):
    """Not everything of a plan is applied.

    :param account: the full account (:meth:`ApplyReport.to_dict`), also where it has been through JSON.
    """

    def __init__(self, account: Mapping[str, Any]) -> None:
        self.account = dict(account)
        self.retryable: bool = bool(account.get("retryable", False))
        self.retry_after: float | None = account.get("retry_after")
        super().__init__("\n".join(account_lines(account)))


def account_lines(account: Mapping[str, Any]) -> list[str]:
    """Return the summary of an account and one line for everything that is not applied."""
    lines = [account["summary"], *(each["text"] for each in (*account["unread"], *account.get("unfit", ())))]
    for status in _STATUSES[1:]:
        for each in account[_key(status)]:
            lines.append(f"{each['text']}: {status}{f' ({reason})' if (reason := each['reason']) else ''}")
    return lines


def _key(status: Status) -> str:
    return status.replace(" ", "_")


def apply_plan(
    plan: Plan,
    client: HubSpotClient,
    *,
    max_concurrency: int = MAX_CONCURRENCY,
    verify_timeout: float | None = 60.0,
    resend: bool = False,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
    on_outcomes: Callable[[Sequence[Outcome]], None] | None = None,
) -> ApplyReport:
    """Make the changes of a plan, and read back until they are settled.

    Whatever goes wrong with HubSpot is in the report; one direction's failure does not stop the others. Only what
    every request would meet stops everything, such as a token that HubSpot does not accept.

    :param plan: made from the portal as it is; an older one goes through :func:`~.plan.rebase` first.
    :param client: of the portal.
    :param max_concurrency: directions at the same time.
    :param verify_timeout: how long to wait for a slow batch to end and, after the writes, for reads to show
        everything in force, seconds; None not to verify (a slow batch is then waited for up to 60 s).
    :param resend: True if an earlier attempt may have sent the same changes, which reads need not show yet: what is
        to be created is then sent as an update, which does no harm twice.
    :param progress: called after each direction.
    :param sleep: waits, seconds; it may raise to end everything early.
    :param on_outcomes: called with the outcomes of each request as soon as they are known, by one thread at a time;
        also with those of a request that ``sleep`` interrupts.
    :return: the full account.
    """
    return _Apply(plan, client, max_concurrency, verify_timeout, resend, progress, sleep, on_outcomes).run()


class _Apply:
    def __init__(
        self,
        plan: Plan,
        client: HubSpotClient,
        max_concurrency: int,
        verify_timeout: float | None,
        resend: bool,
        progress: Progress | None,
        sleep: Callable[[float], None],
        on_outcomes: Callable[[Sequence[Outcome]], None] | None,
    ) -> None:
        self._plan = plan
        self._client = client
        self._max_concurrency = max_concurrency
        self._verify_timeout = verify_timeout
        self._resend = resend
        self._progress = progress
        self._sleep = sleep
        self._pacer = Pacer(client, 2 * max_concurrency, sleep=sleep)
        self._stopped: HubSpotError | None = None
        self._lock = threading.Lock()
        self._on_outcomes = on_outcomes
        self._expected: dict[Direction, dict[TypeIdentity, set[int | None]]] = {}

    def run(self) -> ApplyReport:
        report = ApplyReport(unread=list(self._plan.unread), unfit=list(self._plan.unfit))
        made = self._create_labels(report)
        by_direction: dict[Direction, list[Change]] = {}
        for change in self._plan.changes:
            if not change.is_write:
                self._expect(change)
                continue
            if change.type_id is None:
                identity = made.get(_key_of(change.direction, change.label))
                if identity is None:
                    report.outcomes.append(
                        Outcome(change, "not attempted", "its label was not created, or its number could not be read")
                    )
                    continue
                change = change.model_copy(update={"category": identity[0], "type_id": identity[1]})
                if not is_sendable(identity):
                    reason = "HubSpot gave its label a type that this package cannot send"
                    report.outcomes.append(Outcome(change, "refused", reason))
                    continue
            self._expect(change)
            by_direction.setdefault(change.direction, []).append(change)
        written = concurrently(
            "write",
            list(by_direction),
            lambda direction: self._write(direction, by_direction[direction]),
            self._max_concurrency,
            self._progress,
        )
        for direction in by_direction:
            report.outcomes += written[direction]
        report.to_verify = [
            _expectation(direction, written[direction])
            for direction in by_direction
            if any(outcome.status in ("applied", "unconfirmed") for outcome in written[direction])
        ]
        if self._verify_timeout is not None and report.to_verify and self._stopped is None:
            self._verify(report)
        return report

    def _expect(self, change: Change) -> None:
        """Note what reads may show of a limit as long as nobody else changes it."""
        if change.identity is not None:
            values = self._expected.setdefault(change.direction, {})
            values[change.identity] = {change.current, change.target}

    # -- labels --

    def _create_labels(self, report: ApplyReport) -> dict[_Side, TypeIdentity]:
        """Create the plan's labels and return the association types of their two sides."""
        by_pair: dict[frozenset[str], list[NewLabel]] = {}
        for label in self._plan.new_labels:
            by_pair.setdefault(frozenset(label.direction.canonical), []).append(label)
        done = concurrently(
            "create labels",
            list(by_pair),
            lambda pair: self._create_labels_of_pair(by_pair[pair]),
            self._max_concurrency,
            self._progress,
        )
        made: dict[_Side, TypeIdentity] = {}
        for pair in by_pair:
            outcomes, types = done[pair]
            report.outcomes += outcomes
            made |= types
        return made

    def _create_labels_of_pair(self, labels: Sequence[NewLabel]) -> tuple[list[Outcome], dict[_Side, TypeIdentity]]:
        outcomes: list[Outcome] = []
        types: dict[_Side, TypeIdentity] = {}
        rows: dict[Direction, list[AssociationLabel]] = {}
        try:
            for label in labels:
                if self._stopped is not None:
                    outcomes.append(Outcome(label, "not attempted", _why_stopped(self._stopped)))
                else:
                    outcomes.append(self._create_label(label, rows, types))
            created = [label for label, outcome in zip(labels, outcomes, strict=True) if outcome.status == "applied"]
            self._look_up_types(created, types)
        except BaseException:
            interrupted = labels[len(outcomes) : len(outcomes) + 1]
            self._tell([*outcomes, *(Outcome(label, "unconfirmed", _INTERRUPTED) for label in interrupted)])
            raise
        self._tell(outcomes)
        return outcomes, types

    def _create_label(
        self, label: NewLabel, rows: dict[Direction, list[AssociationLabel]], types: dict[_Side, TypeIdentity]
    ) -> Outcome:
        """Create a label unless the portal has it, or something that looks like it. Parameters: `_look_at_label`."""
        try:
            known = self._look_at_label(label, rows, types)
        except HubSpotError as error:
            self._note(error)
            return Outcome(label, "not attempted", f"the labels could not be read: {error}", error)
        if known is not None:
            return known
        try:
            created = self._pacer.call(
                lambda: self._client.create_label(
                    *label.direction, label=label.label, name=label.name, inverse_label=label.inverse
                )
            )
        except HubSpotError as error:
            self._note(error)
            if error.outcome_unknown or isinstance(error, HubSpotValidationError):
                return self._judge_refused_label(label, error, types)
            return Outcome(label, "refused", str(error), error)
        types |= _types_of(label, created)
        return Outcome(label, "applied")

    def _look_at_label(
        self, label: NewLabel, rows: dict[Direction, list[AssociationLabel]], types: dict[_Side, TypeIdentity]
    ) -> Outcome | None:
        """Return the outcome of a label that the portal has, or that must not be created; None if it can be.

        The label may be created between the reads of its two sides. So both are read again before it is refused.

        :param rows: the labels of both directions; what is missing is read and added.
        :param types: the types of labels; what becomes known is added.
        :raises HubSpotError: if the labels cannot be read.
        """
        for is_last in (False, True):
            for direction, _ in label.sides:
                if direction not in rows:
                    rows[direction] = self._labels(direction)
            known = _judged(label, rows, types)
            if is_last or known is None or known.status == "applied":
                break
            rows.clear()
        return known

    def _judge_refused_label(self, label: NewLabel, error: HubSpotError, types: dict[_Side, TypeIdentity]) -> Outcome:
        """Say what became of a label whose creation HubSpot refused, or never answered, by what the portal shows."""
        status: Status = "unconfirmed" if error.outcome_unknown else "refused"
        rows: dict[Direction, list[AssociationLabel]] = {}
        try:
            known = self._look_at_label(label, rows, types)
        except HubSpotError as read_error:
            self._note(read_error)
            return Outcome(label, status, f"{error}; the labels could not be read again: {read_error}", read_error)
        if known is not None:
            return known
        if error.outcome_unknown:
            return Outcome(label, status, f"the portal does not show it ({error})")
        if "already exists" not in error.message:
            return Outcome(label, status, str(error), error)
        present = {row.label for row in rows[label.direction]}
        if candidates := [text for text in label.candidates if text in present]:
            return Outcome(label, status, f"{_name_taken(label, candidates)} ({error})", error)
        if self._resend:  # an earlier try may have created it, and reads need not show it yet
            return Outcome(label, "unconfirmed", f"the portal does not show it yet ({error})")
        if label.name in usual_names(label):  # no label of another pair has it, so it was created a moment ago
            return Outcome(
                label, status, f"another sync has created it since the plan was made ({error})", is_outdated=True
            )
        reason = f"another label has the internal name {label.name}; give this one another `name` in the file"
        return Outcome(label, status, f"{reason} ({error})", error)

    def _labels(self, direction: Direction) -> list[AssociationLabel]:
        return self._pacer.call(lambda: self._client.get_labels(*direction))

    def _look_up_types(self, labels: Sequence[NewLabel], types: dict[_Side, TypeIdentity]) -> None:
        """Read the labels of a direction where an answer did not tell the types the plan needs.

        A label that is the same from both sides is two types in one answer, in no reliable order (HubSpot's guide).
        """
        needed = {_key_of(change.direction, change.label) for change in self._plan.writes if change.type_id is None}
        unknown = [side for label in labels for side in label.sides if _key_of(*side) in needed - types.keys()]
        for direction in sorted({direction for direction, _ in unknown}):
            try:
                rows = self._labels(direction)
            except HubSpotError as error:
                self._note(error)
                continue
            texts = {text for side, text in unknown if side == direction}
            types |= {_key_of(direction, row.label): row.identity for row in rows if row.label in texts}

    # -- limits --

    def _write(self, direction: Direction, changes: Sequence[Change]) -> list[Outcome]:
        """Send the batches of one direction, each when the one before has come into force."""
        outcomes: list[Outcome] = []
        halted: str | None = None
        for step in steps(changes):
            if self._stopped is not None:
                halted = _why_stopped(self._stopped)
            if halted is not None:
                outcomes += [Outcome(change, "not attempted", halted) for change in step.changes]
                continue
            try:
                done = self._send(direction, step)
            except BaseException:
                self._tell([Outcome(change, "unconfirmed", _INTERRUPTED) for change in step.changes])
                raise
            self._tell(done)
            outcomes += done
            if any(outcome.status != "applied" for outcome in done):
                halted = "a change that has to come before it is not applied"
        return outcomes

    def _send(self, direction: Direction, step: Step) -> list[Outcome]:
        action: Action = "update" if self._resend and step.action == "create" else step.action
        operation = BatchOperation(
            action=action,
            from_object_type=direction.from_object_type,
            to_object_type=direction.to_object_type,
            inputs=[_input(change) for change in step.changes],
        )
        try:
            operation = self._pacer.call(lambda: submit(self._client, operation))
        except HubSpotError as error:
            self._note(error)
            if error.outcome_unknown or not isinstance(error, HubSpotValidationError):
                status: Status = "unconfirmed" if error.outcome_unknown else "refused"
                return [Outcome(change, status, str(error), error) for change in step.changes]
            refusal = BatchAnswer(status=BatchStatus.CANCELED, errors=[ErrorDetail(message=str(error))])
            operation = operation.with_answer(refusal)
        try:
            operation = self._wait(operation)
        except HubSpotError as error:
            self._note(error)
            return [Outcome(change, "unconfirmed", str(error), error) for change in step.changes]
        return self._judge_refused(direction, step, operation) if operation.has_failed else _outcomes(step, operation)

    def _judge_refused(self, direction: Direction, step: Step, operation: BatchOperation) -> list[Outcome]:
        """Judge a refused batch by what the portal holds: somebody may have changed it since the plan was made."""
        try:
            limits = self._pacer.call(lambda: self._client.get_limits(*direction))
            operation = operation.with_limits(limits)
            outcomes = _outcomes(step, operation)
            refused = {
                change.identity
                for change, outcome in zip(step.changes, outcomes, strict=True)
                if outcome.status == "refused"
            }
            is_outdated = self._differs(direction, limits, operation) or self._has_lost(direction, refused)
        except HubSpotError as error:
            self._note(error)
            outcomes = _outcomes(step, operation)
            return [_not_judged(each, error) if each.status == "refused" else each for each in outcomes]
        return [
            replace(each, is_outdated=each.is_outdated or is_outdated) if each.status == "refused" else each
            for each in outcomes
        ]

    def _differs(self, direction: Direction, limits: Sequence[AssociationLimit], operation: BatchOperation) -> bool:
        """Whether limits are neither as the plan saw them nor as it wants them."""
        now = DirectionState(limits).in_force
        expected = self._expected[direction]
        return any(
            now.get(identity) not in expected.get(identity, {None})
            for identity in now.keys() | expected.keys()
            if identity not in operation.changed  # HubSpot made another value of what was asked for
        )

    def _has_lost(self, direction: Direction, refused: Iterable[TypeIdentity | None]) -> bool:
        """Whether the label of a refused change has been deleted since the plan was made."""
        own = {each for each in refused if each is not None and each[0] == AssociationCategory.USER_DEFINED.value}
        return bool(own) and not own <= {row.identity for row in self._labels(direction)}

    def _wait(self, operation: BatchOperation) -> BatchOperation:
        """Wait for a batch that HubSpot has not finished with."""
        timeout = 60.0 if self._verify_timeout is None else self._verify_timeout
        wait = _wait_for(operation, timeout)
        while not wait.operation.is_over:
            self._sleep(wait.next_delay())
            wait.poll(self._read)
        return wait.operation

    def _read(self, operation: BatchOperation) -> BatchOperation:
        return self._pacer.call(lambda: refresh(self._client, operation))

    # -- verification --

    def _verify(self, report: ApplyReport) -> None:
        """Read every direction that was written until it shows what was applied, or time is up.

        What is unconfirmed is looked for in the same reads, but not waited for: it may never come.
        """
        pending = {Direction(each.from_object_type, each.to_object_type): each for each in report.to_verify}
        applied: dict[Direction, set[TypeIdentity | None]] = {direction: set() for direction in pending}
        for outcome in report.of("applied"):
            if isinstance(outcome.change, Change):
                applied[outcome.change.direction].add(outcome.change.identity)
        read = concurrently(
            "verify",
            list(pending),
            lambda direction: self._verified(pending[direction], applied[direction]),
            self._max_concurrency,
            self._progress,
        )
        in_force = {direction: set(operation.in_force or ()) for direction, operation in read.items()}
        report.to_verify = list(read.values())
        report.settled = all(applied[direction] <= in_force[direction] for direction in pending)
        report.outcomes = [
            Outcome(outcome.change, "applied")
            if isinstance(outcome.change, Change)
            and outcome.status == "unconfirmed"
            and outcome.change.identity in in_force[outcome.change.direction]
            else outcome
            for outcome in report.outcomes
        ]

    def _verified(self, operation: BatchOperation, awaited: set[TypeIdentity | None]) -> BatchOperation:
        wait = _wait_for(operation, self._verify_timeout)
        try:
            wait.poll(self._read)  # at once: a read is mostly right by the time the write is answered
            while not awaited <= set(wait.operation.in_force or ()):
                self._sleep(wait.next_delay())
                wait.poll(self._read)
        except HubSpotError as error:
            self._note(error)
        return wait.operation

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        if self._on_outcomes is not None:
            with self._lock:
                self._on_outcomes(outcomes)

    def _note(self, error: HubSpotError) -> None:
        """Stop everything after an error that every further request would meet."""
        if error.affects_every_request:
            with self._lock:
                self._stopped = self._stopped or error


def _wait_for(operation: BatchOperation, timeout: float | None) -> Wait:
    return Wait(
        operation,
        timeout=timeout,
        poll_interval=_POLL_INTERVAL,
        max_poll_interval=_MAX_POLL_INTERVAL,
        max_poll_failures=_MAX_POLL_FAILURES,
    )


def _input(change: Change) -> LimitInput:
    return LimitInput(
        category=AssociationCategory(change.category),
        type_id=change.type_id or 0,
        max_to_object_ids=change.target,
    )


def _outcomes(step: Step, operation: BatchOperation) -> list[Outcome]:
    """Say what became of each change of a batch that is over."""
    applied = {each.identity for each in operation.applied}
    refused = {each.identity: errors for each, errors in operation.refused}
    outcomes = []
    for change in step.changes:
        identity = change.identity or ("", 0)
        if identity in applied:
            outcomes.append(Outcome(change, "applied"))
        elif identity in refused:
            errors = refused[identity]
            reasons = "; ".join(error.message for error in errors) or "HubSpot gave no reason"
            # The plan saw no limit there, whatever reads show at the moment.
            is_outdated = operation.action == "create" and any("already" in error.message for error in errors)
            outcomes.append(Outcome(change, "refused", reasons, is_outdated=is_outdated))
        else:
            outcomes.append(Outcome(change, "unconfirmed", "HubSpot's answer does not mention it"))
    return outcomes


def _expectation(direction: Direction, outcomes: Sequence[Outcome]) -> BatchOperation:
    """Return the operation that is over when a read of the direction shows every change in force.

    A purged limit is expected as no limit, which is what an input without one means here.
    """
    changes = [
        outcome.change
        for outcome in outcomes
        if isinstance(outcome.change, Change) and outcome.status in ("applied", "unconfirmed")
    ]
    return BatchOperation(
        action="update",
        from_object_type=direction.from_object_type,
        to_object_type=direction.to_object_type,
        inputs=[_input(change) for change in changes],
        status=BatchStatus.COMPLETE,
        verify=True,
    )


def _judged(
    label: NewLabel, rows: Mapping[Direction, Sequence[AssociationLabel]], types: dict[_Side, TypeIdentity]
) -> Outcome | None:
    """Return the outcome of a label that the portal has, or that must not be created; None if it can be.

    :param rows: the labels of both directions.
    :param types: the types of labels; what becomes known is added.
    """
    found = {side: {row.identity for row in rows[side[0]] if row.label == side[1]} for side in label.sides}
    if all(len(identities) == 1 for identities in found.values()):
        types |= {_key_of(*side): next(iter(identities)) for side, identities in found.items()}
        return Outcome(label, "applied", "the portal has it already")
    here, there = label.sides
    if found[here]:
        reason = f"the portal has a label {show(label.label)} now, with another text on its other side"
        return Outcome(label, "refused", reason, is_outdated=True)
    for direction, text in label.sides:
        if near := look_alikes(text, rows[direction]):
            return Outcome(label, "refused", f"in {direction}, {look_alike_message(text, near)}")
    if any(category == AssociationCategory.USER_DEFINED.value for category, _ in found[there]):
        return Outcome(label, "refused", inverse_exists_message(*there, label.label))
    return None


def _types_of(label: NewLabel, rows: Sequence[AssociationLabel]) -> dict[_Side, TypeIdentity]:
    """Read the types of a new label from HubSpot's answer, where its text alone says which side a row is."""
    found: dict[_Side, TypeIdentity] = {}
    for side in label.sides:
        types = {row.identity for row in rows if row.label == side[1]}
        if len(types) == 1 and (label.inverse is not None or len(set(label.direction.canonical)) == 1):
            found[_key_of(*side)] = types.pop()
    return found


def _key_of(direction: Direction, text: str | None) -> _Side:
    """Return what one side of a label is known by, however its object types are spelled."""
    return direction.canonical, text or ""


def _name_taken(label: NewLabel, candidates: Sequence[str]) -> str:
    texts = " or ".join(map(show, candidates))
    return (
        f"HubSpot has a label with the internal name {label.name} already, which was probably renamed to {texts}: "
        f"adopt it (write {texts} in the file), rename it back in HubSpot, or give this label another `name`"
    )


def _not_judged(outcome: Outcome, error: HubSpotError) -> Outcome:
    reason = f"{outcome.reason}; the portal could not be read again: {error}"
    return replace(outcome, reason=reason, cause=error)


def _why_stopped(error: HubSpotError) -> str:
    return f"stopped: {error}"


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {**outcome.change.model_dump(mode="json"), "text": str(outcome.change), "reason": outcome.reason}
