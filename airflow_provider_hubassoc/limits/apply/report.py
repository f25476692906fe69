"""The report of an apply: the outcome of every change, as data, as plain JSON and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, is_retry_after
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.limits.plan.model import Change, NewLabel, UnfitDirection
from airflow_provider_hubassoc.limits.state import UnreadDirection
from airflow_provider_hubassoc.limits.wording import skipped_directions

Status = Literal["applied", "refused", "unconfirmed", "not attempted"]
"""Outcome of one change. ``unconfirmed``: it was sent, but nobody knows whether HubSpot carried it out."""

STATUSES: tuple[Status, ...] = get_args(Status)
_FAILURES = ("refused", "unconfirmed")


@dataclass(frozen=True)
class Outcome:
    """Outcome of one change, or of one label to create.

    :param change: the change, or the label.
    :param status: whether it is applied.
    :param reason: why it is not applied.
    :param retryable: whether applying a new plan may make the change without anybody changing anything; None if
        HubSpot was not asked about it.
    :param retry_after: seconds after which that makes sense, if HubSpot named a time.
    """

    change: Change | NewLabel
    status: Status
    reason: str | None = None
    retryable: bool | None = None
    retry_after: float | None = None

    @classmethod
    def from_error(
        cls, change: Change | NewLabel, status: Status, error: HubSpotError, reason: str | None = None
    ) -> Outcome:
        """Return the outcome of a change whose request failed.

        :param reason: says more than the error's own text.
        """
        return cls(change, status, reason or str(error), error.retryable, error.retry_after)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as plain JSON types, without its status."""
        data = {**self.change.model_dump(mode="json"), "text": str(self.change), "reason": self.reason}
        if self.retryable is None:
            return data
        return {**data, "retryable": self.retryable, "retry_after": self.retry_after}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], status: Status) -> Outcome:
        """Read what :meth:`to_dict` returned.

        :raises ValueError: if it is not an outcome; or KeyError, TypeError.
        """
        retryable, retry_after = data.get("retryable"), data.get("retry_after")
        if not isinstance(retryable, bool | None) or not is_retry_after(retry_after):
            raise TypeError("retryable or retry_after has a wrong type")
        change = (Change if "action" in data else NewLabel).model_validate(data)
        return cls(change, status, data["reason"], retryable, retry_after)


@dataclass
class ApplyReport:
    """The changes that an apply made, and those that it did not make.

    :param outcomes: of every change and every label to create.
    :param unread: directions that could not be read when the plan was made.
    :param to_verify: one operation for each direction that was written; a read of the direction shows whether its
        limits are in force.
    :param settled: whether reads have shown everything applied in force; None if that was not checked.
    :param unfit: directions that the plan leaves unchanged, because their declaration does not fit the portal.
    :param portal_id: of the portal, where it is known.
    :param extra: further entries of the JSON form that the caller adds.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    unread: list[UnreadDirection] = field(default_factory=list)
    to_verify: list[BatchOperation] = field(default_factory=list)
    settled: bool | None = None
    unfit: list[UnfitDirection] = field(default_factory=list)
    portal_id: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def of(self, status: Status) -> list[Outcome]:
        """Return the outcomes of one status."""
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def ok(self) -> bool:
        """Whether everything is applied, and no read contradicts it."""
        is_complete = not self.unread and not self.unfit
        return is_complete and len(self.of("applied")) == len(self.outcomes) and self.settled is not False

    @property
    def retryable(self) -> bool:
        """Whether applying a new plan may do the rest without anybody changing anything."""
        failures = [outcome.retryable for outcome in self.outcomes if outcome.retryable is not None]
        failures += [unread.retryable for unread in self.unread]
        return any(failures) or (not failures and self.settled is False)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which that makes sense, if HubSpot named a time."""
        times = [outcome.retry_after for outcome in self.outcomes]
        times += [unread.retry_after for unread in self.unread]
        return max((seconds for seconds in times if seconds is not None), default=None)

    @property
    def summary(self) -> str:
        """The report in one line, such as "Applied 3 of 4: 1 refused. Settled."."""
        wrong = skipped_directions(len(self.unread), len(self.unfit))
        if not self.outcomes:
            head = "Nothing to apply in the other directions" if wrong else "Nothing to apply"
        else:
            head = f"Applied {len(self.of('applied'))} of {len(self.outcomes)}"
            rest = [f"{len(self.of(status))} {status}" for status in STATUSES[1:] if self.of(status)]
            head += f": {', '.join(rest)}" if rest else ""
        settled = {True: " Settled.", False: " Not settled yet.", None: ""}[
            self.settled if self.of("applied") else None
        ]
        return f"{wrong}{head}.{settled}"

    def lines(self) -> list[str]:
        """Return the summary and one line for everything that is not applied."""
        return report_lines(self.to_dict())

    def raise_for_failure(self) -> None:
        """Raise unless everything is applied.

        :raises ApplyError: with the whole report.
        """
        if not self.ok:
            raise ApplyError(self.to_dict())

    def confirmed_by(self, operations: Iterable[BatchOperation]) -> ApplyReport:
        """Return the report updated by later reads: unconfirmed changes in force count as applied.

        :param operations: those to verify, each with the latest read of its direction.
        """
        operations = list(operations)
        in_force = {
            (operation.direction, identity) for operation in operations for identity in operation.in_force or ()
        }

        def is_in_force(change: Change | NewLabel) -> bool:
            return isinstance(change, Change) and (change.direction, change.identity) in in_force

        return replace(
            self,
            outcomes=[
                Outcome(outcome.change, "applied")
                if outcome.status == "unconfirmed" and is_in_force(outcome.change)
                else outcome
                for outcome in self.outcomes
            ],
            to_verify=operations,
            settled=all(
                is_in_force(outcome.change) for outcome in self.of("applied") if isinstance(outcome.change, Change)
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types, without the operations to verify."""
        return {
            "summary": self.summary,
            "ok": self.ok,
            "settled": self.settled,
            "retryable": self.retryable,
            "retry_after": self.retry_after,
            **{_key(status): [outcome.to_dict() for outcome in self.of(status)] for status in STATUSES},
            "unread": [{**unread.model_dump(mode="json"), "text": str(unread)} for unread in self.unread],
            "unfit": [{**unfit.model_dump(mode="json"), "text": str(unfit)} for unfit in self.unfit],
            "portal_id": self.portal_id,
            **self.extra,
        }

    @classmethod
    def from_dict(cls, data: Any) -> ApplyReport:
        """Read what :meth:`to_dict` returned, also after it has been through JSON.

        :raises ValueError: if it is not a report.
        """
        try:
            if not isinstance(data["retryable"], bool) or not is_retry_after(data["retry_after"]):
                raise TypeError("retryable or retry_after has a wrong type")
            if not isinstance(data["settled"], bool | None) or not isinstance(data["portal_id"], int | None):
                raise TypeError("settled or portal_id has a wrong type")
            # Reports of earlier versions say once for all failures whether a retry may help.
            whole = {name: data[name] for name in ("retryable", "retry_after")}
            report = cls(
                outcomes=[
                    Outcome.from_dict({**whole, **outcome} if status in _FAILURES else outcome, status)
                    for status in STATUSES
                    for outcome in data[_key(status)]
                ],
                unread=[UnreadDirection.model_validate(unread) for unread in data["unread"]],
                settled=data["settled"],
                unfit=[UnfitDirection.model_validate(unfit) for unfit in data["unfit"]],
                portal_id=data["portal_id"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not the report of an apply: {error!a:.500}") from None
        known = report.to_dict()
        return replace(report, extra={name: value for name, value in data.items() if name not in known})


class ApplyError(HubassocError):
    """Not everything of a plan is applied.

    :param report: the whole report (:meth:`ApplyReport.to_dict`), also where it has been through JSON.
    """

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = dict(report)
        self.retryable: bool = bool(report.get("retryable", False))
        self.retry_after: float | None = report.get("retry_after")
        super().__init__("\n".join(report_lines(report)))


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the summary of a report and one line for everything that is not applied.

    :param report: :meth:`ApplyReport.to_dict`.
    """
    lines = [report["summary"], *(skipped["text"] for skipped in (*report["unread"], *report["unfit"]))]
    for status in STATUSES[1:]:
        for outcome in report[_key(status)]:
            reason = f" ({outcome['reason']})" if outcome["reason"] else ""
            lines.append(f"{outcome['text']}: {status}{reason}")
    return lines


def _key(status: Status) -> str:
    """Return the name of a status in the JSON form."""
    return status.replace(" ", "_")
