"""Every fault of HubSpot and the network: how it is injected, and how each entry point handles it.

The matrix (`test_matrix.py`) tests this list, and the tables in docs/faults.md are generated from it
(``python -m tests.docs.generate``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from enum import Enum
from functools import partial
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
from tests.support.scenarios import FIVE_COMPANIES, NEVER, NO_SUCH_TYPE, ONE_PRIMARY

if TYPE_CHECKING:
    from tests.faults.ways import Place, World

MAX_RETRIES = 2
"""How often the client repeats a request in the matrix."""

MAX_POLL_FAILURES = 3
"""How many reads in a row may fail before a wait is given up, in the matrix."""


class Kind(Enum):
    """How one try of a task can end."""

    SUCCEEDS = "succeeds, possibly after repeated requests"
    FAILS = "fails immediately with a permanent error"
    RETRIES = "fails with an error that Airflow retries"
    WAITS = "continues to wait"


class Strikes(Enum):
    """Whether HubSpot carries out a write that meets the fault."""

    REFUSED = "not carried out, and the answer says so"
    BEFORE = "not carried out, which the client cannot know"
    AFTER = "carried out, which the client cannot know"


class Portal(Enum):
    """Limits that the portal holds in the end."""

    AS_ASKED = "new limits"
    AS_BEFORE = "old limits"
    IN_PART = "the accepted limits"


@dataclass(frozen=True)
class Outcome:
    """How one try of a task ends.

    :param sent: the requests from the first that the fault hits to the last of the same call, in short (see
        `ways.World.sent`); None if they are not counted.
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
    """One fault of a request.

    :param inject: causes it.
    :param error: type of the error that the client raises.
    :param strikes: whether HubSpot carries out a write that meets it.
    :param repeated: whether the client sends the request again.
    :param max_repeats: how often, at most.
    :param retryable: whether a later try can succeed without anybody changing anything.
    :param named_time: whether HubSpot, while it lasts, names a time that is too far away to sleep until then.
    :param passes: whether it can be over the next time.
    :param lasts: whether it can be there the next time.
    :param through: where the client connects to: ``hubspot`` itself, a ``proxy`` in front of it, or one with ``tls``.
    :param moves: whether it changes the address in the connection.
    :param counted: whether its requests can be counted.
    :param token_worked: whether HubSpot must have accepted the token before; None if that makes no difference.
    :param extra: fields of the connection's extra.
    """

    name: str
    inject: Callable[[Strike], None]
    error: type[HubSpotError]
    strikes: Strikes = Strikes.REFUSED
    repeated: bool = False
    max_repeats: int = MAX_RETRIES
    retryable: bool = False
    named_time: bool = False
    passes: bool = True
    lasts: bool = True
    through: str = "hubspot"
    moves: bool = False
    counted: bool = True
    token_worked: bool | None = None
    asks_for_token: bool = False
    oauth: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    variant_of: str | None = None
    """The name in the table shared by faults with the same outcome, of which the short form tests one in each place."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class BatchFault:
    """One fault of a batch rather than of a request.

    :param outcome: how a task ends that sends it or waits for it.
    :param reaction: what the provider does, in the table.
    :param settings: settings of the simulator.
    :param answer: HubSpot's answer to the batch, which it carries out.
    :param done: False if it does not carry out the batch.
    :param inputs: the inputs of the batch.
    :param verify: whether the task waits until a read shows the limits.
    :param drift: outcome of a drift trigger; None if the fault does not concern it.
    """

    name: str
    outcome: Outcome
    reaction: str
    settings: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[World], Any] | None = None
    status: int | None = None
    done: bool = True
    inputs: tuple[dict[str, Any], ...] = (FIVE_COMPANIES, ONE_PRIMARY)
    verify: bool = False
    lost: bool = False
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


def _reject_every_token(strike: Strike) -> None:
    """Reject the token from the first request on, such as the one that asks which portal it belongs to."""
    strike.world.hubspot.inject(path="/account-info/*", status=401, body=_NO_CREDENTIALS, times=strike.times)
    answered(401, _NO_CREDENTIALS)(strike)


def _rotate_token(strike: Strike) -> None:
    strike.at_its_time(strike.world.rotate_token)


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


_NO_CREDENTIALS = _error("credentials not found", "INVALID_AUTHENTICATION")
_TEN_SECONDLY = _rate_limit("TEN_SECONDLY_ROLLING")
_HTML = "<html><body><h1>Bad gateway</h1></body></html>"

# -- the faults ------------------------------------------------------------------------------------------------

_limited = partial(Fault, error=HubSpotRateLimitError, repeated=True, retryable=True)
_unavailable = partial(Fault, error=HubSpotUnavailableError, repeated=True, retryable=True)
_unreadable = partial(
    Fault, error=HubSpotUnreadableAnswerError, repeated=True, retryable=True, strikes=Strikes.AFTER, through="proxy"
)
_unwanted = partial(Fault, error=HubSpotRefusedAnswerError, retryable=True)
_refused = partial(Fault, error=HubSpotValidationError, passes=False)

# Statuses that a gateway answers while HubSpot continues to work strike after the write.
_GATEWAYS = {
    502: Strikes.AFTER,
    503: Strikes.BEFORE,
    504: Strikes.AFTER,
    521: Strikes.BEFORE,
    523: Strikes.BEFORE,
    524: Strikes.AFTER,
}
_MORE_GATEWAYS = {
    520: Strikes.AFTER,
    522: Strikes.BEFORE,
    525: Strikes.BEFORE,
    526: Strikes.BEFORE,
    530: Strikes.BEFORE,
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
        retryable=True,
        strikes=Strikes.BEFORE,
    ),
    Fault(
        "500 after the write was carried out",
        answered(500, _error("internal error", "INTERNAL"), after=True),
        HubSpotServerError,
        retryable=True,
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
    *(
        _unavailable(
            f"{status} with HTML",
            answered(status, _HTML, after=strikes is Strikes.AFTER),
            strikes=strikes,
            variant_of="520, 522, 525, 526, 530",
        )
        for status, strikes in _MORE_GATEWAYS.items()
    ),
    Fault(
        "401 for a token that has never worked",
        _reject_every_token,
        HubSpotAuthenticationError,
        passes=False,
        counted=False,
        token_worked=False,
    ),
    Fault(
        "401 for a token that has worked",
        answered(401, _NO_CREDENTIALS),
        HubSpotAuthenticationError,
        repeated=True,
        max_repeats=1,
        retryable=True,
        token_worked=True,
    ),
    Fault(
        "OAuth refresh token revoked",
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
    _unavailable(
        "reset before HubSpot reads the request", broken(proxy.reset_before), through="proxy", strikes=Strikes.BEFORE
    ),
    _unavailable("reset instead of the answer", broken(proxy.reset_after), through="proxy", strikes=Strikes.AFTER),
    _unreadable("reset in the middle of the body", broken(proxy.reset_amid_body)),
    _unavailable("body stalls", broken(proxy.stall), through="proxy", strikes=Strikes.AFTER, extra=_SHORT),
    _unavailable("body trickles", broken(proxy.trickle), through="proxy", strikes=Strikes.AFTER, extra=_SHORT),
    _unavailable(
        "headers trickle", broken(proxy.trickle_headers), through="proxy", strikes=Strikes.AFTER, extra=_SHORT
    ),
    _unavailable(
        "interim answers (1xx) without end",
        broken(proxy.interim_answers),
        through="proxy",
        strikes=Strikes.AFTER,
        extra=_SHORT,
    ),
    _unavailable("headers without end", broken(proxy.endless_headers), through="proxy", strikes=Strikes.AFTER),
    _unreadable("body ends early", broken(proxy.end_early)),
    _unreadable("Content-Length too long", broken(proxy.promise_more)),
    _unreadable("Content-Length too short", broken(proxy.promise_less)),
    _unreadable("invalid JSON", answered(body='{"results": [', after=True), through="hubspot"),
    _unreadable(
        "JSON of an unexpected shape", answered(body={"status": ["?"], "results": 5}, after=True), through="hubspot"
    ),
    _unwanted("body of 100 MB", broken(proxy.huge), through="proxy", strikes=Strikes.AFTER),
    _unwanted("redirect to another origin", answered(302, "", headers=_elsewhere), strikes=Strikes.BEFORE),
    Fault(
        "invalid certificate",
        _show_another_certificate,
        HubSpotTLSError,
        passes=False,
        through="tls",
        counted=False,
    ),
]

NO_FAULTS: list[Fault] = [
    Fault(
        "OAuth access token expired",
        answered(401, _expired),
        HubSpotAuthenticationError,
        repeated=True,
        retryable=True,
        lasts=False,
        oauth=True,
        asks_for_token=True,
    ),
    Fault(
        "access token rotated in the connection",
        _rotate_token,
        HubSpotAuthenticationError,
        passes=False,
        through="proxy",
        counted=False,
    ),
    Fault(
        "wrong Content-Type",
        answered(headers=lambda strike: {"Content-Type": "text/html"}),
        HubSpotUnreadableAnswerError,
        passes=False,
    ),
]
"""Faults that the client handles within the same call."""


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

_NAMED = "reports HubSpot's reason for each input"
_NEVER_SEEN = "waits until `timeout`"
_PAIR_COUNTS = "reads the limits that HubSpot does not confirm"
_NOT_FOLLOWED = "ignores the link, reads the limits"
_VERIFIED = "with `verify`, waits for every limit"
_NO_SECOND_CREATE = "reads, sends the rest as an update"

BATCH_FAULTS: list[BatchFault] = [
    BatchFault("207, some inputs refused", _fails_in_part, _NAMED, inputs=_WITH_UNKNOWN_TYPE),
    BatchFault("207, all inputs refused", _fails, _NAMED, inputs=(NO_SUCH_TYPE,)),
    BatchFault("CANCELED at once", _fails, _NAMED, settings={"canceled": True}),
    BatchFault(
        "some inputs refused after PENDING",
        _fails_in_part,
        _NAMED,
        settings=_LINKED,
        inputs=_WITH_UNKNOWN_TYPE,
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
        "reads alternate between old and new",
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


# -- outcomes ----------------------------------------------------------------------------------------------------


def outcome_of_write(fault: Fault, *, lasting: bool) -> Outcome:
    """Return the outcome of a try whose write meets a fault."""
    token = "T" if fault.asks_for_token else ""
    if fault in NO_FAULTS:
        sent = f"C{token}C" if token else "C"
        return Outcome(Kind.SUCCEEDS, sent=sent if fault.counted else None)
    repeats = fault.max_repeats if lasting else 1
    portal = Portal.AS_ASKED if fault.strikes is Strikes.AFTER else Portal.AS_BEFORE
    if not fault.retryable:
        return Outcome(Kind.FAILS, fault.error, f"C{token}", portal)
    if (fault.named_time and lasting) or not fault.repeated:
        return Outcome(Kind.RETRIES, fault.error, "C", portal)
    if fault.strikes is Strikes.AFTER:
        return Outcome(Kind.SUCCEEDS, sent="CR")  # the read shows it in force
    sent = "C" + ("C" if fault.strikes is Strikes.REFUSED else "RU") * repeats
    return Outcome(Kind.RETRIES, fault.error, sent, portal) if lasting else Outcome(Kind.SUCCEEDS, sent=sent)


def outcome_of_read(fault: Fault, *, lasting: bool) -> Outcome:
    """Return the outcome of a try in which a single read, such as those before a plan, meets a fault."""
    token = "T" if fault.asks_for_token else ""
    if fault in NO_FAULTS:
        sent = f"R{token}R" if token else "R"
        return Outcome(Kind.SUCCEEDS, sent=sent if fault.counted else None)
    if not fault.retryable:
        return Outcome(Kind.FAILS, fault.error, f"R{token}", Portal.AS_BEFORE)
    if (fault.named_time and lasting) or not fault.repeated:
        return Outcome(Kind.RETRIES, fault.error, "R", Portal.AS_BEFORE)
    if lasting:
        return Outcome(Kind.RETRIES, fault.error, "R" * (1 + fault.max_repeats), Portal.AS_BEFORE)
    return Outcome(Kind.SUCCEEDS, sent="RR")


def outcome_of_wait(fault: Fault, *, lasting: bool) -> Outcome:
    """Return the outcome of a wait for a batch that HubSpot carries out. Here ``sent`` has one P for each read."""
    if fault in NO_FAULTS or not lasting:
        return Outcome(Kind.SUCCEEDS)
    if not fault.retryable:
        return Outcome(Kind.FAILS, fault.error, "P")
    if fault.named_time:
        return Outcome(Kind.RETRIES, HubSpotPollError, "P")  # that time is after the timeout
    if fault.token_worked:
        return Outcome(Kind.RETRIES, fault.error)  # after two reads, each of which the client may repeat
    return Outcome(Kind.RETRIES, HubSpotPollError, "P" * MAX_POLL_FAILURES)


def why_not(fault: Fault | BatchFault, place: Place, *, lasting: bool) -> str | None:
    """Return the reason why a fault cannot strike in a place; None if it can."""
    if isinstance(fault, BatchFault):
        if place.way == "drift trigger":
            return None if fault.drift else "a drift trigger sends no batch"
        if place.what == "deferred verification":
            return None if fault.verify else "the batch is over before the verification is deferred"
        is_there = place.hit == ("wait" if place.way.startswith("sensor") else "write")
        return None if is_there else "it concerns a batch from its answer to its end"
    if fault.token_worked is True and place.strikes_first:
        return "the token has not been used before"
    if fault.token_worked is False and place.begins_after and not place.strikes_first:
        return "the token has worked before"
    if lasting and not fault.lasts:
        return "it ends with the first request that meets it"
    if not lasting:
        if not fault.passes:
            return "it does not end without help"
        if place.hit == "write" and (not fault.repeated or fault.strikes is Strikes.AFTER):
            return "the write is not repeated, so the duration makes no difference"
        if place.hit == "read" and not fault.repeated:
            return "the read is not repeated, so the duration makes no difference"
    if fault.moves and place.same_client:
        return "the client keeps its address"
    return None


# -- the tables for people ------------------------------------------------------------------------------------

_KINDS: dict[str, tuple[str, ...]] = {
    "OAuth access token expired": ("OAuth access token expired",),
    "Token rotated in the connection": ("access token rotated in the connection",),
    "Token rejected (401)": ("401 for a token that has never worked", "OAuth refresh token revoked"),
    "Token rejected that has worked (401)": ("401 for a token that has worked",),
    "Scope missing (403)": ("403",),
    "Unknown object type (400)": ("400 unknown object type",),
    "Request refused (other 4xx)": ("400 malformed", "404", "414", "437"),
    "Rate limit (429)": ("429 without Retry-After",),
    "Rate limit with a time (429)": ("429 with Retry-After in seconds", "429 with Retry-After as a date"),
    "Daily limit (429)": ("429 DAILY",),
    "Record locked (423)": ("423",),
    "Portal in migration (477)": ("477 for minutes", "477 for hours"),
    "HubSpot not reachable": ("connection refused", "name not found"),
    "Server error (500)": ("500", "500 after the write was carried out"),
    "Gateway error (502 to 530)": ("502", "503", "504", "521", "523", "524", "520, 522, 525, 526, 530"),
    "Connection lost": ("reset before HubSpot reads the request", "reset instead of the answer"),
    "Answer too slow or endless": (
        "body stalls",
        "body trickles",
        "headers trickle",
        "interim answers (1xx) without end",
        "headers without end",
    ),
    "Answer not readable": (
        "reset in the middle of the body",
        "body ends early",
        "Content-Length too long",
        "Content-Length too short",
        "invalid JSON",
        "JSON of an unexpected shape",
    ),
    "Answer not accepted": ("body of 100 MB", "redirect to another origin"),
    "Wrong Content-Type": ("wrong Content-Type",),
    "Invalid certificate": ("invalid certificate",),
}
"""Row of the table of requests -> names of its faults, which all have the same outcome."""

_BATCH_KINDS: dict[str, tuple[str, ...]] = {
    "Some inputs refused": ("207, some inputs refused", "some inputs refused after PENDING"),
    "Every input refused, or batch canceled": (
        "207, all inputs refused",
        "CANCELED at once",
        "CANCELED after PENDING",
    ),
    "Some inputs refused, no status link": ("some inputs refused after PENDING, without a status link",),
    "Never done": (
        "CANCELED after PENDING, without a status link",
        "PENDING forever",
        "COMPLETE without results, and not done",
        "duplicate results that contradict, and not done",
    ),
    "Results missing or contradictory": (
        "COMPLETE with results missing",
        "results for inputs never sent",
        "results only for inputs never sent",
        "duplicate results that agree",
        "duplicate results that contradict",
    ),
    "Status link to another address": (
        "status link to another origin",
        "status link to http",
        "status link to a file",
    ),
    "Stale reads": ("stale reads", "reads alternate between old and new"),
    "Answer lost and reads stale": ("answer lost while reads are stale",),
}
"""Row of the table of batches -> names of its faults, which all have the same outcome."""

_LATER = "when HubSpot allows"


def _request_cells(fault: Fault) -> tuple[str, ...]:
    """Return what a fault does to a write and to a wait: reaction, error, Airflow's retry, limits, wait."""
    write = outcome_of_write(fault, lasting=True)
    if write.kind is Kind.SUCCEEDS and fault in NO_FAULTS:
        return _reaction(fault), "none", "-", write.portal.value, "continues"
    retried = "no" if write.kind is Kind.FAILS else _LATER if fault.named_time else "yes"
    limits = "unknown" if fault.strikes is not Strikes.REFUSED else write.portal.value
    return _reaction(fault), f"`{fault.error.__name__}`", retried, limits, _wait(fault)


def _reaction(fault: Fault) -> str:
    if fault.asks_for_token and fault in NO_FAULTS:
        return "fetches a new token, repeats"
    if fault.error is HubSpotAuthenticationError:
        repeats = ", repeats" if fault.token_worked or fault in NO_FAULTS else ""
        return f"reads the connection again{repeats}{' once' if fault.token_worked else ''}"
    if fault in NO_FAULTS:
        return "reads the answer anyway"
    if not fault.repeated or (fault.named_time and not fault.passes):
        return "none"
    if fault.named_time:
        return "waits up to 60 s, repeats"
    return "repeats" if fault.strikes is Strikes.REFUSED else "reads, sends the rest"


def _wait(fault: Fault) -> str:
    if outcome_of_wait(fault, lasting=True).kind is Kind.FAILS:
        return "fails"
    if fault.token_worked:
        return "polls once more"
    return "waits for HubSpot" if fault.named_time else "keeps polling"


def _batch_cells(fault: BatchFault) -> tuple[str, ...]:
    """Return how a batch with a fault ends: reaction, error, Airflow's retry, limits."""
    outcome = fault.outcome
    if outcome.kind is Kind.SUCCEEDS:
        return fault.reaction, "none", "-", outcome.portal.value
    assert outcome.error is not None
    retried = "no" if outcome.kind is Kind.FAILS else "yes"
    return fault.reaction, f"`{outcome.error.__name__}`", retried, outcome.portal.value


def _shown_name(fault: Fault | BatchFault) -> str:
    return (fault.variant_of if isinstance(fault, Fault) else None) or fault.name


def _rows(kinds: dict[str, tuple[str, ...]], cells: dict[str, tuple[str, ...]]) -> list[str]:
    """Return one row of a table for each kind.

    :param kinds: kind -> names of its faults.
    :param cells: name of a fault -> its cells.
    :raises ValueError: if a fault has no row, or the faults of a kind differ.
    """
    if missing := set(cells) ^ {name for names in kinds.values() for name in names}:
        raise ValueError(f"Faults without a row, or rows without a fault: {sorted(missing)}")
    rows = []
    for kind, names in kinds.items():
        different = {cells[name] for name in names}
        if len(different) > 1:
            raise ValueError(f"The faults of one row differ: {kind}: {sorted(different)}")
        rows.append(f"| {' | '.join((kind, *different.pop()))} |")
    return rows


def request_table() -> str:
    """Render the table of faults of a request, one row for each kind."""
    lines = [
        "| fault | reaction | error | Airflow retries | limits in the portal | while waiting |",
        "|---|---|---|---|---|---|",
        *_rows(_KINDS, {_shown_name(fault): _request_cells(fault) for fault in [*NO_FAULTS, *FAULTS]}),
    ]
    return "\n".join(lines)


def batch_table() -> str:
    """Render the table of faults of a batch, one row for each kind."""
    lines = [
        "| fault | reaction | error | Airflow retries | limits in the portal |",
        "|---|---|---|---|---|",
        *_rows(_BATCH_KINDS, {fault.name: _batch_cells(fault) for fault in BATCH_FAULTS}),
    ]
    return "\n".join(lines)


def tested_faults() -> str:
    """List the faults that the tests inject for each row."""
    return "\n".join(f"- **{kind}**: {'; '.join(names)}" for kind, names in {**_KINDS, **_BATCH_KINDS}.items())
