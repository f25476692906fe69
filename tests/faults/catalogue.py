"""Every fault that HubSpot and the network can throw: how it is injected, and what comes of it.

The one list: the matrix (`test_matrix.py`) proves it, and the table in the README is written from it
(``python -m tests.faults.catalogue``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotMissingScopesError,
    HubSpotOperationError,
    HubSpotOperationTimeoutError,
    HubSpotPollError,
    HubSpotRateLimitError,
    HubSpotRefusedAnswerError,
    HubSpotServerError,
    HubSpotTLSError,
    HubSpotUnavailableError,
    HubSpotUnknownObjectTypeError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
)
from tests.faults import proxy
from tests.integration.scenarios import FIVE_COMPANIES, NEVER, NO_SUCH_TYPE, ONE_PRIMARY

if TYPE_CHECKING:
    from tests.faults.ways import Place, World

MAX_RETRIES = 2
"""How often the client repeats a request in the matrix."""

MAX_POLL_FAILURES = 3
"""How many reads in a row may fail before a wait is given up, in the matrix."""


class Kind(Enum):
    """What can become of a task, all told."""

    SUCCEEDS = "succeeds, after retrying if need be"
    FAILS = "fails at once, with an error that a retry could not mend"
    RETRIES = "fails so that Airflow retries it"
    WAITS = "goes on waiting"


class Strikes(Enum):
    """Where a fault leaves the write that it hits."""

    REFUSED = "HubSpot has not done it, and says so"
    BEFORE = "HubSpot has not done it, which nobody can tell from here"
    AFTER = "HubSpot has done it, which nobody can tell from here"


class Portal(Enum):
    """What the portal holds in the end."""

    AS_ASKED = "as asked"
    AS_BEFORE = "as before"
    IN_PART = "what HubSpot took"


@dataclass(frozen=True)
class Outcome:
    """What becomes of one try of a task.

    :param sent: the requests from the first that the fault hits to the last of the same call, in short (see
        `ways.World.sent`); None where they cannot be counted, as no connection comes to be.
    """

    kind: Kind
    error: type[HubSpotError] | None = None
    sent: str | None = None
    portal: Portal = Portal.AS_ASKED


@dataclass(frozen=True)
class Strike:
    """Where and how often a fault is to strike.

    :param begins_after: the request (method, path) after which it begins, where it is no fault of single requests.
    """

    world: World
    method: str
    path: str
    lasting: bool
    times: int
    begins_after: tuple[str, str] | None

    def at_its_time(self, begin: Callable[[], None]) -> None:
        if self.begins_after is None:
            begin()
        else:
            self.world.proxy.after(*self.begins_after, begin)


@dataclass(frozen=True, eq=False)
class Fault:
    """One thing that goes wrong.

    :param inject: makes it go wrong.
    :param error: what the client raises.
    :param strikes: what it means for a write.
    :param repeated: whether the client sends the request again.
    :param mends: whether a later try can succeed without anybody changing anything.
    :param named_time: whether HubSpot, while it lasts, names a time to come back that is too far away to sleep.
    :param passes: whether it can be over the next time.
    :param lasts: whether it can be there the next time.
    :param through: what the code connects to: ``hubspot`` itself, a ``proxy`` before it, or one with ``tls``.
    :param moves: whether it is a matter of the address in the connection.
    :param counted: whether its requests can be counted.
    :param extra: fields of the connection's extra.
    """

    name: str
    inject: Callable[[Strike], None]
    error: type[HubSpotError]
    strikes: Strikes = Strikes.REFUSED
    repeated: bool = False
    mends: bool = False
    named_time: bool = False
    passes: bool = True
    lasts: bool = True
    through: str = "hubspot"
    moves: bool = False
    counted: bool = True
    asks_for_token: bool = False
    oauth: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    variant_of: str | None = None
    """Of faults that differ in the body of the answer only: what they have in common."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class BatchFault:
    """One thing that is wrong with a batch rather than with a request.

    :param outcome: what becomes of a task that sends it, or that waits for it.
    :param tells: the same for people.
    :param settings: the simulator's.
    :param answer: what HubSpot answers to the batch, which it carries out all the same.
    :param done: False if it does not.
    :param inputs: what is asked for.
    :param verify: whether the task waits until the limits are seen in force.
    :param sync: what becomes of a sync, if that is something else.
    :param drift: what becomes of a watch for drift; None where it sees nothing of it.
    """

    name: str
    outcome: Outcome
    tells: str
    settings: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[World], Any] | None = None
    status: int | None = None
    done: bool = True
    inputs: tuple[dict[str, Any], ...] = (FIVE_COMPANIES, ONE_PRIMARY)
    verify: bool = False
    lost: bool = False
    sync: Outcome | None = None
    drift: Outcome | None = None
    through: str = "hubspot"
    oauth: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


# -- how they are injected -------------------------------------------------------------------------------------


def answered(
    status: int | None = None,
    body: Any = None,
    *,
    after: bool = False,
    headers: Callable[[Strike], dict[str, str | None]] = lambda strike: {},
) -> Callable[[Strike], None]:
    def inject(strike: Strike) -> None:
        strike.world.hubspot.inject(
            method=strike.method,
            path=strike.path,
            status=status,
            body=body,
            headers=headers(strike),
            after=after,
            times=strike.times,
        )

    return inject


def _in_seconds(strike: Strike) -> dict[str, str | None]:
    return {"Retry-After": "120" if strike.lasting else "1"}


def _at_a_time(strike: Strike) -> dict[str, str | None]:
    wait = 120 if strike.lasting else 1
    date = datetime.fromtimestamp(int(time.time()) + wait, tz=timezone.utc)
    return {"Retry-After": format_datetime(date, usegmt=True)}


def _after(seconds: int) -> Callable[[Strike], dict[str, str | None]]:
    return lambda strike: {"Retry-After": str(seconds)}


def _elsewhere(strike: Strike) -> dict[str, str | None]:
    return {"Location": f"{strike.world.elsewhere_url}/crm"}


def broken(how: proxy.Break) -> Callable[[Strike], None]:
    return lambda strike: strike.world.proxy.break_(strike.method, strike.path, how, strike.times)


def _refuse_connections(strike: Strike) -> None:
    world = strike.world
    if not strike.lasting:  # the client may well come back before it has passed
        world.connect_to(world.address, max_retries=20)
    strike.at_its_time(lambda: world.proxy.refuse(None if strike.lasting else 0.07))


def _lose_the_name(strike: Strike) -> None:
    strike.at_its_time(lambda: strike.world.connect_to("https://hubspot.invalid"))


def _show_another_certificate(strike: Strike) -> None:
    strike.at_its_time(strike.world.show_another_certificate)


def _revoke_and_expire(strike: Strike) -> None:
    strike.world.hubspot.revoke(strike.world.hubspot.oauth.refresh_token)
    answered(401, _expired)(strike)


_expired = {
    "status": "error",
    "message": "The OAuth token used to make this call expired 7 second(s) ago.",
    "category": "EXPIRED_AUTHENTICATION",
}


def _error(message: str, category: str = "VALIDATION_ERROR", **more: Any) -> dict[str, Any]:
    return {"status": "error", "message": message, "category": category, "correlationId": "4-2", **more}


def _rate_limit(policy: str) -> dict[str, Any]:
    message = f"You have reached your {policy.lower()} limit."
    return {"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy}


_TEN_SECONDLY = _rate_limit("TEN_SECONDLY_ROLLING")
_HTML = "<html><body><h1>Bad gateway</h1></body></html>"

# -- the faults ------------------------------------------------------------------------------------------------

_limited = partial(Fault, error=HubSpotRateLimitError, repeated=True, mends=True)
_unavailable = partial(Fault, error=HubSpotUnavailableError, repeated=True, mends=True)
_unreadable = partial(
    Fault, error=HubSpotUnreadableAnswerError, repeated=True, mends=True, strikes=Strikes.AFTER, through="proxy"
)
_unwanted = partial(Fault, error=HubSpotRefusedAnswerError, mends=True)
_refused = partial(Fault, error=HubSpotValidationError, passes=False)

# Those that HubSpot's own gateway answers while HubSpot goes on working strike after the write.
_GATEWAYS = {
    502: Strikes.AFTER,
    503: Strikes.BEFORE,
    504: Strikes.AFTER,
    521: Strikes.BEFORE,
    523: Strikes.BEFORE,
    524: Strikes.AFTER,
}
_BODIES = {"HTML": _HTML, "an empty body": "", "JSON": _error("Please try again later", "SERVICE_UNAVAILABLE")}
_SHORT = {"timeout": "5,0.3"}

FAULTS: list[Fault] = [
    _limited("429 without Retry-After", answered(429, _TEN_SECONDLY)),
    _limited("429 with Retry-After in seconds", answered(429, _TEN_SECONDLY, headers=_in_seconds), named_time=True),
    _limited("429 with Retry-After as a date", answered(429, _TEN_SECONDLY, headers=_at_a_time), named_time=True),
    _limited("429 DAILY", answered(429, _rate_limit("DAILY")), named_time=True, passes=False),
    _unavailable("423", answered(423, _error("locked", "LOCKED"))),
    _unavailable("477 for minutes", answered(477, "", headers=_after(1200)), named_time=True, passes=False),
    _unavailable("477 for hours", answered(477, "", headers=_after(7200)), named_time=True, passes=False),
    Fault(
        "500",
        answered(500, _error("internal error", "INTERNAL")),
        HubSpotServerError,
        mends=True,
        strikes=Strikes.BEFORE,
    ),
    Fault(
        "500 for work that is done",
        answered(500, _error("internal error", "INTERNAL"), after=True),
        HubSpotServerError,
        mends=True,
        strikes=Strikes.AFTER,
    ),
    *(
        _unavailable(
            f"{status} with {what}",
            answered(status, body, after=strikes is Strikes.AFTER),
            strikes=strikes,
            variant_of=str(status),
        )
        for status, strikes in _GATEWAYS.items()
        for what, body in _BODIES.items()
    ),
    Fault(
        "401",
        answered(401, _error("credentials not found", "INVALID_AUTHENTICATION")),
        HubSpotAuthenticationError,
        passes=False,
    ),
    Fault(
        "refresh token revoked",
        _revoke_and_expire,
        HubSpotAuthenticationError,
        passes=False,
        oauth=True,
        asks_for_token=True,
    ),
    Fault(
        "403",
        answered(
            403,
            _error(
                "This app hasn't been granted all required scopes to make this call.",
                "MISSING_SCOPES",
                errors=[{"context": {"requiredGranularScopes": ["crm.objects.contacts.write"]}}],
            ),
        ),
        HubSpotMissingScopesError,
        passes=False,
    ),
    Fault(
        "400 unknown object type",
        answered(400, {"status": "error", "message": "Unable to infer object type from: contacts"}),
        HubSpotUnknownObjectTypeError,
        passes=False,
    ),
    _refused("400 malformed", answered(400, _error("Invalid input JSON on line 1, column 2"))),
    _refused("404", answered(404, "")),
    _refused("414", answered(414, _HTML)),
    _refused("437", answered(437, _error("No more than 50 association types are allowed"))),
    _unavailable("connection refused", _refuse_connections, through="proxy", counted=False),
    _unavailable("name not found", _lose_the_name, through="proxy", counted=False, moves=True, passes=False),
    _unavailable("reset before the request", broken(proxy.reset_before), through="proxy", strikes=Strikes.BEFORE),
    _unavailable("reset after the request", broken(proxy.reset_after), through="proxy", strikes=Strikes.AFTER),
    _unreadable("reset in the middle of the body", broken(proxy.reset_amid_body)),
    _unavailable("body that stalls", broken(proxy.stall), through="proxy", strikes=Strikes.AFTER, extra=_SHORT),
    _unavailable("body that trickles", broken(proxy.trickle), through="proxy", strikes=Strikes.AFTER, extra=_SHORT),
    _unreadable("body that ends early", broken(proxy.end_early)),
    _unreadable("Content-Length too long", broken(proxy.promise_more)),
    _unreadable("Content-Length too short", broken(proxy.promise_less)),
    _unreadable("invalid JSON", answered(body='{"results": [', after=True), through="hubspot"),
    _unreadable("JSON of another shape", answered(body={"status": ["?"], "results": 5}, after=True), through="hubspot"),
    _unwanted("body of 100 MB", broken(proxy.huge), through="proxy", strikes=Strikes.AFTER),
    _unwanted("redirect to another origin", answered(302, "", headers=_elsewhere), strikes=Strikes.BEFORE),
    Fault(
        "certificate that does not verify",
        _show_another_certificate,
        HubSpotTLSError,
        passes=False,
        through="tls",
        counted=False,
    ),
]

NO_FAULTS: list[Fault] = [
    Fault(
        "OAuth token that has just expired",
        answered(401, _expired),
        HubSpotAuthenticationError,
        repeated=True,
        mends=True,
        lasts=False,
        oauth=True,
        asks_for_token=True,
    ),
    Fault(
        "wrong Content-Type",
        answered(headers=lambda strike: {"Content-Type": "text/html"}),
        HubSpotUnreadableAnswerError,
        passes=False,
    ),
]
"""What the client gets over within the same request."""


def _complete(*limits: tuple[int, int]) -> Callable[[World], Any]:
    results = [
        {"category": "HUBSPOT_DEFINED", "typeId": type_id, "userEnforcedMaxToObjectIds": maximum}
        for type_id, maximum in limits
    ]
    return lambda world: {"status": "COMPLETE", "results": results}


def _linked(link: Callable[[World], str]) -> Callable[[World], Any]:
    return lambda world: {"status": "PENDING", "results": [], "links": {"status": link(world)}}


_succeeds = Outcome(Kind.SUCCEEDS)
_fails = Outcome(Kind.FAILS, HubSpotOperationError, portal=Portal.AS_BEFORE)
_fails_in_part = Outcome(Kind.FAILS, HubSpotOperationError, portal=Portal.IN_PART)
_waits = Outcome(Kind.WAITS, HubSpotOperationTimeoutError, portal=Portal.AS_BEFORE)
_waits_for_the_rest = Outcome(Kind.WAITS, HubSpotOperationTimeoutError, portal=Portal.IN_PART)
_SLOW = {"processing_seconds": 0.1, "status_links": False}
_LINKED = {"processing_seconds": 0.1, "status_links": True}
_WITH_UNKNOWN_TYPE = (FIVE_COMPANIES, NO_SUCH_TYPE)

_NAMED = "`HubSpotOperationError` at once, with HubSpot's reason for each input; no retry"
_NEVER_SEEN = "Waits until `timeout`, then `HubSpotOperationTimeoutError`, which Airflow retries"
_PAIR_COUNTS = "Only what HubSpot confirms without contradiction counts; the rest is read from the pair. Succeeds"
_NOT_FOLLOWED = "The link is not followed, the pair is read instead. Succeeds"
_VERIFIED = "With `verify`, and in a sync, waits until a read shows every limit; no drift is told. Succeeds"
_NO_SECOND_CREATE = "What the read does not show is sent as an update, never created again. Succeeds"

BATCH_FAULTS: list[BatchFault] = [
    BatchFault("207, some inputs refused", _fails_in_part, _NAMED, inputs=_WITH_UNKNOWN_TYPE),
    BatchFault("207, all inputs refused", _fails, _NAMED, inputs=(NO_SUCH_TYPE,)),
    BatchFault("CANCELED at once", _fails, _NAMED, settings={"canceled": True}),
    BatchFault(
        "some inputs refused after PENDING", _fails_in_part, _NAMED, settings=_LINKED, inputs=_WITH_UNKNOWN_TYPE
    ),
    BatchFault("CANCELED after PENDING", _fails, _NAMED, settings={**_LINKED, "canceled": True}),
    BatchFault(
        "some inputs refused after PENDING, without a status link",
        _waits_for_the_rest,
        _NEVER_SEEN,
        settings=_SLOW,
        inputs=_WITH_UNKNOWN_TYPE,
    ),
    BatchFault(
        "CANCELED after PENDING, without a status link", _waits, _NEVER_SEEN, settings={**_SLOW, "canceled": True}
    ),
    BatchFault("PENDING forever", _waits, _NEVER_SEEN, settings=NEVER),
    BatchFault("COMPLETE with results missing", _succeeds, _PAIR_COUNTS, answer=_complete((279, 5))),
    BatchFault("COMPLETE without results, and not done", _waits, _NEVER_SEEN, answer=_complete(), done=False),
    BatchFault("results for inputs never sent", _succeeds, _PAIR_COUNTS, answer=_complete((279, 5), (1, 1), (931, 7))),
    BatchFault("results only for inputs never sent", _succeeds, _PAIR_COUNTS, answer=_complete((931, 7))),
    BatchFault("duplicate results that agree", _succeeds, _PAIR_COUNTS, answer=_complete((279, 5), (279, 5), (1, 1))),
    BatchFault(
        "duplicate results that contradict", _succeeds, _PAIR_COUNTS, answer=_complete((279, 5), (279, 9), (1, 1))
    ),
    BatchFault(
        "duplicate results that contradict, and not done",
        _waits,
        _NEVER_SEEN,
        answer=_complete((279, 9), (279, 5), (1, 1)),
        done=False,
    ),
    BatchFault(
        "status link to another origin",
        _succeeds,
        _NOT_FOLLOWED,
        settings=_SLOW,
        answer=_linked(lambda world: f"{world.elsewhere_url}/crm/status"),
    ),
    BatchFault(
        "status link to http",
        _succeeds,
        _NOT_FOLLOWED,
        settings=_SLOW,
        answer=_linked(lambda world: f"http://127.0.0.1:{world.hubspot.port}/crm/status"),
        through="tls",
    ),
    BatchFault(
        "status link to a file",
        _succeeds,
        _NOT_FOLLOWED,
        settings=_SLOW,
        answer=_linked(lambda world: "file:///etc/passwd"),
    ),
    BatchFault(
        "stale reads", _succeeds, _VERIFIED, settings={"stale_seconds": 0.15}, verify=True, drift=Outcome(Kind.WAITS)
    ),
    BatchFault(
        "reads that flip between old and new",
        _succeeds,
        _VERIFIED,
        settings={"stale_seconds": 0.15, "flip_flop": True},
        verify=True,
        drift=Outcome(Kind.WAITS),
    ),
    BatchFault(
        "answer lost while reads are stale",
        _succeeds,
        _NO_SECOND_CREATE,
        settings={"stale_seconds": 0.15},
        verify=True,
        lost=True,
    ),
]


# -- what comes of them ----------------------------------------------------------------------------------------


def outcome_of_write(fault: Fault, *, lasting: bool) -> Outcome:
    """Say what becomes of whoever sends a batch and meets a fault."""
    token = "T" if fault.asks_for_token else ""
    if fault in NO_FAULTS:
        return Outcome(Kind.SUCCEEDS, sent=f"C{token}C" if token else "C")
    repeats = MAX_RETRIES if lasting else 1
    portal = Portal.AS_ASKED if fault.strikes is Strikes.AFTER else Portal.AS_BEFORE
    if not fault.mends:
        return Outcome(Kind.FAILS, fault.error, f"C{token}", portal)
    if (fault.named_time and lasting) or not fault.repeated:
        return Outcome(Kind.RETRIES, fault.error, "C", portal)
    if fault.strikes is Strikes.AFTER:
        return Outcome(Kind.SUCCEEDS, sent="CR")  # the read shows it in force
    sent = "C" + ("C" if fault.strikes is Strikes.REFUSED else "RU") * repeats
    return Outcome(Kind.RETRIES, fault.error, sent, portal) if lasting else Outcome(Kind.SUCCEEDS, sent=sent)


def outcome_of_read(fault: Fault, *, lasting: bool) -> Outcome:
    """Say what becomes of a single read, such as those before a plan."""
    token = "T" if fault.asks_for_token else ""
    if fault in NO_FAULTS:
        return Outcome(Kind.SUCCEEDS, sent=f"R{token}R" if token else "R")
    if not fault.mends:
        return Outcome(Kind.FAILS, fault.error, f"R{token}", Portal.AS_BEFORE)
    if (fault.named_time and lasting) or not fault.repeated:
        return Outcome(Kind.RETRIES, fault.error, "R", Portal.AS_BEFORE)
    if lasting:
        return Outcome(Kind.RETRIES, fault.error, "R" * (1 + MAX_RETRIES), Portal.AS_BEFORE)
    return Outcome(Kind.SUCCEEDS, sent="RR")


def outcome_of_wait(fault: Fault, *, lasting: bool) -> Outcome:
    """Say what becomes of a wait for a batch that HubSpot carries out. Here ``sent`` counts reads: one P each."""
    if fault in NO_FAULTS or not lasting:
        return Outcome(Kind.SUCCEEDS)
    if not fault.mends:
        return Outcome(Kind.FAILS, fault.error, "P")
    if fault.named_time:
        return Outcome(Kind.RETRIES, HubSpotPollError, "P")  # it is beyond the timeout, so that there is no use waiting
    return Outcome(Kind.RETRIES, HubSpotPollError, "P" * MAX_POLL_FAILURES)


def why_not(fault: Fault | BatchFault, place: Place, *, lasting: bool) -> str | None:
    """Say why a fault cannot strike in a place; None if it can."""
    if isinstance(fault, BatchFault):
        if place.way == "drift trigger":
            return None if fault.drift else "a watch sends no batch, and knows of none"
        if place.what == "deferred verification":
            return None if fault.verify else "the batch is over before the verification is deferred"
        is_there = place.hit == ("wait" if place.way.startswith("sensor") else "write")
        return None if is_there else "it is a matter of the batch, from its answer to its end"
    if lasting and not fault.lasts:
        return "it is mended by the first request that meets it"
    if not lasting:
        if not fault.passes:
            return "it does not pass by itself"
        if place.hit == "write" and (not fault.repeated or fault.strikes is Strikes.AFTER):
            return "the write is not repeated, so that it does not matter whether it lasts"
        if place.hit == "read" and not fault.repeated:
            return "the read is not repeated, so that it does not matter whether it lasts"
    if fault.moves and place.same_client:
        return "the client is open, and its address no longer changes"
    return None


# -- the table for people --------------------------------------------------------------------------------------

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- faults -->", "<!-- /faults -->"

_UNKNOWN = "as asked or as before; the retry finds out"


def _told_of_write(fault: Fault) -> tuple[str, str]:
    """Say what a user sees of a fault that hits a write, and what the portal holds then."""
    lasting = outcome_of_write(fault, lasting=True)
    error = f"`{fault.error.__name__}`"
    if fault in NO_FAULTS:
        how = "A new token is fetched and the request sent again" if fault.asks_for_token else "The content counts"
        return f"{how}. Succeeds", lasting.portal.value
    if lasting.kind is Kind.FAILS:
        return f"{error} at once; no retry", lasting.portal.value
    if fault.named_time:
        slept = "Up to a minute is waited out and the request sent again. Else " if fault.passes else ""
        return f"{slept}{error}; with Airflow 3.3 the task comes back at the time HubSpot named", lasting.portal.value
    if not fault.repeated:
        return f"{error}; Airflow retries, and the next try reads before it writes", _UNKNOWN
    if fault.strikes is Strikes.REFUSED:
        return f"Sent again, up to `max_retries` times. Then {error}, which Airflow retries", lasting.portal.value
    return (
        "The pair is read, and what is not in force is sent as an update, up to `max_retries` times. Succeeds as soon "
        f"as that shows it; else {error}, which Airflow retries",
        f"as asked; after the error {_UNKNOWN}",
    )


def _told_of_wait(fault: Fault) -> str:
    lasting = outcome_of_wait(fault, lasting=True)
    if lasting.kind is Kind.SUCCEEDS:
        return "Goes on"
    if lasting.kind is Kind.FAILS:
        return f"`{fault.error.__name__}` at once; no retry"
    if fault.named_time:
        return (
            "Reads again at the time HubSpot named; if that is after `timeout`, `HubSpotPollError`; with Airflow 3.3 "
            "the task comes back at that time"
        )
    return "Goes on; after `max_poll_failures` failed reads in a row `HubSpotPollError`, which Airflow retries"


def table() -> str:
    """Render the table: faults of the same outcome share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for fault in [*NO_FAULTS, *FAULTS]:
        name = f"{fault.variant_of} (whatever the body)" if fault.variant_of else fault.name
        names = rows.setdefault((*_told_of_write(fault), _told_of_wait(fault)), [])
        names += [] if name in names else [name]
    for batch in BATCH_FAULTS:
        rows.setdefault((batch.tells, batch.outcome.portal.value, "the same"), []).append(batch.name)
    lines = [
        "| what goes wrong | when it hits a write | the portal then holds | when it hits a read of a wait |",
        "|---|---|---|---|",
        *(f"| {_joined(names)} | {write} | {portal} | {wait} |" for (write, portal, wait), names in rows.items()),
    ]
    return "\n".join(lines)


def _joined(names: list[str]) -> str:
    """Join names, those of gateways by their numbers."""
    suffix = " (whatever the body)"
    numbers = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    others = [name for name in names if not name.endswith(suffix)]
    return "; ".join([f"{', '.join(numbers)}{suffix}" if numbers else "", *others]).strip("; ")


def in_readme(text: str) -> str:
    """Return the text of the README with the table in its place."""
    place = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"README.md has no {BEGIN} and {END}")
    return place.sub(lambda _: f"{BEGIN}\n{table()}\n{END}", text)


if __name__ == "__main__":
    README.write_text(in_readme(README.read_text("utf-8")), "utf-8")
