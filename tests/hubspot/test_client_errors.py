"""The typed error for every failure of HubSpot and of the network."""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.bounded_http import MAX_BODY_BYTES
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotAuthenticationError,
    HubSpotError,
    HubSpotMissingScopesError,
    HubSpotOperationError,
    HubSpotRateLimitError,
    HubSpotRefusedAnswerError,
    HubSpotServerError,
    HubSpotSettingsError,
    HubSpotTLSError,
    HubSpotUnavailableError,
    HubSpotUnknownObjectTypeError,
    HubSpotUnreadableAnswerError,
    HubSpotValidationError,
)
from airflow_provider_hubassoc.hubspot.settings import DEFAULT_BASE_URL, HubSpotSettings
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.tracebacks import everything_shown
from tests.support.wire import ACCOUNT, TOKEN, Pauses, Peer, certificate, client_of, closed_port, limit, response

BODY = {
    "status": "error",
    "message": "HubSpot's own words",
    "category": "SOME_CATEGORY",
    "subCategory": "some.SUB_CATEGORY",
    "correlationId": "correlation-1",
}


def failure(call: Callable[[], Any]) -> HubSpotError:
    """Return the error of a call, after a check that it shows no secret."""
    with pytest.raises(HubSpotError) as raised:
        call()
    shown = everything_shown(raised.value)
    assert TOKEN not in shown
    assert "pat-na1-simulator" not in shown
    return raised.value


@pytest.mark.parametrize(
    ("status", "kind", "transient", "retryable"),
    [
        *[(status, HubSpotRefusedAnswerError, False, True) for status in (300, 301, 302, 303, 307, 308)],
        (400, HubSpotValidationError, False, False),
        (401, HubSpotAuthenticationError, False, False),
        (403, HubSpotMissingScopesError, False, False),
        (404, HubSpotValidationError, False, False),
        (409, HubSpotServerError, False, True),
        (414, HubSpotValidationError, False, False),
        (423, HubSpotUnavailableError, True, True),
        (429, HubSpotRateLimitError, True, True),
        (437, HubSpotValidationError, False, False),
        (477, HubSpotUnavailableError, True, True),
        (500, HubSpotServerError, False, True),
        *[(status, HubSpotUnavailableError, True, True) for status in (502, 503, 504, *range(520, 531))],
        (501, HubSpotServerError, False, True),
    ],
)
def test_each_status_has_its_error(
    hubspot: Simulator, status: int, kind: type[HubSpotError], transient: bool, retryable: bool
) -> None:
    with client_of(hubspot, max_retries=0) as client:

        def error_for(body: Any) -> HubSpotError:
            hubspot.inject(status=status, body=body, headers={"X-HubSpot-Correlation-Id": "correlation-2"})
            error = failure(client.get_all_limits)
            assert type(error) is kind
            assert (error.status, error.transient, error.retryable) == (status, transient, retryable)
            assert f"HTTP {status}" in str(error)
            return error

        for known in (BODY, json.dumps(BODY)):
            error = error_for(known)
            assert (error.category, error.sub_category) == ("SOME_CATEGORY", "some.SUB_CATEGORY")
            assert error.correlation_id == "correlation-1"
            for fact in ("SOME_CATEGORY", "some.SUB_CATEGORY", "correlation-1"):
                assert fact in str(error)
            if kind is not HubSpotRefusedAnswerError:
                assert "HubSpot's own words" in str(error)
        for body in ("<html>Gateway</html>", b"", b"\xff\xfe", "[" * 9999, "{", "null", "[]", '"text"'):
            error = error_for(body)
            assert (error.category, error.sub_category, error.correlation_id) == (None, None, "correlation-2")
            assert "html" not in str(error)
        assert len(hubspot.requests) == 10


@pytest.mark.parametrize("echo", [TOKEN[:12], TOKEN[:-1], TOKEN[-12:], TOKEN[1:], f"{TOKEN[:14]}...{TOKEN[-13:]}"])
def test_parts_of_the_token_are_redacted(hubspot: Simulator, echo: str) -> None:
    """HubSpot echoes the beginning of a token; its end must not be shown either."""
    body = {"message": f"The token {echo} has no scope", "category": echo, "correlationId": echo}
    hubspot.inject(status=403, body=body)
    with client_of(hubspot, access_token=TOKEN, max_retries=0) as client:
        text = str(failure(client.get_all_limits))
    assert "The token ***" in text
    assert not any(echo[start : start + 12] in text for start in range(len(echo) - 11) if "..." not in echo)
    assert TOKEN[:12] not in text
    assert TOKEN[-12:] not in text


@pytest.mark.parametrize("worked", [True, False])
def test_a_530_may_mean_a_malformed_token(hubspot: Simulator, worked: bool) -> None:
    with client_of(hubspot, max_retries=1) as client:
        if worked:
            client.account_info()
        hubspot.inject(status=530, times=2)
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotUnavailableError)
    assert ("malformed" in str(error)) is not worked


def test_an_error_names_connection_host_and_direction(hubspot: Simulator) -> None:
    settings_ = HubSpotSettings.parse({"base_url": hubspot.url, "access_token": hubspot.issue_token(["oauth"])})
    host = f"host 127.0.0.1:{hubspot.port}"
    with HubSpotClient(settings_, connection_name="emea") as client:
        for call in (client.get_limits, client.get_labels):
            text = str(failure(lambda call=call: call("0-1", "deals")))  # type: ignore[misc]
            assert f"(connection emea, {host}, direction contacts -> deals, HTTP 403, " in text
            assert "Give the token one of these scopes: crm.objects.contacts.read, crm.objects.deals.read." in text
        text = str(failure(lambda: client.update_limits("0-1", "deals", [limit(4, 0)])))
        assert f"(connection emea, {host}, direction contacts -> deals)" in text
        assert "connection emea" in str(failure(lambda: client.get_limits("a/b", "deals")))


def test_only_an_unanswered_request_to_the_default_host_names_the_host() -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    with client_of(DEFAULT_BASE_URL, proxy=proxy, max_retries=0) as client:
        assert "(host api.hubapi.com)" in str(failure(client.account_info))
        assert "host api.hubapi.com" not in str(failure(lambda: client.get_limits("a/b", "deals")))


@pytest.mark.parametrize("status", [400, 401, 500, 207, 200])
def test_a_token_in_an_answer_is_redacted(hubspot: Simulator, status: int) -> None:
    echo = f"Bearer {TOKEN} is no good"
    body = {"status": "CANCELED", "message": echo, "category": TOKEN, "errors": [{"message": echo}], "results": []}
    hubspot.inject(status=status, body=body, headers={"X-HubSpot-Correlation-Id": TOKEN}, times=2)
    with client_of(hubspot, access_token=TOKEN, max_retries=0) as client:
        inputs = [limit()]
        if status >= 400:
            assert "Bearer *** is no good" in str(failure(lambda: client.update_limits("0-1", "0-2", inputs)))
        else:
            answer = client.update_limits("0-1", "0-2", inputs)
            assert answer.errors[0].message == "Bearer *** is no good"
            assert TOKEN not in repr(answer)


def test_secrets_in_a_refused_refresh_are_redacted(hubspot: Simulator) -> None:
    oauth = hubspot.oauth
    hubspot.inject(path="/oauth/*", status=400, body={"status": f"BAD {oauth.client_secret}/{oauth.refresh_token}"})
    names = ("client_id", "client_secret", "refresh_token")
    credentials = {name: getattr(oauth, name) for name in names}
    with client_of(hubspot, auth_type="oauth", access_token=None, **credentials) as client:
        error = failure(client.get_all_limits)
    assert "BAD ***/***" in str(error)


def test_an_unknown_token_fails_at_once(hubspot: Simulator) -> None:
    with client_of(hubspot, access_token=TOKEN) as client:
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotAuthenticationError)
    assert error.category == "INVALID_AUTHENTICATION"
    assert error.correlation_id
    assert len(hubspot.requests) == 1


def test_missing_scopes_are_named(hubspot: Simulator) -> None:
    with client_of(hubspot, access_token=hubspot.issue_token(["oauth"])) as client:
        client.account_info()
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotMissingScopesError)
    assert "crm.objects.contacts.read" in error.required_scopes
    assert "crm.objects.contacts.read" in str(error)
    assert (error.status, error.category) == (403, "MISSING_SCOPES")


def test_an_unknown_object_type_is_named(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        error = failure(lambda: client.get_limits("lineitem", "deals"))
    assert isinstance(error, HubSpotUnknownObjectTypeError)
    assert "Unable to infer object type from: lineitem" in str(error)
    assert (error.status, error.category) == (400, None)


def test_a_malformed_request_is_a_validation_error(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        error = failure(lambda: client.update_limits("contacts", "companies", [limit(279, None)]))
    assert type(error) is HubSpotValidationError
    assert (error.status, error.category) == (400, "VALIDATION_ERROR")


# -- unreadable answers --

NOT_JSON = ["<html>Welcome</html>", "{", "[" * 100_000, b"\xff", '{"results": NaN}', '{"results": [', "1" * 10_000]
NOTHING = ["", " ", "null", "5", "true", '"x"', "[]", "{}"]


def test_an_undocumented_answer_to_a_read_is_unreadable(hubspot: Simulator) -> None:
    bodies = [
        *(*NOT_JSON, *NOTHING),
        *('{"results": null}', '{"results": {}}', '{"results": [5]}', '{"results": [{"category": "X"}]}'),
        '{"results": [{"category": 5, "typeId": 1}]}',
        '{"results": [{"category": "X", "typeId": "y"}]}',
        '{"results": [{"category": "\\ud800", "typeId": 1}]}',
    ]
    calls: list[Callable[[HubSpotClient], Any]] = [
        lambda client: client.get_all_limits(),
        lambda client: client.get_labels("contacts", "companies"),
    ]
    with client_of(hubspot, max_retries=1) as client:
        for body, call in itertools.product(bodies, calls):
            hubspot.clear_requests()
            hubspot.inject(status=200, body=body, headers={"X-HubSpot-Correlation-Id": "c-1"}, times=2)
            error = failure(lambda call=call: call(client))  # type: ignore[misc]
            assert isinstance(error, HubSpotUnreadableAnswerError)
            assert (error.status, error.correlation_id) == (200, "c-1")
            assert len(hubspot.requests) == 2  # repeated once, because the answer may come from a gateway


@pytest.mark.parametrize("action", ["create", "update", "purge"])
def test_an_unreadable_answer_to_a_write_leaves_its_outcome_unknown(hubspot: Simulator, action: str) -> None:
    """Results confirm a create or an update; any answer without errors, even an empty one, confirms a purge."""
    bodies = [
        *(*NOT_JSON, *NOTHING, '{"status": "DONE"}', '{"status": null}', '{"status": "COMPLETE", "results": 5}'),
        '{"status": "COMPLETE", "errors": ["x"]}',
        '{"status": "COMPLETE", "numErrors": "x"}',
    ]
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 5)
    with client_of(hubspot, max_retries=0) as client:
        send = {"create": client.create_limits, "update": client.update_limits, "purge": client.purge_limits}[action]
        for body in bodies:
            if action == "purge" and body in ("", " ", "null", "[]", "{}"):
                continue
            hubspot.inject(status=200, body=body)
            error = failure(lambda: send("contacts", "companies", [limit(279, None if action == "purge" else 7)]))
            assert isinstance(error, HubSpotUnreadableAnswerError)
            assert error.outcome_unknown
        assert list(hubspot.limits().values()) == [5]


def test_account_info_without_a_portal_id_is_unreadable(hubspot: Simulator) -> None:
    hubspot.inject(status=200, body={"accountType": "STANDARD"})
    with client_of(hubspot, max_retries=0) as client:
        error = failure(client.account_info)
    assert "account.portalId: Field required" in str(error)


@pytest.mark.parametrize(
    "extra",
    [{"new": {"field": 1}}, {"links": None, "errors": None, "numErrors": None, "results": None}, {"requestedAt": None}],
)
def test_unknown_and_missing_fields_of_a_batch_are_tolerated(hubspot: Simulator, extra: dict[str, Any]) -> None:
    hubspot.inject(status=200, body={"status": "CANCELED", "errors": [{"message": None, "new": 1}]} | extra)
    with client_of(hubspot) as client:
        answer = client.update_limits("contacts", "companies", [limit()])
    assert answer.status == "CANCELED"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["results", "status", "category", "typeId", "label", "errors", "context", "type", "links"])
            | st.text(max_size=3),
            values,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    status=st.sampled_from([200, 201, 207, 400, 403, 429, 500]),
    body=json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50),
)
def test_any_answer_is_parsed_or_raises_a_typed_error(hubspot: Simulator, status: int, body: bytes) -> None:
    with client_of(hubspot, max_retries=0) as client:
        calls: list[Callable[[], Any]] = [
            client.account_info,
            client.get_all_limits,
            lambda: client.get_labels("contacts", "companies"),
            lambda: client.update_limits("contacts", "companies", [limit()]).model_dump(mode="json"),
            lambda: client.get_status(f"{hubspot.url}/x"),
        ]
        for call in calls:
            hubspot.inject(status=status, body=body)
            try:
                call()
            except HubSpotError as error:
                str(error).encode()


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"])
    .flatmap(lambda head: st.binary(max_size=40).map(lambda rest: head + rest))
    .map(lambda start: start + b"\r\n\r\n")
)
def test_any_bytes_raise_a_typed_error(raw: bytes) -> None:
    with Peer(raw) as peer, client_of(f"http://127.0.0.1:{peer.port}", max_retries=0, timeout=5) as client:
        failure(client.get_all_limits)


# -- sizes and lengths --


def test_a_large_body_is_refused_without_a_retry(hubspot: Simulator) -> None:
    hubspot.inject(status=200, body=b"[" + b" " * MAX_BODY_BYTES, headers={"X-HubSpot-Correlation-Id": "c-1"})
    with client_of(hubspot) as client:
        error = failure(client.get_all_limits)
        assert isinstance(error, HubSpotRefusedAnswerError)
        assert (error.status, error.correlation_id) == (200, "c-1")
        assert len(hubspot.requests) == 1  # a repetition would be as large
        client.get_all_limits()


def test_a_large_error_body_is_refused(hubspot: Simulator) -> None:
    hubspot.inject(status=400, body=b" " * (MAX_BODY_BYTES + 1))
    with client_of(hubspot) as client:
        assert isinstance(failure(client.get_all_limits), HubSpotRefusedAnswerError)


def test_a_huge_body_is_not_read_to_its_end() -> None:
    """The headers announce 100 MB."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
    with Peer(head + b" " * (2 * MAX_BODY_BYTES)) as peer, client_of(f"http://127.0.0.1:{peer.port}") as client:
        assert isinstance(failure(client.get_all_limits), HubSpotRefusedAnswerError)


def test_a_compressed_bomb_is_refused() -> None:
    body = gzip.compress(b" " * (2 * MAX_BODY_BYTES))
    assert len(body) < MAX_BODY_BYTES
    with Peer(response(body, Content_Encoding="gzip")) as peer, client_of(f"http://127.0.0.1:{peer.port}") as client:
        assert isinstance(failure(client.get_all_limits), HubSpotRefusedAnswerError)


@pytest.mark.parametrize(
    "fault",
    [
        {"truncate": 5},
        {"truncate": 0},
        {"truncate": 5, "reset": True},
        {"headers": {"Content-Length": "9999"}},
        {"headers": {"Content-Length": "5, 7"}},
        {"headers": {"Content-Length": "3"}},
        {"headers": {"Content-Encoding": "gzip"}},
        {"headers": {"Transfer-Encoding": "chunked", "Content-Length": None}},
    ],
)
def test_an_answer_that_breaks_off_is_repeated(hubspot: Simulator, fault: dict[str, Any]) -> None:
    hubspot.inject(**fault)
    with client_of(hubspot, max_retries=0) as client:
        error = failure(client.get_all_limits)
    assert error.transient
    assert error.outcome_unknown
    hubspot.inject(**fault)
    with client_of(hubspot) as client:
        assert client.get_all_limits() == []


def test_a_wrong_content_type_does_not_matter(hubspot: Simulator) -> None:
    hubspot.inject(headers={"Content-Type": "text/plain"})
    with client_of(hubspot) as client:
        assert client.get_all_limits() == []


# -- no answer --


def test_a_refused_connection() -> None:
    with client_of(f"http://127.0.0.1:{closed_port()}", max_retries=0) as client:
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message.startswith(
        f"No connection to HubSpot: [Errno {errno.ECONNREFUSED}] Connection refused. Check "
    )
    assert not error.outcome_unknown


def test_an_unknown_host_name() -> None:
    with client_of("https://hubspot.invalid", max_retries=0) as client:
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotUnavailableError)
    assert str(error).startswith("No connection to HubSpot: ")
    assert not error.outcome_unknown


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example.com", "exa mple.com", "%zz", "*", "a_b.invalid"])
def test_an_invalid_host_name(host: str) -> None:
    with client_of(f"https://{host}", max_retries=0) as client:
        assert isinstance(failure(client.get_all_limits), (HubSpotSettingsError, HubSpotUnavailableError))


def test_a_connect_timeout() -> None:
    """The backlog of the listener is full, so the kernel drops further attempts to connect."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with client_of(f"http://127.0.0.1:{address[1]}", max_retries=0, timeout="0.05,5") as client:
            error = failure(client.get_all_limits)
        for filler in fillers:
            filler.close()
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message.startswith("No connection to HubSpot within 0.05 s. Check ")
    assert not error.outcome_unknown


def test_a_read_timeout(hubspot: Simulator) -> None:
    hubspot.inject(delay=30)
    with client_of(hubspot, max_retries=0, timeout="5,0.1") as client:
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message == "No answer from HubSpot within 0.1 s, or no complete one within 0.4 s"
    assert error.outcome_unknown


def test_an_answer_that_stalls_in_its_body(hubspot: Simulator) -> None:
    hubspot.inject(stall=30)
    with client_of(hubspot, max_retries=0, timeout="5,0.1") as client:
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message == "HubSpot's answer stopped for 0.1 s, or was not complete within 0.4 s"
    assert error.outcome_unknown


@pytest.mark.parametrize("chunked", [False, True])
def test_a_trickling_body_fails(chunked: bool) -> None:
    """No pause in the body is longer than the timeout, but the body never ends."""
    head = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: 1000000\r\n"
    chunk = b"1\r\n \r\n" if chunked else b" "

    def trickle(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
                while not done.wait(0.02):
                    connection.sendall(chunk)

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=trickle, args=[listener])
        server.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with client_of(address, max_retries=0, timeout="5,0.1") as client:
                error = failure(client.get_all_limits)
        finally:
            done.set()
            server.join()
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message == "HubSpot's answer stopped for 0.1 s, or was not complete within 0.4 s"
    assert error.outcome_unknown


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_reset(hubspot: Simulator, after: bool) -> None:
    hubspot.inject(reset=True, after=after)
    with client_of(hubspot, max_retries=0) as client:
        error = failure(lambda: client.update_limits("contacts", "companies", [limit()]))
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message == f"The connection to HubSpot broke: [Errno {errno.ECONNRESET}] Connection reset by peer"
    assert error.outcome_unknown
    assert bool(hubspot.limits()) is after


def test_a_connection_closed_without_an_answer() -> None:
    with Peer(None) as peer, client_of(f"http://127.0.0.1:{peer.port}", max_retries=0) as client:
        error = failure(client.get_all_limits)
    assert isinstance(error, HubSpotUnavailableError)
    assert error.message == "The connection to HubSpot broke: Remote end closed connection without response"
    assert error.outcome_unknown


# -- redirects and links --


@pytest.mark.parametrize("target", ["another host", "the same host"])
def test_a_redirect_is_never_followed(hubspot: Simulator, target: str) -> None:
    with Peer(response(b'{"results": []}')) as other, client_of(hubspot) as client:
        address = f"http://127.0.0.1:{other.port}" if target == "another host" else hubspot.url
        for status in (301, 302, 303, 307, 308):
            hubspot.inject(status=status, headers={"Location": f"{address}/crm/associations/2026-03/x"}, times=2)
            for call in (client.get_all_limits, lambda: client.update_limits("contacts", "companies", [limit()])):
                error = failure(call)
                assert isinstance(error, HubSpotRefusedAnswerError)
                assert f"redirect (HTTP {status})" in str(error)
        assert other.received == []
    assert len(hubspot.requests) == 10


def test_a_redirect_of_a_token_request_is_not_followed(hubspot: Simulator) -> None:
    oauth = hubspot.oauth
    with Peer(response(b"{}")) as other:
        hubspot.inject(path="/oauth/*", status=307, headers={"Location": f"http://127.0.0.1:{other.port}/"})
        options: dict[str, Any] = {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
        with client_of(
            hubspot, auth_type="oauth", access_token=None, refresh_token=oauth.refresh_token, **options
        ) as client:
            assert isinstance(failure(client.get_all_limits), HubSpotRefusedAnswerError)
        assert other.received == []
    assert [request.path for request in hubspot.requests] == ["/oauth/2026-03/token"]


def test_a_status_link_of_another_origin_is_refused(hubspot: Simulator) -> None:
    with Peer(response(b'{"status": "COMPLETE"}')) as other, client_of(hubspot) as client:
        port = hubspot.port
        for link in (
            f"http://127.0.0.1:{other.port}/x",
            f"http://localhost:{port}/x",
            f"https://127.0.0.1:{port}/x",
            f"http://127.0.0.1:{port}@127.0.0.1:{other.port}/x",
            f"//127.0.0.1:{other.port}/x",
            "/crm/associations/2026-03/x",
            "file:///etc/passwd",
            "http://127.0.0.1:99999/x",
            "",
        ):
            error = failure(lambda link=link: client.get_status(link))  # type: ignore[misc]
            assert isinstance(error, HubSpotRefusedAnswerError)
        assert other.received == []
        assert hubspot.requests == []


@pytest.mark.parametrize("path", ["/x?a=b", "//example.com/x", "/x#fragment", "", "?a=b", "/%2e%2e/x"])
def test_a_status_link_of_the_same_origin_is_read_from_that_origin(hubspot: Simulator, path: str) -> None:
    hubspot.inject(status=200, body={"status": "PENDING"})
    with client_of(hubspot) as client:
        url = hubspot.url.replace("http://", "http://user:word@")
        assert client.get_status(url + path).status == "PENDING"
    (request,) = hubspot.requests
    assert request.headers["host"] == f"127.0.0.1:{hubspot.port}"
    assert request.headers["authorization"] == f"Bearer {hubspot.token}"


# -- certificates and proxies --


def test_an_untrusted_certificate(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    with Peer(response(ACCOUNT), tls=context) as peer:
        pauses = Pauses()
        with client_of(f"https://127.0.0.1:{peer.port}", pauses=pauses) as client:
            error = failure(client.account_info)
        assert isinstance(error, HubSpotTLSError)
        assert not error.retryable
        assert not error.outcome_unknown
        assert pauses == []
        assert peer.received == []


def test_a_private_certificate_authority_is_trusted_by_setting_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certificate(tmp_path)
    with Peer(response(ACCOUNT), tls=context) as peer:
        address = f"https://127.0.0.1:{peer.port}"
        with client_of(address, ca_bundle=str(trusted)) as client:
            assert client.account_info().portal_id == 62515
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        with client_of(address) as client:
            assert client.account_info().portal_id == 62515


def test_a_certificate_for_another_host_name(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    with (
        Peer(response(ACCOUNT), tls=context) as peer,
        client_of(f"https://localhost:{peer.port}", ca_bundle=str(trusted)) as client,
    ):
        assert isinstance(failure(client.account_info), HubSpotTLSError)
        assert peer.received == []


def test_https_to_a_server_without_tls() -> None:
    with Peer(response(ACCOUNT)) as peer, client_of(f"https://127.0.0.1:{peer.port}", max_retries=0) as client:
        assert isinstance(failure(client.account_info), HubSpotUnavailableError)


def test_a_missing_or_invalid_ca_bundle(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with client_of("https://127.0.0.1:9", ca_bundle=str(missing)) as client:
        error = failure(client.account_info)
    assert isinstance(error, HubSpotSettingsError)
    assert str(missing) in str(error)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    context, _ = certificate(tmp_path)
    with (
        Peer(response(ACCOUNT), tls=context) as peer,
        client_of(f"https://127.0.0.1:{peer.port}", ca_bundle=str(nonsense)) as client,
    ):
        error = failure(client.account_info)
    assert not error.retryable
    assert "ca_bundle" in str(error)


def test_an_explicit_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with (
        Peer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy,
        client_of(
            "https://api.example.com", proxy=f"http://user:canary-word@127.0.0.1:{proxy.port}", max_retries=0
        ) as client,
    ):
        failure(client.account_info)
        assert "canary-word" not in repr(client) + repr(vars(client))
    assert proxy.received[0].startswith(b"CONNECT api.example.com:443 ")
    assert b"\r\nProxy-Authorization: Basic " in proxy.received[0]


def test_plain_http_does_not_use_the_configured_proxy(hubspot: Simulator) -> None:
    with Peer(response(ACCOUNT)) as proxy, client_of(hubspot, proxy=f"http://127.0.0.1:{proxy.port}") as client:
        assert client.account_info().portal_id == hubspot.portal_id
    assert proxy.received == []


def test_a_secret_in_json_escapes_is_redacted(hubspot: Simulator) -> None:
    hidden = "".join(f"\\u{ord(character):04x}" for character in TOKEN)
    hubspot.inject(status=400, body=f'{{"status": "error", "message": "{hidden} is no good"}}')
    with client_of(hubspot, access_token=TOKEN, max_retries=0) as client:
        assert "*** is no good" in str(failure(client.get_all_limits))


@pytest.mark.slow
def test_the_errors_kept_from_an_answer_are_bounded(hubspot: Simulator) -> None:
    errors = [{"message": "m" * 4000, "category": "c" * 4000, "context": {"x": ["y" * 400]}}] * 700
    hubspot.inject(status=207, body={"status": "CANCELED", "results": [], "errors": errors})
    with client_of(hubspot) as client:
        answer = client.update_limits("0-1", "0-2", [limit(n) for n in range(1, 101)])
    handle = {"action": "update", "from_object_type": "0-1", "to_object_type": "0-2"}
    operation = BatchOperation.from_dict({**handle, "inputs": [limit(n) for n in range(1, 101)]}).with_answer(answer)
    assert len(json.dumps(operation.to_dict())) < 2_000_000
    with pytest.raises(HubSpotOperationError) as error:
        operation.raise_for_failure()
    assert len(str(error.value)) < 1_000_000


def test_an_unreachable_proxy() -> None:
    proxy = f"http://user:canary-word@127.0.0.1:{closed_port()}"
    with client_of("https://127.0.0.1:9", proxy=proxy, max_retries=0) as client:
        error = failure(client.account_info)
    assert isinstance(error, HubSpotUnavailableError)
    assert not error.outcome_unknown
    assert "canary-word" not in everything_shown(error)


def test_a_proxy_does_not_see_the_token(tmp_path: Path) -> None:
    with (
        Peer(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy,
        client_of("https://api.example.com", proxy=f"http://127.0.0.1:{proxy.port}", max_retries=0) as client,
    ):
        error = failure(client.account_info)
    assert isinstance(error, HubSpotUnavailableError)
    assert "407 Proxy Authentication Required" in str(error)
    assert proxy.received[0].startswith(b"CONNECT api.example.com:443 HTTP/1.")
    assert TOKEN.encode() not in b"".join(proxy.received)


def test_a_proxy_password_outside_latin_1() -> None:
    proxy = "http://user:canary-w%E2%82%ACrd@127.0.0.1:9"
    with client_of("https://127.0.0.1:9", proxy=proxy, max_retries=0) as client:
        error = failure(client.account_info)
    assert isinstance(error, HubSpotSettingsError)
    assert "canary" not in everything_shown(error)


@pytest.fixture
def environment_proxy(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with Peer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        yield proxy


def test_the_proxy_of_the_environment_is_used(environment_proxy: Peer) -> None:
    with client_of("https://api.example.com", max_retries=0) as client:
        assert isinstance(failure(client.account_info), HubSpotUnavailableError)
    assert environment_proxy.received[0].startswith(b"CONNECT api.example.com:443 ")


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "127.0.0.0/8"])
def test_no_proxy_of_the_environment_is_respected(
    environment_proxy: Peer, no_proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    context, trusted = certificate(tmp_path)
    with (
        Peer(response(ACCOUNT), tls=context) as peer,
        client_of(f"https://127.0.0.1:{peer.port}", ca_bundle=str(trusted)) as client,
    ):
        assert client.account_info().portal_id == 62515
    assert environment_proxy.received == []


def test_plain_http_does_not_use_the_proxy_of_the_environment(environment_proxy: Peer, hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        client.account_info()
    assert environment_proxy.received == []


def test_netrc_does_not_replace_the_token(hubspot: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password word\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with client_of(hubspot) as client:
        client.account_info()
    assert hubspot.requests[0].headers["authorization"] == f"Bearer {hubspot.token}"


def test_https_to_a_plain_http_simulator_has_a_hint(hubspot: Simulator) -> None:
    settings = {"base_url": hubspot.url.removeprefix("http://"), "access_token": hubspot.token, "max_retries": 0}
    with HubSpotClient(HubSpotSettings.parse(settings)) as client, pytest.raises(HubSpotUnavailableError) as caught:
        client.account_info()
    assert "write http:// before it" in str(caught.value)
