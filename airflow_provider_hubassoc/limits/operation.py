"""A batch of limits: the request, HubSpot's answer, and the results of later reads.

HubSpot has no endpoint for the state of a batch of limits. A batch whose status is not terminal is read from its
status link, if HubSpot's answer had one, or else by reading the limits of its direction: once all requested limits
are in force, the batch is COMPLETE. Operator, sensor and trigger all use this module; they differ only in how they
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
from airflow_provider_hubassoc.hubspot.constants import Action, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotOperationError,
)
from airflow_provider_hubassoc.hubspot.models import AssociationLimit, BatchAnswer, BatchStatus, ErrorDetail, LimitInput
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.operation_text import describe, failure_text, join_first, missing_text

if TYPE_CHECKING:
    from airflow_provider_hubassoc.hubspot.client import HubSpotClient

log = logging.getLogger(__name__)

_STATUS_LINKS = ("status", "self")
"""Names of the entries in a batch's ``links`` that may lead to its state; others lead to documentation."""

_TYPE_IN_ERROR = re.compile(r"(?<![\w-])(\d)-(-?\d{1,10})(?![\w-])")
"""How HubSpot's errors name an association type: ``<ordinal of the category>-<typeId>``; 0 is HUBSPOT_DEFINED."""

_MAX_ERRORS = 5
"""Maximum number of errors reported for one input; errors that name no input are reported for every input."""


class OperationHandleError(HubassocError, ValueError):
    """A value that is not the handle of a batch operation."""


class BatchOperation(BaseModel):
    """One batch of limits, as far as its state is known. Immutable; its plain JSON is the handle in XCom.

    :param action: create, update or purge.
    :param from_object_type: object type as the user spelled it.
    :param to_object_type: the same, for the other side.
    :param inputs: the requested limits; in an update, an input without a limit expects that there is none.
    :param status: HubSpot's status, or COMPLETE once a read showed every requested limit in force.
    :param results: the limits that HubSpot reports as set.
    :param errors: the errors that HubSpot reports.
    :param num_errors: HubSpot's own number of errors.
    :param status_link: where to read the state of the batch, if HubSpot's answer says so.
    :param verify: whether the operation is over only when a read has shown every requested limit in force.
    :param in_force: the association types that the latest read showed as requested; None before the first read.
    :param last_read: the limits of the inputs' association types in that read.
    :param requested_at: when HubSpot received the batch, as HubSpot writes it.
    :param started_at: when HubSpot started to process it.
    :param completed_at: when HubSpot completed it.
    :param correlation_id: HubSpot's id of the request that sent the batch.
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
        # A handle that lost its limits would otherwise count as in force where there are none.
        has_limit = [limit_input.max_to_object_ids is not None for limit_input in self.inputs]
        if (self.action == "create" and not all(has_limit)) or (self.action == "purge" and any(has_limit)):
            raise ValueError(f"inputs: create requires maxToObjectIds and purge forbids it; this is {self.action}")
        return self

    # -- from and to plain JSON --

    @classmethod
    def from_dict(cls, handle: Any) -> BatchOperation:
        """Read a handle that :meth:`to_dict` returned.

        :raises OperationHandleError: if it is not a handle; the message names the first wrong field.
        """
        try:
            operation = cls.model_validate(handle)
            operation.model_dump_json()  # fails for half a surrogate pair, which cannot be encoded
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
        """Return the handle: plain JSON, no secrets, with the outcome of each input as far as it is known."""
        handle = self.model_dump(mode="json", by_alias=True, exclude={"last_read"} if self.last_read is None else None)
        for name in ("inputs", "applied", "unconfirmed"):
            handle[name] = [limit_input.to_wire() for limit_input in getattr(self, name)]
        handle["refused"] = [
            {**limit_input.to_wire(), "errors": [error.to_wire() for error in errors]}
            for limit_input, errors in self.refused
        ]
        return handle

    # -- outcome --

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.has_failed or self.has_succeeded

    @property
    def has_succeeded(self) -> bool:
        """Whether every input is applied and, with ``verify``, seen in force."""
        if self._all_in_force:
            return True
        is_done = self.status is BatchStatus.COMPLETE and not self.has_errors and len(self.applied) == len(self.inputs)
        return is_done and not self.verify

    @property
    def has_failed(self) -> bool:
        """Whether HubSpot has refused all or part of the batch and will not process it further."""
        if self._all_in_force:
            return False
        if self.status is BatchStatus.CANCELED:
            return True
        if self.status is BatchStatus.COMPLETE:
            return self.has_errors or bool(self.changed)
        if not self.has_errors:
            return False
        refused = len(self.refused)
        return refused > 0 and len(self.applied) + refused == len(self.inputs)

    @property
    def applied(self) -> list[LimitInput]:
        """The inputs that HubSpot reports as applied, or that a read showed in force."""
        return [limit_input for limit_input in self.inputs if self._is_applied(limit_input)]

    @property
    def refused(self) -> list[tuple[LimitInput, list[ErrorDetail]]]:
        """The inputs that HubSpot will not apply, each with the errors that concern it."""
        named = {
            limit_input.identity: [error for error in self.errors if _names_type(error, limit_input)]
            for limit_input in self.inputs
        }
        # Before the end, an error that names no input says nothing about any single input.
        general = [
            error
            for error in self.errors
            if self.status.is_terminal and not any(error in errors for errors in named.values())
        ]
        changed = self.changed
        refused = []
        for limit_input in self.inputs:
            errors = (named[limit_input.identity] or general)[:_MAX_ERRORS]
            if not errors and limit_input.identity in changed:
                limit = changed[limit_input.identity]
                errors = [ErrorDetail(message=f"HubSpot set {limit} instead of {limit_input.max_to_object_ids}")]
            if not self._is_applied(limit_input) and (errors or self.status is BatchStatus.CANCELED):
                refused.append((limit_input, errors))
        return refused

    @property
    def unconfirmed(self) -> list[LimitInput]:
        """The inputs that are neither applied nor refused, as far as is known."""
        known = {limit_input.identity for limit_input, _ in self.refused}
        known |= {limit_input.identity for limit_input in self.applied}
        return [limit_input for limit_input in self.inputs if limit_input.identity not in known]

    @property
    def changed(self) -> dict[TypeIdentity, int]:
        """The limits that HubSpot set to another value than the requested one.

        A read alone proves nothing, because reads may show an old value for minutes. So both HubSpot's results of the
        completed batch and a read have to show the same other value.
        """
        if self.status is not BatchStatus.COMPLETE or self.action == "purge":
            return {}
        current = self._last_limits
        changed = {}
        for limit_input in self.inputs:
            limit = current.get(limit_input.identity)
            if limit not in (None, limit_input.max_to_object_ids) and self._reported(limit_input) == {limit}:
                changed[limit_input.identity] = limit
        return changed

    @property
    def missing(self) -> list[str]:
        """One text for each input not seen in force: ``HUBSPOT_DEFINED 279: is 3, should be 5``."""
        done = set(self.in_force or ())
        if not self.verify:
            done |= {limit_input.identity for limit_input in self.applied}
        current = None if self.last_read is None else self._last_limits
        return [missing_text(limit_input, current) for limit_input in self.inputs if limit_input.identity not in done]

    @property
    def has_errors(self) -> bool:
        """Whether HubSpot reports errors, even if it does not say which."""
        return bool(self.errors) or self.num_errors > 0

    @property
    def _all_in_force(self) -> bool:
        return self.in_force is not None and {limit_input.identity for limit_input in self.inputs} <= set(self.in_force)

    @property
    def _last_limits(self) -> dict[TypeIdentity, int | None]:
        """The limits that the latest read showed."""
        return {limit.identity: limit.max_to_object_ids for limit in self.last_read or ()}

    def _reported(self, limit_input: LimitInput) -> set[int | None]:
        """Return the limits that HubSpot's results report for the association type of an input."""
        return {result.max_to_object_ids for result in self.results if result.identity == limit_input.identity}

    def _is_applied(self, limit_input: LimitInput) -> bool:
        if self.in_force is not None and limit_input.identity in self.in_force:
            return True
        reported = self._reported(limit_input)
        if self.action == "purge":
            # HubSpot answers a purge without results; if there are some, they may hold the old limit.
            return bool(reported) or (self.status is BatchStatus.COMPLETE and not self.has_errors)
        return reported == {limit_input.max_to_object_ids}  # results that contradict each other confirm nothing

    # -- reads --

    def with_answer(self, answer: BatchAnswer) -> BatchOperation:
        """Return the operation with HubSpot's answer to the batch, or the state read from its status link."""
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
        """Return the operation with a read of its direction; COMPLETE if every requested limit is in force.

        :param limits: all limits of the direction.
        """
        requested = {limit_input.identity: limit_input.max_to_object_ids for limit_input in self.inputs}
        actual = {limit.identity: limit.max_to_object_ids for limit in limits}
        in_force = [identity for identity, limit in requested.items() if actual.get(identity) == limit]
        last_read = [limit for limit in limits if limit.identity in requested]
        read = self.model_copy(update={"in_force": in_force, "last_read": last_read})
        return read.model_copy(update={"status": BatchStatus.COMPLETE}) if read._all_in_force else read

    def without_status_link(self) -> BatchOperation:
        """Return the operation without its status link, so that its direction is read from now on."""
        return self.model_copy(update={"status_link": None})

    @property
    def link_to_read(self) -> str | None:
        """The link to read next; None if the direction is to be read."""
        return None if self.status.is_terminal else self.status_link

    # -- texts --

    @property
    def direction(self) -> Direction:
        """The direction, as the user spelled it."""
        return Direction(self.from_object_type, self.to_object_type)

    def direction_in(self, connection_name: str | None) -> str:
        """Return the direction with the connection, if there is one: ``contacts -> companies (connection x)``."""
        return f"{self.direction} (connection {connection_name})" if connection_name else str(self.direction)

    @property
    def title(self) -> str:
        """The batch in a sentence: ``the update batch for contacts -> companies: HUBSPOT_DEFINED 279 (max 5)``."""
        return f"the {self.action} batch for {self.direction}: {join_first(list(map(describe, self.inputs)), ', ')}"

    def raise_for_failure(self, connection_name: str | None = None) -> None:
        """Raise if the operation has failed.

        :param connection_name: id of the connection, for the message.
        :raises HubSpotOperationError: names each refused input with HubSpot's reason, and the applied inputs.
        """
        if not self.has_failed:
            return
        first = self.errors[0] if self.errors else ErrorDetail()
        raise HubSpotOperationError(
            failure_text(self, connection_name),
            operation=self.to_dict(),
            category=first.category,
            sub_category=first.sub_category,
            correlation_id=self.correlation_id,
        )


def submit(client: HubSpotClient, operation: BatchOperation, *, resend: bool = False) -> BatchOperation:
    """Send a batch that has not been sent yet.

    :param client: of the portal.
    :param operation: the batch to send.
    :param resend: True if an earlier attempt may have sent the same batch; only ``create`` uses it.
    :return: the operation with HubSpot's answer.
    :raises HubSpotError: if HubSpot refused the request, or its answer is unknown.
    """
    answer = client.send_batch(
        operation.action, operation.from_object_type, operation.to_object_type, operation.inputs, resend=resend
    )
    return operation.with_answer(answer)


def refresh(client: HubSpotClient, operation: BatchOperation) -> BatchOperation:
    """Read the state of a batch once: from its status link, or else from the limits of its direction.

    If the link cannot be read, the direction is read instead. A link with a permanent error is not read again.

    :param client: of the portal that the batch was sent to.
    :param operation: its state so far.
    :return: the operation, updated by the read.
    :raises HubSpotError: if neither can be read.
    """
    if operation.link_to_read:
        try:
            return operation.with_answer(client.get_status(operation.link_to_read, operation.action))
        except HubSpotError as error:
            if not error.specific_to_path:
                raise
            log.info("The status link of the batch could not be read; reading the limits instead: %s", error)
            if not error.retryable:
                operation = operation.without_status_link()
    return operation.with_limits(client.get_limits(operation.from_object_type, operation.to_object_type))


def _names_type(error: ErrorDetail, limit_input: LimitInput) -> bool:
    """Return whether an error names the association type of an input: in its message, or else in its context."""
    named = _TYPE_IN_ERROR.findall(error.message) or _TYPE_IN_ERROR.findall(str(error.context.get("type", "")))
    is_hubspots = limit_input.category is AssociationCategory.HUBSPOT_DEFINED
    return any(int(type_id) == limit_input.type_id and (ordinal == "0") == is_hubspots for ordinal, type_id in named)
