"""The ASGI application: HubSpot's routes, and those under ``/_simulator/`` that HubSpot does not have."""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response

from airflow_provider_hubassoc.simulator.associations_api import AssociationsApi
from airflow_provider_hubassoc.simulator.control_api import ControlApi
from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.faults import FaultQueue
from airflow_provider_hubassoc.simulator.gateway import Gateway
from airflow_provider_hubassoc.simulator.portal import Portal
from airflow_provider_hubassoc.simulator.responses import HubSpotResponse, rate_headers
from airflow_provider_hubassoc.simulator.settings import API_VERSIONS, Settings
from airflow_provider_hubassoc.simulator.wire import RequestLog


def create_app(settings: Settings, portal: Portal, gateway: Gateway, log: RequestLog, faults: FaultQueue) -> FastAPI:
    """Return the ASGI application of one portal."""
    app = FastAPI(openapi_url=None)
    app.include_router(_account_routes(portal, gateway))
    app.include_router(_object_schema_routes(portal, gateway))
    associations = AssociationsApi(settings, portal, gateway).router()
    # v4 is documented as /crm/v4/associations (older clients use it) and specified as /crm/associations/v4.
    app.include_router(associations, prefix="/crm/v4/associations")
    app.include_router(associations, prefix="/crm/associations/{version}")
    app.include_router(ControlApi(portal, log, faults).router(), prefix="/_simulator")
    app.add_exception_handler(RefusalError, _answer_refusal)
    app.add_exception_handler(404, _answer_unknown_route)
    app.add_exception_handler(405, _answer_unknown_route)
    return app


async def _answer_refusal(request: Request, error: Exception) -> Response:
    refusal = cast(RefusalError, error)
    body = refusal.body(_correlation_id(request))
    return HubSpotResponse(body, refusal.status, headers=rate_headers(request) | refusal.headers)


async def _answer_unknown_route(request: Request, error: Exception) -> Response:
    http = cast(HTTPException, error)
    body = {"status": "error", "message": http.detail, "correlationId": _correlation_id(request)}
    return HubSpotResponse(body, http.status_code, headers=http.headers)


def _correlation_id(request: Request) -> str:
    return str(getattr(request.state, "correlation_id", ""))


def _account_routes(portal: Portal, gateway: Gateway) -> APIRouter:
    """Return the routes for account information and OAuth tokens."""
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
    """Return the route for object schemas, which list the internal names of association types."""
    router = APIRouter()

    async def schema(request: Request) -> Response:
        if request.path_params["version"] not in (*API_VERSIONS, "v3"):
            raise HTTPException(404, "Not Found")
        headers = gateway.admit(request.headers.get("authorization"), "object schemas")
        return HubSpotResponse(portal.schema(request.path_params["object_type"]), headers=headers)

    router.add_route("/crm-object-schemas/{version}/schemas/{object_type}", schema)
    return router
