"""Endpoints of the Limits Tracking API: what a portal has, and how full its limits are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, HTTPException, Request, Response

from airflow_provider_hubassoc.simulator.gateway import Gateway
from airflow_provider_hubassoc.simulator.responses import respond
from airflow_provider_hubassoc.simulator.tracking import Tracking

Handler = Callable[[Request], Awaitable[Response]]

VERSIONS = ("2026-03", "2026-09", "2025-09", "v3")
"""Versions of the Limits Tracking API, which has a v3 where the Associations Schema API has a v4."""


class TrackingApi:
    """Endpoints under ``/crm/limits/{version}``. They require the same scopes as the limits themselves."""

    def __init__(self, tracking: Tracking, gateway: Gateway) -> None:
        self._tracking = tracking
        self._gateway = gateway

    def router(self) -> APIRouter:
        """Return the routes, relative to ``/crm/limits/{version}``."""
        records = "/associations/records"
        routes: list[tuple[str, Handler]] = [
            ("/associations/labels", self._read_labels),
            (f"{records}/from", self._read_from_types),
            (f"{records}/{{source}}/to", self._read_to_types),
            (f"{records}/{{source}}/{{target}}", self._read_direction),
            ("/records", self._read_records),
            ("/custom-object-types", self._read_custom_object_types),
        ]
        router = APIRouter()
        for path, handler in routes:
            router.add_route(path, self._admitted(handler), ["GET"])
        return router

    def _admitted(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            if request.path_params["version"] not in VERSIONS:
                raise HTTPException(404, "Not Found")
            request.state.rate_headers = self._gateway.admit(request.headers.get("authorization"))
            return await handler(request)

        return endpoint

    async def _read_labels(self, request: Request) -> Response:
        return respond(request, self._tracking.labels())

    async def _read_from_types(self, request: Request) -> Response:
        return respond(request, self._tracking.object_types_at_limit())

    async def _read_to_types(self, request: Request) -> Response:
        return respond(request, self._tracking.object_types_at_limit(request.path_params["source"]))

    async def _read_direction(self, request: Request) -> Response:
        source, target = request.path_params["source"], request.path_params["target"]
        return respond(request, self._tracking.records_at_limit(source, target))

    async def _read_records(self, request: Request) -> Response:
        return respond(request, self._tracking.records())

    async def _read_custom_object_types(self, request: Request) -> Response:
        return respond(request, self._tracking.custom_object_types())
