"""Conversion of HubSpot's answers to the models of :mod:`.models`, and combination of the answers to parts of a batch.

Each function takes the JSON of an answer (None for HTTP 204) and raises :class:`HubSpotUnreadableAnswerError` if the
answer is not as documented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from airflow_provider_hubassoc.hubspot.errors import HubSpotUnreadableAnswerError
from airflow_provider_hubassoc.hubspot.models import (
    AccountInfo,
    AssociationLabel,
    AssociationLimit,
    AssociationName,
    BatchAnswer,
    BatchStatus,
    LimitInput,
    WireModel,
)
from airflow_provider_hubassoc.hubspot.parsing import parse_json

T = TypeVar("T")
M = TypeVar("M", bound=WireModel)

_LIMITS = TypeAdapter(list[AssociationLimit])
_LABELS = TypeAdapter(list[AssociationLabel])
_NAMES = TypeAdapter(list[AssociationName])

_STATUSES_BY_URGENCY = [BatchStatus.PENDING, BatchStatus.PROCESSING, BatchStatus.CANCELED, BatchStatus.COMPLETE]
"""The status of several parts of a batch is the first of these that one of them has."""


def parse_body(body: bytes) -> Any:
    """Parse the body of an answer; an empty body is an empty object."""
    try:
        payload = parse_json(body) if body.strip() else None
    except ValueError:
        raise HubSpotUnreadableAnswerError(
            "HubSpot's answer is not JSON. If this persists, check host and proxy in the connection."
        ) from None
    return {} if payload is None else payload


def parse_limits(payload: Any) -> list[AssociationLimit]:
    """Convert the limits of a direction or of the portal."""
    return _validated(_LIMITS.validate_python, _results(payload), "results")


def parse_labels(payload: Any) -> list[AssociationLabel]:
    """Convert the labels of a direction."""
    return _validated(_LABELS.validate_python, _results(payload), "results")


def parse_association_names(payload: Any) -> list[AssociationName]:
    """Convert the association types in an object schema."""
    rows = payload.get("associations") if isinstance(payload, dict) else None
    return _validated(_NAMES.validate_python, rows, "associations")


def parse_account_info(payload: Any) -> AccountInfo:
    """Convert the description of a portal."""
    return _validated(AccountInfo.model_validate, payload, "account")


def parse_with(model: type[M]) -> Callable[[Any], M]:
    """Return a function that converts an answer to one model."""
    return lambda payload: _validated(model.model_validate, payload, "answer")


def parse_rows(model: type[M]) -> Callable[[Any], list[M]]:
    """Return a function that converts the ``results`` of an answer."""
    validate = TypeAdapter(list[model]).validate_python  # type: ignore[valid-type]  # a type known at run time only
    return lambda payload: _validated(validate, _results(payload), "results")


def parse_nothing(payload: Any) -> None:
    """Ignore the answer to a write without a result (HTTP 204)."""


def parse_batch(payload: Any) -> BatchAnswer:
    """Convert the answer to a batch, or its state. HTTP 204 means COMPLETE: HubSpot's usual answer to a purge."""
    if payload is None:
        return BatchAnswer(status=BatchStatus.COMPLETE)
    return _validated(BatchAnswer.model_validate, payload, "batch")


def parse_purge(payload: Any) -> BatchAnswer:
    """Convert the answer to a purge: 204, an empty body, or a batch whose results need not be limits.

    Source: HubSpot's specifications of 2026-03 and 2026-09, which document results without properties.
    """
    if isinstance(payload, list):
        payload = {"results": payload}
    if isinstance(payload, dict):
        payload = {"status": BatchStatus.COMPLETE.value} | payload
    return parse_purge_state(payload)


def parse_purge_state(payload: Any) -> BatchAnswer:
    """Convert the state of a purge, without results that are not limits."""
    if isinstance(payload, dict) and isinstance(payload.get("results"), list):
        payload = payload | {"results": [row for row in payload["results"] if _is_limit(row)]}
    return parse_batch(payload)


def with_purged_types(answer: BatchAnswer, inputs: Sequence[LimitInput]) -> BatchAnswer:
    """Add the purged types to the results of one request of a split purge; HubSpot's answer does not name them."""
    if answer.status is not BatchStatus.COMPLETE or answer.errors or answer.num_errors:
        return answer
    named = {result.identity for result in answer.results}
    purged = [
        AssociationLimit(category=limit_input.category.value, type_id=limit_input.type_id)
        for limit_input in inputs
        if limit_input.identity not in named
    ]
    return answer.model_copy(update={"results": answer.results + purged})


def join_answers(answers: Sequence[BatchAnswer]) -> BatchAnswer:
    """Combine the answers to the parts of one batch, without status links, which cover single parts only."""
    if len(answers) == 1:
        return answers[0]
    return BatchAnswer(
        status=min((answer.status for answer in answers), key=_STATUSES_BY_URGENCY.index),
        results=[result for answer in answers for result in answer.results],
        errors=[error for answer in answers for error in answer.errors],
        num_errors=sum(answer.num_errors for answer in answers),
        requested_at=answers[0].requested_at,
        started_at=answers[0].started_at,
        completed_at=answers[-1].completed_at,
        correlation_id=max(answers, key=lambda answer: len(answer.errors)).correlation_id,
    )


def first_mistake(error: ValidationError, where: str) -> str:
    """Return the place and text of the first mistake: ``results.2.typeId: Input should be a valid integer``."""
    mistake = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, (where, *mistake['loc'])))}: {mistake['msg']}"


def _validated(validate: Callable[[Any], T], payload: Any, where: str) -> T:
    try:
        return validate(payload)
    except ValidationError as error:
        mistake = first_mistake(error, where)
        raise HubSpotUnreadableAnswerError(f"HubSpot's answer is not as documented: {mistake}") from None


def _results(payload: Any) -> Any:
    if not isinstance(payload, dict) or not isinstance(payload.get("results"), list):
        raise HubSpotUnreadableAnswerError("HubSpot's answer is not as documented: no list of results")
    return payload["results"]


def _is_limit(row: Any) -> bool:
    try:
        AssociationLimit.model_validate(row)
    except ValidationError:
        return False
    return True
