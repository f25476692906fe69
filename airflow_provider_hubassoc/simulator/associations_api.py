"""Endpoints of the CRM Associations Schema API: limits and labels."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.gateway import Gateway
from airflow_provider_hubassoc.simulator.object_types import AssociationType
from airflow_provider_hubassoc.simulator.portal import Action, Operation, Portal
from airflow_provider_hubassoc.simulator.request_bodies import batch_inputs, field, json_object
from airflow_provider_hubassoc.simulator.responses import respond
from airflow_provider_hubassoc.simulator.settings import API_VERSIONS, Settings

Handler = Callable[[Request], Awaitable[Response]]

_SUCCESS = {"create": 201, "update": 200, "purge": 200}
"""Status of a batch without errors; 204 for a purge without a body."""


class AssociationsApi:
    """Endpoints for the limits and labels of one portal."""

    def __init__(self, settings: Settings, portal: Portal, gateway: Gateway) -> None:
        self._settings = settings
        self._portal = portal
        self._gateway = gateway

    def router(self) -> APIRouter:
        """Return the routes, relative to ``/crm/associations/{version}``."""
        limits, labels = "/definitions/configurations", "/{source}/{target}/labels"
        actions: tuple[Action, ...] = ("create", "update", "purge")
        routes: list[tuple[str, str, Handler]] = [
            ("GET", f"{limits}/all", self._read_all_limits),
            # HubSpot has no endpoint that shows a batch. Only `links.status` leads to this one.
            ("GET", f"{limits}/operations/{{operation_id}}", self._read_operation),
            ("GET", f"{limits}/{{source}}/{{target}}", self._read_limits),
            *[
                ("POST", f"{limits}/{{source}}/{{target}}/batch/{action}", partial(self._submit, action))
                for action in actions
            ],
            ("GET", labels, self._read_labels),
            ("POST", labels, self._create_label),
            ("PUT", labels, self._update_label),
            ("DELETE", f"{labels}/{{type_id}}", self._delete_label),
        ]
        router = APIRouter()
        for method, path, handler in routes:
            router.add_route(path, self._admitted(handler), [method])
        return router

    def _admitted(self, handler: Handler) -> Handler:
        """Return a handler that checks version, token and rate limits first."""

        async def endpoint(request: Request) -> Response:
            if _version(request) not in API_VERSIONS:
                raise HTTPException(404, "Not Found")
            request.state.rate_headers = self._gateway.admit(request.headers.get("authorization"))
            return await handler(request)

        return endpoint

    async def _read_all_limits(self, request: Request) -> Response:
        return respond(request, {"results": self._portal.all_limits()})

    async def _read_operation(self, request: Request) -> Response:
        return self._batch_answer(request, self._portal.operation(request.path_params["operation_id"]), 200)

    async def _read_limits(self, request: Request) -> Response:
        return respond(request, {"results": self._portal.limits_between(*_pair(request))})

    async def _submit(self, action: Action, request: Request) -> Response:
        inputs = await batch_inputs(request, with_limit=action != "purge")
        status = 200 if _has_one_batch_schema(request) else _SUCCESS[action]
        return self._batch_answer(request, self._portal.submit(action, *_pair(request), inputs), status)

    async def _read_labels(self, request: Request) -> Response:
        labels = self._portal.labels(*_pair(request))
        return respond(request, {"results": [_label_row(request, label) for label in labels]})

    async def _create_label(self, request: Request) -> Response:
        body, text = await json_object(request)
        created = self._portal.create_label(
            *_pair(request),
            name=field(body, text, "name", str),
            label=field(body, text, "label", str),
            inverse_label=field(body, text, "inverseLabel", str, required=False),
        )
        return respond(request, {"results": [_label_row(request, label) for label in created]})

    async def _update_label(self, request: Request) -> Response:
        body, text = await json_object(request)
        self._portal.update_label(
            *_pair(request),
            type_id=field(body, text, "associationTypeId", int),
            label=field(body, text, "label", str),
            inverse_label=field(body, text, "inverseLabel", str, required=False),
        )
        return respond(request, status=204)

    async def _delete_label(self, request: Request) -> Response:
        type_id = request.path_params["type_id"]
        if not type_id.isascii() or not type_id.isdigit():
            raise RefusalError(400, f"Association type id {type_id} is not a number")
        self._portal.delete_label(*_pair(request), int(type_id))
        return respond(request, status=204)

    def _batch_answer(self, request: Request, operation: Operation, success: int) -> Response:
        """Return the state of a batch in the shape in which HubSpot answers a batch.

        :param success: HTTP status of a batch without errors.
        """
        settings = self._settings
        done = operation.status in ("COMPLETE", "CANCELED")
        flawed = bool(operation.errors) or operation.status == "CANCELED"
        results = operation.results if done else []
        if operation.action == "purge" and done and not flawed:
            if settings.purge_answer != "204":
                results = json.loads(settings.purge_answer)
            elif not operation.slow and not _has_one_batch_schema(request):
                return respond(request, status=204)
        body: dict[str, Any] = {"status": operation.status, "results": results}
        if operation.errors:
            body |= {"numErrors": len(operation.errors), "errors": operation.errors}
        if operation.slow:
            body["requestedAt"] = _timestamp(operation.requested_at)
            if settings.status_links:
                path = f"/crm/associations/{_version(request)}/definitions/configurations/operations/{operation.id}"
                body["links"] = {"status": str(request.base_url).rstrip("/") + path}
        if operation.status != "PENDING" and operation.started_at is not None:
            body["startedAt"] = _timestamp(operation.started_at)
        if done and operation.completed_at is not None:
            body["completedAt"] = _timestamp(operation.completed_at)
        return respond(request, body, 207 if done and flawed and not _has_one_batch_schema(request) else success)


def _pair(request: Request) -> tuple[str, str]:
    """Return the two object types in the path."""
    return request.path_params["source"], request.path_params["target"]


def _version(request: Request) -> str:
    """Return the version of the API in the path."""
    return str(request.path_params.get("version", "v4"))


def _has_one_batch_schema(request: Request) -> bool:
    """Whether the version describes batches with and without errors by one schema, under one status code."""
    return _version(request) == "2025-09"


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _label_row(request: Request, label: AssociationType) -> dict[str, Any]:
    row: dict[str, Any] = {"category": label.category, "typeId": label.type_id, "label": label.label}
    version = _version(request)
    if version in ("2026-03", "v4"):
        row |= {"fromObjectTypeId": label.from_id, "toObjectTypeId": label.to_id}
    elif version == "2026-09":
        row |= {"fromObjectTypeId": None, "toObjectTypeId": None}
    return row
