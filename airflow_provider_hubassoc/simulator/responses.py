"""JSON responses of the simulator, and the headers that every answer of HubSpot has."""

from __future__ import annotations

import json
from typing import Any, cast

from fastapi import Request, Response

from airflow_provider_hubassoc.simulator.faults import JSON_TYPE


class HubSpotResponse(Response):
    """JSON with HubSpot's content type."""

    media_type = JSON_TYPE

    def render(self, content: Any) -> bytes:
        """Return the body; None makes an empty one."""
        return b"" if content is None else json.dumps(content).encode()


def rate_headers(request: Request) -> dict[str, str]:
    """Return the rate limit headers for the answer to a request that the gateway has admitted."""
    return cast(dict[str, str], getattr(request.state, "rate_headers", {}))


def respond(request: Request, content: Any = None, status: int = 200) -> Response:
    """Return an answer with the rate limit headers."""
    return HubSpotResponse(content, status, headers=rate_headers(request))
