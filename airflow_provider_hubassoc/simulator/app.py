"""HTTP routes: HubSpot's own, and those under ``/_simulator/`` that HubSpot does not have."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.faults import JSON_TYPE, Fault, FaultQueue
from airflow_provider_hubassoc.simulator.gateway import Gateway
from airflow_provider_hubassoc.simulator.object_types import AssociationType
from airflow_provider_hubassoc.simulator.portal import CATEGORIES, Action, Input, Operation, Portal
from airflow_provider_hubassoc.simulator.settings import API_VERSIONS, Settings
from airflow_provider_hubassoc.simulator.wire import RequestLog

MAX_INT32 = 2**31 - 1

T = TypeVar("T")

# Plain handlers: FastAPI's reading of declared parameters costs more than the rest of a request, and answers
# mistakes with bodies that are not HubSpot's.
Handler = Callable[[Request], Awaitable[Response]]


class HubSpotResponse(Response):
    """JSON with HubSpot's content type."""

    media_type = JSON_TYPE

    def render(self, content: Any) -> bytes:
        """Return the body; None is an empty one."""
        return b"" if content is None else json.dumps(content).encode()


def create_app(settings: Settings, portal: Portal, gateway: Gateway, log: RequestLog, faults: FaultQueue) -> FastAPI:
    """Return the ASGI application of one portal."""
    app = FastAPI(openapi_url=None)
    app.include_router(_account_routes(portal, gateway))
    app.include_router(_object_schema_routes(portal, gateway))
    schema = _schema_routes(settings, portal, gateway)
    # v4 is documented as /crm/v4/associations (older clients use it) and specified as /crm/associations/v4.
    app.include_router(schema, prefix="/crm/v4/associations")
    app.include_router(schema, prefix="/crm/associations/{version}")
    app.include_router(_control_routes(portal, log, faults), prefix="/_simulator")

    async def refuse(request: Request, error: Exception) -> Response:
        refusal = cast(RefusalError, error)
        body = refusal.body(_correlation_id(request))
        return HubSpotResponse(body, refusal.status, headers=_rate_headers(request) | refusal.headers)

    async def no_route(request: Request, error: Exception) -> Response:
        http = cast(HTTPException, error)
        body = {"status": "error", "message": http.detail, "correlationId": _correlation_id(request)}
        return HubSpotResponse(body, http.status_code, headers=http.headers)

    app.add_exception_handler(RefusalError, refuse)
    app.add_exception_handler(404, no_route)
    app.add_exception_handler(405, no_route)
    return app


def _correlation_id(request: Request) -> str:
    return str(getattr(request.state, "correlation_id", ""))


def _rate_headers(request: Request) -> dict[str, str]:
    return cast(dict[str, str], getattr(request.state, "rate_headers", {}))


# ---- reading requests ------------------------------------------------------------------------------------------


async def _json_object(request: Request) -> tuple[dict[str, Any], str]:
    """Return the parsed body and its text; HubSpot's messages name the place of a mistake in the text."""
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise RefusalError(415, "Unsupported Media Type", None)
    text = (await request.body()).decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise RefusalError(400, f"Invalid input JSON on line {line}, column {column}: Unexpected input") from None
    if not isinstance(value, dict):
        raise _cannot_deserialize(text, value, "request")
    return value, text


def _cannot_deserialize(text: str, value: Any, kind: str) -> RefusalError:
    shown = json.dumps(value)
    at = max(text.find(shown), 0)
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return RefusalError(
        400,
        f"Invalid input JSON on line {line}, column {column}: "
        f"Cannot deserialize value of type `{kind}` from {shown[:80]}",
    )


def _field(source: Mapping[str, Any], text: str, name: str, kind: type[T], required: bool = True) -> T:
    value = source.get(name)
    if value is None:
        if required:
            raise RefusalError(400, f"Invalid input JSON: Some required fields were not set: [{name}]")
        return cast(T, None)
    # bool is an int to Python, but not to HubSpot.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _cannot_deserialize(text, value, {int: "int", str: "String", list: "List"}.get(kind, kind.__name__))
    if isinstance(value, int) and not -MAX_INT32 - 1 <= value <= MAX_INT32:
        raise RefusalError(400, f"Invalid input JSON on line 1, column 1: Numeric value ({value}) out of range of int")
    return value


async def _inputs(request: Request, with_limit: bool) -> list[Input]:
    body, text = await _json_object(request)
    inputs = []
    for entry in _field(body, text, "inputs", list):
        if not isinstance(entry, dict):
            raise _cannot_deserialize(text, entry, "PublicAssociationSpec")
        category = _field(entry, text, "category", str)
        if category not in CATEGORIES:
            raise _cannot_deserialize(text, category, "AssociationCategory")
        type_id = _field(entry, text, "typeId", int)
        limit = None
        if with_limit:
            limit = _field(entry, text, "maxToObjectIds", int)
            if limit < 1:
                raise RefusalError(400, f"maxToObjectIds must be greater than or equal to 1, but was {limit}")
        inputs.append(Input(category, type_id, limit))
    if not inputs:
        raise RefusalError(400, "inputs must not be empty")
    return inputs


# ---- writing answers -------------------------------------------------------------------------------------------


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _version(request: Request) -> str:
    """Return the version of the API in the path called."""
    return str(request.path_params.get("version", "v4"))


def _one_schema(request: Request) -> bool:
    """Whether the version called describes batches with and without errors by one schema, under one status code."""
    return _version(request) == "2025-09"


def _batch_answer(request: Request, settings: Settings, operation: Operation, success: int) -> Response:
    """Return the state of a batch, in the shape HubSpot answers a batch with."""
    done = operation.status in ("COMPLETE", "CANCELED")
    flawed = bool(operation.errors) or operation.status == "CANCELED"
    results = operation.results if done else []
    if operation.action == "purge" and done and not flawed:
        if settings.purge_answer != "204":
            results = json.loads(settings.purge_answer)
        elif not operation.slow and not _one_schema(request):
            return HubSpotResponse(None, 204, headers=_rate_headers(request))
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
    status = 207 if done and flawed and not _one_schema(request) else success
    return HubSpotResponse(body, status, headers=_rate_headers(request))


def _label_row(request: Request, kind: AssociationType) -> dict[str, Any]:
    row: dict[str, Any] = {"category": kind.category, "typeId": kind.type_id, "label": kind.label}
    version = _version(request)
    if version in ("2026-03", "v4"):
        row |= {"fromObjectTypeId": kind.from_id, "toObjectTypeId": kind.to_id}
    elif version == "2026-09":
        row |= {"fromObjectTypeId": None, "toObjectTypeId": None}
    return row


# ---- routes ----------------------------------------------------------------------------------------------------


def _account_routes(portal: Portal, gateway: Gateway) -> APIRouter:
    router = APIRouter()

    async def details(request: Request) -> Response:
        headers = gateway.admit(request.headers.get("authorization"), "account")
        return HubSpotResponse(portal.account_info(), headers=headers)

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        return HubSpotResponse(gateway.exchange(form))

    for version in ("2026-03", "2026-09", "v3"):
        router.add_route(f"/account-info/{version}/details", details)
        router.add_route(f"/oauth/{version}/token", token, ["POST"])
    return router


def _object_schema_routes(portal: Portal, gateway: Gateway) -> APIRouter:
    router = APIRouter()

    async def schema(request: Request) -> Response:
        if request.path_params["version"] not in (*API_VERSIONS, "v3"):
            raise HTTPException(404, "Not Found")
        headers = gateway.admit(request.headers.get("authorization"), "object schemas")
        return HubSpotResponse(portal.schema(request.path_params["object_type"]), headers=headers)

    router.add_route("/crm-object-schemas/{version}/schemas/{object_type}", schema)
    return router


def _schema_routes(settings: Settings, portal: Portal, gateway: Gateway) -> APIRouter:
    router = APIRouter()

    def add(method: str, path: str, handler: Handler) -> None:
        async def endpoint(request: Request) -> Response:
            if _version(request) not in API_VERSIONS:
                raise HTTPException(404, "Not Found")
            request.state.rate_headers = gateway.admit(request.headers.get("authorization"))
            return await handler(request)

        router.add_route(path, endpoint, [method])

    def answer(request: Request, content: Any = None, status: int = 200) -> Response:
        return HubSpotResponse(content, status, headers=_rate_headers(request))

    def pair(request: Request) -> tuple[str, str]:
        return request.path_params["source"], request.path_params["target"]

    def submit(action: Action, success: int) -> Handler:
        async def handler(request: Request) -> Response:
            inputs = await _inputs(request, with_limit=action != "purge")
            code = 200 if _one_schema(request) else success
            return _batch_answer(request, settings, portal.submit(action, *pair(request), inputs), code)

        return handler

    async def all_limits(request: Request) -> Response:
        return answer(request, {"results": portal.all_limits()})

    async def operation(request: Request) -> Response:
        return _batch_answer(request, settings, portal.operation(request.path_params["operation_id"]), 200)

    async def limits(request: Request) -> Response:
        return answer(request, {"results": portal.limits_between(*pair(request))})

    async def labels(request: Request) -> Response:
        return answer(request, {"results": [_label_row(request, kind) for kind in portal.labels(*pair(request))]})

    async def create_label(request: Request) -> Response:
        body, text = await _json_object(request)
        created = portal.create_label(
            *pair(request),
            name=_field(body, text, "name", str),
            label=_field(body, text, "label", str),
            inverse_label=_field(body, text, "inverseLabel", str, required=False),
        )
        return answer(request, {"results": [_label_row(request, kind) for kind in created]})

    async def update_label(request: Request) -> Response:
        body, text = await _json_object(request)
        portal.update_label(
            *pair(request),
            type_id=_field(body, text, "associationTypeId", int),
            label=_field(body, text, "label", str),
            inverse_label=_field(body, text, "inverseLabel", str, required=False),
        )
        return answer(request, status=204)

    async def delete_label(request: Request) -> Response:
        type_id = request.path_params["type_id"]
        if not type_id.isascii() or not type_id.isdigit():
            raise RefusalError(400, f"Association type id {type_id} is not a number")
        portal.delete_label(*pair(request), int(type_id))
        return answer(request, status=204)

    configurations = "/definitions/configurations"
    add("GET", f"{configurations}/all", all_limits)
    # Not HubSpot's: it has no endpoint that shows a batch. Only `links.status` leads here.
    add("GET", f"{configurations}/operations/{{operation_id}}", operation)
    add("GET", f"{configurations}/{{source}}/{{target}}", limits)
    add("POST", f"{configurations}/{{source}}/{{target}}/batch/create", submit("create", 201))
    add("POST", f"{configurations}/{{source}}/{{target}}/batch/update", submit("update", 200))
    add("POST", f"{configurations}/{{source}}/{{target}}/batch/purge", submit("purge", 200))
    add("GET", "/{source}/{target}/labels", labels)
    add("POST", "/{source}/{target}/labels", create_label)
    add("PUT", "/{source}/{target}/labels", update_label)
    add("DELETE", "/{source}/{target}/labels/{type_id}", delete_label)
    return router


def _control_routes(portal: Portal, log: RequestLog, faults: FaultQueue) -> APIRouter:
    """Return the routes that let another process do what `Simulator` does in this one."""
    router = APIRouter()

    def add(method: str, path: str, handler: Handler) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request)
            except KeyError as error:
                raise RefusalError(400, f"{error.args[0]} is missing") from None
            except (TypeError, ValueError) as error:
                raise RefusalError(400, str(error)) from None

        router.add_route(path, endpoint, [method])

    async def requests(request: Request) -> Response:
        return HubSpotResponse({"results": [record.as_dict() for record in log.records()]})

    async def clear_requests(request: Request) -> Response:
        log.clear()
        return HubSpotResponse(None, 204)

    async def state(request: Request) -> Response:
        return HubSpotResponse(portal.state())

    async def pending_faults(request: Request) -> Response:
        return HubSpotResponse({"results": [fault.as_dict() for fault in faults.pending()]})

    async def inject(request: Request) -> Response:
        fault = Fault(**await request.json())
        faults.add(fault)
        return HubSpotResponse(fault.as_dict(), 201)

    async def clear_faults(request: Request) -> Response:
        faults.clear()
        return HubSpotResponse(None, 204)

    async def set_limit(request: Request) -> Response:
        body = await request.json()
        pair = body["fromObjectType"], body["toObjectType"]
        portal.set_limit(*pair, body["category"], body["typeId"], body["maxToObjectIds"])
        return HubSpotResponse(None, 204)

    async def add_object_type(request: Request) -> Response:
        return HubSpotResponse({"id": portal.add_object_type((await request.json())["name"])}, 201)

    add("GET", "/requests", requests)
    add("DELETE", "/requests", clear_requests)
    add("GET", "/portal", state)
    add("GET", "/faults", pending_faults)
    add("POST", "/faults", inject)
    add("DELETE", "/faults", clear_faults)
    add("POST", "/limits", set_limit)
    add("POST", "/object-types", add_object_type)
    return router
