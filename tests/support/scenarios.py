"""Possible courses of a batch of limits in HubSpot, and the outcome that every wait for it must have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.simulator import Simulator

FROM, TO = "contacts", "companies"
FIVE_COMPANIES: dict[str, Any] = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}
ONE_PRIMARY: dict[str, Any] = {"category": "HUBSPOT_DEFINED", "typeId": 1, "maxToObjectIds": 1}
NO_SUCH_TYPE: dict[str, Any] = {"category": "HUBSPOT_DEFINED", "typeId": 99999, "maxToObjectIds": 2}
INPUTS = [FIVE_COMPANIES, ONE_PRIMARY]
LIMITS = {("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5, ("0-1", "0-2", "HUBSPOT_DEFINED", 1): 1}

READS = "/crm/*"
"""Path of every read a wait may make; account info is not among them."""


@dataclass(frozen=True)
class Scenario:
    """A course of events, and its outcome."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    """The simulator's."""
    prepare: Callable[[Simulator], None] = lambda hubspot: None
    inputs: list[dict[str, Any]] = field(default_factory=lambda: INPUTS)
    wait: dict[str, Any] = field(default_factory=dict)
    """Arguments of whoever waits."""
    error: type[errors.HubSpotError] | None = None
    says: tuple[str, ...] = ()
    limits: dict[Any, int] = field(default_factory=lambda: LIMITS)
    """What the portal holds in the end."""
    applied: int = 2
    refused: int = 0
    is_retried_by_operator: bool = False
    """Whether an operator leaves an error to Airflow's retries that is permanent elsewhere."""
    reads: int | None = None
    """How many reads the wait makes, where that is certain."""

    def __str__(self) -> str:
        return self.name


SLOW = {"processing_seconds": 0.15}
NEVER = {"processing_seconds": 10_000.0}

SCENARIOS = [
    Scenario("complete at once", reads=0),
    Scenario("pending, with a status link", settings=SLOW),
    Scenario("pending, without a status link", settings={**SLOW, "status_links": False}),
    Scenario(
        "canceled at once",
        settings={"canceled": True},
        error=errors.HubSpotOperationError,
        says=("canceled", "contacts -> companies", "0 of 2 applied", "Refused HUBSPOT_DEFINED 279 (max 5)"),
        limits={},
        applied=0,
        refused=2,
        reads=0,
    ),
    Scenario(
        "canceled after a while",
        settings={**SLOW, "canceled": True},
        error=errors.HubSpotOperationError,
        says=("canceled", "0 of 2 applied"),
        limits={},
        applied=0,
        refused=2,
    ),
    Scenario(
        "refused in part",
        inputs=[FIVE_COMPANIES, NO_SUCH_TYPE],
        error=errors.HubSpotOperationError,
        says=("1 of 2 applied", "Refused HUBSPOT_DEFINED 99999 (max 2): 0-99999 is not", "Applied HUBSPOT_DEFINED 279"),
        limits={("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5},
        applied=1,
        refused=1,
        reads=0,
    ),
    Scenario(
        "refused in part, after a while",
        settings=SLOW,
        inputs=[FIVE_COMPANIES, NO_SUCH_TYPE],
        error=errors.HubSpotOperationError,
        says=("1 of 2 applied", "Refused HUBSPOT_DEFINED 99999"),
        limits={("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5},
        applied=1,
        refused=1,
    ),
    Scenario(
        "canceled, and refused in part",
        settings={"partial_status": "CANCELED"},
        inputs=[FIVE_COMPANIES, NO_SUCH_TYPE],
        error=errors.HubSpotOperationError,
        says=("canceled", "Refused HUBSPOT_DEFINED 99999"),
        limits={("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5},
        applied=1,
        refused=1,
        reads=0,
    ),
    Scenario(
        "pending forever",
        settings=NEVER,
        wait={"timeout": 0.2},
        error=errors.HubSpotOperationTimeoutError,
        limits={},
        applied=0,
    ),
    Scenario(
        "reads fail, too often",
        settings=NEVER,
        prepare=lambda hubspot: hubspot.inject(method="GET", path=READS, status=503, times=99),
        wait={"max_poll_failures": 3},
        error=errors.HubSpotPollError,
        says=("failed 3 times in a row", "may have succeeded", "HTTP 503"),
        limits={},
        applied=0,
        reads=3,
    ),
    Scenario(
        "reads fail, for a while",
        settings=SLOW,
        prepare=lambda hubspot: hubspot.inject(method="GET", path=READS, status=503, times=2),
        wait={"max_poll_failures": 3},
    ),
    Scenario(
        "reads are reset, for a while",
        settings=SLOW,
        prepare=lambda hubspot: hubspot.inject(method="GET", path=READS, reset=True, times=2),
        wait={"max_poll_failures": 3},
    ),
    Scenario(
        "token revoked while waiting",
        settings=NEVER,
        prepare=lambda hubspot: hubspot.inject(method="GET", path=READS, status=401, times=99),
        error=errors.HubSpotAuthenticationError,
        is_retried_by_operator=True,  # whose token has worked when it sent the batch
        says=("rejected the access token", "HTTP 401"),
        limits={},
        applied=0,
    ),
    Scenario(
        "scope withdrawn while waiting",
        settings=NEVER,
        prepare=lambda hubspot: hubspot.inject(method="GET", path=READS, status=403, times=99),
        error=errors.HubSpotMissingScopesError,
        limits={},
        applied=0,
    ),
    Scenario(
        "status link forgotten by HubSpot",
        settings=SLOW,
        prepare=lambda hubspot: hubspot.inject(method="GET", path="*/operations/*", status=404, times=99),
    ),
    Scenario("verified, though reads are stale", settings={"stale_seconds": 0.2}, wait={"verify": True}),
    Scenario(
        "verified, though reads flip between old and new",
        settings={"stale_seconds": 0.2, "flip_flop": True},
        wait={"verify": True},
    ),
]


def prepare(hubspot: Simulator, scenario: Scenario) -> None:
    """Make the simulator behave as the scenario says."""
    for name, value in scenario.settings.items():
        setattr(hubspot.settings, name, value)
    scenario.prepare(hubspot)


def reads(hubspot: Simulator) -> list[str]:
    """Return the paths of the reads of limits and operations."""
    return [
        request.path for request in hubspot.requests if request.method == "GET" and request.path.startswith("/crm/")
    ]


def writes(hubspot: Simulator) -> list[str]:
    """Return the paths of the writes."""
    return [request.path for request in hubspot.requests if request.method != "GET"]


def lasting(operation: dict[str, Any]) -> dict[str, Any]:
    """Return an operation without the values that differ from run to run."""
    passing = ("requested_at", "started_at", "completed_at", "status_link", "correlation_id")
    return {name: value for name, value in operation.items() if name not in passing}
