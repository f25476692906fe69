"""How the simulated HubSpot behaves."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

API_VERSIONS = ("2026-03", "2026-09", "2025-09", "v4")
"""Versions of the API that are served, all at once: each by its path."""


@dataclass
class Settings:
    """The switches of the simulator. They may be changed while it runs.

    Where HubSpot's documentation is silent the switch offers each plausible answer, because a client has
    to survive all of them.

    :param processing_seconds: how long a batch takes. 0 answers at once; more answers PENDING, then
        PROCESSING from half time, then COMPLETE or CANCELED.
    :param stale_seconds: for how long reads of limits still show the state before a change.
    :param purge_answer: ``204`` answers a purge with an empty body, except in version 2025-09, which always answers
        with a batch; ``[]``, ``[{}]`` or ``["<unknown>"]`` answers with HTTP 200 and a batch with these results.
    :param latency_seconds: added to every answer.
    :param status_links: whether a slow batch carries ``links.status``, a URL that shows its state.
    :param canceled: every batch ends in CANCELED and changes nothing.
    :param partial_status: status of a batch of which some inputs were refused: COMPLETE or CANCELED.
    :param limit_rule_status: a label limit above the object limit is refused per input (207) or refuses the
        whole request (400).
    :param equal_limits_allowed: whether a label limit may equal the object limit.
    :param create_existing: create on a type that has a limit: ``overwrite`` or ``error``.
    :param flip_flop: during ``stale_seconds`` reads alternate between the old and the new state.
    :param rate_limit: requests per rolling 10 seconds; None is unlimited (and sends no such headers).
    :param daily_limit: requests per day of the portal's time zone; None is unlimited.
    :param portal_id: the portal's id, also part of a custom object's full name.
    :param time_zone: IANA name; the daily limit starts anew at midnight there.
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
        """Refuse what no portal could be."""
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
