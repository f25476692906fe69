"""Sending of a batch of limits: in parts, and without creating a limit twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_hubassoc.hubspot.answers import (
    join_answers,
    parse_batch,
    parse_limits,
    parse_purge,
    with_purged_types,
)
from airflow_provider_hubassoc.hubspot.constants import Action
from airflow_provider_hubassoc.hubspot.errors import HubSpotError
from airflow_provider_hubassoc.hubspot.models import AssociationLimit, BatchAnswer, BatchStatus, LimitInput
from airflow_provider_hubassoc.hubspot.retries import RetryPolicy
from airflow_provider_hubassoc.hubspot.transport import Ends, Transport


@dataclass(frozen=True)
class BatchSender:
    """Sends batches of limits of one direction.

    :param path: path of the limits of the direction.
    :param ends: object types of the direction, for errors.
    """

    transport: Transport
    retry_policy: RetryPolicy
    path: str
    ends: Ends

    def send(
        self, action: Action, inputs: Sequence[LimitInput], *, inputs_per_request: int, resend: bool
    ) -> BatchAnswer:
        """Send a batch in as many requests as necessary.

        :param inputs_per_request: maximum number of inputs per request.
        :param resend: whether an earlier attempt may have sent the batch; used by ``create`` only.
        :return: HubSpot's answer; for several requests, their combined answers.
        """
        parts = [inputs[start : start + inputs_per_request] for start in range(0, len(inputs), inputs_per_request)]
        answers: list[BatchAnswer] = []
        for part in parts:
            try:
                answers.append(self._create(part, resend) if action == "create" else self._send_part(action, part))
            except HubSpotError as error:
                if not answers:
                    raise
                sent = len(answers) * inputs_per_request
                message = f"{error.message} ({sent} of {len(inputs)} inputs were sent before)"
                raise error.replace(message=message, outcome_unknown=True) from None
        if action == "purge" and len(parts) > 1:
            answers = [with_purged_types(answer, part) for answer, part in zip(answers, parts, strict=True)]
        return join_answers(answers)

    def _send_part(self, action: Action, inputs: Sequence[LimitInput]) -> BatchAnswer:
        """Send an update or a purge, which are idempotent."""
        return self.transport.repeat(lambda: self._post(action, inputs), self.retry_policy, ends=self.ends)

    def _create(self, inputs: Sequence[LimitInput], outcome_unknown: bool) -> BatchAnswer:
        """Send a create without creating any input twice that HubSpot may have applied.

        Once the outcome of an attempt is unknown, read the limits, and send as an update those that are not in force.
        """
        wanted = {limit_input.identity: limit_input.max_to_object_ids for limit_input in inputs}
        in_force: list[AssociationLimit] = []
        remaining = inputs
        action: Action = "create"

        def attempt() -> BatchAnswer:
            nonlocal outcome_unknown, in_force, remaining, action
            if outcome_unknown:
                action = "update"  # the read may show an older state than the unanswered create
                limits = self.transport.send("GET", self.path, parse_limits, ends=self.ends)
                in_force = [limit for limit in limits if (limit.identity, limit.max_to_object_ids) in wanted.items()]
                applied = {limit.identity for limit in in_force}
                remaining = [limit_input for limit_input in inputs if limit_input.identity not in applied]
                outcome_unknown = False
            if not remaining:
                return BatchAnswer(status=BatchStatus.COMPLETE, results=in_force)
            try:
                answer = self._post(action, remaining)
            except HubSpotError as error:
                outcome_unknown = error.outcome_unknown
                raise
            return answer.model_copy(update={"results": in_force + answer.results})

        return self.transport.repeat(attempt, self.retry_policy, ends=self.ends)

    def _post(self, action: Action, inputs: Sequence[LimitInput]) -> BatchAnswer:
        parse = parse_purge if action == "purge" else parse_batch
        body: dict[str, Any] = {"inputs": [limit_input.to_wire() for limit_input in inputs]}
        return self.transport.send("POST", f"{self.path}/batch/{action}", parse, body, self.ends)
