"""Endpoints under ``/_simulator/``, which HubSpot does not have: another process controls the simulator with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response

from airflow_provider_hubassoc.simulator.errors import RefusalError
from airflow_provider_hubassoc.simulator.faults import Fault, FaultQueue
from airflow_provider_hubassoc.simulator.portal import Portal
from airflow_provider_hubassoc.simulator.responses import HubSpotResponse
from airflow_provider_hubassoc.simulator.tracking import Tracking
from airflow_provider_hubassoc.simulator.wire import RequestLog

Handler = Callable[[Request], Awaitable[Response]]


class ControlApi:
    """Endpoints that let another process call the methods of ``Simulator``."""

    def __init__(self, portal: Portal, tracking: Tracking, log: RequestLog, faults: FaultQueue) -> None:
        self._portal = portal
        self._tracking = tracking
        self._log = log
        self._faults = faults

    def router(self) -> APIRouter:
        """Return the routes, relative to ``/_simulator``."""
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/requests", self._read_requests),
            ("DELETE", "/requests", self._clear_requests),
            ("GET", "/portal", self._read_portal),
            ("GET", "/faults", self._read_faults),
            ("POST", "/faults", self._inject_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("POST", "/limits", self._set_limit),
            ("POST", "/object-types", self._add_object_type),
            ("POST", "/records", self._add_record),
            ("POST", "/associations", self._associate),
        ]
        router = APIRouter()
        for method, path, handler in routes:
            router.add_route(path, _refusing_mistakes(handler), [method])
        return router

    async def _read_requests(self, request: Request) -> Response:
        return HubSpotResponse({"results": [record.as_dict() for record in self._log.records()]})

    async def _clear_requests(self, request: Request) -> Response:
        self._log.clear()
        return HubSpotResponse(None, 204)

    async def _read_portal(self, request: Request) -> Response:
        return HubSpotResponse(self._portal.state())

    async def _read_faults(self, request: Request) -> Response:
        return HubSpotResponse({"results": [fault.as_dict() for fault in self._faults.pending()]})

    async def _inject_fault(self, request: Request) -> Response:
        fault = Fault(**await request.json())
        self._faults.add(fault)
        return HubSpotResponse(fault.as_dict(), 201)

    async def _clear_faults(self, request: Request) -> Response:
        self._faults.clear()
        return HubSpotResponse(None, 204)

    async def _set_limit(self, request: Request) -> Response:
        body = await request.json()
        direction = body["fromObjectType"], body["toObjectType"]
        self._portal.set_limit(*direction, body["category"], body["typeId"], body["maxToObjectIds"])
        return HubSpotResponse(None, 204)

    async def _add_object_type(self, request: Request) -> Response:
        return HubSpotResponse({"id": self._portal.add_object_type((await request.json())["name"])}, 201)

    async def _add_record(self, request: Request) -> Response:
        body = await request.json()
        return HubSpotResponse({"id": self._tracking.add_record(body["objectType"], body["name"])}, 201)

    async def _associate(self, request: Request) -> Response:
        body = await request.json()
        names = ("fromObjectType", "fromRecord", "toObjectType", "toRecord", "category", "typeId")
        self._tracking.associate(*(body[name] for name in names))
        return HubSpotResponse(None, 204)


def _refusing_mistakes(handler: Handler) -> Handler:
    """Return a handler that answers a mistake in the body with HTTP 400."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except KeyError as error:
            raise RefusalError(400, f"{error.args[0]} is missing") from None
        except (TypeError, ValueError) as error:
            raise RefusalError(400, str(error)) from None

    return endpoint
