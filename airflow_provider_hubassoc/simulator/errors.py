"""Requests that HubSpot refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RefusalError(Exception):
    """A request that HubSpot refuses, with the body that HubSpot's page "Handling errors" documents.

    :param status: HTTP status.
    :param message: text for people.
    :param category: code for programs; None leaves it out of the body, as some of HubSpot's errors do.
    :param headers: headers of the answer.
    :param more: further keys of the body, such as ``errors`` or ``policyName``; an OAuth error has its own ``status``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        category: str | None = "VALIDATION_ERROR",
        /,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.headers = dict(headers or {})
        self.more = more

    def body(self, correlation_id: str) -> dict[str, Any]:
        """Return the JSON body."""
        body: dict[str, Any] = {"status": "error", "message": self.message, "correlationId": correlation_id}
        if self.category is not None:
            body["category"] = self.category
        return body | self.more
