"""Requests that the client repeats, how long it waits, and requests that it never sends twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotRateLimitError,
    HubSpotRefusedAnswerError,
    HubSpotServerError,
    HubSpotUnavailableError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
)
from airflow_provider_hubassoc.hubspot.models import BatchStatus
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.wire import ACCOUNT, Pauses, Peer, client_of, closed_port, limit, response

KEY = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)
PAIR = ("contacts", "companies")
RETRIED = [423, 429, 477, 502, 503, 504, 521, 523, 524]
UNKNOWN: list[dict[str, Any]] = [
    *({"status": status, "body": "<html></html>"} for status in (502, 503, 504, 521, 523, 524)),
    {"reset": True},
    {"truncate": 9},
    {"truncate": 9, "reset": True},
    {"status": 200, "body": "<html>OK</html>"},
    {"status": 201, "body": ""},
]
"""Faults after which the client cannot know whether HubSpot has carried out the request."""


def writes(hubspot: Simulator) -> list[tuple[str, list[Any]]]:
    return [
        (request.path.rpartition("/")[2], request.body["inputs"])
        for request in hubspot.requests
        if request.method == "POST"
    ]


def shape(hubspot: Simulator) -> list[str]:
    return [f"{request.method} {request.path.rpartition('/')[2]}" for request in hubspot.requests]


# -- repetition --


@pytest.mark.parametrize("status", RETRIED)
def test_a_transient_status_is_retried(hubspot: Simulator, status: int) -> None:
    pauses = Pauses()
    with client_of(hubspot, pauses=pauses) as client:
        hubspot.inject(status=status, times=3)
        assert client.get_all_limits() == []
    assert len(hubspot.requests) == 4
    asked = 2.0 if status == 423 else 0.0
    assert [asked <= pause <= asked + bound for pause, bound in zip(pauses, [1, 2, 4], strict=True)] == [True] * 3


@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_a_lasting_transient_status_fails_in_the_end(hubspot: Simulator, max_retries: int) -> None:
    pauses = Pauses()
    with client_of(hubspot, pauses=pauses, max_retries=max_retries) as client:
        hubspot.inject(status=503, times=99)
        with pytest.raises(HubSpotUnavailableError):
            client.update_limits(*PAIR, [limit()])
    assert len(hubspot.requests) == max_retries + 1
    assert len(pauses) == max_retries


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 414, 437, 500, 501, 301])
def test_other_statuses_are_not_retried(hubspot: Simulator, status: int) -> None:
    pauses = Pauses()
    with client_of(hubspot, pauses=pauses) as client:
        hubspot.inject(status=status)
        with pytest.raises(HubSpotError):
            client.get_all_limits()
    assert len(hubspot.requests) == 1
    assert pauses == []


def test_a_refused_connection_is_retried() -> None:
    """The server starts while the client waits."""
    port = closed_port()
    started: list[Simulator] = []

    def sleep(seconds: float) -> None:
        started.append(Simulator(port=port))
        started[0].start()

    settings_client = client_of(f"http://127.0.0.1:{port}", pauses=sleep)  # type: ignore[arg-type]
    with settings_client as client:
        with pytest.raises(HubSpotError, match="Authentication credentials not found"):
            client.get_all_limits()
        started[0].stop()


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        *((action, {"delay": 30}) for action in ("update", "purge")),
        *((action, {"reset": True, "after": after}) for action in ("update", "purge") for after in (False, True)),
        *(("update", fault) for fault in ({"stall": 30}, {"truncate": 3})),  # the answer to a purge has no body
    ],
)
def test_update_and_purge_are_repeated(hubspot: Simulator, action: str, fault: dict[str, Any]) -> None:
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 9)
    hubspot.inject(method="POST", **fault)
    with client_of(hubspot, timeout="5,0.1") as client:
        if action == "update":
            answer = client.update_limits(*PAIR, [limit()])
            assert hubspot.limits() == {KEY: 5}
        else:
            answer = client.purge_limits(*PAIR, [limit(maximum=None)])
            assert hubspot.limits() == {}
    assert answer.status is BatchStatus.COMPLETE
    assert [sent for sent, _ in writes(hubspot)] == [action, action]


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_later_refusal_does_not_make_an_unknown_outcome_known(hubspot: Simulator, fault: dict[str, Any]) -> None:
    """The refusal concerns the last request only; HubSpot may have carried out an earlier one."""
    with client_of(hubspot, max_retries=1) as client:
        hubspot.inject(**fault, after=True)
        hubspot.inject(status=429)
        with pytest.raises(HubSpotRateLimitError) as error:
            client.update_limits(*PAIR, [limit()])
        assert error.value.outcome_unknown
        assert hubspot.limits() == {KEY: 5}
        hubspot.inject(status=429, times=2)
        with pytest.raises(HubSpotRateLimitError) as error:
            client.update_limits(*PAIR, [limit()])
        assert not error.value.outcome_unknown


# -- waiting --


@pytest.mark.parametrize("status", [423, 429, 477, 503])
def test_the_client_waits_for_retry_after(hubspot: Simulator, status: int) -> None:
    pauses = Pauses()
    with client_of(hubspot, pauses=pauses) as client:
        hubspot.inject(status=status, headers={"Retry-After": "7"})
        hubspot.inject(status=status, headers={"Retry-After": formatdate(time.time() + 50, usegmt=True)})
        client.get_all_limits()
    assert 7 <= pauses[0] <= 8
    assert 40 <= pauses[1] <= 52


@pytest.mark.parametrize(
    ("draw", "waits"), [(max, [1, 2, 4, 8, 16, 30, 30, 30]), (min, [0] * 8)], ids=["longest", "shortest"]
)
def test_the_backoff_doubles_up_to_a_maximum_with_full_jitter(
    hubspot: Simulator, monkeypatch: pytest.MonkeyPatch, draw: Callable[..., float], waits: list[float]
) -> None:
    monkeypatch.setattr(random, "uniform", draw)
    pauses = Pauses()
    hubspot.inject(status=503, times=99)
    with client_of(hubspot, pauses=pauses, max_retries=8) as client, pytest.raises(HubSpotUnavailableError):
        client.get_all_limits()
    assert pauses == waits


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(477, "86400", 86400), (477, "61", 61), (429, "3600", 3600), (503, "120", 120), (423, "99", 99)],
)
def test_a_long_retry_after_fails_at_once_with_the_time(
    hubspot: Simulator, status: int, header: str, seconds: float
) -> None:
    pauses = Pauses()
    with client_of(hubspot, pauses=pauses) as client:
        hubspot.inject(status=status, headers={"Retry-After": header})
        with pytest.raises(HubSpotError) as error:
            client.create_limits(*PAIR, [limit()])
    assert error.value.retry_after == seconds
    assert error.value.retryable
    assert pauses == []
    assert len(hubspot.requests) == 1


@pytest.mark.parametrize(("header", "is_slept"), [("60", True), ("60.1", False)])
def test_the_longest_retry_after_that_the_client_sleeps(hubspot: Simulator, header: str, is_slept: bool) -> None:
    pauses = Pauses()
    hubspot.inject(status=429, headers={"Retry-After": header})
    with client_of(hubspot, pauses=pauses) as client:
        if is_slept:
            client.get_all_limits()
        else:
            with pytest.raises(HubSpotRateLimitError):
                client.get_all_limits()
    assert len(pauses) == is_slept


def test_a_long_retry_after_may_be_a_date(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        hubspot.inject(status=477, headers={"Retry-After": formatdate(time.time() + 3 * 3600, usegmt=True)})
        with pytest.raises(HubSpotUnavailableError) as error:
            client.get_all_limits()
    assert error.value.retry_after == pytest.approx(3 * 3600, abs=60)
    assert not error.value.outcome_unknown


def seconds_to_midnight(zone: str) -> float:
    now = pendulum.now(zone)
    return (now.add(days=1).start_of("day") - now).total_seconds()


DAILY = {"policyName": "DAILY", "message": "You have reached your daily limit.", "errorType": "RATE_LIMIT"}


@pytest.fixture
def far_from_midnight() -> str:
    """Return a time zone in which it is about noon, so that its midnight is neither near nor UTC's."""
    hour = pendulum.now("UTC").hour
    zone = "Pacific/Kiritimati" if 4 <= hour <= 16 else "Etc/GMT+6"
    assert ZoneInfo(zone)
    return zone


@pytest.mark.parametrize("without_retries", [False, True])
def test_the_daily_limit_ends_at_midnight_in_the_portals_time_zone(
    far_from_midnight: str, without_retries: bool
) -> None:
    pauses = Pauses()
    with Simulator(daily_limit=2, time_zone=far_from_midnight) as portal, client_of(portal, pauses=pauses) as client:
        (client.without_retries() if without_retries else client).account_info()
        client.get_all_limits()
        with pytest.raises(HubSpotRateLimitError) as error:
            client.get_all_limits()
    assert error.value.policy == "DAILY"
    assert error.value.category == "RATE_LIMIT"
    assert error.value.retry_after == pytest.approx(seconds_to_midnight(far_from_midnight), abs=60)
    assert pauses == []


@pytest.mark.parametrize("zone", [None, "Mars/Olympus", "America", "../etc", "x" * 5000, "\x00"])
def test_the_daily_limit_with_an_unknown_time_zone_ends_at_midnight_utc(hubspot: Simulator, zone: str | None) -> None:
    with client_of(hubspot) as client:
        hubspot.inject(status=200, body={"portalId": 1, "timeZone": zone})
        client.account_info()
        hubspot.inject(status=429, body=DAILY)
        with pytest.raises(HubSpotRateLimitError) as error:
            client.without_retries().get_all_limits()
    assert error.value.retry_after == pytest.approx(seconds_to_midnight("UTC"), abs=60)


def test_a_retry_after_takes_precedence_over_midnight(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        hubspot.inject(status=429, body=DAILY, headers={"Retry-After": "5000"})
        with pytest.raises(HubSpotRateLimitError) as error:
            client.get_all_limits()
    assert error.value.retry_after == 5000


def test_the_ten_second_limit_is_retried() -> None:
    """HubSpot documents no Retry-After for this limit, so the client waits for its backoff."""
    pauses = Pauses()
    with Simulator(rate_limit=1) as portal:

        def sleep(seconds: float) -> None:
            pauses(seconds)
            portal.settings.rate_limit = None

        with client_of(portal, pauses=sleep) as client:  # type: ignore[arg-type]
            client.get_all_limits()
            client.get_all_limits()
    assert len(pauses) == 1


def test_an_exception_of_sleep_ends_the_call(hubspot: Simulator) -> None:
    class KilledError(Exception):
        pass

    def sleep(seconds: float) -> None:
        raise KilledError

    hubspot.inject(status=503, times=9)
    with client_of(hubspot, pauses=sleep) as client, pytest.raises(KilledError):  # type: ignore[arg-type]
        client.get_all_limits()
    assert len(hubspot.requests) == 1


def test_without_retries_every_request_is_sent_once(hubspot: Simulator) -> None:
    hubspot.inject(status=503, times=9)
    with client_of(hubspot) as client, pytest.raises(HubSpotUnavailableError):
        client.without_retries().get_all_limits()
    assert len(hubspot.requests) == 1


# -- create --


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_create_in_force_is_not_sent_again(hubspot: Simulator, fault: dict[str, Any]) -> None:
    hubspot.settings.create_existing = "error"
    hubspot.inject(path="*/batch/create", after=True, **fault)
    with client_of(hubspot) as client:
        answer = client.create_limits(*PAIR, [limit(), limit(1, 3)])
    assert answer.status is BatchStatus.COMPLETE
    assert {result.type_id for result in answer.results} == {279, 1}
    assert len(hubspot.limits()) == 2
    assert shape(hubspot) == ["POST create", "GET companies"]


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_create_not_in_force_is_sent_again_as_an_update(hubspot: Simulator, fault: dict[str, Any]) -> None:
    hubspot.settings.create_existing = "error"
    if "truncate" in fault:
        fault = {"reset": True}  # a truncated answer means that the portal has processed the request
    hubspot.inject(path="*/batch/create", **fault)
    with client_of(hubspot) as client:
        answer = client.create_limits(*PAIR, [limit()])
    assert [result.max_to_object_ids for result in answer.results] == [5]
    assert hubspot.limits() == {KEY: 5}
    assert shape(hubspot) == ["POST create", "GET companies", "POST update"]


@pytest.mark.parametrize("fault", UNKNOWN)
def test_a_create_hidden_by_stale_reads_is_not_created_twice(hubspot: Simulator, fault: dict[str, Any]) -> None:
    hubspot.settings.create_existing = "error"
    hubspot.settings.stale_seconds = 60
    hubspot.inject(path="*/batch/create", after=True, **fault)
    with client_of(hubspot) as client:
        answer = client.create_limits(*PAIR, [limit()])
    assert (answer.status, answer.errors) == (BatchStatus.COMPLETE, [])
    assert shape(hubspot) == ["POST create", "GET companies", "POST update"]


def test_only_inputs_not_in_force_are_sent_again(hubspot: Simulator) -> None:
    """One input is in force, one has another limit, one has none; a type outside of the batch has a limit."""
    hubspot.inject(path="*/batch/create", reset=True)
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 1, 2)
    type_id, _ = hubspot.add_label("contacts", "companies", label="x", name="x")
    other, _ = hubspot.add_label("contacts", "companies", label="y", name="y")
    hubspot.set_limit("contacts", "companies", "USER_DEFINED", type_id, 4)
    hubspot.set_limit("contacts", "companies", "USER_DEFINED", other, 1)
    inputs = [limit(279, 5), limit(1, 3), limit(type_id, 4, "USER_DEFINED")]
    with client_of(hubspot) as client:
        answer = client.create_limits(*PAIR, inputs)
    assert writes(hubspot) == [("create", inputs), ("update", inputs[:2])]
    assert sorted(result.type_id for result in answer.results) == sorted([279, 1, type_id])
    assert sorted(hubspot.limits().values()) == [1, 3, 4, 5]


@pytest.mark.parametrize("status", [429, 423, 477])
def test_a_create_that_was_not_carried_out_is_repeated_without_a_read(hubspot: Simulator, status: int) -> None:
    hubspot.inject(path="*/batch/create", status=status)
    with client_of(hubspot) as client:
        client.create_limits(*PAIR, [limit()])
    assert shape(hubspot) == ["POST create", "POST create"]


def test_the_read_after_an_unanswered_create_is_retried(hubspot: Simulator) -> None:
    hubspot.inject(path="*/batch/create", reset=True, after=True)
    hubspot.inject(method="GET", status=503, times=3)
    with client_of(hubspot) as client:
        assert client.create_limits(*PAIR, [limit()]).status is BatchStatus.COMPLETE
    assert shape(hubspot) == ["POST create"] + ["GET companies"] * 4


@pytest.mark.parametrize("status", [403, 429, 503])
def test_an_unanswered_create_has_an_unknown_outcome_if_reads_fail(hubspot: Simulator, status: int) -> None:
    hubspot.inject(path="*/batch/create", reset=True, after=True)
    hubspot.inject(method="GET", status=status, times=99)
    with client_of(hubspot, max_retries=3) as client, pytest.raises(HubSpotError) as error:
        client.create_limits(*PAIR, [limit()])
    assert error.value.outcome_unknown
    assert shape(hubspot).count("POST create") == 1
    assert hubspot.limits() == {KEY: 5}


@pytest.mark.parametrize(
    ("status", "kind"), [(500, HubSpotServerError), (599, HubSpotServerError), (307, HubSpotRefusedAnswerError)]
)
def test_a_create_with_a_permanent_server_error_has_an_unknown_outcome(
    hubspot: Simulator, status: int, kind: type[HubSpotError]
) -> None:
    hubspot.inject(path="*/batch/create", status=status, after=True)
    with client_of(hubspot) as client, pytest.raises(kind) as error:
        client.create_limits(*PAIR, [limit()])
    assert error.value.outcome_unknown
    assert shape(hubspot) == ["POST create"]


def test_a_resent_create_reads_the_limits_first(hubspot: Simulator) -> None:
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 5)
    with client_of(hubspot) as client:
        answer = client.create_limits(*PAIR, [limit()], resend=True)
        assert answer.status is BatchStatus.COMPLETE
        assert shape(hubspot) == ["GET companies"]
        client.create_limits(*PAIR, [limit(), limit(1, 2)], resend=True)
    assert writes(hubspot) == [("update", [limit(1, 2)])]


def test_no_part_of_a_large_create_is_created_twice(hubspot: Simulator) -> None:
    ids = [hubspot.add_label("contacts", "companies", label=f"L{n}", name=f"l{n}")[0] for n in range(6)]
    inputs = [limit(type_id, 2, "USER_DEFINED") for type_id in ids]
    hubspot.settings.create_existing = "error"
    with client_of(hubspot, inputs_per_request=2) as client:
        hubspot.inject(path="*/batch/create", headers={"X-Nothing": "1"})
        hubspot.inject(path="*/batch/create", reset=True, after=True)
        hubspot.inject(path="*/batch/create", reset=True)
        answer = client.create_limits(*PAIR, inputs)
    assert [result.type_id for result in answer.results] == ids
    assert answer.errors == []
    assert shape(hubspot) == [
        *("POST create", "POST create", "GET companies", "POST create", "GET companies", "POST update")
    ]


# -- labels --


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unanswered_creation_of_a_label_is_not_repeated(hubspot: Simulator, fault: dict[str, Any]) -> None:
    hubspot.inject(method="POST", after=True, **fault)
    with client_of(hubspot) as client:
        with pytest.raises((HubSpotUnavailableError, HubSpotUnreadableAnswerError)) as error:
            client.create_label(*PAIR, label="x", name="x")
        assert error.value.outcome_unknown
        assert shape(hubspot) == ["POST labels"]
        assert "x" in {label.label for label in client.get_labels(*PAIR)}


@pytest.mark.parametrize("status", [423, 429, 477])
def test_a_creation_of_a_label_that_was_not_carried_out_is_repeated(hubspot: Simulator, status: int) -> None:
    hubspot.inject(method="POST", status=status)
    with client_of(hubspot) as client:
        client.create_label(*PAIR, label="x", name="x")
    assert shape(hubspot) == ["POST labels", "POST labels"]


def test_renaming_and_deleting_a_label_are_repeated(hubspot: Simulator) -> None:
    type_id, _ = hubspot.add_label("contacts", "companies", label="x", name="x")
    with client_of(hubspot) as client:
        for method in ("PUT", "DELETE"):
            hubspot.inject(method=method, reset=True)
        client.update_label(*PAIR, association_type_id=type_id, label="y", inverse_label="y")
        client.delete_label(*PAIR, type_id)
        assert "y" not in {label.label for label in client.get_labels(*PAIR)}
    assert [request.method for request in hubspot.requests] == ["PUT", "PUT", "DELETE", "DELETE", "GET"]


# -- every method --


CALLS: dict[str, Callable[[HubSpotClient], Any]] = {
    "account_info": lambda client: client.account_info(),
    "get_all_limits": lambda client: client.get_all_limits(),
    "get_limits": lambda client: client.get_limits(*PAIR),
    "get_labels": lambda client: client.get_labels(*PAIR),
    "create_limits": lambda client: client.create_limits(*PAIR, [limit()]),
    "update_limits": lambda client: client.update_limits(*PAIR, [limit()]),
    "purge_limits": lambda client: client.purge_limits(*PAIR, [limit(maximum=None)]),
    "create_label": lambda client: client.create_label(*PAIR, label="x", name="x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_method_retries_a_rate_limit(hubspot: Simulator, name: str) -> None:
    hubspot.inject(status=429, times=2)
    with client_of(hubspot) as client:
        CALLS[name](client)
    assert len(hubspot.requests) == 3


@pytest.mark.parametrize("name", CALLS)
def test_every_method_raises_a_refusal_at_once(hubspot: Simulator, name: str) -> None:
    hubspot.inject(status=400, body={"message": "No."})
    with client_of(hubspot) as client, pytest.raises(HubSpotValidationError, match=r"No\."):
        CALLS[name](client)
    assert len(hubspot.requests) == 1


def test_a_dropped_connection_is_reopened() -> None:
    answer = response(ACCOUNT).replace(b"Connection: close\r\n", b"")
    with Peer(answer) as peer, client_of(f"http://127.0.0.1:{peer.port}") as client:
        for _ in range(3):  # the peer closes after each answer without announcing it
            assert client.account_info().portal_id == 62515
