"""Settings of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

API_VERSIONS = ("2026-03", "2026-09", "2025-09", "v4")
"""Versions of the Associations Schema API. The simulator serves all of them, each under its path."""


@dataclass
class Settings:
    """Settings of the simulator. They may be changed while it runs.

    If HubSpot does not document an answer, a setting offers each plausible one, because a client has to handle all.

    :param processing_seconds: duration of a batch. 0 completes it at once; otherwise its status is PENDING, then
        PROCESSING from half of the time, then COMPLETE or CANCELED.
    :param stale_seconds: how long reads of limits show the state before a change.
    :param purge_answer: ``204`` answers a purge with an empty body, except in version 2025-09, which always answers
        with a batch; ``[]``, ``[{}]`` or ``["<unknown>"]`` answers with HTTP 200 and a batch with these results.
    :param latency_seconds: delay of every answer.
    :param status_links: whether the answer to a slow batch has ``links.status``, a URL that shows its state.
    :param canceled: whether every batch ends as CANCELED and changes nothing.
    :param partial_status: status of a batch with some inputs refused: COMPLETE or CANCELED.
    :param limit_rule_status: answer to a label limit above the object limit: 207 refuses the input, 400 the whole
        request.
    :param equal_limits_allowed: whether a label limit may equal the object limit.
    :param create_existing: effect of a create if a limit exists: ``overwrite`` or ``error``.
    :param flip_flop: whether reads alternate between the old and the new state during ``stale_seconds``.
    :param rate_limit: requests per rolling 10 seconds; None means unlimited, without rate limit headers.
    :param daily_limit: requests per day in the portal's time zone; None means unlimited.
    :param portal_id: id of the portal; also part of the full name of a custom object.
    :param time_zone: IANA name of the portal's time zone; the daily limit is reset at midnight there.
    """

    processing_seconds: float = 0.0
    stale_seconds: float = 0.0
    latency_seconds: float = 0.0
    status_links: bool = True
    canceled: bool = False
    partial_status: str = "COMPLETE"
    limit_rule_status: int = 207
    equal_limits_allowed: bool = True
    create_existing: str = "overwrite"
    flip_flop: bool = False
    rate_limit: int | None = None
    daily_limit: int | None = None
    portal_id: int = 12345678
    time_zone: str = "America/New_York"
    purge_answer: str = "204"

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        choices: dict[str, tuple[object, ...]] = {
            "partial_status": ("COMPLETE", "CANCELED"),
            "limit_rule_status": (207, 400),
            "create_existing": ("overwrite", "error"),
            "purge_answer": ("204", "[]", "[{}]", '["<unknown>"]'),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}")
        for name in ("processing_seconds", "stale_seconds", "latency_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be 0 or more")
        try:
            ZoneInfo(self.time_zone)
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError(f"time_zone {self.time_zone} is unknown") from None
