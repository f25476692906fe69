"""How HubSpot says no."""

from __future__ import annotations

from typing import Any


class RefusalError(Exception):
    """A request that HubSpot refuses; becomes the body of its "Error handling" page.

    :param status: HTTP status code.
    :param message: for people.
    :param category: machine-readable; left out of the body when None, as some of HubSpot's errors have none.
    :param more: further keys of the body, e.g. ``errors`` or ``policyName``; an OAuth error's own ``status``.
    """

    def __init__(self, status: int, message: str, category: str | None = "VALIDATION_ERROR", /, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.more = more
        self.headers: dict[str, str] = {}

    def body(self, correlation_id: str) -> dict[str, Any]:
        """Return the JSON body."""
        body: dict[str, Any] = {"status": "error", "message": self.message, "correlationId": correlation_id}
        if self.category is not None:
            body["category"] = self.category
        return body | self.more
