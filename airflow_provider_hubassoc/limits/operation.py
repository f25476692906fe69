"""A submitted batch operation: its handle, its status, what to read next, and what to make of what was read.

HubSpot has no endpoint to ask for the state of a batch of limits. An operation whose status is not terminal is
followed by a status link, if the answer had one, or else by reading the pair: when all limits asked for are in
force, the operation is COMPLETE. Operator, sensor and trigger all ask this module; they differ only in how they
sleep.

Sources: HubSpot's guide "Associations schema"; published captures of real answers, which show that the HTTP status
says nothing about success (CANCELED comes with 207).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticSerializationError

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotOperationError,
    HubSpotRateLimitError,
    HubSpotUnavailableError,
)
from airflow_provider_hubassoc.hubspot.models import (
    Action,
    AssociationLimit,
    BatchAnswer,
    BatchStatus,
    ErrorDetail,
    LimitInput,
    TypeIdentity,
)
from airflow_provider_hubassoc.hubspot.object_types import display_name

if TYPE_CHECKING:
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient

log = logging.getLogger(__name__)

_STATUS_LINKS = ("status", "self")
"""Names under which a batch's ``links`` may lead to its state; others lead to documentation."""

_TYPE_IN_ERROR = re.compile(r"(?<![\w-])(\d)-(-?\d{1,10})(?![\w-])")
"""How HubSpot's errors name an association type: ``<ordinal of the category>-<typeId>``, 0 for HUBSPOT_DEFINED."""

_MAX_ERRORS_SHOWN = 5
"""Errors that are told of one input: those that name none are told of each."""

MAX_INPUTS_SHOWN = 10


class OperationHandleError(HubassocError, ValueError):
    """A value that should be the handle of a batch operation is not one."""


class BatchOperation(BaseModel):
    """One batch of limits, as far as it is known by now. Immutable; as plain JSON it is the handle in XCom.

    :param action: create, update or purge.
    :param from_object_type: object type as the user spelled it.
    :param to_object_type: the same, for the other side.
    :param inputs: what was asked for; in an update, an input without a limit expects that there is none.
    :param status: HubSpot's status, or COMPLETE once a read showed everything in force.
    :param results: what HubSpot says it has set.
    :param errors: what HubSpot says against it.
    :param num_errors: HubSpot's own count of them.
    :param status_link: where to read the operation's state, if HubSpot said so.
    :param verify: whether the operation is over only when a read has shown every limit in force.
    :param in_force: the association types that the latest read of the pair showed as asked for; None before one.
    :param last_read: the limits of the inputs' association types in that read.
    :param correlation_id: HubSpot's id of the request that started the operation.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    action: Action
    from_object_type: str
    to_object_type: str
    inputs: list[LimitInput] = Field(min_length=1)
    status: BatchStatus = BatchStatus.PENDING
    results: list[AssociationLimit] = []
    errors: list[ErrorDetail] = []
    num_errors: int = 0
    status_link: str | None = None
    verify: bool = False
    in_force: list[TypeIdentity] | None = None
    last_read: list[AssociationLimit] | None = None
    requested_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    correlation_id: str | None = None

    @model_validator(mode="after")
    def _inputs_fit_the_action(self) -> BatchOperation:
        # Without this, a handle that lost its limits would be in force where there are none.
        has_limit = [each.max_to_object_ids is not None for each in self.inputs]
        if (self.action == "create" and not all(has_limit)) or (self.action == "purge" and any(has_limit)):
            raise ValueError(
                f"inputs: maxToObjectIds is needed by create, and not part of purge; this is {self.action}"
            )
        return self

    # -- from and to plain JSON --

    @classmethod
    def from_dict(cls, handle: Any) -> BatchOperation:
        """Read a handle.

        :raises OperationHandleError: if it is not one; the message names the first field that is wrong.
        """
        try:
            operation = cls.model_validate(handle)
            operation.model_dump_json()  # half a surrogate pair, say, could be written nowhere
        except PydanticSerializationError:
            raise OperationHandleError("not the handle of a HubSpot batch operation: not JSON") from None
        except ValidationError as error:
            mistake = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in mistake["loc"])
            raise OperationHandleError(
                f"not the handle of a HubSpot batch operation: {where + ': ' if where else ''}{mistake['msg']}"
            ) from None
        return operation

    def to_dict(self) -> dict[str, Any]:
        """Return the handle: plain JSON, no secrets, with what became of each input as far as it is known."""
        handle = self.model_dump(mode="json", by_alias=True, exclude={"last_read"} if self.last_read is None else None)
        handle["inputs"] = [each.to_wire() for each in self.inputs]
        handle["applied"] = [each.to_wire() for each in self.applied]
        handle["refused"] = [
            {**each.to_wire(), "errors": [error.to_wire() for error in errors]} for each, errors in self.refused
        ]
        handle["unconfirmed"] = [each.to_wire() for each in self.unconfirmed]
        return handle

    # -- what is known --

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.has_failed or self.has_succeeded

    @property
    def has_succeeded(self) -> bool:
        """Whether every input is applied, and seen in force where that is asked for."""
        if self._all_in_force:
            return True
        is_done = self.status is BatchStatus.COMPLETE and not self._has_errors and len(self.applied) == len(self.inputs)
        return is_done and not self.verify

    @property
    def has_failed(self) -> bool:
        """Whether HubSpot has refused the operation or part of it, and will do no more about it."""
        if self._all_in_force:
            return False
        if self.status is BatchStatus.CANCELED:
            return True
        if self.status is BatchStatus.COMPLETE:
            return self._has_errors or bool(self.changed)
        if not self._has_errors:
            return False
        refused = len(self.refused)
        return refused > 0 and len(self.applied) + refused == len(self.inputs)

    @property
    def applied(self) -> list[LimitInput]:
        """The inputs that HubSpot reports as done, or that a read showed in force."""
        return [each for each in self.inputs if self._is_applied(each)]

    @property
    def refused(self) -> list[tuple[LimitInput, list[ErrorDetail]]]:
        """The inputs HubSpot will not apply, each with the errors that speak of it."""
        named = {each.identity: [error for error in self.errors if _speaks_of(error, each)] for each in self.inputs}
        # Before the end, an error that names no input says nothing about any one of them.
        general = [
            error
            for error in self.errors
            if self.status.is_terminal and not any(error in errors for errors in named.values())
        ]
        canceled = self.status is BatchStatus.CANCELED
        refused = []
        for each in self.inputs:
            errors = (named[each.identity] or general)[:_MAX_ERRORS_SHOWN]
            if not errors and each.identity in self.changed:
                message = f"HubSpot set {self.changed[each.identity]} instead of {each.max_to_object_ids}"
                errors = [ErrorDetail(message=message)]
            if not self._is_applied(each) and (errors or canceled):
                refused.append((each, errors))
        return refused

    @property
    def unconfirmed(self) -> list[LimitInput]:
        """The inputs about which nothing is known yet."""
        refused = {each.identity for each, _ in self.refused}
        return [each for each in self.inputs if not self._is_applied(each) and each.identity not in refused]

    @property
    def changed(self) -> dict[TypeIdentity, int]:
        """The limits that HubSpot set to another value than asked for.

        A read alone proves nothing, because it may show an old value for minutes. So HubSpot's own results of the
        completed batch have to report the other value, and a read has to show the same one.
        """
        if self.status is not BatchStatus.COMPLETE or self.action == "purge":
            return {}
        shown = {limit.identity: limit.max_to_object_ids for limit in self.last_read or ()}
        changed = {}
        for each in self.inputs:
            reported = {result.max_to_object_ids for result in self.results if result.identity == each.identity}
            limit = shown.get(each.identity)
            if limit is not None and limit != each.max_to_object_ids and reported == {limit}:
                changed[each.identity] = limit
        return changed

    @property
    def missing(self) -> list[str]:
        """What is not seen in force, one text each: ``HUBSPOT_DEFINED 279: is 3, should be 5``."""
        applied = {each.identity for each in self.applied} if not self.verify else set()
        applied |= set(self.in_force or ())
        shown = {limit.identity: limit.max_to_object_ids for limit in self.last_read or ()}
        texts = []
        for each in self.inputs:
            if each.identity not in applied:
                current = "not read yet" if self.last_read is None else f"is {_limit(shown.get(each.identity))}"
                texts.append(
                    f"{each.category.value} {each.type_id}: {current}, should be {_limit(each.max_to_object_ids)}"
                )
        return texts

    @property
    def _has_errors(self) -> bool:
        return bool(self.errors) or self.num_errors > 0

    @property
    def _all_in_force(self) -> bool:
        return self.in_force is not None and {each.identity for each in self.inputs} <= set(self.in_force)

    def _is_applied(self, each: LimitInput) -> bool:
        if self.in_force is not None and each.identity in self.in_force:
            return True
        if self.action == "purge":
            # HubSpot answers a purge without results; where there are some, the limit in them may be the old one.
            is_complete = self.status is BatchStatus.COMPLETE and not self._has_errors
            return is_complete or any(result.identity == each.identity for result in self.results)
        told = {result.max_to_object_ids for result in self.results if result.identity == each.identity}
        return told == {each.max_to_object_ids}  # results that contradict one another confirm nothing

    # -- what to read next, and what to make of it --

    def with_answer(self, answer: BatchAnswer) -> BatchOperation:
        """Take in HubSpot's answer to the batch, or the state read from its status link."""
        links = {name.lower(): link for name, link in answer.links.items()}
        status_link = next((links[name] for name in _STATUS_LINKS if isinstance(links.get(name), str)), None)
        return self.model_copy(
            update={
                "status": answer.status,
                "results": answer.results,
                "errors": answer.errors,
                "num_errors": answer.num_errors,
                "status_link": status_link or self.status_link,
                "requested_at": answer.requested_at or self.requested_at,
                "started_at": answer.started_at or self.started_at,
                "completed_at": answer.completed_at or self.completed_at,
                "correlation_id": self.correlation_id or answer.correlation_id,
            }
        )

    def with_limits(self, limits: Sequence[AssociationLimit]) -> BatchOperation:
        """Take in a read of the pair's limits: all asked for in force means COMPLETE."""
        actual = {limit.identity: limit.max_to_object_ids for limit in limits}
        in_force = [each.identity for each in self.inputs if actual.get(each.identity) == each.max_to_object_ids]
        asked = {each.identity for each in self.inputs}
        last_read = [limit for limit in limits if limit.identity in asked]
        read = self.model_copy(update={"in_force": in_force, "last_read": last_read})
        return read.model_copy(update={"status": BatchStatus.COMPLETE}) if read._all_in_force else read

    def without_status_link(self) -> BatchOperation:
        """Give up on a status link that cannot be read; the pair is read from now on."""
        return self.model_copy(update={"status_link": None})

    @property
    def link_to_read(self) -> str | None:
        """The link to read next; None if the pair is to be read."""
        return None if self.status.is_terminal else self.status_link

    # -- what to tell --

    @property
    def direction(self) -> str:
        """The direction for people: ``contacts -> companies``."""
        return f"{display_name(self.from_object_type)} -> {display_name(self.to_object_type)}"

    def direction_in(self, connection_name: str | None) -> str:
        """Return the direction with the connection, if there is one: ``contacts -> companies (connection x)``."""
        return f"{self.direction} (connection {connection_name})" if connection_name else self.direction

    @property
    def title(self) -> str:
        """What was asked for: ``the update of limits contacts -> companies: HUBSPOT_DEFINED 279 (max 5)``."""
        shown = ", ".join(describe(each) for each in self.inputs[:MAX_INPUTS_SHOWN])
        more = f" and {len(self.inputs) - MAX_INPUTS_SHOWN} more" if len(self.inputs) > MAX_INPUTS_SHOWN else ""
        return f"the {self.action} of limits {self.direction}: {shown}{more}"

    def raise_for_failure(self, connection_name: str | None = None) -> None:
        """Raise if the operation has failed.

        :param connection_name: id of the connection, for the message.

        :raises HubSpotOperationError: names each refused input with HubSpot's reason, and what was applied.
        """
        if not self.has_failed:
            return
        if self.status is BatchStatus.CANCELED:
            verb = "canceled"
        else:
            verb = "refused part of" if self._has_errors else "changed limits in"
        lines = [
            f"HubSpot {verb} the {self.action} of limits {self.direction_in(connection_name)}:"
            f" {len(self.applied)} of {len(self.inputs)} applied."
        ]
        for each, errors in self.refused:
            if each.identity in self.changed:
                lines.append(f"Not applied {describe(each)}: {errors[0].message}.")
                continue
            reasons = "; ".join(_reason(error) for error in errors) or "HubSpot gave no reason"
            lines.append(f"Refused {describe(each)}: {reasons}.")
        lines += [f"Applied {describe(each)}." for each in self.applied]
        lines += [f"Not confirmed {describe(each)}." for each in self.unconfirmed]
        first = self.errors[0] if self.errors else ErrorDetail()
        raise HubSpotOperationError(
            "\n".join(lines),
            operation=self.to_dict(),
            category=first.category,
            sub_category=first.sub_category,
            correlation_id=self.correlation_id,
        )


def submit(client: HubSpotClient, operation: BatchOperation, *, resend: bool = False) -> BatchOperation:
    """Send a batch that has not been sent yet.

    :param client: of the portal.
    :param operation: what to send.
    :param resend: True if an earlier attempt may have sent the same batch; used by ``create`` only.
    :return: the operation with HubSpot's answer.
    :raises HubSpotError: if HubSpot did not accept the batch, or its answer is unknown.
    """
    answer = client.send_batch(
        operation.action, operation.from_object_type, operation.to_object_type, operation.inputs, resend=resend
    )
    return operation.with_answer(answer)


def refresh(client: HubSpotClient, operation: BatchOperation) -> BatchOperation:
    """Read an operation's state once: from its status link, or else from the limits of the pair.

    A link that cannot be read does not end the wait: the pair is read instead. One that will never lead to a state
    is given up.

    :param client: of the portal that the operation was sent to.
    :param operation: as it is known so far.
    :raises HubSpotError: if it cannot be read.
    """
    if operation.link_to_read:
        try:
            return operation.with_answer(client.get_status(operation.link_to_read, operation.action))
        except (HubSpotAuthenticationError, HubSpotRateLimitError, HubSpotUnavailableError):
            raise
        except HubSpotError as error:
            log.info("The operation's status link cannot be read, reading the pair instead: %s", error)
            if not error.retryable:
                operation = operation.without_status_link()
    return operation.with_limits(client.get_limits(operation.from_object_type, operation.to_object_type))


def _limit(limit: int | None) -> str:
    """Write a limit for people."""
    return "unlimited" if limit is None else str(limit)


def describe(each: LimitInput) -> str:
    """Name one input for people: ``HUBSPOT_DEFINED 279 (max 5)``."""
    limit = "" if each.max_to_object_ids is None else f" (max {each.max_to_object_ids})"
    return f"{each.category.value} {each.type_id}{limit}"


def _reason(error: ErrorDetail) -> str:
    kind = ", ".join(part for part in (error.category, error.sub_category) if part)
    return f"{error.message or 'no message'}{f' [{kind}]' if kind else ''}"


def _speaks_of(error: ErrorDetail, each: LimitInput) -> bool:
    """Whether an error names this association type: in its message, or else in its context."""
    named = _TYPE_IN_ERROR.findall(error.message) or _TYPE_IN_ERROR.findall(str(error.context.get("type", "")))
    is_hubspots = each.category.value == "HUBSPOT_DEFINED"
    return any(int(type_id) == each.type_id and (ordinal == "0") == is_hubspots for ordinal, type_id in named)
